# ruff: noqa: PLR0917 - fields of a header, in their order
"""Fragments: which are taken, which datagrams become whole, and what becomes of those that do not."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from conntrack_packets import (
    CLIENT,
    CLIENT6,
    GRE,
    ICMP,
    SERVER,
    SERVER6,
    UDP,
    Tracker,
    ether,
    icmp_l4,
    ipv4,
    ipv6,
    udp,
    udp_l4,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import states_text

FIRST, MORE, LAST = 0x2000, 0x2000, 0
WORDS = {1: "held", 2: "dropped", 3: "evicted"}


class FragmentTracker(Tracker):
    """Gives (packet, about, word) per line; `whole` gives the words alone."""

    def lines(self, *frames: bytes, **action: object) -> list[tuple[int, int, str]]:
        base = self.ct.n_tracked
        rows = self.ct.track(Packets.of(frames), self.now_ms, **action)
        return [
            (int(r["number"]), int(r["about"]) - base, WORDS.get(int(r["kind"]), states_text(int(r["state"]))))
            for r in rows
        ]

    def words(self, *frames: bytes, **action: object) -> list[str]:
        return [word for _, _, word in self.lines(*frames, **action)]


@pytest.fixture
def tracker() -> FragmentTracker:
    return FragmentTracker()


def v4(payload: bytes, offset: int, more: bool, ident: int = 1, proto: int = UDP, **fields: object) -> bytes:
    return ether(
        ipv4(CLIENT, SERVER, proto, payload, fragment=offset // 8 | (0x2000 if more else 0), ident=ident, **fields)
    )


def v6(payload: bytes, offset: int, more: bool, ident: int = 1, next_header: int = UDP, before: bytes = b"") -> bytes:
    header = struct.pack("!BBHI", next_header, 0, offset | more, ident)
    first = 44 if not before else 60
    return ether(ipv6(CLIENT6, SERVER6, UDP, payload, first=first, extensions=before + header))


def cut(l4: bytes, make: object, sizes: Sequence[int], **fields: object) -> list[bytes]:
    """A datagram in fragments of these payload sizes, the rest in the last."""
    frames, at = [], 0
    for size in sizes:
        frames.append(make(l4[at : at + size], at, True, **fields))
        at += size
    return [*frames, make(l4[at:], at, False, **fields)]


def datagram(n_bytes: int = 3000, sport: int = 1000) -> bytes:
    return udp_l4(CLIENT, sport, SERVER, 53, bytes(n_bytes - 8))


def datagram6(n_bytes: int = 3000) -> bytes:
    return udp_l4(CLIENT6, 1000, SERVER6, 53, bytes(n_bytes - 8))


# --- whole datagrams ---


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_datagram_is_judged_when_its_last_missing_fragment_comes(
    tracker: FragmentTracker, order: tuple[int, ...]
) -> None:
    frames = cut(datagram(), v4, [1200, 1200])
    lines = tracker.lines(*(frames[i] for i in order))
    assert lines[:2] == [(0, 0, "held"), (1, 1, "held")]
    assert [line[0] for line in lines[2:]] == [2, 2, 2]
    assert [order[about] for _, about, _ in lines[2:]] == [0, 1, 2]
    assert {word for _, _, word in lines[2:]} == {"new|trk"}
    assert tracker.ct.count == 1
    assert tracker.ct.fragments()["v4_completed"] == 3
    assert tracker.ct.fragments()["held"] == 0


def test_a_reply_in_fragments_establishes(tracker: FragmentTracker) -> None:
    tracker(udp(CLIENT, 1000, SERVER, 53))
    reply = udp_l4(SERVER, 53, CLIENT, 1000, bytes(2000))
    frames = [
        ether(ipv4(SERVER, CLIENT, UDP, reply[:1200], fragment=0x2000)),
        ether(ipv4(SERVER, CLIENT, UDP, reply[1200:], fragment=150)),
    ]
    assert tracker.words(*frames) == ["held", "est|rpl|trk", "est|rpl|trk"]


def test_ipv6(tracker: FragmentTracker) -> None:
    assert tracker.words(*cut(datagram6(4000), v6, [1400, 1400])) == ["held", "held", "new|trk", "new|trk", "new|trk"]
    assert tracker.ct.fragments()["v6_completed"] == 3


def test_a_wrong_checksum_of_the_whole_makes_all_of_it_invalid(tracker: FragmentTracker) -> None:
    frames = cut(udp_l4(CLIENT, 1, SERVER, 2, bytes(2000), checksum=7), v4, [1200])
    assert tracker.words(*frames) == ["held", "inv|trk", "inv|trk"]
    assert tracker.ct.count == 0


def test_an_echo_in_fragments(tracker: FragmentTracker) -> None:
    l4 = icmp_l4(8, 0, bytes(4), bytes(3000))
    assert tracker.words(*cut(l4, v4, [1480, 1200], proto=ICMP))[-3:] == ["new|trk"] * 3


def test_other_packets_go_on_while_fragments_wait(tracker: FragmentTracker) -> None:
    frames = cut(datagram(), v4, [1200, 1200])
    plain = udp(CLIENT, 7, SERVER, 8)
    said = tracker.lines(plain, frames[0], plain, plain, frames[1], frames[2], plain)
    assert [(n, w) for n, _, w in said] == [
        (0, "new|trk"), (1, "held"), (2, "new|trk"), (3, "new|trk"), (4, "held"),
        (5, "new|trk"), (5, "new|trk"), (5, "new|trk"), (6, "new|trk"),
    ]  # fmt: skip


def test_fragments_are_remembered_across_calls(tracker: FragmentTracker) -> None:
    frames = cut(datagram(), v4, [1200])
    assert tracker.lines(frames[0]) == [(0, 0, "held")]
    assert tracker.lines(frames[1]) == [(0, -1, "new|trk"), (0, 0, "new|trk")]


@pytest.mark.parametrize("zones", [(1, 2)])
def test_zones_and_identifiers_and_protocols_are_apart(tracker: FragmentTracker, zones: tuple[int, int]) -> None:
    first, last = cut(datagram(), v4, [1200])
    assert tracker.words(first, zone=zones[0]) == ["held"]
    assert tracker.words(last, zone=zones[1]) == ["held"]
    assert tracker.words(*cut(datagram(), v4, [1200], ident=2)[1:]) == ["held"]
    assert tracker.words(v4(bytes(8), 1200, False, proto=GRE)) == ["held"]
    assert tracker.words(last, zone=zones[0]) == ["new|trk", "new|trk"]


def test_a_whole_packet_with_an_atomic_header_is_no_fragment(tracker: FragmentTracker) -> None:
    assert tracker.words(v6(datagram6(100), 0, False)) == ["new|trk"]


def test_a_last_fragment_that_carries_nothing(tracker: FragmentTracker) -> None:
    full, empty = v4(datagram(1200), 0, True), v4(b"", 1200, False)
    assert tracker.words(empty, full)[-1] == "new|trk"
    assert FragmentTracker(ovs_compat=True).words(empty, full)[-1] == "new|trk"
    assert FragmentTracker(ovs_compat=False).words(full, empty)[-1] == "new|trk"


def test_the_largest_datagram(tracker: FragmentTracker) -> None:
    l4 = datagram(65515)
    assert tracker.words(*cut(l4, v4, [8000] * 8))[-9:] == ["new|trk"] * 9


def test_ovs_lets_32_fragments_go_at_a_time() -> None:
    frames = cut(datagram(40 * 1200), v4, [1200] * 39)
    plain, plain6 = udp(CLIENT, 7, SERVER, 8), udp(CLIENT6, 7, SERVER6, 8)
    after = [plain6, plain, plain]

    def numbers(compat: bool) -> list[int]:
        tracker = FragmentTracker(ovs_compat=compat)
        return [n for n, _, word in tracker.lines(*frames, *after) if word == "new|trk"]

    assert numbers(compat=False) == [39] * 40 + [40, 41, 42]
    assert numbers(compat=True) == [39] * 32 + [40] + [41] * 9 + [42]


def test_a_fragment_of_a_datagram_that_is_being_let_go_is_not_taken_by_ovs() -> None:
    frames = cut(datagram(40 * 1200), v4, [1200] * 39)
    tracker = FragmentTracker(ovs_compat=True)
    tracker.words(*frames)
    assert tracker.lines(frames[39])[0] == (0, 0, "inv|trk")
    assert tracker.ct.fragments()["held"] == 0
    assert tracker.words(frames[39]) == ["held"]


# --- refused ---


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (v4(bytes(1176), 0, True), "v4_too_small"),
        (v4(bytes(16), 1200, True), "v4_too_small"),
        (v6(bytes(1224), 0, True), "v6_too_small"),
    ],
)
def test_a_fragment_below_the_minimum_is_invalid_unless_it_is_the_last(
    tracker: FragmentTracker, frame: bytes, counter: str
) -> None:
    assert tracker.words(frame) == ["inv|trk"]
    assert tracker.ct.fragments()[counter] == 1


@pytest.mark.parametrize("frame", [v4(bytes(1184), 0, True), v6(bytes(1232), 0, True), v4(b"x", 1200, False)])
def test_a_fragment_of_the_minimum_is_held(tracker: FragmentTracker, frame: bytes) -> None:
    assert tracker.words(frame) == ["held"]


def test_padding_does_not_count(tracker: FragmentTracker) -> None:
    assert tracker.words(v4(bytes(1176), 0, True) + bytes(20)) == ["inv|trk"]
    frames = cut(datagram(1208), v4, [1200])
    assert tracker.words(frames[0], frames[1] + bytes(30)) == ["held", "new|trk", "new|trk"]


@pytest.mark.parametrize(
    "frame",
    [
        v4(bytes(1200), 0, True, bad_sum=True),
        v4(bytes(1200), 0, True, total=3000),
        v4(bytes(1200), 0, True, header_words=4),
        ether(ipv4(CLIENT, SERVER, UDP, b"", fragment=0x2000)[:19]),
    ],
)
def test_a_fragment_with_a_wrong_header_is_invalid(tracker: FragmentTracker, frame: bytes) -> None:
    assert tracker.words(frame) == ["inv|trk"]
    assert tracker.ct.fragments()["held"] == 0


@pytest.mark.parametrize("again", [(0, 1200), (8, 1200), (1192, 16), (600, 1200)])
def test_an_overlapping_fragment_is_invalid_and_the_others_stay(
    tracker: FragmentTracker, again: tuple[int, int]
) -> None:
    tracker.ct.set_fragments(4, min_size=400)
    first, last = cut(datagram(), v4, [1200])
    offset, size = again
    overlapping = v4(bytes(size), offset, size >= 400)
    assert tracker.words(first, overlapping, last) == ["held", "inv|trk", "new|trk", "new|trk"]
    assert tracker.ct.fragments()["v4_overlapped"] == 1


def test_a_fragment_that_holds_another_is_an_overlap_and_only_ovs_misses_it() -> None:
    inner, outer = v4(bytes(1200), 2400, True), v4(bytes(4000), 1200, True)
    assert FragmentTracker(ovs_compat=False).words(inner, outer) == ["held", "inv|trk"]
    assert FragmentTracker(ovs_compat=True).words(inner, outer) == ["held", "held"]


def test_only_ovs_takes_a_fragment_in_the_middle_for_the_last() -> None:
    l4 = datagram(2408)
    odd = [v4(l4[1208:], 1208, True), v4(l4[1200:1208], 1200, False), v4(l4[:1200], 0, True)]
    for compat, word in ((True, "new|trk"), (False, "held")):
        assert FragmentTracker(ovs_compat=compat).words(*odd)[-1] == word


def test_a_header_behind_the_ipv6_fragment_header_becomes_whole_except_in_ovs() -> None:
    options = bytes([UDP, 0]) + bytes(6)
    frames = cut(options + datagram6(4000), v6, [1400, 1400], next_header=60)
    assert FragmentTracker(ovs_compat=False).words(*frames)[-3:] == ["new|trk"] * 3
    assert FragmentTracker(ovs_compat=True).words(*frames) == ["held"] * 3


def test_headers_before_the_ipv6_fragment_header(tracker: FragmentTracker) -> None:
    frames = cut(datagram6(4000), v6, [1400, 1400], before=bytes([44, 0]) + bytes(6))
    assert tracker.words(*frames)[-3:] == ["new|trk"] * 3


def test_a_datagram_that_is_too_long_never_becomes_whole(tracker: FragmentTracker) -> None:
    frames = [v4(bytes(32768), 0, True), v4(bytes(32760), 32768, False)]
    assert tracker.words(*frames) == ["held", "held"]
    assert tracker.words(v4(bytes(8), 65528, False)) == ["inv|trk"]
    assert tracker.ct.fragments()["held"] == 2


def test_the_ethernet_header_counts_only_for_ovs() -> None:
    frames = [v4(datagram(65510)[:32768], 0, True), v4(datagram(65510)[32768:], 32768, False)]
    assert FragmentTracker(ovs_compat=False).words(*frames)[-2:] == ["new|trk", "new|trk"]
    assert FragmentTracker(ovs_compat=True).words(*frames) == ["held", "held"]


def test_a_fragment_beyond_the_end_of_any_datagram_is_an_overlap_to_ovs_alone() -> None:
    first, beyond = v4(bytes(1200), 0, True), v4(bytes(64), 65520, False)
    assert FragmentTracker(ovs_compat=False).words(first, beyond) == ["held", "held"]
    assert FragmentTracker(ovs_compat=True).words(first, beyond) == ["held", "inv|trk"]
    assert FragmentTracker(ovs_compat=True).words(beyond) == ["held"]


# --- limits and time ---


def test_no_more_are_held_than_allowed_and_only_ovs_refuses_the_new_ones() -> None:
    frames = [v4(bytes(1200), 0, True, ident=i) for i in range(5)]
    ovs = FragmentTracker(ovs_compat=True)
    ovs.ct.set_fragments(4, max_held=3)
    assert ovs.words(*frames) == ["held"] * 3 + ["inv|trk"] * 2
    assert ovs.words(v6(bytes(1400), 8, True)) == ["inv|trk"]
    assert (ovs.ct.fragments()["v4_refused"], ovs.ct.fragments()["v6_refused"]) == (2, 1)
    ours = FragmentTracker()
    ours.ct.set_fragments(4, max_held=3)
    assert ours.lines(*frames[:4])[3:] == [(3, 0, "evicted"), (3, 3, "held")]
    assert ours.words(v6(bytes(1400), 8, True)) == ["evicted", "held"]
    status = ours.ct.fragments()
    assert (status["held"], status["v4_evicted"], status["v4_refused"]) == (3, 2, 0)


def test_whole_datagrams_get_through_a_flood_of_first_fragments(tracker: FragmentTracker) -> None:
    flood = iter(v4(bytes(1200), 0, True, ident=i) for i in range(100, 3000))
    for ident in range(20):
        first, last = cut(datagram(sport=1 + ident), v4, [1200], ident=ident)
        assert tracker.words(first)[-1] == "held"
        tracker.words(*(next(flood) for _ in range(100)))
        assert tracker.words(last)[-2:] == ["new|trk", "new|trk"]
    assert tracker.ct.fragments()["held"] == 998


def test_a_datagram_makes_no_room_for_itself(tracker: FragmentTracker) -> None:
    tracker.ct.set_fragments(4, max_held=2)
    frames = cut(datagram(5000), v4, [1200, 1200, 1200])
    assert tracker.words(*frames) == ["held", "held", "inv|trk", "inv|trk"]
    tracker.ct.set_fragments(4, max_held=0)
    assert tracker.words(v4(bytes(1200), 0, True, ident=9)) == ["inv|trk"]


def test_a_fragment_that_is_not_taken_evicts_nobody(tracker: FragmentTracker) -> None:
    tracker.ct.set_fragments(4, max_held=2)
    first, _ = cut(datagram(), v4, [1200])
    assert tracker.words(v4(bytes(1200), 0, True, ident=9), first, first) == ["held", "held", "inv|trk"]


def test_how_long_a_datagram_waits_can_be_set(tracker: FragmentTracker) -> None:
    tracker.ct.set_fragments(4, timeout_ms=2000)
    first, last = cut(datagram(), v4, [1200])
    tracker.words(first)
    tracker.wait(2.001)
    assert tracker.words(udp(CLIENT, 7, SERVER, 8)) == ["new|trk", "dropped"]
    assert tracker.words(last) == ["held"]


def test_a_list_holds_as_many_as_a_datagram_can_have(tracker: FragmentTracker) -> None:
    tracker.ct.set_fragments(4, max_held=5000)
    frames = [v4(bytes(1200 if i % 2 else 1184), 1200 * i, True) for i in range(54)]
    assert set(tracker.words(*frames)) == {"held"}


def test_a_datagram_of_many_small_last_fragments_is_bounded_in_either_family(tracker: FragmentTracker) -> None:
    """Each of them is compared with all the others."""
    tracker.ct.set_fragments(4, max_held=5000)
    bounds = {v4: -(-(65535 - 60) // (1200 - 60)), v6: -(-(65535 - 48) // (1280 - 48))}
    for make, bound in bounds.items():
        words = tracker.words(*(make(bytes(8), 16 * i, False) for i in range(1, 200)))
        assert words == ["held"] * bound + ["inv|trk"] * (199 - bound)


def test_only_ovs_tracks_a_first_fragment_of_another_protocol_that_was_not_taken() -> None:
    for compat, word in ((True, "new|trk"), (False, "inv|trk")):
        tracker = FragmentTracker(ovs_compat=compat)
        tracker.ct.set_fragments(4, enabled=False)
        tracker.ct.set_fragments(6, enabled=False)
        assert tracker.words(v4(bytes(1200), 0, True, proto=GRE)) == [word]
        assert tracker.words(v4(datagram()[:1200], 0, True)) == ["inv|trk"]
        assert tracker.words(v4(bytes(1200), 1200, True)) == ["inv|trk"]
        assert tracker.words(v6(bytes(1400), 0, True)) == ["inv|trk"]


SMALL = 1000
# By which families are put together: a first fragment of UDP, a later one, a first one of GRE, small first ones of UDP
# and of GRE, and how many were counted as too small.
OVS_MATRIX = {
    (True, True): ("held", "held", "held", "inv|trk", "inv|trk", 2),
    (True, False): ("held", "held", "held", "inv|trk", "inv|trk", 2),
    (False, True): ("inv|trk", "inv|trk", "new|trk", "inv|trk", "inv|trk", 2),
    (False, False): ("inv|trk", "inv|trk", "new|trk", "inv|trk", "new|trk", 0),
}


@pytest.mark.parametrize("enabled", OVS_MATRIX)
def test_ovs_verdicts_by_which_families_are_put_together(enabled: tuple[bool, bool]) -> None:
    tracker = FragmentTracker(ovs_compat=True)
    tracker.ct.set_fragments(4, enabled=enabled[0])
    tracker.ct.set_fragments(6, enabled=enabled[1])
    frames = (
        v4(datagram()[:1200], 0, True, ident=1),
        v4(bytes(1200), 1200, True, ident=2),
        v4(bytes(1200), 0, True, ident=3, proto=GRE),
        v4(datagram()[:SMALL], 0, True, ident=4),
        v4(bytes(SMALL), 0, True, ident=5, proto=GRE),
    )
    said = [tracker.words(frame, zone=zone)[0] for zone, frame in enumerate(frames)]
    assert (*said, tracker.ct.fragments()["v4_too_small"]) == OVS_MATRIX[enabled]
    if not enabled[1]:
        assert tracker.words(v6(datagram6()[:1400], 0, True), v6(bytes(1400), 1400, True)) == ["inv|trk", "inv|trk"]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        # the size that counts is header and payload
        ([v4(bytes(1184), 0, True)], ["held"]),
        ([v4(bytes(1176), 0, True)], ["inv|trk"]),
        ([v6(bytes(1232), 0, True)], ["held"]),
        ([v6(bytes(1224), 0, True)], ["inv|trk"]),
        # an atomic fragment is a packet like any other
        ([v6(datagram6(100), 0, False)], ["new|trk"]),
        # a duplicate overlaps; what is held stays
        ([v4(datagram(2400)[:1200], 0, True)] * 2 + [v4(datagram(2400)[1200:], 1200, False)],
         ["held", "inv|trk", "new|trk", "new|trk"]),
        # a middle fragment whose length is no multiple of 8 leaves a gap for ever
        ([v4(datagram()[:1203], 0, True), v4(datagram()[1208:], 1208, False)], ["held", "held"]),
        # a datagram of 65528 bytes is refused, and what comes for it afterwards is not taken
        ([v4(bytes(32768), 0, True), v4(bytes(32760), 32768, False), v4(bytes(8), 8, False)],
         ["held", "held", "inv|trk"]),
        # all of a datagram has the verdict of the whole
        (cut(udp_l4(CLIENT, 1, SERVER, 2, bytes(2400), checksum=7), v4, [1200]), ["held", "inv|trk", "inv|trk"]),
        (cut(udp_l4(CLIENT, 1, SERVER, 2, bytes(2400), checksum=0), v4, [1200]), ["held", "new|trk", "new|trk"]),
        (cut(udp_l4(CLIENT6, 1, SERVER6, 2, bytes(2400), checksum=0), v6, [1400]), ["held", "inv|trk", "inv|trk"]),
        # fragments of another protocol begin a connection once they are whole
        (cut(bytes(2400), v4, [1200], proto=GRE), ["held", "new|trk", "new|trk"]),
    ],
)  # fmt: skip
def test_ovs_verdicts(frames: list[bytes], words: list[str]) -> None:
    assert FragmentTracker(ovs_compat=True).words(*frames) == words


def test_ovs_drops_one_datagram_late_and_completes_one_that_is_late_itself() -> None:
    tracker = FragmentTracker(ovs_compat=True)
    first, last = cut(datagram(), v4, [1200])
    tracker.words(first)
    tracker.wait(20)
    assert tracker.words(last) == ["new|trk", "new|trk"]
    tracker.words(first, v4(bytes(1200), 0, True, ident=2))
    tracker.wait(16)
    assert [tracker.words(udp(CLIENT, 7, SERVER, 8)).count("dropped") for _ in range(3)] == [1, 1, 0]


def test_ovs_keeps_what_is_held_when_a_family_is_turned_off() -> None:
    tracker = FragmentTracker(ovs_compat=True)
    first, last = cut(datagram(), v4, [1200])
    tracker.words(first)
    tracker.ct.set_fragments(4, enabled=False)
    assert tracker.words(last) == ["inv|trk"]
    assert tracker.ct.fragments()["held"] == 1
    tracker.ct.set_fragments(4, enabled=True)
    assert tracker.words(last) == ["new|trk", "new|trk"]


def test_a_datagram_waits_15_seconds_from_its_first_fragment(tracker: FragmentTracker) -> None:
    frames = cut(datagram(), v4, [1200, 1200])
    tracker.words(frames[0])
    tracker.wait(14)
    tracker.words(frames[1])
    tracker.wait(1)
    assert tracker.words(udp(CLIENT, 7, SERVER, 8)) == ["new|trk"]
    tracker.wait(0.001)
    assert tracker.words(udp(CLIENT, 7, SERVER, 8)) == ["new|trk", "dropped", "dropped"]
    assert tracker.words(frames[2]) == ["held"]
    assert tracker.ct.fragments()["v4_expired"] == 2


def test_a_fragment_that_comes_late_but_before_the_others_are_dropped_completes_it(tracker: FragmentTracker) -> None:
    first, last = cut(datagram(), v4, [1200])
    tracker.words(first)
    tracker.wait(60)
    assert tracker.words(last) == ["new|trk", "new|trk"]


def test_one_datagram_is_dropped_per_packet(tracker: FragmentTracker) -> None:
    tracker.words(*(v4(bytes(1200), 0, True, ident=i) for i in range(3)))
    tracker.wait(16)
    plain = udp(CLIENT, 7, SERVER, 8)
    assert [tracker.words(plain).count("dropped") for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize("values", [{"min_size": 399}, {"max_held": 5001}, {"max_held": -1}, {"timeout_ms": 0}])
def test_values_outside_the_bounds_are_refused(tracker: FragmentTracker, values: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        tracker.ct.set_fragments(4, **values)


def test_many_datagrams_at_once(tracker: FragmentTracker) -> None:
    tracker.ct.set_fragments(4, max_held=5000)
    parts = [cut(datagram(2400, sport=1 + i), v4, [1200], ident=i) for i in range(800)]
    assert set(tracker.words(*(first for first, _ in parts))) == {"held"}
    assert set(tracker.words(*(last for _, last in reversed(parts)))) == {"new|trk"}
    assert tracker.ct.count == 800
    assert tracker.ct.fragments()["held"] == 0
