"""The rule engine on the emulated NIC: what a NIC does with its rules, at once and through queues, is the same.

Faults are made at each rte_flow call; afterwards the NIC's audit says what the engine says.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicsim_packets import udp

from ctoffload_dpdk.base.packets import Packets

pytestmark = pytest.mark.eal

NAMES = (f"net_nicsim_engine{n}" for n in itertools.count())
BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@dataclass
class Lab:
    """A port and an engine on it; the rules drop the UDP packets of one source port and count them."""

    eal: Any
    is_async: bool
    queues: int = 1
    queue_size: int = 16
    n_made: int = 0
    ports: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from ctoffload_dpdk.dpdk import FlowSizes  # noqa: PLC0415 - only a child loads DPDK
        from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415
        from ctoffload_dpdk.providers._rte_flow_testengine import TestEngine  # noqa: PLC0415

        self.nic = Nic.create(self.eal, next(NAMES), clock="manual")
        self.port = self.eal.port(self.nic.port_id)
        self.pool = self.eal.mempool(1023, cache_size=0)
        self.port.configure()
        self.port.setup_queues(self.pool, descriptors=64)
        if self.is_async:
            self.port.configure_flow(
                FlowSizes(queues=self.queues, queue_size=self.queue_size, counters=4096, ages=0, conntracks=0)
            )
        self.port.start()
        self.engine = TestEngine(
            self.port.id, is_async=self.is_async, n_queues=self.queues, queue_size=self.queue_size, limit_ms=1000
        )

    def close(self) -> None:
        self.engine.close()
        if not self.port.is_closed:
            self.port.remove()
        self.nic.close()
        self.pool.close()

    def parts(self, sport: int) -> tuple[Any, list[Any], list[Any]]:
        from ctoffload_dpdk.dpdk import Attr, actions, items  # noqa: PLC0415

        pattern = [items.Eth(), items.Ipv4(), items.Udp(src_port=sport)]
        return Attr(ingress=True), pattern, [actions.Count(), actions.Drop()]

    def table(self, n_rules: int = 256) -> int:
        return int(self.engine.table_add(*self.parts(1), [False, True], n_rules))

    def create(self, sport: int, *, now: bool = False) -> int:
        """Asks for a rule; what the engine answers, which for a queued one that was taken is 0."""
        _, pattern, actions = self.parts(sport)
        self.ports[self.n_made] = sport
        self.n_made += 1
        return self.taken(self.engine.create(0, pattern, actions, now=now))

    def destroy(self, rule: int, *, now: bool = False) -> int:
        return self.taken(self.engine.destroy(rule, now=now))

    def taken(self, rc: int) -> int:
        assert rc != errno.EINPROGRESS or self.is_async
        return 0 if rc == errno.EINPROGRESS else rc

    def settle(self) -> list[Any]:
        self.engine.push()
        found: list[Any] = self.engine.pull()
        while more := self.engine.pull():
            found += more
        assert self.engine.n_waiting == 0
        return sorted(found, key=lambda result: result.rule)

    def there(self) -> list[int]:
        """The rules the engine has a handle of; the NIC has as many."""
        held = [rule for rule in range(self.n_made) if self.engine.holds(rule)]
        assert self.nic.audit().rules.live == len(held)
        counts = self.engine.counts
        assert counts["created"] == counts["destroyed"] + counts["lost"] + len(held)
        return held

    def is_dropped(self, sport: int) -> bool:
        self.nic.wire_send(Packets.of([bytes(udp(sport=sport))]))
        return len(self.port.rx_burst(0, 64).packets) == 0


Labs = Callable[..., Lab]


@pytest.fixture
def make_lab(eal: Any) -> Iterator[Labs]:
    from ctoffload_dpdk.nicsim import NicsimError, load  # noqa: PLC0415

    try:
        load()
    except NicsimError as error:
        pytest.skip(str(error))
    with contextlib.ExitStack() as stack:
        yield lambda is_async, **options: stack.enter_context(contextlib.closing(Lab(eal, is_async, **options)))


@BOTH
def test_a_rule_does_what_it_says_from_when_it_is_confirmed_to_when_it_left(make_lab: Labs, is_async: bool) -> None:
    lab = make_lab(is_async)
    assert lab.table() == 0
    assert [lab.create(sport) for sport in (1000, 1001)] == [0, 0]
    lab.settle()
    assert lab.there() == [0, 1]
    assert [lab.is_dropped(sport) for sport in (1000, 1001, 1002)] == [True, True, False]
    assert lab.destroy(0) == 0
    lab.settle()
    assert lab.there() == [1]
    assert [lab.is_dropped(sport) for sport in (1000, 1001)] == [False, True]
    assert lab.engine.table_remove(0) == errno.EBUSY
    assert lab.destroy(1, now=True) == 0
    assert lab.engine.table_remove(0) == 0


@BOTH
def test_more_rules_than_a_queue_has_room_for(make_lab: Labs, is_async: bool) -> None:
    lab = make_lab(is_async, queues=2, queue_size=8)
    lab.table()
    for sport in range(1000, 1200):
        while lab.create(sport) == errno.EAGAIN:
            lab.settle()
    lab.settle()
    held = lab.there()
    assert len(held) == 200
    for rule in held:
        while lab.destroy(rule) == errno.EAGAIN:
            lab.settle()
    lab.settle()
    assert lab.there() == []


@BOTH
def test_a_full_table(make_lab: Labs, is_async: bool) -> None:
    lab = make_lab(is_async)
    lab.table(3)
    assert [lab.create(sport) for sport in range(4)] == [0, 0, 0, errno.ENOSPC]
    lab.settle()
    assert lab.there() == [0, 1, 2]


@BOTH
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ENOTSUP])
def test_a_creation_that_is_refused_at_once_leaves_nothing(make_lab: Labs, is_async: bool, number: int) -> None:
    lab = make_lab(is_async)
    lab.table()
    lab.nic.fail_next("async_create" if is_async else "create", 1, number)
    assert [lab.create(sport) for sport in (1, 2)] == [number, 0]
    lab.settle()
    assert lab.there() == [1]
    assert lab.engine.counts["failed"] == 1
    assert lab.engine.table_live(0) == (1, 0)


@BOTH
def test_a_removal_that_fails_can_be_tried_again(make_lab: Labs, is_async: bool) -> None:
    lab = make_lab(is_async)
    lab.table()
    lab.create(1, now=True)
    lab.nic.fail_next("completion" if is_async else "destroy", 1, errno.EIO)
    rc = lab.destroy(0)
    found = lab.settle()
    assert [r.error for r in found] == [errno.EIO] if is_async else rc == errno.EIO
    assert lab.there() == [0]
    lab.nic.fail_next("completion" if is_async else "destroy", 1, errno.EIO)
    assert lab.destroy(0, now=True) == errno.EIO
    assert lab.there() == [0]
    assert lab.destroy(0) == 0
    lab.settle()
    assert lab.there() == []


@BOTH
def test_a_port_that_was_pulled_out(make_lab: Labs, is_async: bool) -> None:
    lab = make_lab(is_async)
    lab.table()
    lab.create(1, now=True)
    lab.engine.port_gone()
    assert lab.engine.counts["lost"] == 1
    assert lab.create(2) == errno.ENODEV
    assert lab.destroy(0) == errno.ENODEV


# --- queues alone ---------------------------------------------------------------------------------------------------


def test_a_creation_that_fails_in_the_queue_leaves_nothing(make_lab: Labs) -> None:
    lab = make_lab(True)
    lab.table()
    lab.nic.fail_next("completion", 1)
    for sport in (1, 2):
        lab.create(sport)
    assert [(r.rule, r.error, r.is_there) for r in lab.settle()] == [(0, errno.EIO, False), (1, 0, True)]
    assert lab.there() == [1]
    assert lab.engine.table_live(0) == (1, 0)
    assert lab.create(3, now=True) == 0
    lab.nic.fail_next("completion", 1)
    assert lab.create(4, now=True) == errno.EIO
    lab.settle()
    assert lab.there() == [1, 2]


@pytest.mark.parametrize("call", ["pattern_template", "actions_template", "template_table"])
def test_a_table_that_cannot_be_made_leaves_nothing(make_lab: Labs, call: str) -> None:
    lab = make_lab(True)
    lab.nic.fail_next(call, 1, errno.ENOMEM)
    assert lab.table() == errno.ENOMEM
    assert lab.engine.message
    assert lab.table() == 0
    assert lab.create(1, now=True) == 0
    assert lab.there() == [0]


def test_a_push_that_fails_is_made_up_for(make_lab: Labs) -> None:
    lab = make_lab(True)
    lab.table()
    lab.create(1)
    lab.nic.fail_next("push", 1, errno.EIO)
    assert lab.engine.push() == errno.EIO
    assert lab.engine.pull() == []
    assert [r.error for r in lab.settle()] == [0]
    assert lab.there() == [0]


def test_answers_that_do_not_come_are_given_up_in_time_and_undone_when_they_do(make_lab: Labs) -> None:
    lab = make_lab(True)
    lab.table()
    lab.create(1, now=True)
    lab.destroy(0)
    for sport in (2, 3):
        lab.create(sport)
    lab.engine.push()
    lab.nic.fail_next("pull", 1000, errno.EIO)
    assert lab.engine.pull(10_000) == []
    assert lab.engine.pull(10_999) == []
    found = lab.engine.pull(11_000)
    assert [(r.rule, r.is_destroy, r.error) for r in found] == [
        (0, True, errno.ETIMEDOUT),
        (1, False, errno.ETIMEDOUT),
        (2, False, errno.ETIMEDOUT),
    ]
    assert lab.engine.counts["lost"] == 3
    lab.nic.clear_faults()
    assert lab.settle() == []
    assert lab.settle() == []
    assert lab.engine.counts["came_late"] == 3
    assert lab.there() == [], "rules that came after all are removed"
    assert lab.engine.table_remove(0) == 0


def test_a_removal_before_the_creation_was_answered(make_lab: Labs) -> None:
    lab = make_lab(True)
    lab.table()
    lab.create(1)
    lab.create(2)
    assert lab.destroy(0) == 0
    assert [(r.rule, r.is_destroy, r.error) for r in lab.settle()] == [(0, True, 0), (1, False, 0)]
    assert lab.there() == [1]


def test_operations_on_their_way_when_the_port_goes(make_lab: Labs) -> None:
    lab = make_lab(True)
    lab.table()
    lab.create(1)
    lab.create(2)
    lab.engine.port_gone()
    assert [(r.rule, r.error) for r in lab.engine.pull()] == [(0, errno.ENODEV), (1, errno.ENODEV)]
    assert lab.engine.n_waiting == 0


def test_a_queue_that_let_one_wait_in_vain_is_not_waited_for_again(make_lab: Labs) -> None:
    """A pipeline of many rules on a NIC that does not answer costs one limit, not one for each."""
    it = make_lab(True)
    it.table()
    it.nic.delay_results(1 << 30)
    begin = time.monotonic()
    assert it.create(1, now=True) == errno.ETIMEDOUT
    waited = time.monotonic() - begin
    begin = time.monotonic()
    assert [it.create(sport, now=True) for sport in range(2, 10)] == [errno.ETIMEDOUT] * 8
    assert time.monotonic() - begin < waited / 2
    it.nic.delay_results(0)
    it.nic.advance_ms(1 << 30)
    it.settle()
    assert it.create(10, now=True) == 0, "it answers again"
    it.settle()
    assert it.engine.counts["came_late"] == 9
