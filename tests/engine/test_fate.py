"""Where rules send packets, as a setting: over the switch, by hairpin queues, or into queues of software alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import StoryLab

from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.engine import Engine
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal


class PeerLab(StoryLab):
    """Its ports know of each other, as those of `ctoffload run` do."""

    def make_engine(self, settings: Settings) -> Engine:
        engine = Engine(self.eal, settings, now_ms=0)
        for name, peer in zip(PORTS, PORTS[::-1], strict=True):
            engine.add_port(name, self.mempool, peer=peer)
        engine.join(*PORTS)
        return engine


def lab_by(make_lab: Any, fate: str, engine: str) -> Any:
    return make_lab(replace(Settings(), ct_offload_fate=fate, ct_offload_flow_engine=engine), of=PeerLab)


@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("fate", ["transfer", "hairpin"])
def test_packets_pass_software_by_the_way_the_setting_names(make_lab: Any, fate: str, engine: str) -> None:
    lab = lab_by(make_lab, fate, engine)
    choices = lab.engine.plans(*PORTS)
    assert {choice.fate for (_, _, nat), choice in choices.items() if choice.plan != "none" and not nat} == {fate}
    conns = [lab.tcp(), lab.udp(), lab.udp(ipv6=True)]
    assert all(conn.in_hardware for conn in conns), [conn.reason for conn in conns]
    seen, sent = lab.host_rx, lab.nics[1].counters().wire_out
    for conn in conns:
        conn.client_sends()
        conn.server_sends()
    assert lab.host_rx == seen
    assert lab.nics[1].counters().wire_out == sent + len(conns), "what comes by one port leaves by the other"
    lab.assert_audit_matches()


@pytest.mark.parametrize("engine", ["sync", "async"])
def test_with_queues_alone_software_sees_everything(make_lab: Any, engine: str) -> None:
    lab = lab_by(make_lab, "queue", engine)
    conn = lab.udp()
    assert conn.in_hardware, conn.reason
    seen = lab.host_rx
    conn.client_sends()
    assert lab.host_rx == seen + 1
