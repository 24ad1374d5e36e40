"""Windows of connections under the plan `ct`: read back from the emulated NIC's context, and checked by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import A, B, with_plan

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal

ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 4, 7, 9, 10


@pytest.fixture(params=["sync", "async"])
def make_ct_lab(request: pytest.FixtureRequest, make_lab: Any) -> Any:
    """Makes labs whose TCP connections have contexts, by either way to make rules."""

    def make(**settings: Any) -> Any:
        lab = make_lab(replace(with_plan("ct", request.param), **settings))
        ports = [port.layer_port for port in lab.engine.ports.values()]
        choice = lab.engine.offload_class.choices(*ports)["tcp", "ipv4", False]
        if choice.plan != "ct":
            pytest.skip(f"the emulated NIC: {choice.explain()}")
        return lab

    return make


def carried(conn: Any, n: int = 40) -> None:
    """The NIC forwards several windows in each direction, all acknowledged; software sees nothing."""
    seen = conn.lab.host_rx
    for _ in range(n):
        conn.client_sends(b"x" * 1000)
        conn.server_sends(b"y" * 500)
    conn.send(A, "A")
    assert conn.lab.host_rx == seen
    assert conn.in_hardware


def states(conn: Any) -> list[int]:
    found: list[int] = conn.row["tcp_state"].tolist()
    return found


def counters(lab: Any) -> tuple[int, int, int]:
    c = lab.engine.conntrack.counters()
    return c.windows_read, c.windows_refused, c.windows_overtaken


def invalid(lab: Any) -> int:
    dropped: int = lab.packets().sw_dropped["invalid"]
    return dropped


def test_after_a_fin_windows_go_on_without_a_gap(make_ct_lab: Any) -> None:
    lab = make_ct_lab()
    conn = lab.tcp()
    carried(conn)
    conn.send(A, "FA")
    assert lab.rules == 0
    assert states(conn) == [CLOSING, ESTABLISHED]
    conn.server_sends(b"y" * 500)
    assert states(conn) == [FIN_WAIT_2, ESTABLISHED]
    conn.send(A, "A")
    assert invalid(lab) == 0
    lab.packet(B, conn_frame(conn, B, conn.seq[B] - 300_000))
    lab.packet(B, conn_frame(conn, B, conn.seq[B] + 300_000))
    assert invalid(lab) == 2
    conn.send(B, "FA")
    conn.send(A, "A")
    assert invalid(lab) == 2
    assert states(conn) == [FIN_WAIT_2, FIN_WAIT_2]
    assert counters(lab) == (1, 0, 0)
    assert lab.engine.provider.stats().contexts_live == 0


def conn_frame(conn: Any, side: int, seq: int) -> Any:
    """A packet of the connection with a sequence of its own."""
    import scapy.all as scapy  # noqa: PLC0415 - slow to load

    sport, dport = (conn.sport, conn.port) if side == A else (conn.port, conn.sport)
    return conn.frame(
        side, scapy.TCP(sport=sport, dport=dport, flags="PA", seq=seq % 2**32, ack=conn.seq[1 - side]) / b"z"
    )


@pytest.mark.parametrize("side", [A, B])
def test_a_reset_after_what_the_nic_carried_closes(make_ct_lab: Any, side: int) -> None:
    lab = make_ct_lab()
    conn = lab.tcp()
    carried(conn)
    conn.send(side, "R")
    assert states(conn) == [TIME_WAIT, TIME_WAIT]
    assert lab.rules == 0
    assert lab.engine.conntrack.counters().confirmed_rst == 1
    lab.advance(31)
    assert not conn.is_live
    assert lab.engine.connections().closed == 1


def test_a_forged_reset_ends_nothing_and_cuts_nothing(make_ct_lab: Any) -> None:
    lab = make_ct_lab()
    conn = lab.tcp()
    carried(conn)
    conn.send(B, "R", seq=conn.seq[B] - 10_000)
    assert states(conn) == [ESTABLISHED, ESTABLISHED]
    assert conn.row["timeout_ms"] == 86_400_000
    assert conn.reason == Reason.CLOSING
    lab.advance(3)
    for _ in range(2):
        conn.client_sends()
        conn.server_sends()
    assert conn.in_hardware
    assert invalid(lab) == 0
    carried(conn)
    conn.send(A, "FA")
    assert states(conn) == [CLOSING, ESTABLISHED]
    assert counters(lab) == (2, 0, 0)


def test_without_a_budget_the_window_is_relearnt(make_ct_lab: Any) -> None:
    lab = make_ct_lab(ct_offload_context_read_budget=0)
    conn = lab.tcp()
    carried(conn)
    conn.send(A, "FA")
    assert states(conn) == [ESTABLISHED, ESTABLISHED]
    conn.send(B, "A")
    assert states(conn) == [FIN_WAIT_2, ESTABLISHED]
    assert counters(lab) == (0, 0, 0)


def test_switching_off_reads_nothing(make_ct_lab: Any) -> None:
    lab = make_ct_lab()
    conns = [lab.tcp() for _ in range(3)]
    for conn in conns:
        carried(conn, 2)
    lab.engine.apply(replace(lab.engine.settings, hw_offload=False))
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert counters(lab) == (0, 0, 0)
    for conn in conns:
        conn.client_sends()
        conn.server_sends()
    assert invalid(lab) == 0


def test_a_packet_that_a_checking_context_refuses_makes_the_rules_liberal(make_ct_lab: Any) -> None:
    lab = make_ct_lab(ct_offload_strict_windows=True)
    conn = lab.tcp()
    carried(conn)
    seen = lab.host_rx
    lab.packet(A, conn_frame(conn, A, conn.seq[A] + 1_000_000))
    assert lab.host_rx == seen + 1, "the context checks: outside the window is for software"
    assert lab.engine.conntrack.counters().made_liberal == 1
    assert conn.in_hardware, "in again at once"
    seen = lab.host_rx
    lab.packet(A, conn_frame(conn, A, conn.seq[A] + 1_000_000))
    assert lab.host_rx == seen, "this context does not check"
    carried(conn)
    assert lab.engine.conntrack.counters().made_liberal == 1
    assert lab.engine.provider.stats().contexts_live == 1


def test_strict_connections_close_as_others_do(make_ct_lab: Any) -> None:
    lab = make_ct_lab(ct_offload_strict_windows=True)
    conn = lab.tcp()
    carried(conn)
    conn.close()
    assert states(conn) == [FIN_WAIT_2, FIN_WAIT_2]
    assert invalid(lab) == 0
    assert lab.engine.conntrack.counters().made_liberal == 0


@pytest.mark.parametrize("ahead", [20_000, 1_000_000, 2**31 - 1, 2**32 - 1_000_000])
def test_a_stray_packet_that_a_liberal_context_let_by_spoils_nothing(make_ct_lab: Any, ahead: int) -> None:
    lab = make_ct_lab()
    conn = lab.tcp()
    carried(conn)
    lab.packet(A, conn_frame(conn, A, conn.seq[A] + ahead))
    carried(conn)
    conn.send(A, "FA")
    for _ in range(3):
        conn.server_sends(b"y" * 500)
        conn.send(A, "A")
    conn.send(B, "FA")
    conn.send(A, "A")
    assert invalid(lab) == 0
    assert states(conn) == [FIN_WAIT_2, FIN_WAIT_2]
