"""Random operations on two flow queues that stall, are late, fail and lose results, against a simple model of them."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicsim_templates import SIZES, Bench

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.nicsim import Call

pytestmark = pytest.mark.eal

N_NUMBERS = 12
STEPS = 400


@dataclass
class Operation:
    kind: str
    rule: Rule
    user_data: int
    due_ms: int | None = None  # once pushed


@dataclass
class Rule:
    number: int
    handle: Any
    stage: str = "queued"  # live, failed, leaving, gone


@dataclass
class Queue:
    """What a flow queue is: operations that wait, and results that were not pulled."""

    waiting: list[Operation] = field(default_factory=list)
    results: list[tuple[int, bool] | None] = field(default_factory=list)  # None: one that never comes
    is_stalled: bool = False
    n_to_drop: int = 0
    n_taken: int = 0  # places that are never free again

    def is_full(self) -> bool:
        return len(self.waiting) + len(self.results) + self.n_taken >= SIZES.queue_size

    def push(self, now_ms: int, delay_ms: int) -> None:
        for operation in self.waiting:
            if operation.due_ms is None:
                operation.due_ms = now_ms + delay_ms

    def pull(self) -> list[tuple[int, bool]]:
        self.n_taken += self.results.count(None)
        told = [result for result in self.results if result is not None]
        self.results = []
        return told


class Model:
    def __init__(self) -> None:
        self.queues = [Queue(), Queue()]
        self.live: dict[int, Rule] = {}
        self.now_ms = self.delay_ms = self.n_to_fail = 0

    def execute(self, operation: Operation) -> bool:
        rule, fails = operation.rule, self.n_to_fail > 0
        self.n_to_fail -= fails
        if operation.kind == "create":
            fails = fails or rule.number in self.live
            rule.stage = "failed" if fails else "live"
            if not fails:
                self.live[rule.number] = rule
            return not fails
        is_live = self.live.get(rule.number) is rule
        if fails:
            rule.stage = "live" if is_live else "failed"
        else:
            rule.stage = "gone"
            self.live.pop(rule.number) if is_live else None
        return not fails

    def turn(self, index: int) -> None:
        queue = self.queues[index]
        while not queue.is_stalled and queue.waiting:
            due_ms = queue.waiting[0].due_ms
            if due_ms is None or due_ms > self.now_ms:
                return
            operation = queue.waiting.pop(0)
            is_done = self.execute(operation)
            is_dropped = queue.n_to_drop > 0
            queue.n_to_drop -= is_dropped
            queue.results.append(None if is_dropped else (operation.user_data, is_done))

    def turn_all(self) -> None:
        for index in range(len(self.queues)):
            self.turn(index)


class Story:
    """The same steps for the emulated NIC and for the model; what both say has to be the same."""

    def __init__(self, bench: Bench, dice: random.Random) -> None:
        self.bench, self.dice, self.model = bench, dice, Model()
        self.rules: list[Rule] = []
        self.n_operations = self.n_refused = self.n_results = 0

    def enqueue(self, kind: str, make: Any) -> Any:
        """True where it was put on the queue; both agree on whether there was room."""
        index, postpone = self.dice.randrange(2), self.dice.random() < 0.6
        queue = self.model.queues[index]
        self.n_operations += 1
        try:
            rule = make(index, postpone)
        except FlowError as error:
            assert error.errno == errno.EAGAIN and queue.is_full()
            self.n_refused += 1
            return
        assert not queue.is_full()
        queue.waiting.append(Operation(kind, rule, self.n_operations))
        if not postpone:
            queue.push(self.model.now_ms, self.model.delay_ms)
            self.model.turn(index)

    def create(self) -> None:
        number = self.dice.randrange(1, N_NUMBERS)

        def make(queue: int, postpone: bool) -> Rule:
            handle = self.bench.create(number, queue=queue, postpone=postpone, user_data=self.n_operations)
            self.rules.append(Rule(number, handle))
            return self.rules[-1]

        self.enqueue("create", make)

    def destroy(self) -> None:
        # The binding wants the result of the creation to have been pulled.
        ready = [
            r for r in self.rules if r.stage in {"live", "failed"} and (r.handle.is_confirmed or r.handle.is_failed)
        ]
        if not ready:
            return
        rule = self.dice.choice(ready)

        def make(queue: int, postpone: bool) -> Rule:
            self.bench.destroy(rule.handle, self.n_operations, queue=queue, postpone=postpone)
            rule.stage = "leaving"
            return rule

        self.enqueue("destroy", make)

    def push(self) -> None:
        index = self.dice.randrange(2)
        self.bench.port.flow_queue(index).push()
        self.model.queues[index].push(self.model.now_ms, self.model.delay_ms)
        self.model.turn(index)

    def pull(self) -> None:
        index = self.dice.randrange(2)
        self.model.turn(index)
        told = self.model.queues[index].pull()
        assert self.bench.pull(index) == told
        self.n_results += len(told)

    def advance(self) -> None:
        ms = self.dice.randrange(1, 20)
        self.model.now_ms = self.bench.nic.advance_ms(ms)
        self.model.turn_all()

    def disturb(self) -> None:
        index, nic, kind = self.dice.randrange(2), self.bench.nic, self.dice.randrange(6)
        queue = self.model.queues[index]
        if kind <= 1:
            queue.is_stalled = kind == 0
            nic.stall_queue(index, queue.is_stalled)
            self.model.turn(index)
        elif kind == 2 and self.dice.random() < 0.1 and queue.n_taken < SIZES.queue_size - 4:
            queue.n_to_drop = 1
            nic.drop_results(1, index)
        elif kind == 3:
            self.model.n_to_fail = self.dice.randrange(3)
            nic.fail_next(Call.COMPLETION, self.model.n_to_fail)
        else:
            self.model.delay_ms = self.dice.choice([0, 0, 5, 30])
            nic.delay_results(self.model.delay_ms)

    def compare(self) -> None:
        audit = self.bench.nic.flow_audit()
        assert {int(r["src_port"]) for r in self.bench.nic.rules()} == set(self.model.live)
        for queue, known in zip(audit.queues, self.model.queues, strict=True):
            assert (queue.waiting, queue.results) == (len(known.waiting), len(known.results))
            assert queue.enqueued == queue.waiting + queue.executed + queue.cancelled
            assert queue.executed == queue.results + queue.told + queue.dropped
        assert audit.tables[0].rules == sum(rule.stage != "gone" for rule in self.rules)
        books = self.bench.nic.audit().rules
        assert books.live == len(self.model.live) == books.created - books.destroyed


@pytest.mark.parametrize("seed", range(6))
def test_two_queues_do_as_the_model_does(lab: Any, seed: int) -> None:
    dice = random.Random(seed)
    story = Story(Bench(lab.host(sizes=SIZES), room=64), dice)
    steps = [story.create, story.destroy, story.push, story.pull, story.advance, story.disturb]
    for _ in range(STEPS):
        dice.choices(steps, weights=[6, 4, 3, 4, 2, 1])[0]()
        story.compare()
    assert story.n_results > 20 and story.n_refused > 0
