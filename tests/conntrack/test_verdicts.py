"""The example captures get OVS's verdict on every packet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.conntrack import Conntrack, states_text

DATA = Path(__file__).resolve().parent.parent / "data" / "verdicts"
PLAIN = ["01-handshake-retransmit", "08-udp-icmp-errors"]
ALL = [*PLAIN, "11-fragments"]
VERDICT, HELD, DROPPED = 0, 1, 2


@pytest.mark.parametrize("ovs_compat", [True, False])
@pytest.mark.parametrize("suffix", ["verdict", "verdict_ts"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_capture_gets_ovs_verdicts(name: str, suffix: str, ovs_compat: bool) -> None:
    packets = read_capture(DATA / f"{name}.pcap").packets
    now_ms = packets.time_ns // 1_000_000 if suffix == "verdict_ts" else np.zeros(len(packets), np.int64)
    with Conntrack(1000, ovs_compat=ovs_compat, now_ms=0) as conntrack:
        verdicts = conntrack.process(packets, now_ms)
    said = [f"{i}: {states_text(int(state))}" for i, state in enumerate(verdicts["state"], 1)]
    assert said == (DATA / f"{name}.{suffix}").read_text().splitlines()


@pytest.mark.parametrize("name", PLAIN)
def test_bursts_of_one_get_the_same_verdicts(name: str) -> None:
    packets = read_capture(DATA / f"{name}.pcap").packets
    with Conntrack(1000, now_ms=0) as together, Conntrack(1000, now_ms=0) as alone:
        at_once = together.process(packets, 0)["state"]
        one_by_one = [alone.process(packets.slice(i, i + 1), 0)["state"][0] for i in range(len(packets))]
    assert at_once.tolist() == one_by_one


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@pytest.mark.parametrize("ovs_compat", [True, False])
@pytest.mark.parametrize("suffix", ["verdict", "verdict_ts"])
@pytest.mark.parametrize("name", ALL)
def test_a_capture_with_fragments_gets_ovs_verdicts(name: str, suffix: str, ovs_compat: bool, at_once: int) -> None:
    packets = read_capture(DATA / f"{name}.pcap").packets
    now_ms = packets.time_ns // 1_000_000 if suffix == "verdict_ts" else np.zeros(len(packets), np.int64)
    said = []
    with Conntrack(1000, ovs_compat=ovs_compat, now_ms=0) as conntrack:
        for start in range(0, len(packets), at_once):
            stop = min(start + at_once, len(packets))
            for line in conntrack.track(packets.slice(start, stop), now_ms[start:stop]):
                if line["kind"] != DROPPED:
                    word = "held" if line["kind"] == HELD else states_text(int(line["state"]))
                    said.append(f"{start + int(line['number']) + 1}: {word}")
    assert said == (DATA / f"{name}.{suffix}").read_text().splitlines()
