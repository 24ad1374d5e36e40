"""Packets and bytes of a connection are those of software and those that the NIC carried."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from sent import Sent, counts
from story import A, with_plan

pytestmark = pytest.mark.eal
ENGINES = ("sync", "async")
PLANS = ("ct", "age", "count")


def in_nic(make_lab: Any, plan: str, engine: str, proto: str = "tcp", ageing: str = "again", **timeouts: int) -> Sent:
    lab = make_lab(with_plan(plan, engine, **timeouts), ageing=ageing)
    conn = getattr(lab, proto)()
    assert conn.in_hardware, conn.reason
    return Sent(lab, conn)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plan", PLANS)
def test_a_question_brings_what_the_nic_carried_and_tells_it_once(make_lab: Any, plan: str, engine: str) -> None:
    sent = in_nic(make_lab, plan, engine)
    seen = sent.lab.host_rx
    for _ in range(3):
        sent.send(0, b"question")
        sent.send(1, b"a longer answer")
    assert counts(sent.conn) == sent.begin, "software saw none of it"
    for _ in range(2):
        sent.ask()
        assert counts(sent.conn) == sent.expected()
    sent.send(1, b"x")
    sent.ask()
    assert counts(sent.conn) == sent.expected()
    assert sent.lab.host_rx == seen
    assert sent.lab.engine.conntrack.counters().nic_packets == (3, 4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plan", PLANS)
def test_a_removal_brings_the_rest(make_lab: Any, plan: str, engine: str) -> None:
    sent = in_nic(make_lab, plan, engine)
    sent.send(0, b"one")
    sent.ask()
    sent.send(0, b"two")
    sent.send(1, b"three")
    sent.conn.send(A, "FA")
    assert not sent.conn.in_hardware
    sent.packets[0] += 1
    sent.bytes[0] += sent.frame_bytes
    assert counts(sent.conn) == sent.expected()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_that_goes_in_again_is_counted_from_its_new_rules(make_lab: Any, engine: str) -> None:
    sent = in_nic(make_lab, "age", engine, "udp")
    for _ in range(3):
        sent.send(0, b"out of the NIC and in again")
        sent.lab.engine.drain(sent.lab.now_ms)
        assert counts(sent.conn) == sent.expected()
        sent.lab.engine.layer.set_global_cfg({"hw-offload": "true"})
        sent.lab.engine.settle(sent.lab.now_ms)
        assert sent.conn.in_hardware
    sent.send(1, b"x")
    sent.ask()
    assert counts(sent.conn) == sent.expected()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_replaced_rule_carried_is_not_lost(make_lab: Any, engine: str) -> None:
    """A rule that aged out while its connection was used in the other direction tells nothing more: it is replaced."""
    sent = in_nic(make_lab, "age", engine, "udp", "final", udp_multiple=5, udp_single=5, udp_first=5)
    sent.send(0, b"forth, and never again")
    for _ in range(30):
        sent.lab.advance(4)
        sent.send(1, b"back")
    assert sent.lab.engine.provider.stats().reinstalls > 0
    assert sent.conn.in_hardware
    sent.ask()
    assert counts(sent.conn) == sent.expected()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_counter_that_cannot_be_read_is_told_the_next_time(make_lab: Any, engine: str) -> None:
    sent = in_nic(make_lab, "count", engine)
    sent.send(0, b"x")
    for nic in sent.lab.nics:
        nic.fail_every("query", 2, errno.EIO)
    sent.ask()
    for nic in sent.lab.nics:
        nic.clear_faults()
    sent.ask()
    assert counts(sent.conn) == sent.expected()


def test_all_connections_are_asked_at_once(make_lab: Any) -> None:
    lab = make_lab(with_plan("auto", "async"))
    sent = [Sent(lab, lab.tcp()) for _ in range(5)] + [Sent(lab, lab.udp()) for _ in range(5)]
    lab.udp(answered=False)
    for i, one in enumerate(sent):
        for _ in range(i):
            one.send(i % 2, b"x")
    assert lab.engine.conntrack.ask() == 10, "those in the NIC"
    lab.engine.settle(lab.now_ms)
    for one in sent:
        assert counts(one.conn) == one.expected()


def test_the_end_of_a_connection_in_the_nic_counts_in_all(make_lab: Any) -> None:
    sent = in_nic(make_lab, "count", "sync")
    sent.send(0, b"x")
    sent.send(1, b"yz")
    sent.lab.engine.conntrack.flush()
    sent.lab.engine.settle(sent.lab.now_ms)
    counters = sent.lab.engine.conntrack.counters()
    assert counters.nic_packets == (1, 1)
    assert counters.nic_bytes == (55, 56)
