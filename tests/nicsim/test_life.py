"""A port's life: start, stop, reset, removal, link, size; what happens to its rules, and what the books say."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nicsim_packets import pattern, tcp, udp

from ctoffload_dpdk.base.errors import CtoffloadError, RuleGone
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import Attr, actions, items
from ctoffload_dpdk.nicsim import FATES, Call, Nic, NicsimError

pytestmark = pytest.mark.eal

DROP = [actions.Count(), actions.Drop()]


def test_a_stop_loses_the_rules_nobody_destroyed(host: Any) -> None:
    rule = host.rule(pattern(), DROP)
    host.nic.fail_next(Call.FLUSH)
    host.port.stop()
    books = host.nic.audit().rules
    assert (books.live, books.destroyed, books.lost) == (0, 0, 1)
    with pytest.raises(RuleGone):
        rule.query_count()
    host.port.start()
    host.send(udp())
    assert host.received() == [bytes(udp())]


def test_a_stop_keeps_indirect_actions(host: Any) -> None:
    shared = host.shared(actions.Count())
    host.rule(pattern(), [actions.Indirect(shared), actions.Drop()])
    host.send(udp())
    host.port.stop()
    host.port.start()
    assert shared.query().packets == 1
    assert host.nic.audit().objects.live == 1


def test_a_handle_of_an_earlier_rule_in_the_same_place_is_not_taken_for_the_new_one(host: Any) -> None:
    first = host.rule(pattern(), DROP)
    handle = first.handle
    first.close()
    assert host.rule(pattern(), DROP).handle != handle


def test_a_removed_port_loses_rules_and_objects_and_others_that_send_to_it_drop(lab: Any) -> None:
    left, right = lab.pair()
    rule = left.rule(pattern(), [actions.Count(), actions.RepresentedPort(right.port.id)], transfer=True)
    right.port.remove()
    left.send(udp())
    assert rule.query_count().packets == 1
    assert left.nic.counters().nic_dropped["out_port_down"] == 1
    assert FATES[left.nic.rules()[0]["fate"]] == "gone"
    third = lab.host(switch=left.port.info().switch_domain)
    left.send(udp())
    assert third.left() == []


def test_a_removed_port_loses_the_objects_nobody_destroyed(lab: Any, caplog: Any) -> None:
    host = lab.host()
    host.shared(actions.Count())
    host.nic.fail_next(Call.INDIRECT_DESTROY, 9)
    with contextlib.suppress(CtoffloadError):
        host.port.remove()
    assert host.nic.audit().objects.lost == 1


def test_a_reset_takes_everything_out(host: Any) -> None:
    host.rule(pattern(), DROP)
    host.port.set_mtu(1600)
    host.port.reset()
    assert host.nic.audit().rules.live == 0
    host.restart()
    host.send(udp())
    assert host.received() == [bytes(udp())]


def test_what_arrives_before_the_start_and_what_the_host_did_not_read_is_accounted_for(lab: Any) -> None:
    host = lab.host(start=False)
    host.send(udp())
    host.port.start()
    host.send(udp(), tcp())
    assert host.nic.counters().host_pending == 2
    host.port.stop()
    counters = host.nic.counters()
    assert (counters.host_rx, counters.host_pending, counters.nic_dropped["not_started"]) == (0, 0, 3)


def test_a_pulled_cable_stops_both_directions(host: Any) -> None:
    host.nic.set_link(False)
    assert not host.port.link().is_up
    host.send(udp())
    assert host.port.tx_burst(Packets.of([bytes(udp())]), host.pool) == 1
    counters = host.nic.counters()
    assert (counters.nic_dropped["link_down"], counters.wire_out, counters.wire_out_dropped) == (1, 0, 1)
    host.nic.set_link(True)
    assert host.port.link().is_up


def test_a_full_ring_and_an_empty_pool_drop(lab: Any) -> None:
    host = lab.host()
    host.send(*[udp()] * 200)
    counters = host.nic.counters()
    assert (counters.host_pending, counters.nic_dropped["rx_full"]) == (128, 72)
    assert host.port.stats().rx_missed == 72


def test_a_packet_longer_than_the_mtu_is_dropped_and_fits_after_raising_it(host: Any) -> None:
    long = udp(payload=b"x" * 1600)
    host.send(long)
    assert host.nic.counters().nic_dropped["too_long"] == 1
    host.port.set_mtu(2000)
    host.send(long)
    assert host.received() == [bytes(long)]


def test_a_packet_longer_than_a_buffer_takes_several(lab: Any) -> None:
    scatter = 1 << 13
    host = lab.host(rx_offloads=scatter)
    host.port.set_mtu(9000)
    long = udp(payload=bytes(range(256)) * 30)
    host.send(long)
    assert host.received() == [bytes(long)]


def test_packets_for_others_are_dropped_unless_promiscuous(host: Any) -> None:
    host.port.set_promiscuous(False)
    host.send(udp())
    assert host.nic.counters().nic_dropped["not_ours"] == 1
    host.port.set_promiscuous(True)
    host.send(udp())
    assert host.received() == [bytes(udp())]


GOOD_IP, GOOD_L4, BAD_IP, BAD_L4 = 1 << 7, 1 << 8, 1 << 4, 1 << 3


def test_checksums_are_told_where_asked_for_and_no_more_than_is_known(lab: Any) -> None:
    host = lab.host(rx_offloads=2 | 4 | 8)
    bad = udp()
    bad[2].chksum = 1
    none = udp()
    none[2].chksum = 0
    icmp6 = udp(6)
    icmp6[1].nh = 58
    host.send(udp(), bad, none, udp(6), icmp6)
    known = GOOD_IP | GOOD_L4 | BAD_IP | BAD_L4
    assert (host.burst().ol_flags & known).tolist() == [GOOD_IP | GOOD_L4, GOOD_IP | BAD_L4, GOOD_IP, GOOD_L4, 0]
    silent = lab.host()
    silent.send(udp(), bad)
    assert (silent.burst().ol_flags & known).tolist() == [0, 0]


def test_statistics_count_what_the_host_saw_and_start_again(host: Any) -> None:
    host.send(udp(), tcp())
    host.received()
    host.port.tx_burst(Packets.of([bytes(udp())]), host.pool)
    stats = host.port.stats()
    assert (stats.rx_packets, stats.rx_bytes) == (2, len(udp()) + len(tcp()))
    assert (stats.tx_packets, stats.tx_bytes) == (1, len(udp()))
    assert host.left() == [bytes(udp())]
    host.port.reset_stats()
    assert host.port.stats().rx_packets == 0


def test_a_loop_on_the_wire_brings_back_what_was_sent(lab: Any) -> None:
    host = lab.host(loopback=1)
    rule = host.rule(pattern(), DROP)
    host.port.tx_burst(Packets.of([bytes(udp()), bytes(tcp())]), host.pool)
    assert host.received() == [bytes(tcp())]
    assert rule.query_count().packets == 1
    counters = host.nic.counters()
    assert (counters.host_tx, counters.wire_out, counters.wire_in) == (2, 2, 2)


def test_the_wire_keeps_no_more_than_it_may(lab: Any) -> None:
    host = lab.host()
    size = len(bytes(udp()))
    small = type(host.nic)(host.port.id, keep_bytes=size * 3)
    sent = Packets.of([bytes(udp(sport=n)) for n in range(5)])
    host.port.tx_burst(sent, host.pool)
    assert list(small.wire_receive()) == list(sent)[:3]
    assert host.nic.counters().wire_out_dropped == 2
    small.close()


def test_the_wire_gives_packets_in_order_with_their_time_over_many_rounds(host: Any) -> None:
    expected = []
    for n in range(40):
        host.nic.advance_ms(10)
        batch = [bytes(udp(sport=n, payload=b"p" * (n * 17 % 900))), bytes(tcp())]
        host.port.tx_burst(Packets.of(batch), host.pool)
        expected += batch
        if n % 7 == 6:
            found = host.nic.wire_receive()
            assert list(found) == expected
            assert found.time_ns[-1] == (n + 1) * 10_000_000
            expected = []
    assert host.left() == expected


def test_the_list_of_rules_says_all_of_each(lab: Any) -> None:
    left, right = lab.pair()
    to_right = actions.RepresentedPort(right.port.id)
    match = [items.RepresentedPort(left.port.id), *pattern()]
    left.rule(match, [actions.Count(), actions.Age(30, 77), to_right], transfer=True)
    left.rule(pattern(6), [actions.Mark(9), actions.Queue(0)], ingress=True, priority=4)
    left.nic.advance_ms(1234)
    left.send(udp())
    rows = left.nic.rules()
    forward = rows[rows["transfer"]][0]
    assert bytes(forward["src"][:4]) == bytes([10, 0, 0, 1])
    assert bytes(forward["dst"][:4]) == bytes([10, 0, 0, 2])
    names = ("src_port", "dst_port", "proto", "eth_type", "in_port", "packets", "bytes", "timeout_s", "context")
    assert [int(forward[n]) for n in names] == [1000, 80, 17, 0x800, left.port.id, 1, len(udp()), 30, 77]
    assert (FATES[forward["fate"]], forward["fate_arg"], forward["last_hit_ms"]) == ("wire", right.port.id, 1234)
    other = rows[~rows["transfer"]][0]
    assert (FATES[other["fate"]], other["mark"], other["has_mark"], other["priority"]) == ("queue", 9, True, 4)
    assert not other["has_count"]
    assert not other["has_age"]
    assert right.nic.rules().shape == (0,)
    assert rows.dtype.itemsize == 128
    assert np.all(rows["handle"] > 0)


def test_the_books_close(host: Any) -> None:
    rules = [host.rule(pattern(4, items.Udp(src_port=n)), DROP) for n in range(10)]
    for rule in rules[:4]:
        rule.close()
    host.port.flush_rules()
    books = host.nic.audit().rules
    assert (books.created, books.destroyed, books.lost, books.live, books.most) == (10, 10, 0, 0, 10)
    assert host.nic.audit().bytes_per_rule < 256


def stopped(host: Any, then: Callable[[], Any]) -> None:
    host.port.stop()
    then()


def received(host: Any) -> list[bytes]:
    host.send(udp(6))
    return list(host.received())


def sent(host: Any) -> list[None]:
    return [None] * int(host.port.tx_burst(Packets.of([bytes(udp())]), host.pool))


# How to make one call of each kind.
PROVOKE: dict[Call, Callable[[Any], Any]] = {
    Call.VALIDATE: lambda host: host.port.validate_rule(Attr(ingress=True), pattern(), DROP),
    Call.CREATE: lambda host: host.rule(pattern(), DROP),
    Call.DESTROY: lambda host: host.rules[0].close(),
    Call.QUERY: lambda host: host.rules[0].query_count(),
    Call.FLUSH: lambda host: host.port.flush_rules(),
    Call.AGED: lambda host: host.port.aged(),
    Call.INDIRECT_CREATE: lambda host: host.shared(actions.Count()),
    Call.INDIRECT_DESTROY: lambda host: host.objects[0].close(),
    Call.INDIRECT_UPDATE: lambda host: host.objects[0].update_age(touch=True),
    Call.INDIRECT_QUERY: lambda host: host.objects[0].query(),
    Call.ISOLATE: lambda host: stopped(host, lambda: host.port.isolate(False)),
    Call.CONFIGURE: lambda host: stopped(host, host.port.configure),
    Call.START: lambda host: stopped(host, host.port.start),
    Call.STOP: lambda host: stopped(host, host.port.start),
    Call.RX: received,
    Call.TX: sent,
}
BURSTS = (Call.RX, Call.TX)


@pytest.mark.parametrize("call", [c for c in PROVOKE if c not in BURSTS])
def test_each_call_fails_as_often_as_told_with_that_errno(lab: Any, call: Call) -> None:
    host = lab.host()
    host.rule(pattern(6), DROP)
    host.shared(actions.Age(5))
    host.nic.fail_next(call, 2, errno.EREMOTEIO)
    for left in (1, 0):
        with pytest.raises(CtoffloadError) as caught:
            PROVOKE[call](host)
        assert caught.value.errno == errno.EREMOTEIO
        assert host.nic.fail_left(call) == left
    PROVOKE[call](host)


@pytest.mark.parametrize("call", BURSTS)
def test_a_burst_that_fails_moves_nothing_and_loses_nothing(host: Any, call: Call) -> None:
    host.nic.fail_next(call, 2)
    assert len(PROVOKE[call](host)) == len(PROVOKE[call](host)) == 0
    assert len(PROVOKE[call](host)) == (3 if call is Call.RX else 1)


def test_a_fault_can_be_taken_back(host: Any) -> None:
    host.nic.fail_next(Call.CREATE, 5)
    host.nic.fail_next(Call.CREATE, 0)
    host.rule(pattern(), DROP)


GROUP, BROADCAST = "01:00:5e:00:00:07", "ff:ff:ff:ff:ff:ff"


def test_packets_to_many_come_by_what_the_host_asked_for(host: Any) -> None:
    host.port.set_promiscuous(False)
    many, all_of_them = udp(), udp()
    many[0].dst, all_of_them[0].dst = GROUP, BROADCAST
    host.send(many, all_of_them)
    assert len(host.received()) == 2
    host.port.set_allmulticast(False)
    host.send(many, all_of_them)
    assert host.received() == [bytes(all_of_them)]
    assert host.nic.counters().nic_dropped["not_ours"] == 1
    host.port.set_allmulticast(True)
    host.send(many)
    assert host.received() == [bytes(many)]


def test_extended_statistics_say_where_packets_went_since_they_were_cleared(host: Any) -> None:
    host.rule(pattern(), DROP)
    host.send(udp(), udp(), tcp())
    found = host.port.xstats()
    assert (found["wire_in"], found["nic_dropped_rule"], found["host_rx"]) == (3, 2, 1)
    host.port.reset_stats()
    host.send(udp())
    found = host.port.xstats()
    assert (found["wire_in"], found["nic_dropped_rule"], found["host_rx"]) == (1, 1, 0)


@pytest.mark.parametrize("way", ["closed", "pulled out"])
def test_a_name_whose_port_is_gone_is_refused_until_it_is_taken_out(eal: Any, way: str) -> None:
    name = f"net_nicsim{900 + len(way)}"
    nic = Nic.create(eal, name)
    port = eal.port(name)
    if way == "closed":
        port.close()
    else:
        nic.unplug()
    nic.close()
    port.close()
    with pytest.raises(NicsimError, match=f"{name} is plugged in already") as caught:
        Nic.create(eal, name)
    assert "remove_vdev" in caught.value.hint
    eal.remove_vdev(name)
    again = Nic.create(eal, name)
    assert again.audit().rules.live == 0
    again.close()
    eal.remove_vdev(name)
