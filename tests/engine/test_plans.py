"""The life of connections by each plan, with each engine, over each family, with and without VLAN tags."""

from __future__ import annotations

from typing import Any

import pytest
from story import A, B, with_plan

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal

ENGINES = ("sync", "async")
BYPASS = ("ct", "age", "count")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, make_lab: Any) -> Any:
    """By which engine rules are made. Skips in the emulated NIC's words where it has none of that kind."""
    lab = make_lab(with_plan("age", request.param))
    choice = plan_between(lab, "tcp")
    lab.close()
    if choice.plan != "age":
        pytest.skip(f"the emulated NIC: {choice.refusals[0]}")
    return request.param


def plan_between(lab: Any, proto: str, family: str = "ipv4", nat: bool = False) -> Any:
    ports = [port.layer_port for port in lab.engine.ports.values()]
    return lab.engine.offload_class.choices(*ports)[proto, family, nat]


def assert_in_the_nic(lab: Any, conn: Any) -> None:
    """Both directions pass software by, and are counted."""
    assert conn.in_hardware, conn.reason
    assert lab.rules == 2
    seen, counted = lab.host_rx, conn.nic_packets()
    conn.client_sends()
    conn.server_sends()
    assert lab.host_rx == seen
    assert conn.nic_packets() == counted + 2
    lab.assert_audit_matches()


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("plan", BYPASS)
def test_a_tcp_connection_passes_software_by_and_closes_in_it(
    make_lab: Any, plan: str, engine: str, ipv6: bool
) -> None:
    lab = make_lab(with_plan(plan, engine))
    assert plan_between(lab, "tcp", "ipv6" if ipv6 else "ipv4").plan == plan
    conn = lab.tcp(ipv6=ipv6)
    assert_in_the_nic(lab, conn)
    stats = lab.engine.provider.stats()
    assert stats.contexts_live == (plan == "ct")
    conn.send(A, "FA")
    assert lab.rules == 0
    assert conn.reason == Reason.CLOSING
    conn.send(B, "FA")
    conn.send(A, "A")
    lab.advance(46)
    assert not conn.is_live
    assert lab.engine.provider.stats().contexts_live == 0


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("plan", ["age", "count"])
def test_a_udp_connection_lives_as_long_as_it_is_used(make_lab: Any, plan: str, engine: str, ipv6: bool) -> None:
    lab = make_lab(with_plan(plan, engine, udp_multiple=5))
    conn = lab.udp(ipv6=ipv6)
    assert_in_the_nic(lab, conn)
    for _ in range(4):
        lab.advance(4.9)
        conn.server_sends()
        assert conn.in_hardware
    lab.advance(20)
    assert not conn.is_live
    assert lab.rules == 0
    assert lab.engine.connections().expired == 1


@pytest.mark.parametrize("plan", ["age", "count"])
def test_a_ping_passes_software_by(make_lab: Any, plan: str, engine: str) -> None:
    lab = make_lab(with_plan(plan, engine))
    if plan_between(lab, "icmp").plan != plan:
        pytest.skip(f"the emulated NIC cannot: {plan_between(lab, 'icmp').explain()}")
    conn = lab.ping()
    assert conn.in_hardware, conn.reason
    seen = lab.host_rx
    conn.client_sends()
    conn.server_sends()
    assert lab.host_rx == seen
    other = lab.ping()
    assert other.in_hardware
    assert lab.rules == 4


@pytest.mark.parametrize("plan", ["mark", "steer"])
def test_a_plan_that_only_steers_leaves_every_packet_to_software(make_lab: Any, plan: str, engine: str) -> None:
    lab = make_lab(with_plan(plan, engine))
    conn = lab.tcp()
    assert conn.row["offload"] == 2
    assert lab.rules == 2
    seen = lab.host_rx
    conn.client_sends()
    conn.server_sends()
    assert lab.host_rx == seen + 2
    assert {bool(rule["has_mark"]) for rule in conn.rules} == {plan == "mark"}
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0


def test_no_plan_at_all_is_a_setting_too(make_lab: Any) -> None:
    lab = make_lab(with_plan("none"))
    conn = lab.tcp()
    assert not conn.in_hardware
    assert conn.reason == Reason.NO_CAPABILITY
    assert sum(nic.audit().rules.live for nic in lab.nics) == 0


def test_udp_has_no_context_whatever_the_setting_says(make_lab: Any, engine: str) -> None:
    lab = make_lab(with_plan("ct", engine))
    conn = lab.udp()
    assert conn.reason == Reason.NO_CAPABILITY
    assert "TCP alone" in plan_between(lab, "udp").explain()


def test_what_a_context_calls_invalid_reaches_software(make_lab: Any, engine: str) -> None:
    """A context is liberal, so only what it cannot be is invalid: here, a packet after the NIC was told of a reset."""
    lab = make_lab(with_plan("ct", engine))
    conn = lab.tcp()
    seen = lab.host_rx
    conn.send(A, "PA", b"x", seq=conn.seq[A] + 1_000_000)
    assert lab.host_rx == seen, "out of every window, but the context is liberal"
    conn.send(A, "S")
    assert lab.host_rx == seen + 1, "the gate lets no SYN by"


# ---- zones and VLANs -------------------------------------------------------------------------------------------------


def in_zone(lab: Any, vlans: tuple[int, ...], zone: int) -> None:
    outer, inner = (*vlans, None, None)[:2]
    for name in lab.engine.ports:
        lab.engine.set_zone(name, outer, inner, zone)


@pytest.mark.parametrize("vlans", [(), (5,), (7, 9)])
@pytest.mark.parametrize("plan", BYPASS)
def test_a_connection_of_a_zone_is_known_by_its_tags(
    make_lab: Any, plan: str, engine: str, vlans: tuple[int, ...]
) -> None:
    lab = make_lab(with_plan(plan, engine))
    in_zone(lab, vlans, 3)
    conn = lab.tcp(vlans=vlans, zone=3)
    assert conn.row["zone"] == 3
    assert_in_the_nic(lab, conn)
    conn.close()
    assert lab.rules == 0


def test_equal_tuples_in_two_vlans_are_two_connections(make_lab: Any, engine: str) -> None:
    lab = make_lab(with_plan("age", engine))
    in_zone(lab, (5,), 1)
    in_zone(lab, (6,), 2)
    conns = [
        lab.udp(sport=4242),
        lab.udp(sport=4242, vlans=(5,), zone=1),
        lab.udp(sport=4242, vlans=(6,), zone=2),
    ]
    assert lab.rules == 6
    seen = lab.host_rx
    conns[1].client_sends()
    assert lab.host_rx == seen
    packets = sorted(int(rule["packets"]) for rule in conns[0].rules)
    assert packets == [0, 0, 0, 0, 0, 1], "only the rule of its own zone saw it"


def test_a_tag_without_a_zone_stays_in_software(make_lab: Any) -> None:
    lab = make_lab()
    conn = lab.udp(vlans=(77,))
    assert conn.is_live
    assert conn.reason == Reason.NO_PORT
    seen = lab.host_rx
    conn.client_sends()
    assert lab.host_rx == seen + 1


def test_a_zone_with_and_without_tags_cannot_be_told_apart(make_lab: Any) -> None:
    lab = make_lab()
    in_zone(lab, (5,), 4)
    in_zone(lab, (5, 6), 4)
    conn = lab.udp(vlans=(5,), zone=4)
    assert conn.reason == Reason.ZONE_UNSUPPORTED


def test_zones_are_set_before_the_port_has_rules(lab: Any) -> None:
    from ctoffload_dpdk.base.errors import UsageError  # noqa: PLC0415

    lab.udp()
    with pytest.raises(UsageError, match="has rules already"):
        in_zone(lab, (5,), 1)
