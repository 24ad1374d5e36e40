"""What the Open vSwitch series tests, and each of its known defects: end to end, tracker over layer over provider.

The table in docs/series.md leads from there to here.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conntrack_lab import OffloadLab
from conntrack_packets import CLIENT, SERVER, UDP, Peers, Tracker, udp

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import Conntrack
from ctoffload_dpdk.offload import Batch, DpifOffloadClass, OffloadLayer, Port
from ctoffload_dpdk.offload._batch import Batch as Operations
from ctoffload_dpdk.offload._testprovider import CompiledProvider
from ctoffload_dpdk.offload.contract import CTX, Event, OpType, make_id
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.providers.dummy import DummyProvider
from ctoffload_dpdk.providers.recording import RecordingProvider

ASK, ANSWER = udp(CLIENT, 1000, SERVER, 53), udp(SERVER, 53, CLIENT, 1000)
CONN = make_id(255, 1, 0)


def context() -> np.ndarray[tuple[()], np.dtype[np.void]]:
    row = np.zeros((), CTX)
    row["proto"], row["eth_type"], row["port"]["id"] = UDP, 0x0800, (1, 2)
    return row


class Switch(Tracker):
    """A tracker over a layer with the dummy, which a dpif-offload class of that name makes available."""

    def __init__(self, *, at_reply: bool = False) -> None:
        self.dummy = DummyProvider()
        self.layer = OffloadLayer()
        self.layer.add_builtin("dummy", lambda: self.dummy)
        self.layer.class_register(Every())
        self.ports = [self.layer.port_add(name) for name in ("p1", "p2")]
        self.layer.set_eligibility(Eligibility(needs_handshake=not at_reply))
        super().__init__(Conntrack(1000, layer=self.layer, now_ms=1_000_000, establish_at_reply=at_reply))

    def enable(self) -> None:
        self.layer.set_global_cfg({"hw-offload": "true"})

    def arrive(self, who: int, frame: bytes) -> str:
        """A frame arrives on p1 (0) or p2 (1), and the layer takes its turns."""
        state = self(frame, port=self.ports[who].id, port_generation=self.ports[who].generation)
        self.step()
        return state

    def step(self, n: int = 4) -> None:
        self.ct.advance(self.now_ms)
        for _ in range(n):
            self.layer.step(self.now_ms)

    def conn_id(self) -> int:
        return int(self.ct.connections()[0]["conn_id"])


class Every(DpifOffloadClass):
    """Uses every port."""

    name = "dummy"

    def port_add(self, port: Port, name: str) -> bool:
        return True


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    made.enable()
    yield made
    made.ct.close()
    made.layer.close()
    assert len(made.dummy) == 0


@pytest.fixture
def layer() -> Iterator[OffloadLayer]:
    made = OffloadLayer()
    made.force_enable()
    yield made
    made.close()


class Handshake(Peers):
    """TCP peers on the ports of a switch."""

    tracker: Switch

    def send(self, who: int, flags: str, data: bytes = b"", **fields: object) -> str:
        state = self.tracker.arrive(who, self.frame(who, flags, data, **fields))
        self.seq[who] += len(data) + ("S" in flags) + ("F" in flags)
        return state


# --- the unit tests of the series ---


def test_add_hook(layer: OffloadLayer) -> None:
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    layer.conn_add(CONN, context())
    assert (dummy.n_added, dummy.contains(CONN)) == (1, True)


def test_del_hook(layer: OffloadLayer) -> None:
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    layer.conn_add(CONN, context())
    layer.conn_del(CONN)
    assert (dummy.n_added, dummy.n_deleted, dummy.contains(CONN)) == (1, 1, False)


def test_update_hook(layer: OffloadLayer) -> None:
    """Asked once per question; a use is told only where one was seen."""
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    layer.conn_add(CONN, context())
    assert layer.conn_update(CONN, 5000).error == errno.ENODATA
    dummy.set_last_used(CONN, 4000)
    assert layer.conn_update(CONN, 5000).last_used_ms == 4000
    assert dummy.n_updated == 2


def test_multiple_connections(layer: OffloadLayer) -> None:
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    conns = [make_id(255, 1, n) for n in range(4)]
    for conn in conns:
        layer.conn_add(conn, context())
    assert dummy.n_added == 4
    assert all(dummy.contains(conn) for conn in conns)


@pytest.mark.parametrize("at_reply", [False, True], ids=["handshake", "reply"])
def test_established_end_to_end(at_reply: bool) -> None:
    switch = Switch(at_reply=at_reply)
    switch.enable()
    peers = Handshake(switch)
    peers.send(0, "S")
    assert (switch.dummy.n_added, switch.dummy.n_established) == (1, 0)
    assert switch.dummy.contains(switch.conn_id())
    peers.send(1, "SA")
    assert switch.dummy.n_established == at_reply
    peers.send(0, "A")
    assert switch.dummy.n_established == 1
    assert switch.dummy.is_bidirectional(switch.conn_id())
    peers.send(1, "A")
    peers.send(0, "A")
    assert switch.dummy.n_established == 1
    switch.ct.close()
    switch.layer.close()


def test_established_fires_exactly_once(layer: OffloadLayer) -> None:
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    layer.conn_add(CONN, context())
    assert (layer.is_offloaded(CONN), layer.is_established(CONN)) == (True, False)
    assert layer.conn_established(CONN, context())
    assert (dummy.n_established, layer.is_established(CONN), dummy.is_bidirectional(CONN)) == (1, True, True)
    assert layer.conn_established(CONN, context()).error == errno.EALREADY
    assert dummy.n_established == 1


def test_per_connection_state_starts_at_slot_0_and_ends_with_the_shard() -> None:
    """In place of the slots for private data: state lies beside the connection, one line per slot, to the last one."""
    lab = OffloadLab()
    ids = [lab.verdict(udp(CLIENT, 1000 + n, SERVER, 53))["conn_id"] for n in range(3)]
    lab.step()
    assert sorted(lab.provider.held) == sorted(ids)
    assert len({conn & 0xFFFFFFFF for conn in ids}) == 3


def test_the_end_of_a_tracker_takes_each_connection_out_once() -> None:
    switch = Switch()
    switch.enable()
    switch.arrive(0, ASK)
    switch.ct.close()
    switch.layer.close()
    assert (switch.dummy.n_added, switch.dummy.n_deleted, len(switch.dummy)) == (1, 1, 0)


# --- the integration test of the series ---


def test_one_packet_through_the_switch_is_one_addition_and_a_flush_one_removal(switch: Switch) -> None:
    switch.arrive(0, ASK)
    assert (switch.dummy.n_added, switch.dummy.n_deleted) == (1, 0)
    switch.ct.flush()
    switch.step()
    assert (switch.dummy.n_added, switch.dummy.n_deleted) == (1, 1)


# --- the defects of the series ---


def test_d1_hw_offload_alone_registers_no_dummy() -> None:
    layer = OffloadLayer()
    layer.class_register(Every())
    layer.set_global_cfg({"hw-offload": "true"})
    assert layer.providers() == []


@pytest.mark.parametrize("why", ["no provider", "says no", "no single members"])
def test_d2_who_nobody_took_is_not_offloaded(layer: OffloadLayer, why: str) -> None:
    if why == "says no":
        refusing = RecordingProvider()
        refusing.answer(OpType.ADD, errno.EPERM)
        layer.register(refusing, activate=True)
    elif why == "no single members":

        class Deaf(DummyProvider):
            def submit(self, ops: Batch, contexts: Batch) -> None:
                pass

        layer.register(Deaf, activate=True)
    assert not layer.conn_add(CONN, context())
    assert not layer.is_offloaded(CONN)


def test_d2_a_window_is_still_checked_then() -> None:
    lab = OffloadLab()
    lab.provider.answer(OpType.ADD, errno.EPERM)
    peers = Peers(lab)
    peers.handshake()
    lab.step()
    assert peers.send(0, "PA", b"x", seq=peers.seq[0] + 10_000_000) == "inv|trk"


def test_d3_a_connection_ends_by_its_last_use_whoever_answers(switch: Switch) -> None:
    switch.arrive(0, ASK)
    switch.arrive(1, ANSWER)
    switch.dummy.set_last_used(switch.conn_id(), switch.now_ms)
    for _ in range(60):
        switch.wait(1)
        switch.step(1)
        switch.ct.expire(switch.now_ms)
    assert switch.ct.count == 0
    assert len(switch.dummy) == 0


def test_d4_a_connection_that_awaits_an_answer_is_found_and_not_doubled() -> None:
    lab = OffloadLab()
    conn = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.provider.answer_later(OpType.UPD)
    lab.wait(31)
    lab.ct.expire(lab.now_ms)
    lab.step()
    assert lab.verdict(ASK)["conn_id"] == conn
    assert lab.ct.count == 1


@pytest.mark.parametrize(("op_type", "error"), [(OpType.ADD, errno.ENOSPC), (OpType.EST, errno.EINVAL)])
def test_d5_what_a_native_batch_answers_is_the_result(layer: OffloadLayer, op_type: OpType, error: int) -> None:
    provider = RecordingProvider()
    layer.register(provider, activate=True)
    provider.answer(op_type, error)
    batch = Operations()
    for kind in (OpType.ADD, OpType.EST):
        batch.add(kind, CONN, context())
    layer.submit(batch)
    assert batch.result([OpType.ADD, OpType.EST].index(op_type)).error == error
    assert not layer.is_offloaded(CONN)


def test_d5_a_native_batch_answers_updates_and_single_calls(layer: OffloadLayer) -> None:
    layer.register(CompiledProvider(batch=True), activate=True)
    assert layer.conn_add(CONN, context())
    assert layer.conn_established(CONN, context())
    assert layer.can_offload(CONN, context())
    result = layer.conn_update(CONN, 9000)
    assert (result.error, result.handled_by) == (0, 1)


def test_d6_a_partial_failure_leaves_nothing(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    for provider in (a, b):
        layer.register(provider, activate=True)
    b.answer(OpType.ADD, errno.ENOSPC)
    assert layer.conn_add(CONN, context()).error == errno.ENOSPC
    assert (a.held, b.held) == ({}, {})


def test_d7_mark_and_label_are_known_when_it_is_installed() -> None:
    seen: list[tuple[int, int]] = []

    class Reading(RecordingProvider):
        def submit(self, ops: Batch, contexts: Batch) -> None:
            seen.extend((int(c["mark"]), int(c["label"][0])) for o, c in zip(ops, contexts, strict=True) if o["ctx"])
            super().submit(ops, contexts)

    lab = OffloadLab(Reading())
    action = {"mark": 0x17, "mark_mask": 0xFFFFFFFF, "label": 0x29, "label_mask": (1 << 128) - 1}
    lab(ASK, **action)
    lab(ANSWER, **action)
    lab.step()
    assert set(seen) == {(0x17, 0x29)}
    assert len(seen) == 2


def test_d8_state_has_one_writer_while_workers_run() -> None:
    """Workers answer in threads of their own; the shard alone changes what a connection is."""
    lab = OffloadLab(enabled=True)
    lab.layer.start()
    for n in range(500):
        lab.verdict(udp(CLIENT, 1000 + n, SERVER, 53))
        lab.verdict(udp(SERVER, 53, CLIENT, 1000 + n))
        lab.layer.turn(lab.now_ms)
    lab.layer.drive(
        lambda: lab.layer.turn(lab.now_ms) >= 0 and len(lab.provider.installed) == 500, 20, "not all are in"
    )
    assert lab.layer.statistics().shards[0].nonsense == 0
    lab.ct.flush()
    lab.layer.drive(lambda: lab.layer.turn(lab.now_ms) >= 0 and not lab.provider.held, 20, "not all are out")
    lab.layer.stop()


def test_d9_a_port_is_a_value_that_may_be_gone(switch: Switch) -> None:
    switch.arrive(0, ASK)
    switch.arrive(1, ANSWER)
    assert len(switch.dummy) == 1
    switch.layer.port_del(switch.ports[0])
    assert len(switch.dummy) == 0
    assert switch.arrive(0, ASK) == "est|trk"
    assert Reason(int(switch.ct.connections()[0]["reason"])) == Reason.PORT_DOWN


def test_d10_a_repeated_addition_changes_nothing(layer: OffloadLayer) -> None:
    dummy = DummyProvider()
    layer.register(dummy, activate=True)
    layer.conn_add(CONN, context())
    layer.conn_established(CONN, context())
    assert layer.conn_add(CONN, context()).error == errno.EALREADY
    assert layer.is_established(CONN)
    assert (dummy.n_added, dummy.n_established) == (1, 1)


def test_d11_a_slow_provider_holds_up_neither_packets_nor_others() -> None:
    inside, go = threading.Event(), threading.Event()

    class Slow(RecordingProvider):
        def submit(self, ops: Batch, contexts: Batch) -> None:
            inside.set()
            assert go.wait(30)
            super().submit(ops, contexts)

    lab = OffloadLab(Slow("slow"))
    fast = RecordingProvider("fast")
    lab.layer.register(fast, activate=True)
    worker = threading.Thread(target=lab.layer.provider("slow").run_once, args=(lab.now_ms,))
    first = lab.verdict(ASK)["conn_id"]
    lab.layer.turn(lab.now_ms)
    worker.start()
    assert inside.wait(30)
    assert lab(ANSWER) == "est|rpl|trk"
    lab.layer.provider("fast").run_once(lab.now_ms)
    assert fast.seen(first) == ["ADD"]
    go.set()
    worker.join()
    lab.step()
    assert lab.layer.statistics().installed == 2


def test_d11_a_provider_that_calls_back_is_refused(layer: OffloadLayer) -> None:
    said: list[str] = []

    class Calling(DummyProvider):
        def conn_add(self, ops: Batch, contexts: Batch) -> None:
            try:
                layer.conn_del(CONN)
            except Exception as refused:
                said.append(str(refused))
            super().conn_add(ops, contexts)

    layer.register(Calling, activate=True)
    assert layer.conn_add(CONN, context())
    assert said
    assert "called from within a provider" in said[0]


def test_d12_after_a_flush_nothing_is_marked_and_new_connections_are_gated() -> None:
    lab = OffloadLab()
    lab.verdict(ASK)
    lab(ANSWER)
    lab.step()
    lab.layer.force_enable(False)
    lab.layer.flush()
    row = lab.ct.connections()[0]
    assert (int(row["offload"]), lab.provider.held) == (0, {})
    lab.verdict(udp(CLIENT, 2000, SERVER, 53))
    lab.step()
    assert lab.provider.held == {}


def test_d13_priority_is_the_order_in_which_providers_are_asked(layer: OffloadLayer) -> None:
    asked: list[str] = []

    class Noting(RecordingProvider):
        def submit(self, ops: Batch, contexts: Batch) -> None:
            asked.append(self.name)
            super().submit(ops, contexts)

    for name, priority in (("last", 9), ("first", -9), ("middle", 0)):
        layer.register(Noting(name, priority), activate=True)
    layer.conn_add(CONN, context())
    assert asked == ["first", "middle", "last"]


def test_d14_a_forged_reset_ends_no_offloaded_connection() -> None:
    lab = OffloadLab()
    peers = Peers(lab)
    peers.handshake()
    lab.step()
    before = peers.tcp_states()
    assert peers.send(1, "R", seq=peers.seq[1] + 1_000_000) == "est|rpl|trk"
    assert peers.tcp_states() == before


def test_d15_teardown_port_removal_events_and_statistics_exist() -> None:
    lab = OffloadLab()
    conn = lab.verdict(ASK)["conn_id"]
    lab(ANSWER)
    lab.step()
    lab.provider.say(conn, Event.LOST)
    lab.step()
    assert Reason(int(lab.ct.connections()[0]["reason"])) == Reason.PORT_DOWN
    stats = lab.layer.statistics().provider("recording")
    assert (stats.events, stats.ops["EST"].completed, stats.connections) == (1, 1, 0)
    lab.layer.unregister("recording")
    assert not lab.provider.is_initialised


def test_d16_established_is_the_whole_handshake(switch: Switch) -> None:
    peers = Handshake(switch)
    peers.send(0, "S")
    assert peers.send(1, "SA") == "est|rpl|trk"
    assert switch.dummy.n_established == 0
    peers.send(0, "A")
    assert switch.dummy.n_established == 1


# --- the page that leads here ---


def test_every_defect_has_a_test() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "series.md").read_text()
    for number in range(1, 17):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| D{number} |")]
        assert "tests/" in row


def test_every_method_the_page_names_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "series.md").read_text()
    table = page[page.index("## Functions") : page.index("## Operations")]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)\(", row.split("|")[2] if "|" in row else "")
    }
    assert len(named) > 15
    assert [
        name for name in named if not hasattr(OffloadLayer, name) and not hasattr(Operations, name) and name != "len"
    ] == []
