"""Windows read back from the NIC's context, contexts that check windows, and what the NIC counted."""

from __future__ import annotations

import errno

import pytest
from conntrack_lab import FAR, ContextProvider, NicPeers, OffloadLab
from conntrack_packets import CLIENT, SERVER, udp, wscale

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import OpType

ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 4, 7, 9, 10
NO, YES = 0, 2
WINDOW = 8192


@pytest.fixture
def lab() -> OffloadLab:
    return OffloadLab(ContextProvider())


@pytest.fixture(params=[0, 7], ids=["unscaled", "scaled"])
def peers(lab: OffloadLab, request: pytest.FixtureRequest) -> NicPeers:
    made = NicPeers(lab, options=wscale(request.param) if request.param else b"")
    made.installed()
    return made


def counters(peers: NicPeers) -> tuple[int, int, int]:
    c = peers.tracker.ct.counters()
    return c.windows_read, c.windows_refused, c.windows_overtaken


def beyond(peers: NicPeers) -> int:
    """A sequence that no window reaches."""
    return peers.seq[0] + (65535 << peers.scale()) + 100_000


# --- windows go on ---


def test_after_a_fin_windows_go_on_without_a_gap(peers: NicPeers) -> None:
    peers.carried()
    assert peers.send(0, "FA") == "est|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    peers.tracker.step()
    assert peers.tracker.provider.seen(peers.conn_id())[-2:] == ["WINDOW", "DEL"]
    assert peers.tcp_states() == (CLOSING, ESTABLISHED)
    assert peers.send(1, "PA", b"y" * 1000) == "est|rpl|trk"
    assert peers.tcp_states() == (FIN_WAIT_2, ESTABLISHED)
    assert peers.send(0, "A") == "est|trk"
    assert peers.send(1, "A", b"y", seq=peers.seq[1] - 9_000_000) == "inv|trk"
    assert peers.send(1, "A", b"y", seq=peers.seq[1] + 9_000_000) == "inv|trk"
    assert peers.send(1, "FA") == "est|rpl|trk"
    assert peers.send(0, "A") == "est|trk"
    assert peers.tcp_states() == (FIN_WAIT_2, FIN_WAIT_2)
    assert counters(peers) == (1, 0, 0)


def test_without_the_read_the_same_packets_are_excused_until_it_is_relearnt(peers: NicPeers) -> None:
    peers.carried()
    peers.tracker.provider.windows.clear()
    peers.send(0, "FA")
    peers.tracker.step()
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.send(1, "A", b"y", seq=peers.seq[1] - 9_000_000) == "est|rpl|trk"
    assert counters(peers) == (0, 0, 0)


def test_from_its_first_packet_on_a_side_is_judged(peers: NicPeers) -> None:
    peers.carried()
    peers.send(0, "S", seq=77)
    peers.tracker.step()
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"
    assert peers.send(0, "A", b"x", seq=peers.seq[0] - FAR) == "inv|trk"
    assert peers.send(0, "A", b"x", seq=beyond(peers)) == "inv|trk"
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"


@pytest.mark.parametrize("off", [-20_000_000, 20_000_000])
def test_a_window_that_could_be_but_is_not_is_relearnt(peers: NicPeers, off: int) -> None:
    """A context that strangers led astray, in both directions."""
    peers.carried()
    conn_id = peers.conn_id()
    peers.tracker.provider.windows[conn_id] = tuple(
        ((lo + off) % 2**32, (hi + off) % 2**32, win) for lo, hi, win in peers.tracker.provider.windows[conn_id]
    )
    peers.send(0, "S", seq=77)
    peers.tracker.step()
    for _ in range(3):
        assert peers.send(0, "PA", b"x" * 100) == "est|trk"
        assert peers.send(1, "PA", b"y" * 100) == "est|rpl|trk"
    assert counters(peers) == (1, 0, 1)
    assert peers.send(0, "A", b"x", seq=peers.seq[0] - FAR) == "inv|trk"


def test_a_window_is_taken_over_across_the_wrap_of_sequence_numbers(lab: OffloadLab) -> None:
    peers = NicPeers(lab, isn=(2**32 - 1000, 2**31), options=wscale(7))
    peers.installed()
    peers.carried(3_000_000_000)
    peers.send(0, "FA")
    lab.step()
    assert peers.tcp_states() == (CLOSING, ESTABLISHED)
    assert peers.send(1, "A") == "est|rpl|trk"


def test_while_the_rules_are_still_in_the_window_that_was_read_moves_on(peers: NicPeers) -> None:
    """Between the answer and the end of the removal software sees packets: inside they count, a reset ends it."""
    lab = peers.tracker
    peers.carried()
    lab.provider.answer_later(OpType.DEL)
    peers.send(0, "S", seq=77)
    lab.step()
    assert lab.provider.seen(peers.conn_id())[-1] == "DEL"
    assert peers.send(0, "PA", b"x" * 500) == "est|trk"
    assert peers.send(1, "PA", b"x" * 500) == "est|rpl|trk"
    lab.provider.complete()
    lab.step()
    assert peers.send(1, "R") == "est|rpl|trk"
    assert peers.tcp_states() == (TIME_WAIT, TIME_WAIT)
    assert counters(peers) == (1, 0, 0)


def test_what_the_nic_carried_after_the_read_has_the_window_relearnt(peers: NicPeers) -> None:
    lab = peers.tracker
    peers.carried()
    peers.send(0, "S", seq=77)
    lab.step()
    for who in (0, 1):
        peers.past_software(who, 7_000_000)  # between the read and the end of the rules
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"
    assert counters(peers) == (1, 0, 1)
    assert peers.send(1, "A") == "est|rpl|trk"
    peers.send(1, "PA", b"y" * 100)
    assert peers.send(0, "A") == "est|trk"
    assert peers.send(0, "A", b"x", seq=peers.seq[0] - 9_000_000) == "inv|trk"
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"


def test_one_that_was_overtaken_while_the_rules_were_in_is_relearnt(peers: NicPeers) -> None:
    lab = peers.tracker
    peers.carried()
    lab.provider.answer_later(OpType.DEL)
    peers.send(0, "S", seq=77)
    lab.step()
    peers.past_software(0, 7_000_000)
    peers.send(0, "PA", b"x" * 100)
    assert counters(peers) == (1, 0, 1)
    lab.provider.complete()
    lab.step()
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"


def test_once_both_sides_fitted_a_jump_ahead_is_invalid(peers: NicPeers) -> None:
    peers.carried()
    peers.send(0, "S", seq=77)
    peers.tracker.step()
    peers.send(0, "PA", b"x" * 100)
    peers.send(1, "PA", b"x" * 100)
    assert peers.send(0, "A", b"x", seq=beyond(peers)) == "inv|trk"
    assert counters(peers) == (1, 0, 0)


def test_it_goes_in_again_with_the_window_that_was_read(peers: NicPeers) -> None:
    lab = peers.tracker
    peers.carried()
    peers.send(0, "S", seq=77)
    lab.step()
    lab.wait(3)
    for who in (0, 1, 0):
        peers.send(who, "PA", b"x" * 10)
    lab.step()
    assert peers.offload() == (YES, Reason.NONE)
    peers.carried()
    peers.send(0, "FA")
    lab.step()
    assert peers.tcp_states() == (CLOSING, ESTABLISHED)
    assert counters(peers) == (2, 0, 0)


def test_no_data_for_last_used_reads_the_window_as_well(peers: NicPeers) -> None:
    lab = peers.tracker
    lab.provider.last_used.clear()
    peers.carried()
    lab.wait(86_401)
    for _ in range(3):
        lab.sweep()
        lab.wait(1.1)
    lab.step()
    assert peers.offload() == (NO, Reason.NO_LAST_USED)
    assert peers.send(0, "PA", b"x") == "est|trk"
    assert counters(peers) == (1, 0, 0)


@pytest.mark.parametrize("end", ["flush", "expire"])
def test_a_connection_that_ends_is_not_read(peers: NicPeers, end: str) -> None:
    lab = peers.tracker
    peers.carried()
    conn_id = peers.conn_id()
    if end == "flush":
        lab.ct.flush()
    else:
        lab.wait(86_401)
        lab.used(conn_id, seconds_ago=86_401)
        lab.sweep()
    lab.step()
    assert lab.ct.count == 0
    assert "WINDOW" not in lab.provider.seen(conn_id)
    assert lab.provider.held == {}


# --- resets ---


def test_a_reset_that_the_read_confirms_closes(peers: NicPeers) -> None:
    peers.carried()
    lab = peers.tracker
    assert peers.send(1, "RA") == "est|rpl|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.left_s() == 900
    lab.step()
    assert peers.tcp_states() == (TIME_WAIT, TIME_WAIT)
    assert peers.left_s() == 30
    assert lab.ct.counters().confirmed_rst == 1
    lab.wait(30.2)
    assert lab.sweep() == 0
    assert lab.ct.counters().closed == 1


def test_a_reset_that_the_read_disproves_changes_nothing(peers: NicPeers) -> None:
    peers.carried()
    peers.send(0, "R", seq=peers.seq[0] - 20_000)
    assert peers.left_s() == 900
    peers.tracker.step()
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.left_s() == 86_400
    assert peers.tracker.ct.counters().confirmed_rst == 0
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"


def test_without_a_read_the_cut_stays(peers: NicPeers) -> None:
    peers.carried()
    peers.tracker.provider.answer(OpType.WINDOW, errno.ENODATA)
    peers.send(1, "R")
    peers.tracker.step()
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.left_s() == 900


def test_a_confirmed_reset_is_an_event(lab: OffloadLab) -> None:
    peers = NicPeers(lab)
    peers.installed()
    peers.carried()
    lab.ct.events()
    peers.send(0, "R")
    lab.step()
    update, returned = lab.ct.events()
    assert (update["kind"], update["tcp_state"].tolist()) == (2, [TIME_WAIT, TIME_WAIT])
    assert (returned["kind"], returned["reason"]) == (5, Reason.CLOSING)


def test_a_fin_beyond_the_window_that_was_read_waits_for_its_acknowledgement(peers: NicPeers) -> None:
    peers.carried()
    peers.send(0, "FA", seq=beyond(peers))
    peers.tracker.step()
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.send(1, "PA", b"y" * 10) == "est|rpl|trk"


# --- lies and lateness ---


def test_a_window_this_connection_cannot_have_is_refused(lab: OffloadLab) -> None:
    """Without scaling nobody is allowed 100,000 bytes ahead; for some other connection it could be."""
    peers = NicPeers(lab)
    peers.installed()
    peers.carried()
    before = peers.row()
    lab.provider.windows[peers.conn_id()] = ((1, 100_001, WINDOW), (1, 2, WINDOW))
    peers.send(0, "S", seq=77)
    lab.step()
    assert counters(peers) == (0, 1, 0)
    assert peers.tcp_states() == tuple(before["tcp_state"].tolist())
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"  # relearnt, as without a read


def test_a_read_that_comes_after_the_tuple_was_used_again_hits_nobody(peers: NicPeers) -> None:
    lab = peers.tracker
    peers.carried()
    old = peers.conn_id()
    lab.provider.answer_later(OpType.WINDOW)
    peers.send(0, "S", seq=77)
    lab.step()
    lab.ct.flush()
    peers.seq = [900_000, 800_000]
    assert peers.handshake() == ["new|trk", "est|rpl|trk", "est|trk"]
    new = peers.conn_id()
    assert new != old
    lab.provider.complete()
    lab.step(8)
    assert counters(peers) == (0, 0, 0)
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"
    assert set(lab.provider.held) == {new}


def test_over_the_budget_windows_are_relearnt(lab: OffloadLab) -> None:
    lab.layer.window_reads_per_s = 1
    everyone = [NicPeers(lab, sport=40_000 + i) for i in range(4)]
    for one in everyone:
        one.installed()
        one.carried()
    for one in everyone:
        one.send(0, "FA")
    lab.step()
    assert sorted(one.tcp_states()[0] for one in everyone) == [ESTABLISHED] * 3 + [CLOSING]
    for one in everyone:
        assert one.send(1, "A") == "est|rpl|trk"
        assert one.tcp_states() == (FIN_WAIT_2, ESTABLISHED)


# --- contexts that check windows ---


@pytest.fixture
def strict(lab: OffloadLab) -> NicPeers:
    lab.ct.strict_windows = True
    made = NicPeers(lab, options=wscale(7))
    made.installed()
    assert lab.provider.strict == [made.conn_id()]
    return made


def test_contexts_are_liberal_unless_asked_otherwise(peers: NicPeers) -> None:
    assert peers.tracker.provider.strict == []


def test_what_was_picked_up_midstream_is_never_strict(lab: OffloadLab) -> None:
    lab.ct.strict_windows = True
    peers = NicPeers(lab)
    for who in (0, 1, 0, 1):
        peers.send(who, "A")
    lab.step()
    assert peers.offload() == (YES, Reason.NONE)
    assert (lab.provider.strict, lab.provider.liberal) == ([], [peers.conn_id()])


def test_udp_is_never_strict(lab: OffloadLab) -> None:
    lab.ct.strict_windows = True
    lab(udp(CLIENT, 1, SERVER, 2), udp(SERVER, 2, CLIENT, 1))
    lab.step()
    assert (lab.provider.strict, len(lab.provider.liberal)) == ([], 1)


def test_where_sequence_numbers_are_not_judged_nothing_is_strict(lab: OffloadLab) -> None:
    lab.ct.strict_windows, lab.ct.tcp_liberal = True, True
    NicPeers(lab).installed()
    assert lab.provider.strict == []


def test_the_first_packet_the_nic_refuses_makes_it_liberal(strict: NicPeers) -> None:
    lab = strict.tracker
    strict.carried()
    assert strict.send(0, "A", b"x", seq=strict.seq[0] + 9_000_000) == "est|trk"
    lab.step(8)
    conn_id = strict.conn_id()
    assert lab.provider.seen(conn_id) == ["ADD", "EST", "WINDOW", "DEL", "ADD", "EST"]
    assert (lab.provider.strict, lab.provider.liberal) == ([conn_id], [conn_id])
    assert strict.offload() == (YES, Reason.NONE)
    assert lab.ct.counters().made_liberal == 1
    strict.carried()
    strict.send(0, "A", b"x", seq=strict.seq[0] + 9_000_000)
    lab.step(8)
    assert lab.provider.seen(conn_id)[-1] == "EST"
    assert lab.ct.counters().made_liberal == 1


def test_the_reason_while_it_is_out(strict: NicPeers) -> None:
    lab = strict.tracker
    strict.carried()
    lab.provider.answer_later(OpType.ADD)
    strict.send(0, "A", b"x", seq=strict.seq[0] + 9_000_000)
    lab.provider.answer_later(OpType.DEL)
    lab.step()
    assert strict.offload()[1] == Reason.BACK_OFF
    lab.provider.answer_later()
    lab.provider.complete()
    lab.step(8)
    assert strict.offload() == (YES, Reason.NONE)


def test_it_stays_liberal_when_it_goes_in_again(strict: NicPeers) -> None:
    lab = strict.tracker
    strict.carried()
    strict.send(0, "A", b"x", seq=strict.seq[0] + 9_000_000)
    lab.step(8)
    strict.carried()
    strict.send(0, "S", seq=77)
    lab.step()
    lab.wait(3)
    for who in (0, 1, 0):
        strict.send(who, "PA", b"x" * 10)
    lab.step(8)
    assert strict.offload() == (YES, Reason.NONE)
    assert lab.provider.strict == [strict.conn_id()]
    assert lab.provider.liberal == [strict.conn_id()] * 2


def test_packets_that_were_under_way_make_nothing_liberal(strict: NicPeers) -> None:
    lab = strict.tracker
    for who in (0, 1, 0):
        assert "est" in strict.send(who, "PA", b"x" * 10)
    lab.step()
    assert lab.ct.counters().made_liberal == 0
    lab.wait(2)
    strict.send(0, "PA", b"x" * 10)  # inside for software, but who sent it here?
    lab.step(8)
    assert lab.ct.counters().made_liberal == 1
    assert strict.offload() == (YES, Reason.NONE)


@pytest.mark.parametrize("flags", ["FA", "R", "S"])
def test_what_opens_or_closes_makes_nothing_liberal(strict: NicPeers, flags: str) -> None:
    strict.carried()
    strict.send(0, flags)
    strict.tracker.step()
    assert strict.tracker.ct.counters().made_liberal == 0
    assert strict.offload() == (NO, Reason.CLOSING)


def test_a_close_on_the_way_to_liberal_keeps_it_out(strict: NicPeers) -> None:
    lab = strict.tracker
    strict.carried()
    lab.provider.answer_later(OpType.DEL)
    strict.send(0, "A", b"x", seq=strict.seq[0] + 9_000_000)
    lab.step()
    strict.followed()
    strict.send(0, "FA")
    lab.provider.answer_later()
    lab.provider.complete()
    lab.step(8)
    assert strict.offload()[0] == NO
    assert lab.provider.seen(strict.conn_id())[-1] == "DEL"


def test_a_liberal_context_is_left_alone(peers: NicPeers) -> None:
    peers.carried()
    peers.tracker.wait(5)
    peers.send(0, "A", b"x", seq=peers.seq[0] + 9_000_000)
    peers.send(0, "PA", b"x")
    peers.tracker.step()
    assert peers.offload() == (YES, Reason.NONE)
    assert peers.tracker.ct.counters().made_liberal == 0


# --- what the NIC counted ---


def test_what_the_nic_forwarded_counts_as_the_connections(peers: NicPeers) -> None:
    lab = peers.tracker
    before = peers.row()
    lab.provider.forwarded[peers.conn_id()] = ((100, 150_000), (50, 3_000))
    peers.carried()
    peers.send(0, "S", seq=77)
    lab.step()
    after = peers.row()
    assert (after["packets"] - before["packets"]).tolist() == [101, 50]
    assert (after["bytes"] - before["bytes"]).tolist() == [150_054, 3_000]
    assert lab.ct.counters().nic_packets == (100, 50)
    assert lab.ct.counters().nic_bytes == (150_000, 3_000)


def test_the_last_event_of_an_idle_connection_has_what_the_last_query_told(peers: NicPeers) -> None:
    lab = peers.tracker
    conn_id = peers.conn_id()
    lab.provider.forwarded[conn_id] = ((9, 900), (8, 800))
    lab.wait(86_401)
    lab.used(conn_id, seconds_ago=86_401)
    assert lab.sweep() == 0
    event = lab.ct.events()[-1]
    assert event["kind"] == 3
    assert event["packets"].tolist() == [2 + 9, 1 + 8]


def test_what_is_told_of_an_ended_connection_counts_in_all(peers: NicPeers) -> None:
    lab = peers.tracker
    lab.provider.forwarded[peers.conn_id()] = ((9, 900), (8, 800))
    lab.ct.flush()
    lab.step()
    assert lab.ct.counters().nic_packets == (9, 8)
    assert peers.handshake()[0] == "new|trk"
    assert peers.row()["packets"].tolist() == [2, 1]
