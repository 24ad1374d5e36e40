"""Fragments in a running engine: held until their datagram is whole, judged as one packet, sent on as they came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conntrack_nat import ends, right
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from story import MACS, A, B

from ctoffload_dpdk.base.errors import ClosedError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

BODY = bytes(range(256)) * 14
PUBLIC, PUBLIC6 = "203.0.113.9", "2001:db8:9::9"
numbers = iter(range(1, 60000))


def cut(frame: Any, size: int = 1240) -> list[bytes]:
    """A frame's packet in fragments, a frame each."""
    head = frame.copy()
    ip = head[IPv6] if IPv6 in head else head[IP]
    packet = ip.copy()
    ip.underlayer.remove_payload()
    if IP in packet:
        packet.id = next(numbers)
        return [bytes(head / part) for part in fragment(packet, size)]
    packet = IPv6(bytes(packet))
    rest = packet.payload
    packet.remove_payload()
    del packet.nh, packet.plen
    return [bytes(head / part) for part in fragment6(packet / IPv6ExtHdrFragment(id=next(numbers)) / rest, size + 100)]


def through(lab: Any, side: int, frames: list[bytes]) -> list[bytes]:
    """Sends frames in at one side; returns what leaves by the other meanwhile."""
    out: list[bytes] = []
    for first in range(0, len(frames), 32):
        lab.nics[side].wire_send(Packets.of(frames[first : first + 32]))
        lab.engine.settle(lab.now_ms)
        out += [bytes(packet) for packet in lab.nics[1 - side].wire_receive()]
    lab.assert_audit_matches()
    return out


def datagram(conn: Any, side: int = A, body: bytes = BODY) -> Any:
    ports = (conn.sport, conn.port) if side == A else (conn.port, conn.sport)
    return conn.frame(side, UDP(sport=ports[0], dport=ports[1]) / body)


def with_fragments(**values: Any) -> Settings:
    return replace(Settings(), **{f"ct_offload_fragment{name}": value for name, value in values.items()})


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_they_leave_as_they_came_once_their_datagram_is_whole(lab: Any, ipv6: bool, order: int) -> None:
    conn = lab.udp(ipv6=ipv6, answered=False)
    parts = cut(datagram(conn))
    assert len(parts) == 3
    sent = parts[::order]
    assert through(lab, A, sent[:2]) == []
    assert (lab.engine.packets().held, lab.packets().sw_held) == (2, 2)
    assert through(lab, A, sent[2:]) == parts
    assert lab.engine.packets().held == 0
    assert int(conn.row["packets"][0]) == 2  # what began it, and the datagram
    assert through(lab, B, cut(datagram(conn, B))[::order]) != []
    assert conn.in_hardware
    assert lab.engine.packets().untracked["fragment"] == 0


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_those_of_a_connection_in_hardware_are_judged_by_software_and_leave_it_there(lab: Any, ipv6: bool) -> None:
    conn = lab.udp(ipv6=ipv6)
    assert conn.in_hardware
    parts = cut(datagram(conn))
    assert through(lab, A, parts) == parts
    assert conn.in_hardware
    seen = lab.host_rx
    conn.client_sends()
    assert lab.host_rx == seen


def test_a_datagram_begins_a_connection_which_then_goes_to_hardware(lab: Any) -> None:
    conn = lab.udp(answered=False)
    lab.engine.conntrack.flush()
    through(lab, A, cut(datagram(conn)))
    assert conn.is_live
    conn.server_sends()
    assert conn.in_hardware


def test_what_never_becomes_whole_is_dropped_when_its_time_is_up(lab: Any) -> None:
    conn = lab.udp()
    in_use = lab.mempool.n_in_use
    through(lab, A, cut(datagram(conn))[:2])
    assert lab.mempool.n_in_use == in_use + 2
    lab.advance(14.5)
    assert lab.packets().sw_held == 2
    lab.advance(1)
    packets = lab.packets()
    assert (packets.sw_held, packets.sw_dropped["fragment-incomplete"]) == (0, 2)
    assert lab.mempool.n_in_use == in_use
    assert lab.engine.conntrack.fragments()["v4_expired"] == 2


def test_how_long_they_wait_is_a_setting(make_lab: Any) -> None:
    lab = make_lab(with_fragments(_timeout=2))
    through(lab, A, cut(datagram(lab.udp()))[:2])
    lab.advance(2.5)
    assert lab.packets().sw_dropped["fragment-incomplete"] == 2


def test_packets_around_a_fragment_keep_their_order(lab: Any) -> None:
    conn = lab.udp(answered=False)
    plain = [bytes(conn.frame(A, UDP(sport=conn.sport, dport=conn.port) / bytes([i]))) for i in range(6)]
    one, two, three = cut(datagram(conn))
    burst = [plain[0], one, plain[1], plain[2], three, plain[3], two, plain[4], plain[5]]
    assert through(lab, A, burst) == [plain[0], plain[1], plain[2], plain[3], one, two, three, plain[4], plain[5]]


def test_a_datagram_of_more_fragments_than_a_burst(lab: Any) -> None:
    conn = lab.udp()
    parts = cut(datagram(conn, body=bytes(60000)))
    assert len(parts) > 40
    assert through(lab, A, parts[::-1]) == parts


def test_settings_say_track_pass_or_drop_while_running(lab: Any) -> None:
    conn = lab.udp()
    parts = cut(datagram(conn))
    lab.engine.apply(with_fragments(s="pass"))
    assert through(lab, A, parts[:2]) == parts[:2]
    assert lab.engine.packets().untracked["fragment"] == 2
    lab.engine.apply(with_fragments(s="drop"))
    assert through(lab, A, parts[:2]) == []
    assert lab.packets().sw_dropped["fragment"] == 2
    lab.engine.apply(with_fragments(s="track"))
    assert through(lab, A, parts) == parts


def test_those_below_the_least_size_are_invalid_and_the_size_is_a_setting(lab: Any) -> None:
    conn = lab.udp()
    small = cut(datagram(conn), 600)
    assert through(lab, A, small[:1]) == []
    assert lab.packets().sw_dropped["invalid"] == 1
    lab.engine.apply(with_fragments(_min_size_ipv4=600))
    assert through(lab, A, small) == small


def test_a_wrong_checksum_of_the_whole_drops_all_of_it_or_passes_by_the_setting(lab: Any) -> None:
    conn = lab.udp()
    wrong = conn.frame(A, UDP(sport=conn.sport, dport=conn.port, chksum=7) / BODY)
    assert through(lab, A, cut(wrong)) == []
    assert lab.packets().sw_dropped["invalid"] == 3
    lab.engine.apply(replace(Settings(), ct_offload_invalid="pass"))
    assert len(through(lab, A, cut(wrong))) == 3


# --- VLANs and zones -------------------------------------------------------------------------------------------------


def test_equal_fragments_in_two_zones_are_two_datagrams_and_keep_their_tags(lab: Any) -> None:
    lab.engine.set_zone(PORTS[A], 10, None, 10)
    lab.engine.set_zone(PORTS[A], 20, None, 20)
    conn = lab.udp(answered=False)
    head = Ether(src=MACS[A], dst=MACS[B])
    packet = fragment(IP(bytes(datagram(conn)[IP])), 1240)
    tagged = {vlan: [bytes(head / Dot1Q(vlan=vlan) / part) for part in packet] for vlan in (10, 20)}
    assert through(lab, A, [tagged[10][0], tagged[20][1], tagged[20][2]]) == []
    assert lab.packets().sw_held == 3
    assert through(lab, A, tagged[10][1:]) == tagged[10]
    assert through(lab, A, tagged[20][:1]) == tagged[20]
    assert {int(row["zone"]) for row in lab.engine.conntrack.connections()} == {0, 10, 20}


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_behind_two_tags(lab: Any, ipv6: bool, order: int) -> None:
    conn = lab.udp(answered=False, ipv6=ipv6, vlans=(4094, 100))
    parts = cut(datagram(conn))
    assert len(parts) == 3
    assert through(lab, A, parts[::order]) == parts
    back = cut(datagram(conn, B))
    assert through(lab, B, back[::order]) == back


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
def test_several_ipv6_headers_before_and_behind_the_fragments(lab: Any, order: int) -> None:
    conn = lab.udp(ipv6=True, answered=False)
    l4 = UDP(bytes(datagram(conn)[UDP]))
    before = IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0)
    behind = IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt()
    frame = conn.frame(A, before / IPv6ExtHdrFragment(id=next(numbers)) / behind / l4)
    parts = [bytes(part) for part in fragment6(frame, 1340)]
    assert len(parts) == 3
    assert through(lab, A, parts[::order]) == parts
    (row,) = lab.engine.conntrack.connections()
    assert int(row["packets"][0]) == 2


def test_each_leaves_by_the_other_side_of_the_port_it_came_by(lab: Any) -> None:
    """As with two ways to one host: a datagram is whole whichever ports its fragments came by."""
    conn = lab.udp(answered=False)
    one, two, three = cut(datagram(conn))
    for nic in lab.nics:
        nic.wire_receive()
    assert through(lab, A, [one]) == []
    assert through(lab, B, [two]) == []
    lab.nics[A].wire_send(Packets.of([three]))
    lab.engine.settle(lab.now_ms)
    assert [bytes(packet) for packet in lab.nics[B].wire_receive()] == [one, three]
    assert [bytes(packet) for packet in lab.nics[A].wire_receive()] == [two]


# --- translation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_nic", [False, True], ids=["software", "in hardware"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_they_are_translated_beside_the_nic(lab: Any, ipv6: bool, in_nic: bool) -> None:
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src=[{PUBLIC6}]:6000" if ipv6 else f"src={PUBLIC}:6000"))
    ip, public = (IPv6, PUBLIC6) if ipv6 else (IP, PUBLIC)
    conn = lab.udp(ipv6=ipv6, answered=False)
    back = Ether(src=MACS[B], dst=MACS[A]) / ip(src=conn.dst, dst=public) / UDP(sport=conn.port, dport=6000)
    if in_nic:
        through(lab, B, [bytes(back / b"x")])
        assert conn.in_hardware
    out = [Ether(frame) for frame in through(lab, A, cut(datagram(conn)))]
    assert [frame[ip].src for frame in out] == [public] * 3
    seen = put_together(out)
    assert ends(seen) == ((public, 6000), (conn.dst, conn.port))
    assert bytes(seen) == right(seen)
    seen = put_together([Ether(frame) for frame in through(lab, B, cut(back / BODY))])
    assert ends(seen) == ((conn.dst, conn.port), (conn.src, conn.sport))
    assert bytes(seen) == right(seen)
    assert bytes(seen[UDP].payload) == BODY


def put_together(frames: list[Any]) -> Any:
    """What a receiver makes of fragments."""
    if IP in frames[0]:
        (packet,) = defragment([frame[IP] for frame in frames])
        return Ether() / IP(bytes(packet))
    raw = sorted((bytes(frame[IPv6]) for frame in frames), key=lambda one: one[42:44])
    carried = b"".join(one[48:] for one in raw)
    head = raw[0][:4] + len(carried).to_bytes(2, "big") + raw[0][40:41] + raw[0][7:40]
    return Ether(dst=MACS[B]) / IPv6(head + carried)


def test_a_large_ping_and_its_answer_behind_a_translated_source(lab: Any) -> None:
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}"))
    request = Ether(src=MACS[A], dst=MACS[B]) / IP(src="10.0.0.1", dst="10.9.9.2") / ICMP(id=7) / Raw(BODY)
    seen = put_together([Ether(frame) for frame in through(lab, A, cut(request))])
    assert (seen[IP].src, bytes(seen)) == (PUBLIC, right(seen))
    answer = Ether(src=MACS[B], dst=MACS[A]) / IP(src="10.9.9.2", dst=PUBLIC) / ICMP(type=0, id=7) / Raw(BODY)
    seen = put_together([Ether(frame) for frame in through(lab, B, cut(answer))])
    assert (seen[IP].dst, bytes(seen)) == ("10.0.0.1", right(seen))


# --- what is a fragment ----------------------------------------------------------------------------------------------


def test_ipv6_headers_are_looked_behind(lab: Any) -> None:
    conn = lab.udp(ipv6=True, answered=False)
    head = conn.frame(A, IPv6ExtHdrHopByHop())
    l4 = UDP(bytes(datagram(conn)[UDP]))
    parts = [bytes(p) for p in fragment6(head / IPv6ExtHdrFragment(id=5) / l4, 1340)]
    assert through(lab, A, parts[:2]) == []
    assert through(lab, A, parts[2:]) == parts
    # alone they are tracked like any packet, with a fragment header that says "whole" too
    seen = lab.engine.packets().tracked
    short = UDP(sport=conn.sport, dport=conn.port) / b"x"
    whole = [bytes(conn.frame(A, IPv6ExtHdrHopByHop() / short)), bytes(conn.frame(A, IPv6ExtHdrFragment(id=6) / short))]
    lab.engine.apply(with_fragments(s="drop"))
    assert through(lab, A, whole) == whole
    assert lab.engine.packets().tracked == seen + 2


def test_those_to_link_local_multicast_pass_as_it_does(lab: Any) -> None:
    ether = Ether(src=MACS[A], dst="33:33:00:00:00:05")
    one = ether / IPv6(src="fe80::1", dst="ff02::5") / IPv6ExtHdrFragment(m=1, id=1, nh=89) / Raw(bytes(64))
    assert through(lab, A, [bytes(one)]) == [bytes(one)]
    assert lab.engine.packets().untracked["link-local-multicast"] == 1


# --- floods, and what is left ----------------------------------------------------------------------------------------


def firsts(n: int) -> list[bytes]:
    """First fragments of so many datagrams."""
    head = Ether(src=MACS[A], dst=MACS[B])
    return [
        bytes(head / IP(src="10.6.6.6", dst="10.9.9.2", id=i, flags="MF", proto=17) / bytes(1200)) for i in range(n)
    ]


def test_a_flood_takes_a_quarter_of_the_pool_at_most_and_others_go_on(make_lab: Any) -> None:
    lab = make_lab(with_fragments(_max_held=5000))
    conn = lab.udp()
    in_use = lab.mempool.n_in_use
    flood = firsts(3000)
    for i in range(0, 3000, 100):
        through(lab, A, flood[i : i + 100])
        parts = cut(datagram(conn))
        assert through(lab, A, parts) == parts
    quarter = lab.mempool.size // 4
    packets = lab.packets()
    assert packets.sw_held <= quarter
    assert packets.sw_held > quarter - 4
    assert packets.sw_held + packets.sw_dropped["fragment-evicted"] == 3000
    assert lab.mempool.n_in_use - in_use == packets.sw_held
    lab.advance(40)
    packets = lab.packets()
    assert (packets.sw_held, lab.mempool.n_in_use) == (0, in_use)
    assert packets.sw_dropped["fragment-incomplete"] + packets.sw_dropped["fragment-evicted"] == 3000


def test_at_most_as_many_are_held_as_the_settings_say(make_lab: Any) -> None:
    lab = make_lab(with_fragments(_max_held=10))
    through(lab, A, firsts(30))
    assert lab.packets().sw_held == 10
    lab.engine.apply(with_fragments(_max_held=0))
    assert through(lab, A, firsts(1)) == []
    assert lab.packets().sw_dropped["invalid"] == 1


def test_what_a_removed_port_left_behind_is_dropped(lab: Any) -> None:
    conn = lab.udp()
    in_use = lab.mempool.n_in_use
    through(lab, A, cut(datagram(conn))[:2])
    through(lab, B, cut(datagram(conn, B))[:1])
    lab.engine.remove_port(PORTS[A], lab.now_ms)
    packets = lab.packets()
    assert (packets.sw_held, packets.sw_dropped["fragment-incomplete"]) == (1, 2)
    assert lab.mempool.n_in_use <= in_use + 1
    through(lab, B, cut(datagram(conn, B))[1:])


def test_an_engine_that_is_closed_gives_every_buffer_back(make_lab: Any) -> None:
    lab = make_lab()
    through(lab, A, cut(datagram(lab.udp()))[:2])
    assert lab.mempool.n_in_use > 0
    lab.engine.drain(lab.now_ms)
    lab.engine.close()
    assert lab.mempool.n_in_use == 0
    with pytest.raises(ClosedError):
        lab.engine.loops[0].run_once(lab.now_ms)
    lab.close()


def test_the_tracker_of_an_engine_holds_fragments_of_its_ports_alone(lab: Any) -> None:
    with pytest.raises(UsageError, match="a loop of the engine holds fragments"):
        lab.engine.trackers[0].track(Packets.of(firsts(1)))
