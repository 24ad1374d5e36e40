"""Rules of the tests' own: taken, hit by packets, asked, destroyed."""

from __future__ import annotations

from typing import Any

import pytest
import scapy.all as scapy
from hwlab.frames import CLIENT, frame

N_PACKETS = 100
REFRESH_S = 2.5  # the slowest driver renews its counters once a second


def need(rules: Any, *caps: str) -> None:
    """Skips with the driver's words where a port cannot do all of it."""
    for cap in caps:
        why = rules.call("cannot", 0, cap)
        if why:
            pytest.skip(why)


def datagrams(sport: int, n: int) -> list[bytes]:
    return [frame(CLIENT, scapy.UDP(sport=sport, dport=53) / bytes([i % 256])) for i in range(n)]


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_rule_is_taken_and_destroyed(rules: Any, proto: str, ipv6: bool) -> None:
    need(rules, f"{'ipv6' if ipv6 else 'ipv4'}-{proto}", "queue")
    rule = rules.call("rule_create", 0, proto, 1000, ["queue"], ipv6=ipv6)
    rules.call("rule_destroy", rule)
    again = rules.call("rule_create", 0, proto, 1000, ["queue"], ipv6=ipv6)
    rules.call("rule_destroy", again)


def test_a_counted_rule_starts_at_zero(rules: Any) -> None:
    need(rules, "count", "queue")
    rule = rules.call("rule_create", 0, "udp", 1000, ["count", "queue"])
    assert rules.call("rule_query", rule)["packets"] == 0
    rules.call("rule_destroy", rule)


def test_hits_equal_the_packets_sent(traffic: None, lab: Any, rules: Any, record: Any) -> None:
    """Exactly: of one connection, not of its neighbour."""
    need(rules, "count", "queue")
    wires = lab.generators(rules)
    mine = rules.call("rule_create", 0, "udp", 1001, ["count", "queue"])
    other = rules.call("rule_create", 0, "udp", 1002, ["count", "queue"])
    sent = datagrams(1001, N_PACKETS)
    for first in range(0, len(sent), 20):
        wires[0].send(sent[first : first + 20])
        rules.call("host_receive", 0)
    wires[0].send(datagrams(1003, 5))
    rules.call("wait", REFRESH_S)
    counted = rules.call("rule_query", mine)
    assert counted["packets"] == N_PACKETS
    assert counted["bytes"] is None or counted["bytes"] >= sum(map(len, sent))
    assert rules.call("rule_query", other)["packets"] == 0
    record("packets of a rule, counted", counted["packets"], f"of {N_PACKETS} sent")


@pytest.mark.parametrize(("fate", "arrive"), [("queue", N_PACKETS // 5), ("drop", 0)])
def test_packets_go_where_the_rule_says(traffic: None, lab: Any, rules: Any, fate: str, arrive: int) -> None:
    """Into the queue, or nowhere. What no rule is for still arrives."""
    need(rules, "queue")
    wires = lab.generators(rules)
    rules.call("rule_create", 0, "udp", 1004, [fate])
    rules.call("host_receive", 0)
    wires[0].send(datagrams(1004, N_PACKETS // 5))
    rules.call("wait", 0.2)
    got = rules.call("host_receive", 0)
    if lab.inventory.is_emulated:
        assert got == arrive
    else:  # other hosts on the wire may speak as well
        assert got >= arrive
        assert fate == "queue" or got < N_PACKETS // 5
    rules.call("rules_clear")


def test_last_used_is_right_to_the_second(traffic: None, lab: Any, rules: Any, record: Any) -> None:
    """AGE counts whole seconds; a driver may look at its NIC once a second."""
    need(rules, "age")
    wires = lab.generators(rules)
    rule = rules.call("rule_create", 0, "udp", 1005, ["age:600", "queue"])
    off = []
    for idle_s in (2, 5):
        wires[0].send(datagrams(1005, 1))
        rules.call("wait", 0.01)
        rules.call("host_receive", 0)
        rules.call("wait", float(idle_s))
        answer = rules.call("rule_query", rule)
        assert answer["is_aged"] is False
        off.append(answer["idle_s"] - idle_s)
    record("last used, from AGE", max(map(abs, off)), "s off at most")
    assert all(-2 <= error <= 1 for error in off), f"seconds off: {off}"


def test_a_rule_that_is_not_hit_ages(rules: Any) -> None:
    need(rules, "age")
    rule = rules.call("rule_create", 0, "udp", 1006, ["age:2", "queue"])
    rules.call("wait", 6.0)
    assert rules.call("rule_query", rule)["is_aged"]


def test_a_full_table_refuses_and_takes_again_what_was_freed(lab: Any, make_bench: Any, record: Any) -> None:
    if lab.inventory.is_standin:
        pytest.skip("the stand-in's tables have no end")
    rules = make_bench(capacity=8192)
    rules.call("rules_start", ct_offload_counters=1024)
    need(rules, "rules", "count", "queue")
    full = rules.call("rules_full", 0, lab.inventory.most_rules)
    if not full["said"]:
        rules.call("rules_clear")
        pytest.skip(f"the table still took rules after {full['rules']} (--most-rules)")
    record("rules until the table was full", full["rules"], "rules")
    assert full["errno"], full["said"]
    rules.call("rule_destroy", full["last"])
    rules.call("wait", REFRESH_S)
    rules.call("rule_create", 0, "udp", 60001, ["count", "queue"])
    assert rules.call("rules_clear") == full["rules"]
    rules.call("wait", REFRESH_S)
    again = rules.call("rule_create", 0, "udp", 1, ["count", "queue"])
    rules.call("rule_destroy", again)
