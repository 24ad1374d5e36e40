"""Fragments of translated connections: rewritten where they came in, every checksum of the whole datagram right."""

from __future__ import annotations

from typing import Any

import pytest
from conntrack_nat import ends, right
from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, fragment6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, Nat, states_text

CLIENT, SERVER, PUBLIC, REAL = "10.0.0.1", "10.9.9.2", "198.51.100.1", "10.9.9.77"
CLIENT6, SERVER6, PUBLIC6, REAL6 = "fc00::1", "fc00::2", "2001:db8::1", "fc00::77"
BODY = bytes(range(256)) * 12
numbers = iter(range(1, 1000))


def cut(packet: Any, size: int = 1240) -> list[Any]:
    """The packet in fragments, in a frame each."""
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if IP in packet:
        packet[IP].id = next(numbers)
        return [Ether(bytes(head / part)) for part in fragment(packet, size)]
    extended = IPv6(bytes(packet))
    header = IPv6ExtHdrFragment(id=next(numbers))
    rest = extended.payload
    extended.remove_payload()
    del extended.nh, extended.plen
    return [Ether(bytes(head / part)) for part in fragment6(extended / header / rest, size + 100)]


def whole(frames: list[Any]) -> Any:
    """What a receiver puts together from frames."""
    raw = [bytes(frame[IPv6 if IPv6 in frame else IP]) for frame in frames]
    if IP in frames[0]:
        (packet,) = defragment([IP(one) for one in raw])
        return Ether() / IP(bytes(packet))
    raw.sort(key=lambda one: int.from_bytes(one[42:44], "big") & 0xFFF8)
    carried = b"".join(one[48:] for one in raw)
    head = raw[0][:4] + len(carried).to_bytes(2, "big") + raw[0][40:41] + raw[0][7:40]
    return Ether(dst="02:00:00:00:00:02") / IPv6(head + carried)


class Lab:
    """A tracker that translates; `send` gives the words of all frames, and those that went on as they are by then."""

    def __init__(self, nat: str, **options: Any) -> None:
        self.ct = Conntrack(1000, now_ms=1000, **options)
        self.nat = Nat.parse(nat)
        self.sent: list[Packets] = []

    def send(self, frames: list[Any], **options: Any) -> tuple[set[str], list[Any]]:
        packets = Packets.of([bytes(frame) for frame in frames]).copy()
        self.sent += [packets.slice(i, i + 1) for i in range(len(packets))]
        rows = self.ct.track(packets, 1000, nat=self.nat, **options)
        gone = [Ether(self.sent[int(row["about"])][0]) for row in rows if row["kind"] == 0]
        return {states_text(int(row["state"])) for row in rows if row["kind"] == 0}, gone


def udp(src: Any, dst: Any, body: bytes = BODY, **fields: Any) -> Any:
    ip = IPv6 if ":" in src[0] else IP
    return ip(src=src[0], dst=dst[0]) / UDP(sport=src[1], dport=dst[1], **fields) / Raw(body)


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("what", ["src", "dst", "both"])
def test_addresses_of_all_and_ports_of_the_first_are_translated_both_ways(what: str, ipv6: bool, order: int) -> None:
    client, server, public, real = (CLIENT6, SERVER6, PUBLIC6, REAL6) if ipv6 else (CLIENT, SERVER, PUBLIC, REAL)
    parts = {"src": f"src=[{public}]:6000", "dst": f"dst=[{real}]:8080"}
    text = ",".join(parts.values()) if what == "both" else parts[what]
    lab = Lab(text if ipv6 else text.replace("[", "").replace("]", ""))
    frames = cut(udp((client, 1000), (server, 53)))
    assert len(frames) == 3
    words, gone = lab.send(frames[::order])
    assert words == {{"src": "new|trk|snat", "dst": "new|trk|dnat", "both": "new|trk|snat|dnat"}[what]}
    there = (public, 6000) if what != "dst" else (client, 1000), (real, 8080) if what != "src" else (server, 53)
    assert [frame[IPv6 if ipv6 else IP].src for frame in gone] == [there[0][0]] * 3
    seen = whole(gone)
    assert ends(seen) == there
    assert bytes(seen) == right(seen)
    assert bytes(seen[UDP].payload) == BODY
    # each frame is what it was but for addresses, ports and checksums
    for came, went in zip(frames, gone, strict=True):
        assert (len(came), bytes(came)[:14]) == (len(went), bytes(went)[:14])
        if not ipv6:
            assert (went[IP].id, went[IP].flags, went[IP].frag) == (came[IP].id, came[IP].flags, came[IP].frag)
            assert bytes(went[IP])[:20] == bytes(IP(bytes(right_header(went))))[:20]
    words, back = lab.send(cut(udp(there[1], there[0]))[::order])
    assert words == {{"src": "est|rpl|trk|dnat", "dst": "est|rpl|trk|snat", "both": "est|rpl|trk|snat|dnat"}[what]}
    seen = whole(back)
    assert ends(seen) == ((server, 53), (client, 1000))
    assert bytes(seen) == right(seen)
    assert lab.ct.count == 1


def right_header(frame: Any) -> bytes:
    """The IPv4 packet of a frame with the header's checksum made anew."""
    ip = frame[IP].copy()
    del ip.chksum
    return bytes(ip)


def test_a_fragmented_echo_keeps_its_checksum_right_when_its_identifier_changes() -> None:
    lab = Lab(f"src={PUBLIC}")
    lab.send(cut(IP(src="10.0.0.9", dst=SERVER) / ICMP(id=7) / Raw(BODY)))
    words, gone = lab.send(cut(IP(src=CLIENT, dst=SERVER) / ICMP(id=7) / Raw(BODY)))
    seen = whole(gone)
    assert words == {"new|trk|snat"}
    assert ends(seen)[0] == (PUBLIC, 8)
    assert bytes(seen) == right(seen)


def test_a_udp_datagram_without_checksum_stays_without() -> None:
    _, gone = Lab(f"src={PUBLIC}:6000").send(cut(udp((CLIENT, 1000), (SERVER, 53), chksum=0)))
    seen = whole(gone)
    assert (seen[UDP].chksum, ends(seen)[0]) == (0, (PUBLIC, 6000))


def test_a_transport_header_behind_headers_that_fill_the_first_fragment() -> None:
    """The ports lie in the second fragment, where they are translated too."""
    padding = [PadN(optdata=bytes(250)) for _ in range(6)]
    packet = IPv6(src=CLIENT6, dst=SERVER6) / IPv6ExtHdrDestOpt(options=padding) / UDP(sport=1000, dport=53) / Raw(BODY)
    frames = cut(packet)
    assert UDP not in frames[0]
    words, gone = Lab(f"src=[{PUBLIC6}]:6000").send(frames)
    assert words == {"new|trk|snat"}
    assert (6000).to_bytes(2, "big") + (53).to_bytes(2, "big") in bytes(gone[1])
    source = bytes(gone[0][IPv6])[8:24]
    assert all(bytes(frame[IPv6])[8:24] == source for frame in gone)
    assert bytes(whole(gone)) == right(whole(gone))


def test_behind_a_vlan_tag() -> None:
    frames = [Ether(bytes(Ether() / Dot1Q(vlan=5) / frame[IP])) for frame in cut(udp((CLIENT, 1000), (SERVER, 53)))]
    _, gone = Lab(f"src={PUBLIC}:6000").send(frames)
    assert [frame[Dot1Q].vlan for frame in gone] == [5, 5, 5]
    assert ends(whole(gone))[0] == (PUBLIC, 6000)


def test_a_datagram_over_several_calls_is_rewritten_in_each_of_them() -> None:
    lab = Lab(f"src={PUBLIC}:6000")
    frames = cut(udp((CLIENT, 1000), (SERVER, 53)))
    assert [lab.send([frame])[1] for frame in frames[:2]] == [[], []]
    assert lab.ct.n_borrowed == 2
    _, gone = lab.send(frames[2:])
    assert ends(whole(gone))[0] == (PUBLIC, 6000)
    assert lab.ct.n_borrowed == 0


def test_fragments_stay_as_they_are_where_nothing_is_translated() -> None:
    lab = Lab("")
    frames = cut(udp((CLIENT, 1000), (SERVER, 53)))
    words, gone = lab.send(frames)
    assert words == {"new|trk"}
    assert [bytes(frame) for frame in gone] == [bytes(frame) for frame in frames]


def test_a_range_that_is_used_up_makes_all_of_a_datagram_invalid() -> None:
    lab = Lab(f"src={PUBLIC}:6000")
    lab.send(cut(udp((CLIENT, 1000), (SERVER, 53))))
    words, gone = lab.send(cut(udp(("10.0.0.9", 1000), (SERVER, 53))))
    assert words == {"inv|trk"}
    assert [frame[IP].src for frame in gone] == ["10.0.0.9"] * 3


def test_an_icmp_error_in_fragments_is_translated_with_what_it_carries() -> None:
    lab = Lab(f"src={PUBLIC}:6000")
    _, gone = lab.send([Ether() / udp((CLIENT, 1000), (SERVER, 53), BODY[:2000])])
    error = IP(src="203.0.113.7", dst=PUBLIC) / ICMP(type=3, code=1) / Raw(bytes(gone[0][IP]))
    words, back = lab.send(cut(error))
    assert words == {"rel|rpl|trk|dnat"}
    seen = IP(bytes(whole(back)[IP]))
    assert (seen.dst, seen[ICMP].payload.src) == (CLIENT, CLIENT)
    inner = IP(bytes(seen[ICMP].payload))
    assert bytes(Ether() / inner) == right(Ether() / inner)


@pytest.mark.parametrize(("public", "shown"), [("192.0.2.1", True), (PUBLIC, False)])
def test_an_ftp_line_in_fragments_is_rewritten_where_its_length_stays(public: str, shown: bool) -> None:
    """A datagram put together cannot grow: it is forwarded as it came, and the connection is expected all the same."""
    lab = Lab(f"src={public}")
    client = "10.10.0.1" if shown else "10.100.0.11"
    there = IP(src=client, dst=SERVER)
    lab.send([Ether() / there / TCP(sport=2000, dport=21)], helper="ftp")
    answer = TCP(sport=21, dport=2000, flags="SA", ack=1)
    lab.send([Ether() / IP(src=SERVER, dst=public) / answer], helper="ftp")
    line = f"PORT {client.replace('.', ',')},19,137\r\n".encode()
    body = line + b"NOOP " + b"x" * 2500 + b"\r\n"
    segment = TCP(sport=2000, dport=21, flags="PA", seq=1, ack=1)
    words, gone = lab.send(cut(there / segment / Raw(body)), helper="ftp")
    seen = whole(gone)
    assert words == {"est|trk|snat"}
    assert bytes(seen) == right(seen)
    address = public if shown else client
    assert bytes(seen[TCP].payload).startswith(f"PORT {address.replace('.', ',')},".encode())
    assert len(bytes(seen[TCP].payload)) == len(body)
    assert lab.ct.counters().no_room == (0 if shown else 1)
    words, back = lab.send([Ether() / IP(src=SERVER, dst=public) / TCP(sport=20, dport=19 * 256 + 137, flags="S")])
    assert (words, back[0][IP].dst) == ({"new|rel|trk|dnat"}, client)


def test_packets_that_cannot_be_written_to_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written to"):
        Conntrack(10).track(Packets.of([bytes(60)]), nat=Nat.parse(f"src={PUBLIC}"))
