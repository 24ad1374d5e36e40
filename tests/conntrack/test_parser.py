"""What the parser takes, and everything it has to refuse."""

from __future__ import annotations

import struct

import pytest
from conntrack_packets import (
    CLIENT,
    CLIENT6,
    GRE,
    ICMP,
    ICMPV6,
    ROUTER,
    ROUTER6,
    SCTP,
    SERVER,
    SERVER6,
    TCP,
    UDP,
    Tracker,
    chunk,
    csum,
    echo,
    error,
    ether,
    icmp_l4,
    ipv4,
    ipv6,
    pseudo,
    sctp_l4,
    tcp_l4,
    udp,
    udp_l4,
)

from ctoffload_dpdk.conntrack import PacketFlags, Refusal

U4 = udp_l4(CLIENT, 1000, SERVER, 53)
U6 = udp_l4(CLIENT6, 1000, SERVER6, 53)
T4 = tcp_l4(CLIENT, 1000, SERVER, 80, "S")
T6 = tcp_l4(CLIENT6, 1000, SERVER6, 80, "S")


def v4(l4: bytes, proto: int = UDP, **fields: object) -> bytes:
    return ether(ipv4(CLIENT, SERVER, proto, l4, **fields))


def v6(l4: bytes, proto: int = UDP, **fields: object) -> bytes:
    return ether(ipv6(CLIENT6, SERVER6, proto, l4, **fields))


def ext(next_header: int, units: int = 0) -> bytes:
    """An extension header of 8 + 8 * units bytes."""
    return bytes([next_header, units]) + bytes(6 + 8 * units)


def fragment_header(next_header: int, offset_flags: int) -> bytes:
    return struct.pack("!BBHI", next_header, 0, offset_flags, 1)


ECHO4 = icmp_l4(8, 0, struct.pack("!HH", 7, 1))
ECHO6 = icmp_l4(128, 0, struct.pack("!HH", 7, 1), ends=(CLIENT6, SERVER6))

TAKEN = {
    "udp over IPv4": v4(U4),
    "udp over IPv6": v6(U6),
    "udp with options in the IPv4 header": v4(U4, options=b"\x01" * 8),
    "udp without payload": v4(udp_l4(CLIENT, 1, SERVER, 2, b"")),
    "udp of an odd length": v4(udp_l4(CLIENT, 1, SERVER, 2, b"abc")),
    "udp without checksum over IPv4": v4(udp_l4(CLIENT, 1, SERVER, 2, checksum=0)),
    "udp whose length leaves bytes over, summed over all of them": v4(
        udp_l4(CLIENT, 1, SERVER, 2, b"abcdef", length=10)
    ),
    "udp of 8972 bytes": v4(udp_l4(CLIENT, 1, SERVER, 2, bytes(8972))),
    "tcp": v4(T4, TCP),
    "tcp over IPv6": v6(T6, TCP),
    "tcp with malformed options": v4(tcp_l4(CLIENT, 1, SERVER, 2, "S", options=b"\x02\xff\x00\x00"), TCP),
    "padded to 60 bytes": v4(U4) + bytes(14),
    "one tag": ether(ipv4(CLIENT, SERVER, UDP, U4), vlans=[0x8100]).replace(b"\x00\x07", b"\x00\x07", 1),
    "two tags": ether(ipv4(CLIENT, SERVER, UDP, U4), vlans=[0x88A8, 0x8100]),
    "the version nibble says 6": ether(ipv4(CLIENT, SERVER, UDP, U4, version=6), eth_type=0x0800),
    "gre": v4(b"", GRE),
    "esp over IPv6": v6(b"", 50),
    "no next header": v6(b"", 59),
    "mobility header": v6(bytes(8), 135),
    "echo request": v4(ECHO4, ICMP),
    "echo request with identifier 0": echo(CLIENT, SERVER, 0),
    "timestamp request": echo(CLIENT, SERVER, 5, 13),
    "information request": echo(CLIENT, SERVER, 5, 15),
    "echo request over IPv6": v6(ECHO6, ICMPV6),
    "type 128 of protocol 58 over IPv4": v4(bytes([128]) + bytes(7), ICMPV6),
    "type 8 of protocol 1 over IPv6": v6(bytes([8]) + bytes(7), ICMP),
    "hop-by-hop": v6(U6, first=0, extensions=ext(UDP)),
    "routing, destination, hop-by-hop in odd order": v6(U6, first=43, extensions=ext(60, 1) + ext(0) + ext(UDP)),
    "authentication header": v6(U6, first=51, extensions=bytes([UDP, 4]) + bytes(22)),
    "atomic fragment": v6(U6, first=44, extensions=fragment_header(UDP, 0)),
    "sctp": v4(sctp_l4(1, 2, chunk(1, bytes(16))), SCTP),
    "sctp without a chunk": v4(sctp_l4(1, 2, b""), SCTP),
    "sctp with a padded chunk": v4(sctp_l4(1, 2, chunk(0, b"abc") + chunk(3, b"12345678")), SCTP),
    "sctp over IPv6": v6(sctp_l4(1, 2, chunk(1, bytes(16))), SCTP),
    "from itself to itself": ether(ipv4(CLIENT, CLIENT, UDP, udp_l4(CLIENT, 5, CLIENT, 5))),
    "to a group": ether(ipv4(CLIENT, "224.0.0.1", UDP, udp_l4(CLIENT, 5, "224.0.0.1", 5))),
    "SNAP": ether(b"\xaa\xaa\x03\0\0\0\x08\0" + ipv4(CLIENT, SERVER, UDP, U4), eth_type=8 + 20 + len(U4)),
}

REFUSED = {
    "nothing": (b"", Refusal.REFUSED_NOT_IP),
    "half an Ethernet header": (v4(U4)[:13], Refusal.REFUSED_NOT_IP),
    "ARP": (ether(bytes(28), eth_type=0x0806), Refusal.REFUSED_NOT_IP),
    "MPLS": (ether(bytes(4) + ipv4(CLIENT, SERVER, UDP, U4), eth_type=0x8847), Refusal.REFUSED_NOT_IP),
    "three tags": (ether(ipv4(CLIENT, SERVER, UDP, U4), vlans=[0x8100] * 3), Refusal.REFUSED_NOT_IP),
    "LLC that is not SNAP": (ether(b"\x42\x42\x03" + bytes(35), eth_type=38), Refusal.REFUSED_NOT_IP),
    "a tag cut off": (ether(b"", vlans=[0x8100])[:16], Refusal.REFUSED_NOT_IP),
    "IPv4 cut in its header": (v4(U4)[:33], Refusal.REFUSED_L3_HEADER),
    "IPv4 header of 4 words": (v4(U4, header_words=4), Refusal.REFUSED_L3_HEADER),
    "IPv4 header longer than the packet": (v4(U4, header_words=15), Refusal.REFUSED_L3_HEADER),
    "IPv4 total length above the frame": (v4(U4, total=21 + len(U4)), Refusal.REFUSED_L3_HEADER),
    "IPv4 total length below the header": (v4(U4, total=19), Refusal.REFUSED_L3_HEADER),
    "IPv4 header checksum": (v4(U4, bad_sum=True), Refusal.REFUSED_L3_CHECKSUM),
    "IPv4 first fragment": (v4(U4, fragment=0x2000), Refusal.REFUSED_FRAGMENT),
    "IPv4 first fragment of GRE": (v4(bytes(8), GRE, fragment=0x2000), Refusal.REFUSED_FRAGMENT),
    "IPv4 later fragment": (v4(U4, fragment=0x0001), Refusal.REFUSED_FRAGMENT),
    "IPv6 cut in its header": (v6(U6)[:53], Refusal.REFUSED_L3_HEADER),
    "IPv6 payload above the frame": (v6(U6, payload=1 + len(U6)), Refusal.REFUSED_L3_HEADER),
    "IPv6 jumbogram": (v6(U6, first=0, extensions=ext(UDP), payload=0), Refusal.REFUSED_L3_HEADER),
    "IPv6 extension header cut off": (v6(b"", first=0, extensions=ext(UDP)[:7]), Refusal.REFUSED_L3_HEADER),
    "IPv6 extension header longer than the packet": (
        v6(b"", first=60, extensions=bytes([UDP, 1]) + bytes(6)),
        Refusal.REFUSED_L3_HEADER,
    ),
    "IPv6 authentication header longer than the packet": (
        v6(b"", first=51, extensions=bytes([UDP, 1]) + bytes(6)),
        Refusal.REFUSED_L3_HEADER,
    ),
    "IPv6 first fragment": (v6(U6, first=44, extensions=fragment_header(UDP, 1)), Refusal.REFUSED_FRAGMENT),
    "IPv6 later fragment": (v6(U6, first=44, extensions=fragment_header(UDP, 8)), Refusal.REFUSED_FRAGMENT),
    "udp cut": (v4(U4[:7]), Refusal.REFUSED_L4_HEADER),
    "udp length below 8": (v4(udp_l4(CLIENT, 1, SERVER, 2, length=7)), Refusal.REFUSED_L4_HEADER),
    "udp length above the packet": (v4(udp_l4(CLIENT, 1, SERVER, 2, b"x", length=10)), Refusal.REFUSED_L4_HEADER),
    "udp checksum": (v4(udp_l4(CLIENT, 1, SERVER, 2, checksum=0x1234)), Refusal.REFUSED_L4_CHECKSUM),
    "udp without checksum over IPv6": (v6(udp_l4(CLIENT6, 1, SERVER6, 2, checksum=0)), Refusal.REFUSED_L4_CHECKSUM),
    "udp from port 0": (v4(udp_l4(CLIENT, 0, SERVER, 2)), Refusal.REFUSED_PORT_ZERO),
    "udp to port 0": (v4(udp_l4(CLIENT, 1, SERVER, 0)), Refusal.REFUSED_PORT_ZERO),
    "tcp cut": (v4(T4[:19], TCP), Refusal.REFUSED_L4_HEADER),
    "tcp header of 4 words": (v4(tcp_l4(CLIENT, 1, SERVER, 2, "S", words=4), TCP), Refusal.REFUSED_L4_HEADER),
    "tcp header longer than the packet": (
        v4(tcp_l4(CLIENT, 1, SERVER, 2, "S", words=6), TCP),
        Refusal.REFUSED_L4_HEADER,
    ),
    "tcp checksum": (v4(tcp_l4(CLIENT, 1, SERVER, 2, "S", bad_sum=True), TCP), Refusal.REFUSED_L4_CHECKSUM),
    "tcp from port 0": (v4(tcp_l4(CLIENT, 0, SERVER, 2, "S"), TCP), Refusal.REFUSED_PORT_ZERO),
    "sctp cut": (v4(sctp_l4(1, 2, b"")[:11], SCTP), Refusal.REFUSED_L4_HEADER),
    "sctp checksum": (v4(sctp_l4(1, 2, chunk(1, b""), bad_sum=True), SCTP), Refusal.REFUSED_L4_CHECKSUM),
    "sctp chunk of length 3": (v4(sctp_l4(1, 2, chunk(1, b"", length=3)), SCTP), Refusal.REFUSED_L4_HEADER),
    "sctp chunk without its padding": (v4(sctp_l4(1, 2, chunk(0, b"a")[:5]), SCTP), Refusal.REFUSED_L4_HEADER),
    "sctp chunk header cut": (v4(sctp_l4(1, 2, chunk(1, b"") + b"\0\0"), SCTP), Refusal.REFUSED_L4_HEADER),
    "sctp to port 0": (v4(sctp_l4(1, 0, b""), SCTP), Refusal.REFUSED_PORT_ZERO),
    "icmp cut": (v4(ECHO4[:7], ICMP), Refusal.REFUSED_L4_HEADER),
    "icmp checksum": (v4(icmp_l4(8, 0, bytes(4), bad_sum=True), ICMP), Refusal.REFUSED_L4_CHECKSUM),
    "echo with a code": (echo(CLIENT, SERVER, 7, 8, 1), Refusal.REFUSED_ICMP_TYPE),
    "address mask request": (echo(CLIENT, SERVER, 7, 17), Refusal.REFUSED_ICMP_TYPE),
    "router advertisement": (echo(CLIENT, SERVER, 7, 9), Refusal.REFUSED_ICMP_TYPE),
    "type 40": (echo(CLIENT, SERVER, 7, 40), Refusal.REFUSED_ICMP_TYPE),
    "neighbour solicitation": (echo(CLIENT6, SERVER6, 7, 135), Refusal.REFUSED_ICMP_TYPE),
    "multicast listener report": (echo(CLIENT6, SERVER6, 7, 143), Refusal.REFUSED_ICMP_TYPE),
    "icmpv6 checksum": (
        v6(icmp_l4(128, 0, bytes(4), ends=(CLIENT6, SERVER6), bad_sum=True), ICMPV6),
        Refusal.REFUSED_L4_CHECKSUM,
    ),
    "echo reply out of nothing": (echo(CLIENT, SERVER, 7, 0), Refusal.REFUSED_NO_CONNECTION),
    "timestamp reply out of nothing": (echo(CLIENT, SERVER, 7, 14), Refusal.REFUSED_NO_CONNECTION),
    "information reply out of nothing": (echo(CLIENT, SERVER, 7, 16), Refusal.REFUSED_NO_CONNECTION),
    "echo reply out of nothing over IPv6": (echo(CLIENT6, SERVER6, 7, 129), Refusal.REFUSED_NO_CONNECTION),
    "type 129 of protocol 58 over IPv4": (v4(bytes([129]) + bytes(7), ICMPV6), Refusal.REFUSED_NO_CONNECTION),
    "protocol 58 over IPv4 without a byte": (v4(b"", ICMPV6), Refusal.REFUSED_NO_CONNECTION),
    "an error about nothing known": (
        error(ROUTER, CLIENT, ipv4(CLIENT, SERVER, UDP, U4)),
        Refusal.REFUSED_NO_CONNECTION,
    ),
}


@pytest.mark.parametrize("frame", TAKEN.values(), ids=TAKEN.keys())
def test_a_good_packet_is_new(frame: bytes) -> None:
    tracker = Tracker()
    assert tracker(frame) == "new|trk"
    assert tracker.ct.count == 1


@pytest.mark.parametrize(("frame", "refusal"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_packet_is_invalid_and_leaves_no_connection(frame: bytes, refusal: Refusal) -> None:
    tracker = Tracker()
    verdict = tracker.verdict(frame, mark=5, mark_mask=0xFF)
    assert (verdict["state"], verdict["conn_id"], verdict["mark"]) == (0x30, 0, 0)
    assert Refusal(verdict["reason"]) == refusal
    assert tracker.ct.count == 0
    assert sum(tracker.ct.counters().refused.values()) == 1


def test_only_ovs_takes_the_first_fragment_of_other_protocols_for_a_whole_packet() -> None:
    first = v4(bytes(8), GRE, fragment=0x2000)
    assert Tracker(ovs_compat=True)(first) == "new|trk"
    assert Tracker(ovs_compat=False)(first) == "inv|trk"


class TestReceiverFlags:
    """What the receiver says of checksums is taken, except for ICMP."""

    @pytest.mark.parametrize(
        ("flags", "frame", "state"),
        [
            (PacketFlags.PKT_L3_BAD, v4(U4), "inv|trk"),
            (PacketFlags.PKT_L4_BAD, v4(U4), "inv|trk"),
            (PacketFlags.PKT_L4_BAD, v4(b"", GRE), "inv|trk"),
            (PacketFlags.PKT_L4_BAD, v4(ECHO4, ICMP), "inv|trk"),
            (PacketFlags.PKT_L3_GOOD, v4(U4, bad_sum=True), "new|trk"),
            (PacketFlags.PKT_L4_GOOD, v4(udp_l4(CLIENT, 1, SERVER, 2, checksum=1)), "new|trk"),
            (PacketFlags.PKT_L4_GOOD, v4(tcp_l4(CLIENT, 1, SERVER, 2, "S", bad_sum=True), TCP), "new|trk"),
            (PacketFlags.PKT_L4_GOOD, v4(sctp_l4(1, 2, b"", bad_sum=True), SCTP), "new|trk"),
            (PacketFlags.PKT_L4_GOOD, v6(udp_l4(CLIENT6, 1, SERVER6, 2, checksum=0)), "new|trk"),
            (PacketFlags.PKT_L4_GOOD, v4(icmp_l4(8, 0, bytes(4), bad_sum=True), ICMP), "inv|trk"),
            (PacketFlags.PKT_L3_BAD, v6(U6), "new|trk"),
            (PacketFlags.PKT_L3_GOOD | PacketFlags.PKT_L3_BAD, v4(U4, bad_sum=True), "new|trk"),
            (PacketFlags.PKT_L4_GOOD | PacketFlags.PKT_L4_BAD, v4(udp_l4(CLIENT, 1, SERVER, 2, checksum=1)), "new|trk"),
        ],
    )
    def test_flags_decide(self, flags: PacketFlags, frame: bytes, state: str) -> None:
        assert Tracker()(frame, flags=int(flags)) == state


class TestEmbedded:
    """ICMP errors belong to the connection of the packet they carry."""

    @pytest.fixture
    def tracker(self) -> Tracker:
        tracker = Tracker()
        tracker(
            v4(U4),
            v6(U6),
            v4(T4, TCP),
            v6(T6, TCP),
            v4(bytes(8), GRE),
            v4(ECHO4, ICMP),
            v4(sctp_l4(1, 2, b""), SCTP),
            v6(sctp_l4(1, 2, b""), SCTP),
        )
        return tracker

    @pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
    def test_every_error_type_is_related(self, tracker: Tracker, kind: int) -> None:
        assert tracker(error(ROUTER, CLIENT, ipv4(CLIENT, SERVER, UDP, U4), kind, 9)) == "rel|rpl|trk"

    @pytest.mark.parametrize("kind", [1, 2, 3, 4])
    def test_every_error_type_over_ipv6_is_related(self, tracker: Tracker, kind: int) -> None:
        assert tracker(error(ROUTER6, CLIENT6, ipv6(CLIENT6, SERVER6, UDP, U6), kind)) == "rel|rpl|trk"

    def test_an_error_about_a_reply_goes_the_other_way(self, tracker: Tracker) -> None:
        reply = ipv4(SERVER, CLIENT, UDP, udp_l4(SERVER, 53, CLIENT, 1000))
        assert tracker(error(ROUTER, SERVER, reply)) == "rel|trk"

    @pytest.mark.parametrize(
        ("inner", "state"),
        [
            (ipv4(CLIENT, SERVER, TCP, T4)[:28], "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, TCP, T4)[:27], "inv|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4, bad_sum=True), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4, fragment=0x2000), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4, fragment=0x0001), "inv|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4, total=2000), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4, header_words=4), "inv|trk"),
            (ipv4(CLIENT, SERVER, GRE, b""), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, ICMP, ECHO4), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, ICMP, icmp_l4(3, 1, bytes(4), ipv4(CLIENT, SERVER, UDP, U4))), "inv|trk"),
            (ipv4(CLIENT, SERVER, SCTP, sctp_l4(1, 2, b"")[:8]), "rel|rpl|trk"),
            (ipv4(CLIENT, SERVER, UDP, U4[:7]), "inv|trk"),
            (ipv4(ROUTER, SERVER, UDP, udp_l4(ROUTER, 1000, SERVER, 53)), "inv|trk"),
            (b"", "inv|trk"),
        ],
    )
    def test_what_has_to_be_embedded_over_ipv4(self, tracker: Tracker, inner: bytes, state: str) -> None:
        assert tracker(error(ROUTER, CLIENT, inner)) == state

    @pytest.mark.parametrize(
        ("inner", "state"),
        [
            (ipv6(CLIENT6, SERVER6, TCP, T6)[:60], "rel|rpl|trk"),
            (ipv6(CLIENT6, SERVER6, TCP, T6)[:59], "inv|trk"),
            (ipv6(CLIENT6, SERVER6, TCP, T6)[:48], "inv|trk"),
            (ipv6(CLIENT6, SERVER6, UDP, U6)[:48], "rel|rpl|trk"),
            (ipv6(CLIENT6, SERVER6, SCTP, sctp_l4(1, 2, b"")), "rel|rpl|trk"),
            (ipv6(CLIENT6, SERVER6, SCTP, sctp_l4(1, 2, b"")[:11]), "inv|trk"),
            (ipv6(CLIENT6, SERVER6, UDP, U6, first=0, extensions=ext(UDP)), "rel|rpl|trk"),
            (ipv6(ROUTER6, SERVER6, UDP, U6), "inv|trk"),
        ],
    )
    def test_what_has_to_be_embedded_over_ipv6(self, tracker: Tracker, inner: bytes, state: str) -> None:
        assert tracker(error(ROUTER6, CLIENT6, inner, 1)) == state

    def test_an_error_refreshes_nothing_and_counts_nothing(self, tracker: Tracker) -> None:
        before = tracker.ct.find(CLIENT, SERVER, UDP, 1000, 53)[0]
        tracker.wait(10)
        tracker(error(ROUTER, CLIENT, ipv4(CLIENT, SERVER, UDP, U4)))
        after = tracker.ct.find(CLIENT, SERVER, UDP, 1000, 53)[0]
        assert before["timeout_ms"] - after["timeout_ms"] == 10_000
        assert before["packets"].tolist() == after["packets"].tolist()


def test_a_udp_packet_right_by_its_own_length_but_not_over_all_bytes_is_invalid() -> None:
    l4 = udp_l4(CLIENT, 1, SERVER, 2, b"ab")
    assert csum(pseudo(CLIENT, SERVER, UDP, len(l4)) + l4) == 0
    assert Tracker()(v4(l4 + b"tail")) == "inv|trk"


def test_two_tags_and_none_are_the_same_connection() -> None:
    tracker = Tracker()
    tagged = ether(ipv4(SERVER, CLIENT, UDP, udp_l4(SERVER, 53, CLIENT, 1000)), vlans=[0x88A8, 0x8100])
    assert tracker.states(v4(U4), tagged) == ["new|trk", "est|rpl|trk"]


def test_a_packet_in_the_middle_of_a_long_burst_is_judged_like_any_other() -> None:
    frames = [udp(CLIENT, 1000 + i, SERVER, 53) for i in range(100)]
    frames[50] = b""
    states = Tracker().states(*frames)
    assert states.index("inv|trk") == 50
    assert states.count("new|trk") == 99
