"""The life of connections on emulated NICs with the limits of real ones: by the plan that these limits leave."""

from __future__ import annotations

from typing import Any

import pytest
from story import A, B, with_timeouts

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal


def passes_software_by(lab: Any, conn: Any) -> bool:
    """Whether packets of both directions leave by the other wire without the host."""
    seen = lab.host_rx
    conn.client_sends()
    conn.server_sends()
    return bool(lab.host_rx == seen)


@pytest.mark.parametrize(("profile", "n_contexts"), [("connectx-sws", 0), ("connectx-hws", 1)])
def test_connections_pass_software_by_and_what_misses_reaches_it(make_lab: Any, profile: str, n_contexts: int) -> None:
    """These switches take no rule that sends to software; what misses goes there by itself."""
    lab = make_lab(profile=profile)
    tcp = lab.tcp()
    assert tcp.in_hardware, tcp.reason
    assert lab.engine.provider.stats().contexts_live == n_contexts
    assert passes_software_by(lab, tcp)
    udp = lab.udp()
    assert udp.in_hardware, udp.reason
    assert passes_software_by(lab, udp)
    seen = lab.host_rx
    tcp.send(A, "FA")
    assert lab.host_rx == seen + 1, "a FIN reaches software"
    assert tcp.reason == Reason.CLOSING
    tcp.send(B, "FA")
    tcp.send(A, "A")
    lab.assert_audit_matches()


@pytest.mark.parametrize(("profile", "plan"), [("tap", "steer"), ("queue-only", "mark")])
def test_rules_that_cannot_jump_stand_in_group_0(make_lab: Any, profile: str, plan: str) -> None:
    """One per direction, no pipeline; a zone by VLAN would have to be matched with the connection."""
    lab = make_lab(profile=profile)
    for name in ("net_nicsim0", "net_nicsim1"):
        lab.engine.set_zone(name, 5, None, 3)
    conn = lab.tcp()
    assert conn.in_hardware, (conn.reason, lab.engine.provider.stats().refusal)
    assert lab.engine.plans("net_nicsim0", "net_nicsim1")["tcp", "ipv4", False].plan == plan
    assert [int(rule["group"]) for rule in conn.rules] == [0, 0]
    assert lab.engine.provider.stats().rules_static == 0
    seen = lab.host_rx
    conn.client_sends()
    assert (conn.nic_packets(), lab.host_rx) == (1, seen + 1), "the rule was hit, and sent it to software"
    tagged = lab.tcp(vlans=(5,), zone=3)
    assert tagged.reason == Reason.ZONE_UNSUPPORTED
    conn.close()
    assert lab.rules == 0


@pytest.mark.parametrize("profile", ["tap", "queue-only", "no-flow"])
def test_without_a_way_past_software_connections_are_tracked_there(make_lab: Any, profile: str) -> None:
    lab = make_lab(profile=profile)
    conn = lab.tcp()
    assert not passes_software_by(lab, conn)
    assert conn.is_live
    lab.assert_audit_matches()


@pytest.mark.parametrize("profile", ["connectx-sws", "connectx-hws", "tap", "queue-only", "no-flow"])
def test_a_connection_lives_as_long_as_it_is_used_to_the_second(make_lab: Any, profile: str) -> None:
    """Whoever knows of its use: the NIC by AGE, or software, which sees every packet."""
    lab = make_lab(with_timeouts(tcp_established=5, udp_first=5, udp_single=5, udp_multiple=5), profile=profile)
    conns = [lab.tcp(), lab.udp()]
    for i in range(12):
        lab.advance(4.9)
        for conn in conns:
            assert conn.is_live, f"{conn!r} ended, though it was used 4.9 s ago"
            (conn.client_sends if i % 2 else conn.server_sends)()
    lab.advance(4.5)
    assert all(conn.is_live for conn in conns)
    lab.advance(4.5)
    assert not any(conn.is_live for conn in conns)
    assert lab.rules == 0
    lab.assert_audit_matches()
