"""The mark of a rule tells software where to look first, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from story import A, B, with_plan

from ctoffload_dpdk.dpdk.actions import Attr, Mark, Queue
from ctoffload_dpdk.dpdk.items import Eth, Ipv4

pytestmark = pytest.mark.eal
ENGINES = ("sync", "async")


def hints(lab: Any) -> tuple[int, int]:
    """Packets whose mark named their connection, and those where it named another."""
    counters = lab.engine.conntrack.counters()
    return counters.hint_hits, counters.hint_misses


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("engine", ENGINES)
def test_each_packet_of_a_marked_connection_is_found_by_its_mark(
    make_lab: Any, engine: str, proto: str, ipv6: bool
) -> None:
    lab = make_lab(with_plan("mark", engine))
    conns = [getattr(lab, proto)(ipv6=ipv6) for _ in range(5)]
    assert hints(lab) == (0, 0), "nothing is marked before its rules are there"
    for i, conn in enumerate(conns):
        for _ in range(i):
            conn.client_sends()
            conn.server_sends()
    assert hints(lab) == (20, 0)
    for i, conn in enumerate(conns):
        was = 2 if proto == "tcp" else 1, 1
        assert conn.row["packets"].tolist() == [was[0] + i, was[1] + i]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_in_a_slot_used_before_has_the_mark_to_itself(make_lab: Any, engine: str) -> None:
    """A slot, and with it the mark, is not used again before the rules that carried it are gone."""
    lab = make_lab(with_plan("mark", engine))
    for _ in range(10):
        conn = lab.udp()
        conn.client_sends()
        marks = {int(rule["mark"]) for rule in conn.rules}
        assert marks == {int(conn.row["conn_id"]) & 0xFFFFFFFF}
        lab.engine.conntrack.flush()
        lab.engine.settle(lab.now_ms)
        assert lab.rules == 0
    assert hints(lab) == (10, 0)


@pytest.mark.parametrize("mark", [1, 2, 77, 0xFFFFEF])
def test_a_mark_that_lies_changes_nothing(make_lab: Any, mark: int) -> None:
    """Somebody else's rule marks every packet with the number of one connection, of a slot never used, or of none."""
    lab = make_lab(with_plan("none"))
    foreign = []
    for taken in lab.engine.ports.values():
        attr = Attr(group=0, ingress=True)
        foreign.append(taken.port.create_rule(attr, [Eth(), Ipv4()], [Mark(mark), Queue(0)]))
    conns = [lab.tcp() for _ in range(4)]
    for conn in conns:
        conn.client_sends()
        conn.server_sends()
        assert conn.row["packets"].tolist() == [3, 2]
    assert sum(hints(lab)) == 4 * 5
    assert lab.packets().sw_dropped["invalid"] == 0
    conns[0].send(A, "FA")
    conns[0].send(B, "FA")
    assert conns[1].row["tcp_state"].tolist() == conns[2].row["tcp_state"].tolist()
    for rule in foreign:
        rule.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_marks_nothing_is_hinted(make_lab: Any, engine: str) -> None:
    lab = make_lab(with_plan("steer", engine))
    conn = lab.udp()
    conn.client_sends()
    assert hints(lab) == (0, 0)
