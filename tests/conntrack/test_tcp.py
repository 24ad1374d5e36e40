"""TCP: flags, states of both peers, windows, scaling, and how a connection begins and ends."""

from __future__ import annotations

import pytest
from conntrack_packets import CLIENT, SERVER, Peers, Tracker, tcp, wscale

from ctoffload_dpdk.conntrack import Conntrack, Refusal

CLOSED, SYN_SENT, ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 0, 2, 4, 7, 9, 10
SLACK = 65535 + 1500


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def peers(tracker: Tracker) -> Peers:
    return Peers(tracker)


@pytest.fixture
def open_peers(peers: Peers) -> Peers:
    assert peers.handshake() == ["new|trk", "est|rpl|trk", "est|trk"]
    return peers


# --- beginning ---


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ("S", "new|trk"), ("SP", "inv|trk"), ("SU", "inv|trk"), ("SF", "inv|trk"), ("SR", "inv|trk"), ("SA", "inv|trk"),
        ("A", "new|trk"), ("PA", "new|trk"), ("FA", "new|trk"), ("UA", "new|trk"), ("R", "new|trk"), ("RA", "new|trk"),
        ("", "inv|trk"), ("F", "inv|trk"), ("P", "inv|trk"), ("U", "inv|trk"), ("RF", "inv|trk"), ("RP", "inv|trk"),
        ("RU", "inv|trk"), ("SAF", "inv|trk"), ("SAR", "inv|trk"), ("FPUA", "new|trk"),
    ],
)  # fmt: skip
def test_which_flags_may_begin_a_connection(tracker: Tracker, flags: str, state: str) -> None:
    assert tracker(tcp(CLIENT, 1, SERVER, 2, flags)) == state


def test_the_handshake_is_new_then_established(peers: Peers) -> None:
    assert peers.send(0, "S") == "new|trk"
    assert peers.tcp_states() == (SYN_SENT, CLOSED)
    assert peers.send(1, "SA") == "est|rpl|trk"
    assert peers.tcp_states() == (ESTABLISHED, SYN_SENT)
    assert peers.send(0, "A") == "est|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)


def test_retransmitted_syns_are_new_until_the_answer(peers: Peers) -> None:
    syn = peers.frame(0, "S")
    assert peers.tracker.states(syn, syn, syn) == ["new|trk"] * 3
    peers.seq[0] += 1
    assert peers.send(1, "SA") == "est|rpl|trk"
    assert peers.tracker(syn) == "est|trk"


def test_a_syn_with_another_number_keeps_the_connection_new(peers: Peers) -> None:
    peers.send(0, "S")
    assert peers.tracker(peers.frame(0, "S", seq=99_999_999)) == "new|trk"
    assert peers.tracker.ct.count == 1


def test_a_syn_without_commit_leaves_nothing(peers: Peers) -> None:
    assert peers.tracker(peers.frame(0, "S"), commit=False) == "new|trk"
    assert peers.tracker.ct.count == 0


def test_simultaneous_open(peers: Peers) -> None:
    said = [peers.send(0, "S"), peers.send(1, "S")]
    said += [peers.tracker(peers.frame(0, "SA", seq=1000)), peers.tracker(peers.frame(1, "SA", seq=5000))]
    assert said == ["new|trk", "new|trk", "est|trk", "est|rpl|trk"]
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)


def test_a_connection_picked_up_mid_stream(peers: Peers) -> None:
    assert peers.send(0, "PA", b"x" * 10) == "new|trk"
    assert peers.send(0, "PA", b"x" * 10) == "est|trk"
    assert peers.send(1, "A") == "est|rpl|trk"
    assert peers.send(0, "A") == "est|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.row()["wscale"].tolist() == [0x40, 0x40]


# --- windows ---


def test_packets_far_outside_the_window_are_invalid_and_change_nothing(open_peers: Peers) -> None:
    before = open_peers.row()
    for frame in (
        open_peers.frame(0, "A", b"x", seq=open_peers.seq[0] + 100_000),
        open_peers.frame(0, "A", b"x", seq=open_peers.seq[0] - 100_000),
        open_peers.frame(0, "A", ack=open_peers.seq[1] + SLACK + 1),
        open_peers.frame(0, "A", ack=open_peers.seq[1] - SLACK - 1),
        open_peers.frame(1, "A", b"x" * 100, seq=open_peers.seq[1] + 9000),
    ):
        open_peers.tracker.wait(1)
        verdict = open_peers.tracker.verdict(frame)
        assert (verdict["state"], verdict["reason"]) == (0x30, Refusal.REFUSED_TCP_WINDOW)
        assert verdict["conn_id"] == before["conn_id"]
    after = open_peers.row()
    assert before["timeout_ms"] - after["timeout_ms"] == 5000
    assert after["packets"].tolist() == before["packets"].tolist()
    assert open_peers.send(0, "PA", b"still here") == "est|trk"


@pytest.mark.parametrize("skew", [-SLACK, -1, 0, 1, SLACK])
def test_acknowledgements_within_the_slack_are_accepted(open_peers: Peers, skew: int) -> None:
    assert open_peers.tracker(open_peers.frame(0, "A", ack=open_peers.seq[1] - skew)) == "est|trk"


def test_a_packet_without_data_may_have_any_number(open_peers: Peers) -> None:
    assert open_peers.tracker(open_peers.frame(0, "A", seq=open_peers.seq[0] + 1_000_000)) == "est|trk"


def test_data_up_to_the_announced_window_and_not_beyond(open_peers: Peers) -> None:
    assert open_peers.tracker(open_peers.frame(0, "A", b"x", seq=open_peers.seq[0] + 8191)) == "est|trk"
    assert open_peers.tracker(open_peers.frame(0, "A", b"x", seq=open_peers.seq[0] + 8192)) == "inv|trk"


def test_a_retransmission_one_window_back_and_not_further(open_peers: Peers) -> None:
    start = open_peers.seq[0]
    for _ in range(4):
        open_peers.send(0, "A", b"x" * 4000)
        open_peers.send(1, "A")
    now = start + 16000
    assert open_peers.tracker(open_peers.frame(0, "A", b"x", seq=now - 8192)) == "est|trk"
    assert open_peers.tracker(open_peers.frame(0, "A", b"x", seq=now - 8193)) == "inv|trk"


def test_numbers_wrap(tracker: Tracker) -> None:
    peers = Peers(tracker, isn=(0xFFFFFFF0, 0xFFFFFFFE))
    peers.handshake()
    for _ in range(10):
        assert peers.send(0, "PA", b"x" * 1000) == "est|trk"
        assert peers.send(1, "PA", b"y" * 500) == "est|rpl|trk"


@pytest.mark.parametrize(("shift", "beyond"), [(0, 8192), (2, 8192 << 2), (7, 8192 << 7), (14, 8192 << 14)])
def test_scales_of_both_sides_widen_the_window(tracker: Tracker, shift: int, beyond: int) -> None:
    peers = Peers(tracker, options=wscale(shift))
    peers.handshake()
    peers.send(1, "A")
    far = peers.seq[0] + beyond
    assert tracker(peers.frame(0, "A", b"x", seq=far)) == "inv|trk"
    assert tracker(peers.frame(0, "A", b"x", seq=far - 1)) == "est|trk"


def test_a_scale_of_one_side_counts_for_neither(peers: Peers) -> None:
    peers.send(0, "S", options=wscale(7))
    peers.send(1, "SA")
    peers.send(0, "A")
    assert peers.row()["wscale"].tolist() == [0, 0]
    peers.send(1, "A")
    assert peers.tracker(peers.frame(0, "A", b"x", seq=peers.seq[0] + 8192)) == "inv|trk"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (wscale(3), 0x83),
        (wscale(15), 0x8E),
        (wscale(200), 0x8E),
        (bytes([2, 4, 5, 180]) + wscale(5), 0x85),
        (wscale(5) + wscale(6), 0x86),
        (bytes([0, 3, 3, 5]), 0),
        (bytes([8, 0, 3, 3, 5, 0, 0, 0]), 0x85),
        (bytes([2, 255, 0, 0]) + wscale(5), 0),
        (bytes([1, 1, 3, 3]), 0),
        (b"", 0),
    ],
)
def test_the_scale_option_is_found(tracker: Tracker, options: bytes, found: int) -> None:
    peers = Peers(tracker)
    peers.send(0, "S", options=options)
    assert int(peers.row()["wscale"][0]) == found


def test_a_window_that_ovs_loses_in_16_bits_is_kept(tracker: Tracker) -> None:
    """65535 announced under a scale that the other side does not know: OVS's record of it becomes 0."""

    def far(compat: bool) -> str:
        peers = Peers(Tracker(ovs_compat=compat))
        peers.send(0, "S", options=wscale(7), win=65535)
        peers.send(1, "SA")
        peers.send(0, "A", win=100)
        return peers.tracker(peers.frame(1, "A", b"x" * 20, seq=peers.seq[1] - 2000))

    assert far(compat=False) == "est|rpl|trk"
    assert far(compat=True) == "inv|trk"


def test_a_liberal_tracker_takes_any_number(open_peers: Peers) -> None:
    open_peers.tracker.ct.tcp_liberal = True
    assert open_peers.tracker(open_peers.frame(0, "A", b"x", seq=open_peers.seq[0] + 10**9)) == "est|trk"


# --- ends ---


def test_a_clean_close(open_peers: Peers) -> None:
    assert open_peers.send(0, "FA") == "est|trk"
    assert (open_peers.tcp_states(), open_peers.left_s()) == ((CLOSING, ESTABLISHED), 900)
    assert open_peers.send(1, "A") == "est|rpl|trk"
    assert (open_peers.tcp_states(), open_peers.left_s()) == ((FIN_WAIT_2, ESTABLISHED), 900)
    assert open_peers.send(1, "FA") == "est|rpl|trk"
    assert (open_peers.tcp_states(), open_peers.left_s()) == ((FIN_WAIT_2, CLOSING), 45)
    assert open_peers.send(0, "A") == "est|trk"
    assert (open_peers.tcp_states(), open_peers.left_s()) == ((FIN_WAIT_2, FIN_WAIT_2), 30)


@pytest.mark.parametrize(
    ("off", "state"),
    [(0, "est|trk"), (1, "est|trk"), (-1, "est|trk"), (2, "inv|trk"), (-2, "inv|trk"), (100, "inv|trk")],
)
def test_a_reset_has_to_hit_give_or_take_one(open_peers: Peers, off: int, state: str) -> None:
    open_peers.send(0, "PA", b"data")
    assert open_peers.tracker(open_peers.frame(0, "R", seq=open_peers.seq[0] + off)) == state
    closed = state == "est|trk"
    assert open_peers.tcp_states() == ((TIME_WAIT, TIME_WAIT) if closed else (ESTABLISHED, ESTABLISHED))
    assert open_peers.left_s() == (30 if closed else 86400)


def test_a_reset_that_acknowledges_nothing_answers_a_syn(peers: Peers) -> None:
    peers.send(0, "S")
    assert peers.tracker(peers.frame(1, "RA", seq=0, ack=1001)) == "est|rpl|trk"
    assert peers.tcp_states() == (TIME_WAIT, TIME_WAIT)


def test_packets_after_a_reset_are_still_of_the_connection(open_peers: Peers) -> None:
    open_peers.send(0, "R")
    assert open_peers.send(0, "A") == "est|trk"
    assert open_peers.send(1, "A") == "est|rpl|trk"


def test_near_packets_are_accepted_after_a_reset_without_refreshing(open_peers: Peers) -> None:
    open_peers.send(0, "R")
    open_peers.tracker.wait(10)
    near = open_peers.frame(1, "A", b"x", seq=open_peers.seq[1] + 8192 + 60_000)
    assert open_peers.tracker(near) == "est|rpl|trk"
    assert open_peers.left_s() == 20
    far = open_peers.frame(1, "A", b"x", seq=open_peers.seq[1] + 8192 + 200_000)
    assert open_peers.tracker(far) == "inv|trk"


def test_a_syn_on_a_closed_connection_begins_another(open_peers: Peers) -> None:
    first = int(open_peers.row()["conn_id"])
    open_peers.send(0, "R")
    assert open_peers.tracker(open_peers.frame(0, "S", seq=77)) == "new|trk"
    assert int(open_peers.row()["conn_id"]) != first
    counters = open_peers.tracker.ct.counters()
    assert (counters.created, counters.live, counters.replaced) == (2, 1, 1)


def test_a_syn_of_the_other_side_on_a_closed_connection_turns_it_round(open_peers: Peers) -> None:
    open_peers.send(0, "R")
    assert open_peers.tracker(open_peers.frame(1, "S", seq=77)) == "new|trk"
    assert open_peers.tracker(open_peers.frame(0, "SA", seq=1, ack=78)) == "est|rpl|trk"


def test_a_syn_without_commit_on_a_closed_connection_ends_it(open_peers: Peers) -> None:
    open_peers.send(0, "R")
    assert open_peers.tracker(open_peers.frame(0, "S", seq=77), commit=False) == "new|trk"
    assert open_peers.tracker.ct.count == 0
    assert open_peers.tracker.ct.counters().closed == 1


def test_a_syn_on_an_open_connection_changes_nothing(open_peers: Peers) -> None:
    assert open_peers.tracker(open_peers.frame(0, "S", seq=5_000_000)) == "inv|trk"
    assert open_peers.tcp_states() == (ESTABLISHED, ESTABLISHED)


@pytest.mark.parametrize("family", [4, 6])
def test_port_reuse_in_one_burst(family: int) -> None:
    """Handshake, reset, and the next connection of the same ports, all in one burst of 32."""
    tracker = Tracker()
    peers = Peers(tracker, family=family)
    frames = []
    for _ in range(4):
        frames += [peers.frame(0, "S"), peers.frame(1, "SA", ack=peers.seq[0] + 1)]
        frames += [peers.frame(0, "A", seq=peers.seq[0] + 1, ack=peers.seq[1] + 1)]
        frames += [peers.frame(0, "R", seq=peers.seq[0] + 1)]
        peers.seq[0] += 100_000
        peers.seq[1] += 100_000
    said = tracker.states(*frames)
    assert said == ["new|trk", "est|rpl|trk", "est|trk", "est|trk"] * 4
    assert tracker.ct.count == 1
    assert tracker.account_closes()


# --- timeouts ---


def test_timeouts_of_an_opening_connection(peers: Peers) -> None:
    peers.send(0, "S")
    assert peers.left_s() == 30
    peers.tracker.wait(20)
    peers.send(1, "SA")
    assert peers.left_s() == 30
    peers.send(0, "A")
    assert peers.left_s() == 86400


def test_an_unanswered_syn_is_gone_after_30_s(peers: Peers) -> None:
    peers.send(0, "S")
    peers.tracker.wait(30)
    assert peers.send(1, "SA") == "inv|trk"
    assert peers.tracker.expire() == 0
    assert peers.tracker.ct.counters().expired == 1


def test_a_connection_that_times_out_after_its_close_counts_as_closed(open_peers: Peers) -> None:
    open_peers.send(0, "R")
    open_peers.tracker.wait(30.1)
    assert open_peers.tracker.expire() == 0
    counters = open_peers.tracker.ct.counters()
    assert (counters.closed, counters.expired) == (1, 0)


def test_the_engine_gives_the_same_answers_over_ipv6() -> None:
    peers = Peers(Tracker(), family=6)
    assert peers.handshake() == ["new|trk", "est|rpl|trk", "est|trk"]
    assert peers.send(0, "FA") == "est|trk"
    assert peers.send(1, "FA") == "est|rpl|trk"
    assert peers.send(0, "A") == "est|trk"
    assert peers.tcp_states() == (FIN_WAIT_2, FIN_WAIT_2)


def test_the_same_packet_in_another_zone_is_another_connection(peers: Peers) -> None:
    peers.handshake()
    assert peers.tracker(peers.frame(0, "A"), zone=5) == "new|trk"
    assert peers.tracker.ct.count == 2
    assert isinstance(peers.tracker.ct, Conntrack)
