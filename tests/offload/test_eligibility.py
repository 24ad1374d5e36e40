"""Eligibility: established only, after N packets, so many a second, per zone and protocol; each with its reason."""

from __future__ import annotations

import pytest
from offload_lab import ADDED, INSTALLED, Lab

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import ConnFlag
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.providers.recording import RecordingProvider

SYN_SENT, ESTABLISHED, CLOSING, FIN_WAIT_2, UDP = 2, 4, 7, 9, 17


def offered(lab: Lab, slot: int = 0, **fields: object) -> int:
    conn = lab.connection(slot, want=None)
    for field, value in fields.items():
        lab.table.set_field(slot, field.replace("__", "."), value)
    lab.table.want(conn, INSTALLED)
    return conn


@pytest.mark.parametrize("states", [(ESTABLISHED, SYN_SENT), (SYN_SENT, 0), (SYN_SENT, ESTABLISHED)])
def test_tcp_is_never_installed_before_the_handshake(
    lab: Lab, provider: RecordingProvider, states: tuple[int, int]
) -> None:
    conn = offered(lab, peer__state=states)
    lab.settle()
    assert provider.seen(conn) == ["ADD"]
    assert (lab.table.reached(0), lab.table.reason(0)) == (ADDED, Reason.NOT_ESTABLISHED)
    lab.table.set_field(0, "peer.state", ESTABLISHED)
    lab.table.want(conn, INSTALLED)
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert lab.table.reason(0) == Reason.NONE


def test_the_timing_of_the_reply_is_to_be_had(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.set_eligibility(Eligibility(needs_handshake=False))
    offered(lab, peer__state=(ESTABLISHED, SYN_SENT))
    assert ("INSTALLED", 0) in lab.settle()


@pytest.mark.parametrize("states", [(ESTABLISHED, CLOSING), (CLOSING, FIN_WAIT_2), (FIN_WAIT_2, FIN_WAIT_2)])
def test_a_closing_connection_does_not_go_in(lab: Lab, states: tuple[int, int]) -> None:
    offered(lab, peer__state=states)
    lab.settle()
    assert (lab.table.reached(0), lab.table.reason(0)) == (ADDED, Reason.CLOSING)


@pytest.mark.parametrize("states", [(ESTABLISHED, FIN_WAIT_2), (FIN_WAIT_2, ESTABLISHED)])
def test_a_half_closed_connection_goes_in(lab: Lab, states: tuple[int, int]) -> None:
    offered(lab, peer__state=states)
    assert ("INSTALLED", 0) in lab.settle()


def test_others_have_no_handshake(lab: Lab) -> None:
    offered(lab, proto=UDP, peer__state=0)
    assert ("INSTALLED", 0) in lab.settle()


def test_a_helper_s_connection_stays_in_software(lab: Lab, provider: RecordingProvider) -> None:
    offered(lab, flags=ConnFlag.ALG)
    assert lab.settle() == [("REFUSED", 0)]
    assert (lab.table.reason(0), provider.log) == (Reason.ALG, [])


def test_per_protocol(lab: Lab) -> None:
    lab.layer.set_eligibility(Eligibility(protocols=frozenset({6})))
    offered(lab, 0, proto=UDP)
    offered(lab, 1)
    assert sorted(lab.settle()) == [("INSTALLED", 1), ("PUSHED", 1), ("REFUSED", 0)]
    assert lab.table.reason(0) == Reason.PROTO


def test_per_zone_and_per_pair(lab: Lab) -> None:
    lab.layer.set_eligibility(Eligibility(zones=frozenset({0, 65535}), denied=frozenset({(65535, UDP)})))
    offered(lab, 0, zone=7)
    offered(lab, 1, zone=65535, proto=UDP)
    offered(lab, 2, zone=65535)
    lab.settle()
    assert [lab.table.reason(slot) for slot in range(3)] == [Reason.POLICY, Reason.POLICY, Reason.NONE]
    assert lab.table.reached(2) == INSTALLED


def test_after_so_many_packets(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.set_eligibility(Eligibility(min_packets=10))
    conn = offered(lab)
    lab.table.packets[0] = 9
    lab.step(5, ms=100)
    assert (provider.seen(conn), lab.table.reason(0)) == (["ADD"], Reason.POLICY)
    lab.table.packets[0] = 10
    assert ("INSTALLED", 0) in lab.settle()


def test_so_many_a_second_in_order(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.set_eligibility(Eligibility(rate_per_s=10, burst=3))
    conns = [lab.connection(slot) for slot in range(8)]
    lab.step(3, ms=0)
    assert len(provider.installed) == 3
    assert lab.table.reason(7) == Reason.RATE_LIMITED
    assert lab.layer.statistics().shards[0].waiting["rate"] == 5
    lab.now_ms += 100
    lab.step(3, ms=0)
    assert len(provider.installed) == 4
    lab.now_ms += 200
    lab.step(3, ms=0)
    assert provider.installed == set(conns[:6])
    lab.now_ms += 60_000
    lab.step(3, ms=0)
    assert provider.installed == set(conns)


def test_the_rate_is_shared_by_the_shards() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    other = type(lab.table)(lab.layer, 64)
    lab.layer.set_eligibility(Eligibility(rate_per_s=10, burst=10))
    for slot in range(20):
        lab.connection(slot)
        other.want(other.put(slot, 1), INSTALLED)
    lab.step(4, ms=0)
    assert len(provider.installed) == 10
    lab.layer.close()


def test_a_wish_withdrawn_while_it_waits_for_a_token(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.set_eligibility(Eligibility(rate_per_s=1, burst=1))
    lab.connection(0)
    second = lab.connection(1)
    lab.step(3, ms=0)
    lab.table.want(second, 0)
    assert lab.settle(ms=1) == [("OUT", 1)]
    assert provider.seen(second) == ["ADD", "DEL"]


def test_removals_wait_for_no_token(lab: Lab, provider: RecordingProvider) -> None:
    conns = [lab.connection(slot) for slot in range(4)]
    lab.settle()
    lab.layer.set_eligibility(Eligibility(rate_per_s=0.001, burst=1))
    for conn in conns:
        lab.table.want(conn, 0)
    lab.step(3, ms=0)
    assert provider.held == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_per_s": -1.0},
        {"burst": 0},
        {"min_packets": -1},
        {"zones": frozenset({65536})},
        {"protocols": frozenset({256})},
        {"denied": frozenset((z, 6) for z in range(65))},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="eligibility"):
        Eligibility(**wrong)  # type: ignore[arg-type]
