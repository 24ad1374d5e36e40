"""A shard and its providers against a model: random wishes, completions in any order, failures, switching.

There are two, or one to which EST adds.

What the providers hold is, at every moment, what the layer says; and when all is answered, nothing is left over.
"""

from __future__ import annotations

import errno

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from offload_lab import ADDED, INSTALLED, OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import Event, OpType, ResultFlag, id_generation, id_slot, make_id
from ctoffload_dpdk.providers.recording import Peers, RecordingProvider

SLOTS = 6
slots = st.integers(0, SLOTS - 1)
who = st.integers(0, 1)
CHANGES = (OpType.ADD, OpType.EST, OpType.DEL, OpType.WINDOW)
REASONS = (Reason.INSERT_FAILED, Reason.TABLE_FULL, Reason.PORT_DOWN)
ERRORS = (errno.EPERM, errno.EIO, errno.ENOSPC, errno.EBUSY)


def window_of(conn: int) -> Peers:
    """A window like no other connection's."""
    start = id_generation(conn) << 8 | id_slot(conn)
    return (start, start + 1000, 500), (start + 7, start + 7, 500)


class ShardAgainstModel(RuleBasedStateMachine):
    """The model: what is wanted of the connection in each slot, and which generation it is."""

    @initialize(budget=st.integers(1, 4), at_once=st.booleans())
    def build(self, budget: int, at_once: bool) -> None:
        names = "a" if at_once else "ab"
        self.providers = [RecordingProvider(name, flags=ResultFlag.BYPASS | ResultFlag.CONTEXT) for name in names]
        self.providers[0].est_adds = at_once
        self.lab = Lab(*self.providers, slots=SLOTS, budgets=(budget, budget, budget))
        self.generation = dict.fromkeys(range(SLOTS), 1)
        self.wanted = dict.fromkeys(range(SLOTS), OUT)
        self.released: list[int] = []
        self.is_on = True
        for slot in range(SLOTS):
            self.appear(slot)

    def appear(self, slot: int) -> None:
        """A live connection, with a window that is its own."""
        conn = self.lab.table.put(slot, self.generation[slot])
        for provider in self.providers:
            provider.windows[conn] = window_of(conn)

    def provider(self, p: int) -> RecordingProvider:
        return self.providers[p % len(self.providers)]

    def conn(self, slot: int) -> int:
        return make_id(0, self.generation[slot], slot)

    @rule(slot=slots, want=st.sampled_from([OUT, ADDED, INSTALLED]))
    def want(self, slot: int, want: int) -> None:
        self.lab.table.want(self.conn(slot), want)
        self.wanted[slot] = want

    @rule(slot=slots)
    def bring_back(self, slot: int) -> None:
        """Out, and its window before that."""
        self.lab.table.bring_back(self.conn(slot))
        self.wanted[slot] = OUT

    @rule(per_s=st.sampled_from([0, 1, 1000]))
    def budget(self, per_s: int) -> None:
        self.lab.layer.window_reads_per_s = per_s

    @rule(p=who, slot=slots, n=st.integers(1, 1000))
    def forward(self, p: int, slot: int, n: int) -> None:
        """Rules of a connection forward so much past software."""
        provider, conn = self.provider(p), self.conn(slot)
        if conn in provider.installed and conn not in provider.forwarded:
            provider.forwarded[conn] = ((n, 60 * n), (0, 0))

    @rule(slot=slots)
    def query(self, slot: int) -> None:
        self.lab.table.query(self.conn(slot))

    @rule(slot=slots)
    def reuse(self, slot: int) -> None:
        """The slot passes to a new connection, where the layer lets it go."""
        self.lab.table.want(self.conn(slot), OUT)
        self.wanted[slot] = OUT
        if not self.lab.table.holds(slot):
            self.generation[slot] += 1
            self.appear(slot)

    @rule(slot=slots)
    def vanish_and_return(self, slot: int) -> None:
        """Software loses the connection between wish and operation."""
        self.lab.table.drop(slot)
        self.lab.turn()
        self.lab.table.put(slot, self.generation[slot])

    @rule(p=who, kinds=st.sets(st.sampled_from([*CHANGES, OpType.UPD])))
    def answer_later(self, p: int, kinds: set[OpType]) -> None:
        self.provider(p).answer_later(*kinds)

    @rule(p=who, kind=st.sampled_from(CHANGES), error=st.sampled_from(ERRORS))
    def fail_next(self, p: int, kind: OpType, error: int) -> None:
        self.provider(p).answer(kind, error)

    @rule(p=who, kind=st.sampled_from(CHANGES))
    def raise_next(self, p: int, kind: OpType) -> None:
        self.provider(p).answer(kind, raises=RuntimeError("half-way"))

    @rule(p=who, data=st.data())
    def complete_any(self, p: int, data: st.DataObject) -> None:
        waiting = self.provider(p).waiting
        if waiting:
            index = data.draw(st.integers(0, len(waiting) - 1))
            self.provider(p).complete_at(index, data.draw(st.sampled_from([0, 0, 0, errno.EIO])))

    @rule(p=who, slot=slots, event=st.sampled_from(Event))
    def event(self, p: int, slot: int, event: Event) -> None:
        self.provider(p).say(self.conn(slot), event)

    @rule(p=who, slot=slots, error=st.sampled_from(ERRORS), reason=st.sampled_from(REASONS), n=st.integers(0, 9))
    def lose(self, p: int, slot: int, error: int, reason: Reason, n: int) -> None:
        """Rules are gone for a cause of their own, and forwarded so much before."""
        self.provider(p).lose(self.conn(slot), error, reason, ((n, 60 * n), (0, 0)))

    @rule(p=who)
    def stall(self, p: int) -> None:
        """The watch sees a call that takes too long; it ends when the worker has its next turn."""
        self.lab.table.stall(p % len(self.providers))

    @rule()
    def switch(self) -> None:
        self.is_on = not self.is_on
        self.lab.layer.force_enable(self.is_on)

    @rule()
    def turn(self) -> None:
        self.lab.turn()

    @rule()
    def work(self) -> None:
        self.lab.work()

    @rule(ms=st.integers(1, 2000))
    def step(self, ms: int) -> None:
        self.lab.step(ms=ms)

    @rule()
    def let_all_finish(self) -> None:
        """All answers come, nothing fails any more: reached is what is wanted and allowed, and nothing else is held."""
        for provider in self.providers:
            provider.answer_later()
            for script in provider._script.values():
                script.clear()
        for _ in range(60):
            for provider in self.providers:
                provider.complete()
            self.lab.step(ms=2500)
        for slot in range(SLOTS):
            reached = self.lab.table.reached(slot)
            assert not self.lab.table.pending(slot)
            assert reached in (OUT, self.lab.table.wanted(slot))
            assert reached == OUT or self.is_on
        assert self.lab.layer.is_settled()
        self.check_holdings()

    def check_holdings(self) -> None:
        assert self.lab.layer.statistics().orphans == 0
        for p, provider in enumerate(self.providers):
            said = {self.conn(slot) for slot in range(SLOTS) if self.lab.table.owners(slot) >> p & 1}
            assert set(provider.held) == said
            for conn in said:
                assert self.lab.table.handle(id_slot(conn), p) == provider.held[conn]

    @invariant()
    def what_is_held_and_not_in_motion_is_what_the_layer_says(self) -> None:
        if not hasattr(self, "lab") or self.lab.layer.stalled():
            return
        for slot in range(SLOTS):
            conn = self.conn(slot)
            owners = self.lab.table.owners(slot)
            for p, provider in enumerate(self.providers):
                in_motion = self.lab.table.pending(slot) or conn in provider.losing()
                if not in_motion and (conn in provider.held) != bool(owners >> p & 1):
                    # Only a loss that was said and not yet taken may explain it.
                    assert owners >> p & 1
                    assert provider.held.get(conn) is None

    @invariant()
    def a_slot_that_is_not_held_is_in_no_provider(self) -> None:
        if not hasattr(self, "lab") or self.lab.layer.stalled():
            return
        for provider in self.providers:
            for conn in provider.held:
                assert self.lab.table.holds(id_slot(conn)), f"{provider.name} holds {conn:#x}, the layer does not"

    @invariant()
    def a_window_is_that_of_its_connection(self) -> None:
        if hasattr(self, "lab"):
            assert all(peers == window_of(conn) for conn, peers in self.lab.table.windows)

    @invariant()
    def nobody_is_asked_twice_at_a_time(self) -> None:
        if not hasattr(self, "lab") or self.lab.layer.stalled():
            return
        for provider in self.providers:
            waiting = [one.conn_id for one in provider.waiting]
            assert len(set(waiting)) == len(waiting)

    @invariant()
    def the_counts_add_up(self) -> None:
        if not hasattr(self, "lab"):
            return
        stats = self.lab.layer.statistics()
        for p, one in enumerate(stats.providers):
            assert one.connections == sum(self.lab.table.owners(slot) >> p & 1 for slot in range(SLOTS))
            assert 0 <= one.installed <= one.connections
            outstanding = sum(queue.depth for queue in one.queues.values())
            assert sum(op.enqueued - op.completed - op.failed for op in one.ops.values()) == outstanding

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.let_all_finish()
            self.lab.layer.close()
            assert all(provider.held == {} for provider in self.providers)


TestShardAgainstModel = ShardAgainstModel.TestCase
TestShardAgainstModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
