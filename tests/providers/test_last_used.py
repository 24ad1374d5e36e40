"""When a connection was last used, to the second and per source, on the emulated NIC with a clock that is run by hand.

A connection here is two rules of one port, by direction; its refresh period is one second, as a ConnectX has it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from nicsim_packets import udp

from ctoffload_dpdk.base.packets import Packets

pytestmark = pytest.mark.eal

AGE, COUNT = 1, 2
BOTH = AGE | COUNT
REFRESH_MS = 1000
NAMES = (f"net_nicsim_watch{n}" for n in itertools.count())


@dataclass
class Lab:
    """A port, its clock, and the watch. Time starts at 1000 s, so that no time is 0."""

    eal: Any
    parameters: dict[str, Any]
    now_ms: int = 1_000_000
    rules: dict[tuple[int, int], Any] = field(default_factory=dict)
    age_s: int = 300
    is_stubborn: bool = False

    def __post_init__(self) -> None:
        from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - only a child loads DPDK
        from ctoffload_dpdk.providers._rte_flow_testwatch import TestWatch  # noqa: PLC0415

        self.nic = Nic.create(self.eal, next(NAMES), clock="manual", **self.parameters)
        self.nic.set_ms(self.now_ms)
        self.port = self.eal.port(self.nic.port_id)
        self.pool = self.eal.mempool(1023, cache_size=0)
        self.port.configure()
        self.port.setup_queues(self.pool, descriptors=64)
        self.port.start()
        self.watch = TestWatch(self.reinstall)

    def close(self) -> None:
        self.port.remove()
        self.nic.close()
        self.pool.close()

    def make(self, index: int, direction: int, priority: int = 0) -> Any:
        """The rule of one direction: a source port of its own."""
        from ctoffload_dpdk.dpdk import Attr, actions, items  # noqa: PLC0415

        made = self.port.create_rule(
            Attr(ingress=True, priority=priority),
            [items.Eth(), items.Ipv4(), items.Udp(src_port=1000 + 2 * index + direction)],
            [actions.Count(), actions.Age(self.age_s, index + 1), actions.Drop()],
        )
        self.rules[index, direction] = made
        return made

    def connection(self, index: int = 0, *, source: int = COUNT, timeout_s: float = 30) -> None:
        """Both rules go in now."""
        for direction in range(2):
            self.make(index, direction)
        self.start(index, source=source, timeout_s=timeout_s)

    def start(self, index: int = 0, *, source: int = COUNT, timeout_s: float = 30) -> None:
        """It is watched from now on."""
        self.watch.add(
            index,
            [(self.port.id, self.rules[index, direction].handle) for direction in range(2)],
            source=source,
            timeout_ms=int(timeout_s * 1000),
            refresh_ms=REFRESH_MS,
            now_ms=self.now_ms,
        )

    def reinstall(self, index: int, direction: int) -> int:
        if self.is_stubborn:
            return errno.EIO
        old = self.rules[index, direction]
        made = self.make(index, direction, priority=1 - old.attr.priority)
        old.close()
        self.watch.replaced(index, direction, made.handle, self.now_ms)
        return 0

    def packet(self, index: int = 0, direction: int = 0) -> None:
        self.nic.wire_send(Packets.of([bytes(udp(sport=1000 + 2 * index + direction))]))

    def advance(self, seconds: float, step_ms: int = 250) -> None:
        """Time passes in steps; the watch gets its turn at each."""
        end = self.now_ms + round(seconds * 1000)
        while self.now_ms < end:
            self.now_ms = min(self.now_ms + step_ms, end)
            self.nic.set_ms(self.now_ms)
            self.watch.poll(self.now_ms)

    def answer(self, index: int = 0) -> tuple[int, int]:
        """(last used, sampled), by the clock of now; used 0 where the NIC saw none."""
        answer = self.watch.answer(index, self.now_ms)
        assert answer is not None
        used, sampled = answer
        assert used <= self.now_ms
        assert sampled <= self.now_ms - REFRESH_MS
        return used, sampled

    def idle_ms(self, index: int = 0) -> int:
        used, _ = self.answer(index)
        assert used
        return self.now_ms - used

    def queries(self) -> int:
        return int(self.watch.counts["queries"])


@pytest.fixture
def make_lab(eal: Any) -> Iterator[Any]:
    from ctoffload_dpdk.nicsim import NicsimError, load  # noqa: PLC0415

    try:
        load()
    except NicsimError as error:
        pytest.skip(str(error))
    with contextlib.ExitStack() as stack:
        yield lambda **parameters: stack.enter_context(contextlib.closing(Lab(eal, parameters)))


@pytest.fixture
def lab(make_lab: Any) -> Lab:
    made: Lab = make_lab()
    return made


# --- each source --------


@pytest.mark.parametrize("source", [AGE, BOTH])
def test_age_is_right_to_the_second(lab: Lab, source: int) -> None:
    lab.connection(source=source)
    lab.advance(10)
    lab.packet()
    for seconds in (0.4, 1, 3.3, 20):
        lab.advance(seconds)
        idle = lab.now_ms - 1_010_000
        assert idle - 1000 < lab.idle_ms() <= idle


@pytest.mark.parametrize("timeout_s", [5, 30, 3600])
def test_a_sampled_connection_is_as_old_as_the_sample_that_saw_its_packet(lab: Lab, timeout_s: int) -> None:
    period_ms = {5: 1000, 30: 4000, 3600: 10000}[timeout_s]
    lab.connection(timeout_s=timeout_s)
    assert lab.watch.n_by_period_ms == {period_ms: 1}
    for _ in range(7):
        lab.advance(11.7)
        lab.packet()
        sent = lab.now_ms
        lab.advance(period_ms / 1000)
        used, sampled = lab.answer()
        assert sent <= used <= sent + period_ms
        assert sampled >= used - REFRESH_MS


@pytest.mark.parametrize("source", [AGE, COUNT, BOTH])
def test_either_direction_keeps_a_connection(lab: Lab, source: int) -> None:
    lab.connection(source=source, timeout_s=5)
    for direction in (0, 1, 1, 0):
        lab.advance(20)
        lab.packet(direction=direction)
        lab.advance(1)
        assert lab.idle_ms() <= 2000


@pytest.mark.parametrize("source", [COUNT, BOTH])
def test_a_connection_without_a_packet_in_the_nic_has_no_use_there(lab: Lab, source: int) -> None:
    lab.connection(source=source)
    for _ in range(20):
        lab.advance(3)
        used, sampled = lab.answer()
        assert used == 0
        assert sampled > 1_000_000 - REFRESH_MS - 1


def test_with_age_alone_the_rule_s_making_counts_as_a_use(lab: Lab) -> None:
    """The driver tells the two not apart; it is software's last packet, near enough."""
    lab.connection(source=AGE)
    lab.advance(20)
    assert 1_000_000 <= lab.answer()[0] < 1_001_000


# --- what counters do --------


def test_a_counter_that_was_reset_by_another_is_no_use_but_what_came_since_is(lab: Lab) -> None:
    lab.connection(timeout_s=5)
    lab.packet()
    lab.advance(2)
    used, _ = lab.answer()
    lab.rules[0, 0].query_count(reset=True)
    lab.advance(3)
    assert lab.answer()[0] == used
    lab.packet()
    lab.packet()
    lab.rules[0, 0].query_count(reset=True)
    lab.packet()
    lab.advance(1)
    assert lab.idle_ms() <= 1000


def test_a_counter_that_wrapped_is_a_use(lab: Lab) -> None:
    lab.connection(timeout_s=5)
    for packets in (2**32 - 1, 2**32 + 5, 2**64 - 1, 3):
        lab.nic.answer_count(packets, 0, 1)
        lab.advance(1)
        assert lab.idle_ms() == 0


def test_a_source_that_tells_nothing_is_no_data_and_never_now(make_lab: Any) -> None:
    for source, call in ((COUNT, "query"), (AGE, "query"), (BOTH, "query")):
        lab = make_lab()
        lab.connection(source=source, timeout_s=5)
        lab.packet()
        lab.advance(2)
        used, _ = lab.answer()
        lab.nic.fail_next(call, 1000)
        lab.advance(3)
        assert lab.watch.answer(0, lab.now_ms) is None
        assert lab.watch.counts["queries_failed"] > 0
        lab.nic.clear_faults()
        assert lab.answer()[0] == used, "asked again at once, it is known again"


def test_one_failure_between_two_samples_is_not_noticed(lab: Lab) -> None:
    lab.connection(timeout_s=5)
    lab.nic.fail_next("query", 2)
    lab.advance(1)
    assert lab.watch.counts["queries_failed"] == 2
    assert lab.answer()[0] == 0


# --- what it costs --------


def test_a_round_costs_what_is_due(lab: Lab) -> None:
    for index in range(20):
        lab.connection(index, timeout_s=5 if index < 5 else 3600)
    assert lab.watch.n_by_period_ms == {1000: 5, 10000: 15}
    lab.advance(0.9, step_ms=100)
    assert lab.queries() == 0
    lab.advance(0.1)
    assert lab.queries() == 2 * 5
    lab.advance(9, step_ms=1)
    assert lab.queries() == 2 * (5 * 10 + 15)


def test_an_answer_from_samples_asks_the_nic_nothing(lab: Lab) -> None:
    lab.connection()
    lab.answer()
    assert lab.queries() == 0


def test_poll_says_when_it_has_something_to_do(lab: Lab) -> None:
    assert lab.watch.poll(lab.now_ms) == lab.now_ms + 1000
    lab.connection(timeout_s=1)
    assert lab.watch.poll(lab.now_ms) == lab.now_ms + 1000


def test_time_that_runs_out_is_made_up_for_in_the_next_turn(lab: Lab) -> None:
    for index in range(200):
        lab.connection(index, timeout_s=5)
    lab.now_ms += 1000
    lab.nic.set_ms(lab.now_ms)
    lab.nic.slow_down("query", 2, 1)
    assert lab.watch.poll(lab.now_ms, 1000) == lab.now_ms, "it wants to be called at once"
    first = lab.queries()
    assert 0 < first < 400
    assert lab.watch.counts["behind"] == 1
    lab.watch.poll(lab.now_ms)
    assert lab.queries() == 400


def test_each_is_sampled_once_a_round_whatever_comes_and_goes(lab: Lab) -> None:
    """The sampled time of none falls behind its period, although places move."""
    for index in range(100):
        lab.connection(index, timeout_s=5)
    gone = set()
    for turn in range(400):
        lab.now_ms += 25
        lab.nic.set_ms(lab.now_ms)
        lab.watch.poll(lab.now_ms, 1)
        if turn % 4 == 0:
            index = turn * 37 % 100
            if index in gone:
                lab.start(index, timeout_s=5)
                gone.discard(index)
            else:
                lab.watch.forget(index)
                gone.add(index)
        for index in set(range(100)) - gone:
            _, sampled = lab.answer(index)
            assert lab.now_ms - sampled <= 1000 + REFRESH_MS + 4 * 25
    for index in gone:
        assert lab.watch.answer(index, lab.now_ms) is None


def test_the_bound_users_get(lab: Lab) -> None:
    """Software learns within timeout, period, refresh and its own step that a connection is idle, and not before."""
    lab.connection(timeout_s=5)
    lab.advance(3.1)
    lab.packet()
    sent = lab.now_ms
    while True:
        lab.advance(0.25)
        used, sampled = lab.answer()
        if used >= sent and sampled >= used + 5000:
            break
    assert 5000 + REFRESH_MS <= lab.now_ms - sent <= 5000 + 1000 + 1000 + REFRESH_MS + 250


# --- hints and rules that aged out --------


@pytest.mark.parametrize("aged", ["keep", "consume"])
def test_a_hint_is_passed_on_once_until_somebody_asks(make_lab: Any, aged: str) -> None:
    lab = make_lab(aged=aged)
    lab.age_s = 5
    lab.connection(3, source=BOTH)
    lab.watch.port_add(lab.port.id)
    lab.advance(4)
    assert lab.watch.aged == []
    lab.advance(8)
    assert lab.watch.aged == [3]
    lab.watch.forget(3)
    lab.advance(3)
    assert lab.watch.aged == [3]
    lab.watch.port_del(lab.port.id)


def test_a_port_without_hints_is_no_trouble(lab: Lab) -> None:
    lab.connection(source=BOTH)
    lab.watch.port_add(lab.port.id)
    lab.nic.fail_next("aged", 100)
    lab.advance(5)
    assert lab.watch.aged == []
    lab.answer()


@pytest.mark.parametrize("source", [AGE, BOTH])
def test_a_one_way_stream_lives_on_when_its_silent_direction_aged_out(make_lab: Any, source: int) -> None:
    lab = make_lab(ageing="final")
    lab.age_s = 60
    lab.connection(source=source, timeout_s=30)
    for _ in range(20):
        lab.advance(10)
        lab.packet(direction=0)
        lab.advance(1)
        assert lab.idle_ms() <= 2000
    assert set(lab.watch.asked) == {(0, 1)}
    assert 3 <= lab.watch.counts["reinstalls"] == len(lab.watch.asked) <= 4
    assert lab.nic.audit().rules.live == 2


def test_a_packet_between_ageing_out_and_the_question_is_a_use(make_lab: Any) -> None:
    lab = make_lab(ageing="final")
    lab.age_s = 60
    lab.connection(source=BOTH, timeout_s=40)
    lab.packet()
    lab.advance(50)
    lab.answer()
    lab.advance(20)
    lab.packet(direction=1)
    lab.advance(5)
    assert lab.idle_ms() == 0, "when the counter was seen to have moved"


def test_what_was_known_is_kept_when_a_rule_is_made_again(make_lab: Any) -> None:
    lab = make_lab(ageing="final")
    lab.age_s = 60
    lab.connection(source=BOTH, timeout_s=100)
    lab.packet()
    lab.advance(55)
    used, _ = lab.answer()
    lab.advance(10)
    assert lab.answer()[0] == used
    assert set(lab.watch.asked) == {(0, 0), (0, 1)}
    lab.advance(10)
    assert lab.answer()[0] == used, "the making of the new rules is no use"
    lab.packet()
    lab.advance(3)
    assert lab.idle_ms() == 3000


def test_an_idle_connection_that_aged_out_can_still_be_ended(make_lab: Any) -> None:
    lab = make_lab(ageing="final")
    lab.age_s = 60
    lab.connection(source=BOTH, timeout_s=40)
    lab.packet()
    lab.advance(30)
    lab.answer()
    lab.advance(40)
    used, sampled = lab.answer()
    assert 1_000_000 <= used <= 1_001_000
    assert sampled >= used + 40_000
    assert lab.watch.asked == [], "it does not live on"


def test_a_rule_that_cannot_be_made_again_ends_in_no_data_and_is_tried_at_each_question(make_lab: Any) -> None:
    lab = make_lab(ageing="final")
    lab.age_s = 10
    lab.connection(source=AGE, timeout_s=30)
    lab.advance(12)
    lab.is_stubborn = True
    assert lab.answer()[0] == lab.now_ms, "a use before the question cannot be excluded, once"
    for n in range(2, 5):
        lab.advance(1)
        assert lab.watch.answer(0, lab.now_ms) is None
        assert len(lab.watch.asked) == 2 * n
    lab.is_stubborn = False
    assert lab.watch.answer(0, lab.now_ms) is None
    lab.advance(1)
    assert lab.answer()[0] >= lab.now_ms - 2000, "the making of the new rules, with AGE alone"
