"""The provider's rule engine on the unmodified mlx5 driver: at once with software steering, queued with hardware."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from build_support import dpdk
from ctoffload_dpdk.dpdk.actions import Field, FieldAt, ModifyField
from standin.mlx5 import Fault, Standin, Steering, Worker

MODULE = Path(__file__).with_name("rules_bench.py")
TURNS = 2000
COUNTED = "in/2/v4-tcp/count+jump"
BOTH = pytest.mark.parametrize("steering", list(Steering))

# What the plans make of a connection where packets enter by the host's own port.
CONNECTION_RULES = [
    "in/2/v4-tcp/age+jump",
    "in/2/v6-udp/age+queue",
    "in/2/v4-udp/count+rss",
    "in/2/vlan-v6-tcp/mark+queue",
    "in/2/v4-tcp/count+ct+jump",
    "in/2/v6-tcp/mark+count+jump",
]


class Lab:
    """A worker, and the rules of the device that were not there when it started."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.control = worker.control
        self.before = {rule.number for rule in self.control.rules()}

    def __call__(self, function: str, *args: object) -> Any:
        return self.worker.call(function, *args)

    def rules(self) -> list[Any]:
        return [rule for rule in self.control.rules() if rule.number not in self.before]


@pytest.fixture
def lab(standin_available: None) -> Iterator[Callable[..., Lab]]:
    """lab(Steering.HARDWARE): an engine on a port of the driver; everything it made is gone in the end."""
    running: list[Lab] = []

    def run(steering: Steering, *, n_counters: int = 1024, queues: int = 1, queue_size: int = 64) -> Lab:
        worker = Worker(Standin(steering), MODULE)
        worker.call("start", worker.nic.eal_args(), steering is Steering.HARDWARE, n_counters, queues, queue_size)
        running.append(Lab(worker))
        return running[-1]

    yield run
    for made in running:
        assert made.worker.close() == 0


def done(steering: Steering) -> int:
    """What an operation answers when it is taken."""
    return 0 if steering is Steering.SOFTWARE else errno.EINPROGRESS


def source_port(rule: Any) -> str:
    """The one field that says it; its name is the engine's and the protocol's."""
    (found,) = [value for field, value in rule.matched().items() if field.endswith("sport")]
    return str(found)


@BOTH
def test_rules_go_in_and_out_and_leave_nothing(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering, queue_size=128)
    assert nic("table", COUNTED) == 0
    assert nic("create", 100) == [done(steering)] * 100
    assert all(r.error == 0 and r.is_there and not r.is_destroy for r in nic("settle"))
    assert len(nic.rules()) == 100
    assert len({source_port(rule) for rule in nic.rules()}) == 100
    assert nic("live") == (100, 0)
    assert nic("destroy", list(range(100))) == [done(steering)] * 100
    assert all(r.error == 0 and not r.is_there and r.is_destroy for r in nic("settle"))
    assert nic.rules() == []
    assert nic("counts") | {"queue_full": 0} == {
        "created": 100, "destroyed": 100, "failed": 0, "lost": 0, "came_late": 0, "queue_full": 0,
    }  # fmt: skip
    assert nic("table_remove") == 0
    assert nic("close") == 0


@BOTH
def test_both_engines_make_the_same_rules(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    for number, shape in enumerate(CONNECTION_RULES):
        assert nic("table", shape) == 0, f"{shape}: {nic('message')}"
        assert nic("create", 1, 4660, number) == [done(steering)], f"{shape}: {nic('message')}"
        assert [r.error for r in nic("settle")] == ([] if steering is Steering.SOFTWARE else [0]), shape
        (made,) = nic.rules()
        assert source_port(made) == "0x1234"
        nic("destroy", [number])
        nic("settle")
        assert nic.rules() == [], shape


@BOTH
def test_static_rules_are_made_on_the_spot(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    assert nic("table", "in/1/v4-tcp-open/jump", 4) == 0
    assert nic("create", 1, 1, 0, True) == [0]
    assert len(nic.rules()) == 1
    assert nic("destroy", [0], True) == [0]
    assert nic.rules() == []
    assert nic("pull") == []


@BOTH
def test_a_table_with_rules_cannot_be_removed(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    nic("table", COUNTED)
    nic("create", 1, 1, 0, True)
    assert nic("table_remove") == errno.EBUSY
    nic("destroy", [0], True)
    assert nic("table_remove") == 0


@BOTH
def test_a_full_table_says_so_and_takes_rules_again(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    nic("table", COUNTED, 8)
    assert nic("create", 9) == [done(steering)] * 8 + [errno.ENOSPC]
    nic("settle")
    nic("destroy", [3])
    nic("settle")
    assert nic("create", 1, 100) == [done(steering)]
    nic("settle")
    assert len(nic.rules()) == 8


@BOTH
def test_a_rule_that_fails_leaves_nothing(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    nic("table", COUNTED)
    nic.control.fail(Fault.RULE, nth=3, errno=errno.EIO)
    answers = nic("create", 5)
    if steering is Steering.HARDWARE:
        assert answers == [errno.EINPROGRESS] * 5
        answers = [r.error for r in nic("settle")]
    assert [bool(a) for a in answers] == [False, False, True, False, False]
    assert nic("there") == [0, 1, 3, 4]
    assert len(nic.rules()) == 4
    assert nic("live") == (4, 0)
    assert nic("counts")["failed"] == 1
    nic("destroy", [0, 1, 3, 4])
    nic("settle")
    assert nic("table_remove") == 0


@BOTH
def test_an_order_of_actions_that_is_not_taken_is_refused(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    shape = "in/2/order/ct+count+mark+rewrite+jump"
    rc = nic("table", shape)
    if steering is Steering.SOFTWARE:
        assert rc == 0
        (rc,) = nic("create", 1)
    assert rc not in (0, errno.EINPROGRESS)
    assert nic("message")
    assert nic.rules() == []


# --- hardware steering alone: templates and queues --------------------------------------------------------------------


def test_each_rule_brings_its_own_rewrite(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    name = "in/2/v4-tcp/count+modify-v4-nat+jump"
    assert nic("table", name, 64, [False, False, False, True]) == 0, nic("message")
    for n in (1, 2):
        rewrites = [
            ModifyField(FieldAt(Field.IPV4_SRC), bytes((192, 0, 2, n)), 32),
            ModifyField(FieldAt(Field.TCP_PORT_SRC), bytes((0, n)), 16),
        ]
        assert nic("create_rewriting", rewrites) == errno.EINPROGRESS
    assert [r.error for r in nic("settle")] == [0, 0]
    assert len({str(rule.actions) for rule in nic.rules()}) == 2


@pytest.mark.parametrize("queues", [1, 3])
def test_a_full_queue_asks_to_try_again(lab: Callable[..., Lab], queues: int) -> None:
    nic = lab(Steering.HARDWARE, queues=queues, queue_size=16)
    nic("table", COUNTED)
    taken = nic("fill")
    assert nic("refused") == errno.EAGAIN
    assert 16 <= taken <= 32 * queues, "no more than its owner may leave unread"
    assert nic("counts")["queue_full"] > 0
    assert [r.error for r in nic("settle")] == [0] * taken
    assert nic("create", 1, 1000) == [errno.EINPROGRESS]
    nic("settle")
    assert len(nic.rules()) == taken + 1


def test_a_removal_asked_for_before_the_creation_was_answered_comes_true(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic("create", 3)
    assert nic("destroy", [1]) == [errno.EINPROGRESS]
    found = nic("settle")
    assert [(r.rule, r.is_destroy, r.error) for r in found] == [(0, False, 0), (1, True, 0), (2, False, 0)]
    assert len(nic.rules()) == 2
    assert nic("live") == (2, 0)


def test_a_removal_asked_for_of_a_creation_that_fails_comes_true(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic.control.fail(Fault.QUEUE_ENTRY, nth=1, errno=errno.EIO)
    nic("create", 1)
    nic("destroy", [0])
    assert [(r.rule, r.is_destroy, r.error) for r in nic("settle")] == [(0, True, 0)]
    assert nic.rules() == []
    assert nic("live") == (0, 0)


def test_a_removal_that_fails_is_counted_lost(lab: Callable[..., Lab]) -> None:
    """This driver frees the handle in any case: nobody can try again."""
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic("create", 2, 1, 0, True)
    nic.control.fail(Fault.QUEUE_ENTRY, nth=1, errno=errno.EIO)
    nic("destroy", [0])
    assert [(r.rule, r.error, r.is_there) for r in nic("settle")] == [(0, errno.EIO, False)]
    assert nic("counts")["lost"] == 1
    assert nic("live") == (1, 0)


def test_a_creation_without_an_answer_is_given_up_and_undone_when_it_comes_late(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic("create", 2)
    assert nic("pull", 5000) == [], "its time starts with the first pull that missed it"
    assert nic("pull", 5999) == []
    assert [(r.rule, r.error, r.is_there) for r in nic("pull", 6000)] == [
        (0, errno.ETIMEDOUT, False),
        (1, errno.ETIMEDOUT, False),
    ]
    assert nic("counts")["lost"] == 2
    assert nic("live") == (2, 2)
    # It was only not pushed: now both come, and are removed again.
    nic("push")
    for _ in range(TURNS):
        assert nic("pull", 6000) == []
        if nic("live") == (0, 0):
            break
    assert nic("counts")["came_late"] == 2
    assert nic("counts")["created"] == nic("counts")["destroyed"] == 2
    assert nic("counts")["lost"] == 0
    assert nic.rules() == []
    assert nic("table_remove") == 0


def test_counters_that_are_not_free_are_no_refusal(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE, n_counters=96, queue_size=256)
    nic("table", COUNTED)
    taken = nic("fill")
    # The driver of 25.11 does not say of what there is none left; either is tried again.
    says_what = dpdk.version().startswith("22.11.")
    assert nic("refused") == (errno.EAGAIN if says_what else errno.ENOSPC)
    assert ("counter" in nic("message")) == says_what
    assert 90 <= taken < 256
    nic("settle")
    nic("destroy", list(range(taken)))
    nic("settle")
    # A counter is free again when the driver has read it once more, by its own clock.
    for _ in range(TURNS):
        if nic("create", 1, 1000) == [errno.EINPROGRESS]:
            break
    nic("settle")
    assert len(nic.rules()) == 1


def test_an_engine_closes_with_operations_on_their_way(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic("create", 10)
    assert nic("close") in (0, errno.EBUSY), "the driver keeps a table that has rules"
    assert nic("n_waiting") == 0


def test_when_the_port_goes_everything_on_its_way_is_lost(lab: Callable[..., Lab]) -> None:
    nic = lab(Steering.HARDWARE)
    nic("table", COUNTED)
    nic("create", 2, 1, 0, True)
    nic("create", 3, 10)
    nic("port_gone")
    assert [(r.rule, r.error) for r in nic("pull")] == [(n, errno.ENODEV) for n in (2, 3, 4)]
    assert nic("counts")["lost"] == 5
    assert nic("create", 1, 20) == [errno.ENODEV]
    assert nic("destroy", [0]) == [errno.ENODEV]
    assert nic("close") == 0


@BOTH
def test_a_flush_empties_every_table(lab: Callable[..., Lab], steering: Steering) -> None:
    nic = lab(steering)
    nic("table", COUNTED)
    nic("create", 5)
    nic("settle")
    assert nic("flush") == 0
    assert nic.rules() == []
    assert nic("live") == (0, 0)
    assert nic("table_remove") == 0
