"""Connections that meet the offload layer: when they go in, what software still judges, how they come out and end."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from conntrack_lab import OffloadLab, OffloadPeers
from conntrack_packets import CLIENT, SERVER, TCP, UDP, udp

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import Event, OpType
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.providers.recording import RecordingProvider

ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 4, 7, 9, 10
NO, PENDING, YES = 0, 1, 2
ASK, ANSWER = udp(CLIENT, 1000, SERVER, 53), udp(SERVER, 53, CLIENT, 1000)


@pytest.fixture
def lab() -> OffloadLab:
    return OffloadLab()


@pytest.fixture
def peers(lab: OffloadLab) -> OffloadPeers:
    return OffloadPeers(lab)


def offload_of(lab: OffloadLab) -> tuple[int, Reason]:
    row = lab.ct.connections()[0]
    return int(row["offload"]), Reason(int(row["reason"]))


# --- going in ---


def test_tcp_is_added_at_commit_and_installed_after_the_third_packet(peers: OffloadPeers) -> None:
    lab = peers.tracker
    seen = []
    for who, flags in ((0, "S"), (1, "SA"), (0, "A"), (0, "A")):
        peers.send(who, flags)
        lab.step()
        seen.append(lab.provider.seen(peers.conn_id()))
    assert seen == [["ADD"], ["ADD"], ["ADD", "EST"], ["ADD", "EST"]]
    assert peers.offload() == (YES, Reason.NONE)


def test_one_that_is_out_of_hardware_always_says_why(peers: OffloadPeers) -> None:
    """What its slot said of an earlier connection is not its own; neither has one a reason that was never offered."""
    lab = peers.tracker
    peers.send(0, "S")
    lab.step()
    assert peers.offload() == (NO, Reason.NOT_ESTABLISHED)
    peers.send(1, "SA")
    peers.send(0, "A")
    peers.send(0, "FA")
    lab.step()
    assert peers.offload() == (NO, Reason.CLOSING)
    lab.ct.flush()
    lab.step()
    lab.layer.force_enable(False)
    lab(ASK)
    lab.step()
    assert offload_of(lab) == (NO, Reason.DISABLED)
    lab.layer.force_enable()
    lab.ct.expire(lab.now_ms)
    lab.step()
    assert offload_of(lab) == (NO, Reason.NOT_ESTABLISHED)


def test_establish_at_reply_installs_at_the_syn_ack() -> None:
    lab = OffloadLab(establish_at_reply=True)
    lab.layer.set_eligibility(Eligibility(needs_handshake=False))
    peers = OffloadPeers(lab)
    peers.send(0, "S")
    peers.send(1, "SA")
    lab.step()
    assert lab.provider.seen(peers.conn_id()) == ["ADD", "EST"]


def test_udp_is_installed_at_its_first_reply(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ASK)
    lab.step()
    assert lab.provider.seen(conn_id) == ["ADD"]
    lab(ANSWER)
    lab.step()
    assert lab.provider.seen(conn_id) == ["ADD", "EST"]
    lab(ANSWER, ASK)
    lab.step()
    assert lab.provider.seen(conn_id) == ["ADD", "EST"]


def test_every_connection_has_a_reason_from_its_first_packet_on(lab: OffloadLab) -> None:
    lab(ASK)
    assert offload_of(lab) == (NO, Reason.NOT_ESTABLISHED)
    lab.provider.answer_later(OpType.ADD)
    lab.step()
    assert offload_of(lab) == (PENDING, Reason.NOT_ESTABLISHED)
    lab.provider.answer_later()
    lab.provider.complete()
    lab.step()
    assert offload_of(lab) == (NO, Reason.NOT_ESTABLISHED)
    lab(ANSWER)
    assert offload_of(lab) == (PENDING, Reason.NONE)
    lab.step()
    assert offload_of(lab) == (YES, Reason.NONE)


def test_what_began_while_the_switch_was_off_says_so_and_nothing_of_an_earlier_connection() -> None:
    lab = OffloadLab(enabled=False)
    lab(ASK)
    assert offload_of(lab) == (NO, Reason.DISABLED)
    lab(ANSWER)
    lab.layer.set_global_cfg({"hw-offload": "true"})
    lab.ct.expire(lab.now_ms)
    assert offload_of(lab)[0] == PENDING
    lab.step()
    assert offload_of(lab) == (YES, Reason.NONE)
    lab.ct.flush()
    lab.step()
    lab.ct.expire(lab.now_ms)
    lab.layer.set_global_cfg({"hw-offload": "false"})
    lab(ASK)
    assert offload_of(lab) == (NO, Reason.DISABLED)


def test_without_an_active_provider_that_is_the_reason() -> None:
    lab = OffloadLab()
    lab.layer.set_provider_enabled(lab.provider.name, False)
    lab(ASK)
    assert offload_of(lab)[1] in (Reason.NO_PROVIDER, Reason.DISABLED)


def test_without_commit_nothing_is_offered(lab: OffloadLab) -> None:
    lab(ASK, commit=False)
    lab.step()
    assert lab.provider.log == []


def test_the_context_says_what_software_knows(lab: OffloadLab) -> None:
    contexts = []

    class Reading(RecordingProvider):
        def submit(self, ops: np.ndarray, ctx: np.ndarray) -> None:
            contexts.extend(c.copy() for op, c in zip(ops, ctx, strict=True) if op["type"] == OpType.EST)
            super().submit(ops, ctx)

    lab = OffloadLab(Reading())
    peers = OffloadPeers(lab, options=bytes([1, 3, 3, 7]))
    frames = [peers.frame(0, "S", options=peers.options)]
    lab(*frames, port=1, zone=9, mark=77, mark_mask=255, label=5 << 64 | 3, label_mask=(1 << 128) - 1)
    peers.seq[0] += 1
    lab(peers.frame(1, "SA", options=peers.options), port=2, port_generation=4, zone=9)
    peers.seq[1] += 1
    lab(peers.frame(0, "A"), port=1, zone=9)
    lab.step()
    (ctx,) = contexts
    assert (ctx["zone"], ctx["eth_type"], ctx["proto"], ctx["mark"]) == (9, 0x0800, TCP, 77)
    assert ctx["label"].tolist() == [3, 5]
    assert ctx["port"]["id"].tolist() == [1, 2]
    assert ctx["port"]["generation"].tolist() == [0, 4]
    forward, reply = ctx["tuple"]
    assert forward["src"][:4].tolist() == reply["dst"][:4].tolist() == [10, 0, 0, 1]
    assert forward["dst"][:4].tolist() == reply["src"][:4].tolist() == [10, 0, 0, 2]
    assert forward["src_port"] == reply["dst_port"] == 40000
    assert forward["dst_port"] == reply["src_port"] == 80
    assert ctx["peer"]["state"].tolist() == [ESTABLISHED, ESTABLISHED]
    assert ctx["peer"]["wscale"].tolist() == [7, 7]
    assert ctx["peer"]["has_wscale"].tolist() == [1, 1]
    assert (ctx["timeout_ms"], ctx["timeout_max_ms"]) == (86_400_000, 86_400_000)


def test_a_refused_connection_goes_on_in_software(lab: OffloadLab) -> None:
    lab.provider.answer(OpType.ADD, errno.EOPNOTSUPP, reason=Reason.PROTO)
    assert lab.states(ASK, ANSWER, ASK) == ["new|trk", "est|rpl|trk", "est|trk"]
    lab.step()
    assert offload_of(lab) == (NO, Reason.PROTO)
    lab.wait(30.1)
    assert lab.sweep() == 0


def test_connections_from_before_the_switch_are_offered_after_it() -> None:
    lab = OffloadLab(enabled=False)
    lab(ASK, ANSWER, udp(CLIENT, 7, SERVER, 8))
    lab.step()
    assert lab.provider.log == []
    lab.layer.force_enable()
    lab.sweep()
    lab.step()
    assert sorted(op.name for op, _ in lab.provider.log) == ["ADD", "ADD", "EST"]


# --- expiry ---


def test_a_connection_that_the_nic_uses_lives(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    for _ in range(20):
        lab.wait(29)
        lab.used(conn_id, seconds_ago=1)
        assert lab.sweep() == 1
    assert lab.ct.connections()[0]["conn_id"] == conn_id
    assert lab.ct.counters().queries <= 21


def test_it_ends_on_a_sample_at_or_after_last_used_plus_timeout(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.wait(25)
    lab.used(conn_id)
    last_used = lab.now_ms
    lab.wait(5.1)
    lab.used(conn_id, seconds_ago=5.1)
    assert lab.sweep() == 1
    for after_s, left in ((29.9, 1), (30.2, 0)):
        lab.now_ms = last_used + round(after_s * 1000)
        lab.provider.last_used[conn_id] = (last_used, lab.now_ms)
        assert lab.sweep() == left
    assert lab.ct.counters().expired == 1
    lab.step()
    assert lab.provider.held == {}


def test_an_old_sample_proves_nothing(lab: OffloadLab) -> None:
    """A source that is 2 s behind: the end comes 2 s later, not on a sample from before the deadline."""
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    start = lab.now_ms
    ended = None
    while ended is None:
        lab.wait(0.1)
        lab.provider.last_used[conn_id] = (start, lab.now_ms - 2000)
        if lab.sweep() == 0:
            ended = lab.now_ms - start
    assert 32_000 <= ended <= 32_200
    assert lab.ct.counters().queries == 2


def test_while_an_answer_is_awaited_lookups_find_it(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.provider.answer_later(OpType.UPD)
    lab.wait(31)
    lab.ct.expire(lab.now_ms)
    lab.step()
    verdict = lab.verdict(ASK)
    assert (verdict["state"], verdict["conn_id"]) == (0x22, conn_id)
    lab.used(conn_id, seconds_ago=31)
    lab.provider.complete()
    lab.step()
    assert lab.ct.count == 1
    assert lab.ct.counters().created == 1


def test_no_data_is_not_idle_and_three_in_a_row_take_it_out(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.wait(30.1)
    assert lab.sweep() == 1
    for _ in range(2):
        lab.wait(0.9)
        asked = lab.ct.counters().queries
        lab.sweep()
        assert lab.ct.counters().queries == asked
        lab.wait(0.2)
        assert lab.sweep() == 1
    assert lab.ct.counters().no_samples == 3
    lab.step()
    assert lab.provider.seen(conn_id)[-1] == "DEL"
    assert offload_of(lab) == (NO, Reason.NO_LAST_USED)
    assert lab(ANSWER) == "est|rpl|trk"
    lab.wait(30.2)
    assert lab.sweep() == 0


def test_one_answer_begins_the_count_anew(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    for _ in range(5):
        lab.wait(31)
        lab.provider.last_used.clear()
        lab.sweep()
        lab.wait(1.1)
        lab.sweep()
        lab.used(conn_id)
        lab.wait(1.1)
        lab.used(conn_id)
        assert lab.sweep() == 1
    assert "DEL" not in lab.provider.seen(conn_id)


def test_an_aged_hint_is_asked_about_first(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.used(conn_id)
    lab.provider.say(conn_id, Event.AGED)
    lab.step()
    assert lab.provider.seen(conn_id)[-1] == "UPD"
    assert lab.ct.count == 1


def test_lost_rules_leave_the_connection_in_software(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.wait(300)
    lab.provider.say(conn_id, Event.LOST)
    lab.step()
    assert offload_of(lab)[0] == NO
    assert lab(ASK) == "est|trk"
    lab.wait(30.1)
    assert lab.sweep() == 0


def test_a_provider_that_does_not_bypass_software_changes_nothing_of_expiry() -> None:
    lab = OffloadLab(RecordingProvider(flags=0))
    lab(ASK, ANSWER)
    lab.step()
    lab.wait(30.1)
    assert lab.sweep() == 0
    assert lab.ct.counters().queries == 0


# --- coming out ---


@pytest.mark.parametrize("flags", ["FA", "R", "S", "SA"])
def test_the_first_close_takes_both_rules_out(peers: OffloadPeers, flags: str) -> None:
    peers.installed()
    conn_id = peers.conn_id()
    peers.send(0, flags)
    lab = peers.tracker
    lab.step()
    assert lab.provider.seen(conn_id)[-1] == "DEL"
    assert peers.offload() == (NO, Reason.CLOSING)
    peers.send(0, flags)
    lab.step()
    assert lab.provider.seen(conn_id).count("DEL") == 1


def test_a_fin_before_installation_was_submitted_cancels_it(peers: OffloadPeers) -> None:
    peers.handshake()
    peers.send(0, "FA")
    peers.tracker.step()
    assert "EST" not in peers.tracker.provider.seen(peers.conn_id())


def test_flush_takes_it_out_and_its_slot_waits(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.provider.answer_later(OpType.DEL)
    lab.ct.flush()
    lab.step()
    assert lab.ct.counters().held == 1
    again = lab.verdict(ASK)["conn_id"]
    assert again & 0xFFFFFFFF != conn_id & 0xFFFFFFFF
    assert lab(ANSWER) == "est|rpl|trk"
    lab.step()
    assert lab.provider.seen(again) in (["ADD"], [])
    lab.provider.complete()
    lab.step(8)
    lab.ct.expire(lab.now_ms)
    assert lab.ct.counters().held == 0
    assert lab.provider.seen(again) == ["ADD", "EST"]


def test_a_slot_that_no_provider_holds_is_reused_at_once(lab: OffloadLab) -> None:
    lab.provider.answer(OpType.ADD, errno.EOPNOTSUPP, reason=Reason.PROTO)
    first = lab.verdict(ASK)["conn_id"]
    lab.step()
    lab.ct.flush()
    assert lab.verdict(ASK)["conn_id"] & 0xFFFFFFFF == first & 0xFFFFFFFF


def test_held_slots_that_fill_the_table_are_a_reason_of_their_own() -> None:
    lab = OffloadLab()
    lab.provider.answer_later(OpType.DEL)
    frames = [udp(CLIENT, 1 + i, SERVER, 53) for i in range(1000)]
    lab.ct.process(Packets.of(frames), lab.now_ms)
    lab.step()
    lab.ct.flush()
    lab.step()
    assert lab.ct.count == 0
    verdict = lab.verdict(ASK)
    assert (verdict["conn_id"], lab.ct.counters().refused["no-memory"]) == (0, 1)
    lab.provider.complete()
    lab.step(8)
    for _ in range(20):
        lab.ct.expire(lab.now_ms)
    assert lab.verdict(ASK)["conn_id"] != 0


# --- windows ---


def test_packets_outside_the_window_are_let_through_without_effect_while_rules_are_in(peers: OffloadPeers) -> None:
    peers.installed()
    lab = peers.tracker
    before = peers.row()
    peers.past_software(1, 10_000_000)
    lab.wait(5)
    assert peers.send(0, "A") == "est|trk"
    assert peers.send(1, "PA", b"data") == "est|rpl|trk"
    after = peers.row()
    assert after["tcp_state"].tolist() == before["tcp_state"].tolist()
    assert before["timeout_ms"] - after["timeout_ms"] == 5000
    assert lab.ct.counters().relaxed == 2


def test_without_rules_the_same_packets_are_invalid(peers: OffloadPeers) -> None:
    peers.tracker.provider.answer(OpType.ADD, errno.EOPNOTSUPP, reason=Reason.PROTO)
    peers.handshake()
    peers.tracker.step()
    peers.past_software(1, 10_000_000)
    assert peers.send(0, "A") == "inv|trk"


def test_a_rule_that_does_not_bypass_software_excuses_nothing() -> None:
    lab = OffloadLab(RecordingProvider(flags=0))
    peers = OffloadPeers(lab)
    peers.handshake()
    lab.step()
    peers.past_software(1, 10_000_000)
    assert peers.send(0, "A") == "inv|trk"


def test_illegal_flags_are_invalid_whatever_the_nic_does(peers: OffloadPeers) -> None:
    peers.installed()
    assert peers.send(0, "P", seq=1) == "inv|trk"
    assert peers.tracker.provider.seen(peers.conn_id()) == ["ADD", "EST"]


def test_a_reset_that_cannot_be_judged_changes_no_state_and_cuts_the_timeout(peers: OffloadPeers) -> None:
    peers.installed()
    peers.past_software(0, 50_000_000)
    peers.past_software(1, 50_000_000)
    assert peers.send(0, "R") == "est|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    assert peers.left_s() == 900
    peers.tracker.step()
    assert peers.offload() == (NO, Reason.CLOSING)
    assert peers.send(1, "A") == "est|rpl|trk"
    assert peers.left_s() == 86400
    assert peers.tracker.ct.counters().unconfirmed_rst == 1


def test_a_reset_that_nobody_contradicts_ends_it_after_the_cut(peers: OffloadPeers) -> None:
    peers.tracker.ct.unconfirmed_rst_ms = 10_000
    peers.installed()
    peers.past_software(0, 50_000_000)
    peers.send(0, "R")
    peers.tracker.step()
    peers.tracker.wait(10.2)
    assert peers.tracker.sweep() == 0


def test_a_reset_that_hits_closes_at_once(peers: OffloadPeers) -> None:
    peers.installed()
    assert peers.send(0, "R") == "est|trk"
    assert peers.tcp_states() == (TIME_WAIT, TIME_WAIT)
    assert peers.left_s() == 30


def test_an_unconfirmed_fin_takes_effect_when_it_is_acknowledged(peers: OffloadPeers) -> None:
    peers.installed()
    peers.past_software(1, 30_000_000)
    assert peers.send(0, "FA") == "est|trk"
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)
    peers.tracker.step()
    assert peers.send(1, "A") == "est|rpl|trk"
    assert peers.tcp_states() == (FIN_WAIT_2, ESTABLISHED)
    assert peers.left_s() == 900
    assert peers.send(1, "FA") == "est|rpl|trk"
    assert peers.send(0, "A") == "est|trk"
    assert peers.tcp_states() == (FIN_WAIT_2, FIN_WAIT_2)
    assert peers.left_s() == 30


def test_a_forged_fin_takes_no_effect(peers: OffloadPeers) -> None:
    peers.installed()
    peers.past_software(0, 1_000_000)
    peers.send(0, "FA", b"", seq=peers.seq[0] + 77_777)
    peers.tracker.step()
    peers.send(1, "A")
    assert peers.tcp_states() == (ESTABLISHED, ESTABLISHED)


def test_windows_are_learnt_anew_after_removal(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    peers.past_software(0, 40_000_000)
    peers.past_software(1, 70_000_000)
    peers.send(0, "R", seq=5)
    lab.step()
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"
    assert peers.send(0, "A", b"x", seq=peers.seq[0] + 9_000_000) == "est|trk"
    peers.send(0, "PA", b"x" * 100)
    assert peers.send(1, "A") == "est|rpl|trk"
    assert peers.send(0, "PA", b"x" * 100) == "est|trk"
    assert peers.send(1, "PA", b"y" * 100) == "est|rpl|trk"
    assert peers.send(0, "A") == "est|trk"
    assert peers.send(0, "A", b"x", seq=peers.seq[0] + 9_000_000) == "inv|trk"
    assert peers.send(1, "A", b"x", seq=peers.seq[1] - 9_000_000) == "inv|trk"
    assert peers.send(1, "PA", b"y" * 100) == "est|rpl|trk"


# --- back again ---


def transfer(peers: OffloadPeers, n: int = 3) -> None:
    for _ in range(n):
        assert peers.send(0, "PA", b"x" * 10) == "est|trk"
        assert peers.send(1, "PA", b"y" * 10) == "est|rpl|trk"


def test_a_stray_syn_lets_it_back_in_after_a_back_off_that_doubles(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    waits = []
    for _ in range(4):
        peers.send(0, "S", seq=12345)
        lab.step()
        assert peers.offload()[0] == NO
        left_at = lab.now_ms
        while peers.offload()[0] != YES:
            transfer(peers)
            lab.step()
            if peers.offload()[0] == NO:
                assert peers.offload()[1] == Reason.BACK_OFF
            lab.wait(0.1)
        waits.append(round((lab.now_ms - left_at) / 1000))
        assert lab.provider.seen(peers.conn_id())[-2:] == ["ADD", "EST"]
    assert waits == [pytest.approx(s, abs=1.1) for s in (1, 2, 4, 8)]
    assert lab.ct.counters().back_in == 4


def test_what_seemed_to_go_on_after_a_fin_and_ends_after_all_says_closing(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    peers.send(0, "FA")
    lab.step()
    for _ in range(3):
        peers.send(1, "PA", b"more")
        peers.send(0, "A")
        lab.step()
    assert peers.offload() == (NO, Reason.BACK_OFF)
    peers.send(1, "FA")
    lab.step()
    assert peers.offload() == (NO, Reason.CLOSING)


def test_a_long_half_close_is_wanted_in_again(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    peers.send(0, "FA")
    lab.step()
    for _ in range(30):
        assert peers.send(1, "PA", b"y" * 100) == "est|rpl|trk"
        assert peers.send(0, "A") == "est|trk"
        lab.step()
        lab.wait(0.1)
    assert peers.tcp_states() == (FIN_WAIT_2, ESTABLISHED)
    assert lab.ct.counters().back_in == 1
    peers.send(1, "FA")
    lab.step()
    assert peers.offload() == (NO, Reason.CLOSING)


def test_a_closed_connection_never_goes_in_again(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    peers.send(0, "R")
    for _ in range(50):
        peers.send(0, "A")
        peers.send(1, "A")
        lab.step()
        lab.wait(0.1)
    assert peers.offload()[0] == NO


# --- no duplicate, no revival ---


def test_a_reused_tuple_gets_its_new_connection_at_once(peers: OffloadPeers) -> None:
    lab = peers.tracker
    peers.installed()
    old = peers.conn_id()
    lab.provider.answer_later(OpType.DEL)
    peers.send(0, "R")
    lab.step()
    peers.seq = [900_000, 800_000]
    assert peers.handshake() == ["new|trk", "est|rpl|trk", "est|trk"]
    new = peers.conn_id()
    assert new != old
    lab.step()
    assert "EST" not in lab.provider.seen(new)
    lab.provider.complete()
    lab.step(8)
    assert lab.provider.seen(new)[-1] == "EST"
    assert set(lab.provider.held) == {new}
    assert lab.account_closes()


def test_a_late_sample_does_not_revive(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.provider.answer_later(OpType.UPD)
    lab.wait(31)
    lab.ct.expire(lab.now_ms)
    lab.step()
    assert lab.ct.flush_tuple(CLIENT, SERVER, UDP, 1000, 53)
    lab.used(conn_id)
    lab.provider.complete()
    lab.step(8)
    assert lab.ct.count == 0
    assert lab(ASK) == "new|trk"
    assert lab.ct.count == 1


def test_force_ends_what_is_in_hardware(lab: OffloadLab) -> None:
    conn_id = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    assert lab(ANSWER, force=True) == "new|trk"
    lab.step()
    assert lab.provider.seen(conn_id)[-1] == "DEL"
    assert lab.ct.count == 1


def test_events_say_where_a_connection_is(lab: OffloadLab) -> None:
    lab(ASK, ANSWER)
    lab.step()
    lab(ASK)
    lab.ct.flush()
    assert lab.ct.events()["offload"].tolist()[-1] == YES


def test_a_closed_tracker_leaves_nothing_in_hardware(lab: OffloadLab) -> None:
    lab(ASK, ANSWER)
    lab.step()
    assert len(lab.provider.installed) == 1
    lab.ct.close()
    for _ in range(8):
        lab.layer.step(lab.now_ms)
    assert lab.provider.held == {}


def test_a_forgotten_tracker_leaves_nothing_in_hardware() -> None:
    lab = OffloadLab()
    lab(ASK, ANSWER)
    lab.step()
    layer, provider = lab.layer, lab.provider
    del lab
    for step in range(8):
        layer.step(2_000_000 + step)
    assert provider.held == {}


def test_the_layer_knows_how_many_packets_software_saw() -> None:
    lab = OffloadLab()
    lab.layer.set_eligibility(Eligibility(min_packets=6))
    conn_id = lab.verdict(ASK)["conn_id"]
    seen = []
    for _ in range(4):
        lab(ANSWER, ASK)
        lab.step()
        seen.append("EST" in lab.provider.seen(conn_id))
        lab.wait(1)
    assert seen == [False, False, True, True]


def test_a_connection_that_policy_kept_out_is_offered_again_when_policy_changes(lab: OffloadLab) -> None:
    lab.layer.set_eligibility(Eligibility(protocols=frozenset({TCP})))
    lab(ASK, ANSWER)
    lab.sweep()
    lab.step()
    assert offload_of(lab)[0] == NO
    lab.layer.set_eligibility(Eligibility())
    lab.sweep()
    lab.step()
    assert offload_of(lab)[0] == YES
