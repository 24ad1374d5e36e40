"""Address translation: what is chosen, how packets are rewritten, what is refused."""

# ruff: noqa: PLR0917 - fields of a header, in their order

from __future__ import annotations

import itertools

import pytest
from conntrack_nat import Translated, ends, right
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, Nat, NatRange, PacketFlags, Refusal, states_text

CLIENT, OTHER, SERVER, PUBLIC, ROUTER = "10.0.0.1", "10.0.0.9", "10.9.9.2", "198.51.100.1", "203.0.113.7"
CLIENT6, SERVER6, PUBLIC6 = "fc00::1", "fc00::2", "2001:db8::1"


def tcp(src=CLIENT, dst=SERVER, sport=1000, dport=80, flags="S", payload=b"", **fields):
    ip = IPv6 if ":" in src else IP
    return ip(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags, **fields) / Raw(payload)


def udp(src=CLIENT, dst=SERVER, sport=1000, dport=53, payload=b"abc", **fields):
    ip = IPv6 if ":" in src else IP
    return ip(src=src, dst=dst) / UDP(sport=sport, dport=dport, **fields) / Raw(payload)


def ping(src=CLIENT, dst=SERVER, ident=7, kind=8):
    if ":" in src:
        return IPv6(src=src, dst=dst) / (ICMPv6EchoRequest if kind == 8 else ICMPv6EchoReply)(id=ident) / Raw(b"xyz")
    return IP(src=src, dst=dst) / ICMP(type=kind, id=ident) / Raw(b"xyz")


# --- one connection, both ways ---------------------------------------------------------------------------------------


KINDS = {
    "tcp": (tcp(), lambda s, d: tcp(s[0], d[0], s[1], d[1], "SA", ack=1)),
    "udp": (udp(), lambda s, d: udp(s[0], d[0], s[1], d[1])),
    "ping": (ping(), lambda s, d: ping(s[0], d[0], s[1], 0)),
    "sctp": (
        IP(src=CLIENT, dst=SERVER) / SCTP(sport=1000, dport=80) / SCTPChunkInit(),
        lambda s, d: IP(src=s[0], dst=d[0]) / SCTP(sport=s[1], dport=d[1]) / SCTPChunkInit(),
    ),
    "gre": (IP(src=CLIENT, dst=SERVER) / GRE() / Raw(b"1"), lambda s, d: IP(src=s[0], dst=d[0]) / GRE() / Raw(b"2")),
    "tcp6": (tcp(CLIENT6, SERVER6), lambda s, d: tcp(s[0], d[0], s[1], d[1], "SA", ack=1)),
    "udp6": (udp(CLIENT6, SERVER6), lambda s, d: udp(s[0], d[0], s[1], d[1])),
    "ping6": (ping(CLIENT6, SERVER6), lambda s, d: ping(s[0], d[0], s[1], 0)),
    "options6": (
        IPv6(src=CLIENT6, dst=SERVER6) / IPv6ExtHdrDestOpt() / UDP(sport=1000, dport=53) / Raw(b"x"),
        lambda s, d: udp(s[0], d[0], s[1], d[1]),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_source_translation_both_ways(kind):
    there, back = KINDS[kind]
    public = PUBLIC6 if IPv6 in there else PUBLIC
    lab = Translated(f"src={public}")
    words, out = lab.send(there)
    source, destination = ends(Ether() / there)
    assert words == "new|trk|snat"
    assert ends(out) == ((public, source[1]), destination)
    assert bytes(out) == right(out)
    words, reply = lab.send(back(ends(out)[1], ends(out)[0]))
    assert words == "est|rpl|trk|dnat"
    assert ends(reply) == (destination, source)
    assert bytes(reply) == right(reply)
    words, again = lab.send(there)
    assert words.endswith("trk|snat")
    assert bytes(again) == bytes(out)
    assert lab.ct.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_destination_translation_both_ways(kind):
    there, back = KINDS[kind]
    vip, real = (SERVER6, "fc00::77") if IPv6 in there else (SERVER, "10.9.9.77")
    lab = Translated(f"dst={real}")
    words, out = lab.send(there)
    source, destination = ends(Ether() / there)
    assert destination[0] == vip
    assert words == "new|trk|dnat"
    assert ends(out) == (source, (real, destination[1]))
    assert bytes(out) == right(out)
    words, reply = lab.send(back(ends(out)[1], ends(out)[0]))
    assert words == "est|rpl|trk|snat"
    assert ends(reply) == (destination, source)
    assert bytes(reply) == right(reply)


def test_both_at_once():
    lab = Translated(f"src={PUBLIC}:5000,dst=10.9.9.77:8080")
    words, out = lab.send(tcp())
    assert words == "new|trk|snat|dnat"
    assert ends(out) == ((PUBLIC, 5000), ("10.9.9.77", 8080))
    words, reply = lab.send(tcp("10.9.9.77", PUBLIC, 8080, 5000, "SA", ack=1))
    assert words == "est|rpl|trk|snat|dnat"
    assert ends(reply) == ((SERVER, 80), (CLIENT, 1000))
    assert bytes(reply) == right(reply)
    assert lab.line() == (
        f"tcp,orig=(src={CLIENT},dst={SERVER},sport=1000,dport=80),"
        f"reply=(src=10.9.9.77,dst={PUBLIC},sport=8080,dport=5000),protoinfo=(state=ESTABLISHED)"
    )


def test_behind_vlan_tags():
    lab = Translated(f"src={PUBLIC}")
    _, out = lab.send(Dot1Q(vlan=3) / Dot1Q(vlan=4) / udp())
    assert ends(out) == ((PUBLIC, 1000), (SERVER, 53))
    assert bytes(out) == right(out)


def test_a_udp_packet_without_checksum_stays_without():
    lab = Translated(f"src={PUBLIC}")
    _, out = lab.send(udp(chksum=0))
    assert out[UDP].chksum == 0
    assert bytes(out) == right(out)


def test_a_udp_checksum_that_becomes_zero_is_sent_as_ones():
    # a payload that brings the sum of the translated packet to nothing
    plain = IP(bytes(IP(src=PUBLIC, dst=SERVER) / UDP(sport=1000, dport=53) / Raw(b"\0\0")))
    payload = plain[UDP].chksum.to_bytes(2, "big")
    lab = Translated(f"src={PUBLIC}")
    _, out = lab.send(udp(payload=payload))
    assert out[UDP].chksum == 0xFFFF
    assert bytes(out) == right(out)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1399])
def test_payloads_of_any_length(size):
    lab = Translated(f"src={PUBLIC}:7000-7001,dst=10.9.9.77")
    _, out = lab.send(tcp(payload=b"z" * size))
    assert bytes(out) == right(out)


# --- when there is nothing to do -------------------------------------------------------------------------------------


def test_without_nat_in_the_action_a_packet_is_tracked_by_either_tuple_and_left_alone():
    lab = Translated(f"src={PUBLIC}")
    lab.send(udp())
    packets = Packets.of([bytes(Ether() / udp(SERVER, PUBLIC, 53, 1000))])
    assert states_text(int(lab.ct.process(packets, 1000)[0]["state"])) == "est|rpl|trk"


def test_an_empty_nat_translates_what_is_translated_and_nothing_new():
    lab = Translated(f"src={PUBLIC}")
    lab.send(udp())
    words, reply = lab.send(udp(SERVER, PUBLIC, 53, 1000), nat="")
    assert (words, ends(reply)[1]) == ("est|rpl|trk|dnat", (CLIENT, 1000))
    words, out = lab.send(udp(sport=2000), nat="")
    assert (words, ends(out)[0]) == ("new|trk", (CLIENT, 2000))
    words, reply = lab.send(udp(SERVER, CLIENT, 53, 2000), nat="")
    assert (words, ends(reply)[1]) == ("est|rpl|trk", (CLIENT, 2000))


def test_a_later_nat_does_not_change_a_connection():
    lab = Translated("")
    lab.send(udp())
    words, out = lab.send(udp(), nat=f"src={PUBLIC}")
    assert (words, ends(out)[0]) == ("new|trk", (CLIENT, 1000))


def test_source_translation_to_the_packets_own_address_sets_the_bit_alone():
    lab = Translated("src")
    words, out = lab.send(udp())
    assert (words, ends(out)[0]) == ("new|trk|snat", (CLIENT, 1000))
    words, reply = lab.send(udp(SERVER, CLIENT, 53, 1000))
    assert (words, ends(reply)[1]) == ("est|rpl|trk|dnat", (CLIENT, 1000))


def test_addresses_of_the_other_family_translate_nothing():
    lab = Translated(f"src={PUBLIC}")
    words, out = lab.send(udp(CLIENT6, SERVER6))
    assert (words, ends(out)[0]) == ("new|trk", (CLIENT6, 1000))


def test_uncommitted_packets_are_not_translated():
    lab = Translated(f"src={PUBLIC}")
    words, out = lab.send(udp(), commit=False)
    assert (words, ends(out)[0]) == ("new|trk", (CLIENT, 1000))


def test_packets_that_the_nic_translated_are_recognised_and_left_alone():
    lab = Translated(f"src={PUBLIC}")
    lab.send(udp())
    lab.send(udp(SERVER, PUBLIC, 53, 1000))
    words, out = lab.send(udp(PUBLIC, SERVER), flags=int(PacketFlags.PKT_TRANSLATED))
    assert (words, ends(out)) == ("est|trk|snat", ((PUBLIC, 1000), (SERVER, 53)))
    words, out = lab.send(udp(SERVER, CLIENT, 53, 1000), flags=int(PacketFlags.PKT_TRANSLATED))
    assert (words, ends(out)) == ("est|rpl|trk|dnat", ((SERVER, 53), (CLIENT, 1000)))
    assert lab.ct.count == 1


# --- what is chosen --------------------------------------------------------------------------------------------------


def chosen(nat: str, frames) -> list[tuple[str, int]]:
    lab = Translated(nat)
    return [ends(lab.send(frame)[1])[0] for frame in frames]


def clients(n: int, sport: int = 1000):
    return [udp(f"10.0.1.{i}", sport=sport) for i in range(1, n + 1)]


@pytest.mark.parametrize(
    ("sport", "expected"),
    [(1000, [1000, 1001, 1002]), (500, [500, 501, 502]), (511, [511, 1, 2]), (550, [550, 600, 601]),
     (1023, [1023, 600, 601]), (65535, [65535, 1024, 1025])],
)  # fmt: skip
def test_a_taken_port_makes_way_for_the_next_of_its_class(sport, expected):
    assert chosen(f"src={PUBLIC}", clients(3, sport)) == [(PUBLIC, port) for port in expected]


def test_a_range_of_ports_is_used_up_and_then_no_connection_is_made():
    lab = Translated(f"src={PUBLIC}:5000-5002")
    ports = {ends(lab.send(frame)[1])[0][1] for frame in clients(3)}
    assert ports == {5000, 5001, 5002}
    words, out = lab.send(udp("10.0.1.9"))
    assert (words, lab.reason, ends(out)[0]) == ("inv|trk", Refusal.REFUSED_NAT, ("10.0.1.9", 1000))
    assert lab.ct.counters().refused["nat"] == 1
    assert lab.ct.count == 3
    # another server is another reply tuple
    assert lab.send(udp("10.0.1.9", dst="10.9.9.3"))[0] == "new|trk|snat"


def test_an_ended_connection_gives_its_port_back():
    lab = Translated(f"src={PUBLIC}:5000")
    lab.send(udp())
    assert lab.send(udp(OTHER))[0] == "inv|trk"
    assert lab.ct.flush_tuple(CLIENT, SERVER, 17, 1000, 53)
    assert lab.send(udp(OTHER))[0] == "new|trk|snat"


def test_a_connection_whose_time_is_up_gives_its_port_back_before_it_is_swept():
    lab = Translated(f"src={PUBLIC}:5000")
    lab.send(udp())
    lab.now_ms += 61_000
    assert lab.send(udp(OTHER))[0] == "new|trk|snat"
    counters = lab.ct.counters()
    assert (counters.created, counters.live, counters.expired) == (2, 1, 1)


def test_when_one_address_is_used_up_the_next_one_serves():
    lab = Translated(f"src={PUBLIC}-198.51.100.3:5000-5001")
    taken = {ends(lab.send(frame)[1])[0] for frame in clients(6)}
    assert taken == {(f"198.51.100.{a}", p) for a, p in itertools.product((1, 2, 3), (5000, 5001))}
    assert lab.send(udp("10.0.1.9"))[0] == "inv|trk"


def test_two_gre_tunnels_to_one_server_take_two_addresses():
    lab = Translated(f"src={PUBLIC}-198.51.100.2")
    taken = {ends(lab.send(IP(src=src, dst=SERVER) / GRE())[1])[0][0] for src in (CLIENT, OTHER)}
    assert taken == {PUBLIC, "198.51.100.2"}
    assert lab.send(IP(src="10.0.0.77", dst=SERVER) / GRE())[0] == "inv|trk"


@pytest.mark.parametrize("addresses", [(CLIENT, OTHER, SERVER, PUBLIC), (CLIENT6, "fc00::9", SERVER6, PUBLIC6)])
def test_identifiers_of_pings_are_translated_like_ports(addresses):
    client, other, server, public = addresses
    lab = Translated(f"src={public}")
    assert ends(lab.send(ping(client, server))[1])[0] == (public, 7)
    _, out = lab.send(ping(other, server))
    assert ends(out)[0] == (public, 8)
    assert bytes(out) == right(out)
    words, reply = lab.send(ping(server, public, 8, 0))
    assert (words, ends(reply)[1]) == ("est|rpl|trk|dnat", (other, 7))
    assert bytes(reply) == right(reply)


def test_a_port_range_of_a_destination_leaves_identifiers_alone():
    lab = Translated("dst=10.9.9.77:100-200")
    words, out = lab.send(ping())
    assert (words, ends(out)[1]) == ("new|trk|dnat", ("10.9.9.77", 7))
    assert lab.send(ping("10.9.9.77", CLIENT, 7, 0))[0] == "est|rpl|trk|snat"


def test_persistent_keeps_a_clients_address_and_hash_spreads():
    wide = f"src={PUBLIC}-198.51.100.254"
    frames = [udp(dst=f"10.9.1.{i}", sport=2000 + i) for i in range(1, 30)]
    assert len({address for address, _ in chosen(f"{wide},persistent", frames)}) == 1
    assert len({address for address, _ in chosen(wide, frames)}) > 10
    first, again = (chosen(f"{wide},persistent", clients(20)) for _ in range(2))
    assert first == again
    assert len({address for address, _ in first}) > 5


def test_random_ports_are_not_the_same_from_run_to_run():
    nat = f"src={PUBLIC}:10000-60000,random"
    assert chosen(nat, clients(8)) != chosen(nat, clients(8))


def test_a_wide_ipv6_range_carries_between_its_halves():
    taken = chosen(
        "src=2001:db8::ffff:ffff:ffff:fff0-2001:db8:0:1::10", [udp(f"fc00::{i:x}", SERVER6) for i in range(1, 60)]
    )
    addresses = {address for address, _ in taken}
    assert any(a.startswith("2001:db8::ffff:ffff:ffff:fff") for a in addresses)
    assert any(a.startswith("2001:db8:0:1::") for a in addresses)
    assert len(addresses) > 15


# --- no clash --------------------------------------------------------------------------------------------------------


def test_a_translated_connection_takes_no_tuple_of_a_live_one():
    lab = Translated("")
    lab.send(udp(PUBLIC, SERVER))
    _, out = lab.send(udp(), nat=f"src={PUBLIC}")
    assert ends(out)[0] == (PUBLIC, 1001)


def test_nobody_else_can_use_the_translated_tuple():
    lab = Translated(f"src={PUBLIC}")
    lab.send(udp())
    words, _ = lab.send(udp(PUBLIC, SERVER), nat="")
    assert (words, lab.reason) == ("inv|trk", Refusal.REFUSED_NAT)
    assert lab.ct.count == 1


def test_a_destination_whose_port_is_taken_moves_the_clients_port():
    lab = Translated("dst=10.9.9.77:80")
    assert ends(lab.send(tcp(dst="10.9.9.2"))[1])[0] == (CLIENT, 1000)
    # the same client port to another address that leads to the same server
    assert ends(lab.send(tcp(dst="10.9.9.3"))[1])[0] == (CLIENT, 1001)


# --- as in Open vSwitch's scenarios ----------------------------------------------------------------------------------


def test_sctp_in_a_range_of_ports():
    def init(src, sport):
        return IP(src=src, dst=SERVER) / SCTP(sport=sport, dport=80) / SCTPChunkInit()

    lab = Translated(f"src={PUBLIC}:34567-34568")
    ports = set()
    for src in (CLIENT, OTHER):
        words, out = lab.send(init(src, 1000))
        assert (words, bytes(out)) == ("new|trk|snat", right(out))
        ports.add(ends(out)[0][1])
        back = IP(src=SERVER, dst=PUBLIC) / SCTP(sport=80, dport=ends(out)[0][1]) / SCTPChunkInit()
        words, reply = lab.send(back)
        assert (words, ends(reply)[1], bytes(reply)) == ("est|rpl|trk|dnat", (src, 1000), right(reply))
    assert ports == {34567, 34568}
    assert lab.send(init("10.0.0.77", 1000))[0] == "inv|trk"


def test_servers_behind_one_address_share_its_connections():
    lab = Translated("dst=10.9.9.10-10.9.9.12:8080")
    chosen_by = {}
    for sport in range(2000, 2060):
        words, out = lab.send(tcp(sport=sport))
        assert words == "new|trk|dnat"
        chosen_by[sport] = ends(out)[1]
    assert set(chosen_by.values()) == {(f"10.9.9.{i}", 8080) for i in (10, 11, 12)}
    for sport, server in chosen_by.items():
        assert ends(lab.send(tcp(sport=sport))[1])[1] == server
        assert ends(lab.send(tcp(server[0], CLIENT, 8080, sport, "SA", ack=1))[1])[0] == (SERVER, 80)


def test_an_address_of_its_own_for_a_host_in_both_directions():
    """What begins inside gets the public address; what begins outside to that address reaches the host."""
    lab = Translated("")
    _, out = lab.send(udp(), nat=f"src={PUBLIC}")
    assert ends(out)[0] == (PUBLIC, 1000)
    words, come = lab.send(udp("203.0.113.50", PUBLIC, 777, 22), nat=f"dst={CLIENT}")
    assert (words, ends(come)[1]) == ("new|trk|dnat", (CLIENT, 22))
    words, back = lab.send(udp(CLIENT, "203.0.113.50", 22, 777), nat=f"src={PUBLIC}")
    assert (words, ends(back)[0]) == ("est|rpl|trk|snat", (PUBLIC, 22))


def test_a_reply_changes_the_mark_of_a_translated_connection():
    lab = Translated(f"src={PUBLIC}")
    lab.send(udp(), mark=1, mark_mask=0xFF)
    words, _ = lab.send(udp(SERVER, PUBLIC, 53, 1000), mark=3, mark_mask=0xFF)
    assert words == "est|rpl|trk|dnat"
    (row,) = lab.ct.connections()
    assert int(row["mark"]) == 3


def test_a_packet_that_is_sent_through_again_changes_nothing():
    lab = Translated(f"src={PUBLIC}")
    _, out = lab.send(udp())
    before = lab.line()
    _, again = lab.send(udp())
    assert (bytes(again), lab.line()) == (bytes(out), before)


def test_each_zone_translates_for_itself():
    lab = Translated(f"src={PUBLIC}:5000")
    for zone in (1, 2):
        words, out = lab.send(udp(), zone=zone)
        assert (words, ends(out)[0]) == ("new|trk|snat", (PUBLIC, 5000))
    assert lab.send(udp(OTHER), zone=1)[0] == "inv|trk"
    lab.ct.set_zone_limit(3, 1)
    assert [lab.send(udp(src), f"src={PUBLIC}", zone=3)[0] for src in (CLIENT, OTHER)] == ["new|trk|snat", "new|trk"]
    assert lab.ct.zone_count(3) == 1


# --- ICMP errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [28, 40, 1500], ids=["8 bytes", "20 bytes", "all"])
@pytest.mark.parametrize("make", [tcp, udp])
def test_an_error_about_a_translated_packet_reaches_the_client(make, cut):
    lab = Translated(f"src={PUBLIC}:5000")
    _, out = lab.send(make(payload=b"0123456789abcdef"))
    carried = bytes(out[IP])[:cut]
    error = IP(src=ROUTER, dst=PUBLIC) / ICMP(type=3, code=1) / Raw(carried)
    words, there = lab.send(error)
    assert words == "rel|rpl|trk|dnat"
    assert (there[IP].src, there[IP].dst) == (ROUTER, CLIENT)
    inner = there[IPerror]
    l4 = next(inner[kind] for kind in (TCPerror, UDPerror) if kind in inner)
    assert (inner.src, l4.sport, inner.dst) == (CLIENT, 1000, SERVER)
    assert bytes(there) == right(there)
    # what is carried has right sums too, as far as it goes
    original = bytes(IP(src=CLIENT, dst=SERVER) / make(payload=b"0123456789abcdef")[1])
    if cut == 1500 or make is udp:
        assert bytes(inner)[: len(carried)] == original[: len(carried)]


def test_an_error_of_the_client_about_a_reply_goes_out_translated():
    lab = Translated(f"src={PUBLIC}:5000")
    lab.send(udp())
    _, reply = lab.send(udp(SERVER, PUBLIC, 53, 5000))
    error = IP(src=CLIENT, dst=SERVER) / ICMP(type=3, code=3) / Raw(bytes(reply[IP]))
    words, out = lab.send(error)
    assert words == "rel|trk|snat"
    assert (out[IP].src, out[IP].dst) == (PUBLIC, SERVER)
    assert (out[IPerror].dst, out[UDPerror].dport) == (PUBLIC, 5000)
    assert bytes(out) == right(out)


def test_an_error_behind_a_translated_destination():
    lab = Translated("dst=10.9.9.77")
    _, out = lab.send(udp())
    words, there = lab.send(IP(src="10.9.9.77", dst=CLIENT) / ICMP(type=3, code=3) / Raw(bytes(out[IP])))
    assert words == "rel|rpl|trk|snat"
    assert (there[IP].src, there[IPerror].dst) == (SERVER, SERVER)
    assert bytes(there) == right(there)


def test_an_error_over_ipv6():
    lab = Translated(f"src={PUBLIC6}")
    _, out = lab.send(udp(CLIENT6, SERVER6))
    words, there = lab.send(IPv6(src="fc00::99", dst=PUBLIC6) / ICMPv6DestUnreach(code=4) / Raw(bytes(out[IPv6])))
    assert words == "rel|rpl|trk|dnat"
    assert (there[IPv6].dst, there[IPerror6].src) == (CLIENT6, CLIENT6)
    assert bytes(there) == right(there)


def test_an_error_about_a_ping_restores_its_identifier():
    lab = Translated(f"src={PUBLIC}")
    lab.send(ping(OTHER))
    _, out = lab.send(ping())
    words, there = lab.send(IP(src=ROUTER, dst=PUBLIC) / ICMP(type=11) / Raw(bytes(out[IP])))
    assert words == "rel|rpl|trk|dnat"
    assert (there[IP].dst, there[IPerror].src, there[ICMPerror].id) == (CLIENT, CLIENT, 7)
    assert bytes(there[IPerror])[: len(bytes(ping()))] == bytes(ping())


# --- the table stays whole -------------------------------------------------------------------------------------------


def test_many_connections_come_and_go_and_leave_nothing():
    lab = Translated(f"src={PUBLIC}-198.51.100.9")
    for i in range(900):
        assert lab.send(udp(f"10.0.{i // 200}.{i % 200 + 1}", sport=1000 + i))[0] == "new|trk|snat"
    assert lab.ct.count == 900
    replies = {(row["reply_dst"][:4].tobytes(), int(row["reply_dst_port"])) for row in lab.ct.connections()}
    assert len(replies) == 900
    assert lab.ct.flush() == 900
    for i in range(900):
        assert lab.send(udp(SERVER, f"198.51.100.{i % 9 + 1}", 53, 1000 + i), nat="", commit=False)[0] == "new|trk"
    assert lab.ct.count == 0


def test_find_and_flush_know_both_tuples():
    lab = Translated(f"src={PUBLIC}:5000")
    lab.send(udp())
    for tuple_ in ((CLIENT, SERVER, 17, 1000, 53), (SERVER, PUBLIC, 17, 53, 5000)):
        (row,) = lab.ct.find(*tuple_)
        assert (int(row["src_port"]), int(row["reply_dst_port"]), int(row["nat"])) == (1000, 5000, 1)
    assert lab.ct.flush_tuple(SERVER, PUBLIC, 17, 53, 5000)
    assert lab.ct.count == 0


# --- text and mistakes -----------------------------------------------------------------------------------------------


def test_the_text_of_a_translation():
    assert Nat.parse("src=10.1.1.1-10.1.1.9:1024-2047,random") == Nat(
        src=NatRange(*(ip("10.1.1.1"), ip("10.1.1.9")), (1024, 2047)), choice="random"
    )
    assert Nat.parse("dst=[2001:db8::1]-[2001:db8::9]:80") == Nat(
        dst=NatRange(ip("2001:db8::1"), ip("2001:db8::9"), (80, 80))
    )
    assert Nat.parse("dst=2001:db8::1").dst == NatRange(ip("2001:db8::1"), ip("2001:db8::1"))
    assert Nat.parse("src=:5000-6000").src == NatRange(None, None, (5000, 6000))
    assert Nat.parse("") == Nat()


def ip(text):
    import ipaddress  # noqa: PLC0415

    return ipaddress.ip_address(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("src=10.1.1.9-10.1.1.1", "10.1.1.9 is above 10.1.1.1"),
        ("src=10.1.1.1-2001:db8::1", "no range|no address|different families"),
        ("src=10.1.1.1,dst=2001:db8::1", "of different families"),
        ("src=10.1.1.1:0-5", "0-5 is no range of ports"),
        ("src=10.1.1.1:7-5", "7-5 is no range of ports"),
        ("src=10.1.1.1:70000", "70000-70000 is no range of ports"),
        ("src=10.1.1.1:" + "9" * 5000, "is no range"),
        ("src=0.0.0.0", "is no address to translate to"),
        ("src=10.1.1", "'10.1.1' is no address"),
        ("src=10.1.1.1,src=10.1.1.2", "is not understood"),
        ("source=10.1.1.1", "'source=10.1.1.1' is not understood"),
        ("random", "says how to choose, but not from what"),
    ],
)
def test_a_wrong_translation_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        Nat.parse(text)


@pytest.mark.parametrize(
    "ends", [{"ports": (1.5, 2)}, {"ports": (5,)}, {"ports": "ab"}, {"low": "10.0.0.1", "high": "10.0.0.2"}], ids=str
)
def test_a_range_of_something_else_is_refused(ends):
    with pytest.raises(UsageError, match=r"no (pair of ports|addresses)"):
        NatRange(**ends)


def test_packets_that_cannot_be_written_to_are_refused():
    with pytest.raises(UsageError, match="cannot be written to"):
        Conntrack(10).process(Packets.of([bytes(Ether() / udp())]), nat=Nat.parse(f"src={PUBLIC}"))
