"""Tests move counters, ages and contexts in the device; the driver tells of it as if packets had come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from waiting import until

from standin.mlx5 import Steering, Worker

Bench = Callable[..., Worker]
BOTH = pytest.mark.parametrize("steering", list(Steering))

COUNTED = "in/2/v4-tcp/count+jump"
TRACKED = "in/2/v4-tcp/count+ct+jump"
CONTEXT = 4711  # by which the driver reports an aged rule


@BOTH
def test_a_hit_is_counted_at_its_rule_alone(bench: Bench, steering: Steering) -> None:
    nic = bench(steering)
    other = nic.call("create", "in/2/v4-udp/count+jump")
    number = nic.call("create", COUNTED)
    rule = nic.control.rules()[-1]
    assert nic.call("query_count", number) == (0, 0)
    nic.control.hit(rule, packets=3, n_bytes=300)
    until(lambda: nic.call("query_count", number) == (3, 300))
    nic.control.hit(rule, packets=2, n_bytes=120)
    until(lambda: nic.call("query_count", number) == (5, 420))
    assert nic.call("query_count", other) == (0, 0)


def age_out(nic: Worker) -> int:
    """A rule that was hit once and then never again, once the driver has noticed."""
    nic.call("watch_aged")
    number: int = nic.call("create_ageing", 1, CONTEXT)
    assert nic.call("aged") == []
    nic.control.hit(nic.control.rules()[-1])
    until(lambda: nic.call("query_age", number)[0])
    until(lambda: nic.call("n_aged_events") > 0)
    return number


def test_software_steering_lists_an_aged_rule_until_it_is_destroyed(bench: Bench) -> None:
    nic = bench(Steering.SOFTWARE)
    number = age_out(nic)
    assert nic.call("aged") == [CONTEXT]
    assert nic.call("aged") == [CONTEXT]
    nic.call("destroy", number)
    assert nic.call("aged") == []


def test_hardware_steering_lists_an_aged_rule_once(bench: Bench) -> None:
    nic = bench(Steering.HARDWARE)
    age_out(nic)
    assert nic.call("aged") == [CONTEXT]
    assert nic.call("aged") == []


@pytest.mark.parametrize(("n_counters", "listed"), [(83, []), (84, [CONTEXT])])
def test_hardware_steering_has_room_for_one_aged_rule_in_a_hundred_counters(
    bench: Bench, n_counters: int, listed: list[int]
) -> None:
    # The driver adds a fifth to the counters it was asked for; below a hundred its list of aged rules has no room. The
    # event comes all the same.
    nic = bench(Steering.HARDWARE, n_counters=n_counters)
    nic.call("watch_aged")
    nic.call("create_ageing", 1, CONTEXT)
    until(lambda: nic.call("n_aged_events") > 0)
    assert nic.call("aged") == listed


def test_a_rule_that_is_hit_does_not_age_out(bench: Bench) -> None:
    nic = bench(Steering.HARDWARE)
    aged = nic.call("create_ageing", 1, CONTEXT)
    kept = nic.call("create_ageing", 60, CONTEXT + 1)
    nic.control.hit(nic.control.rules()[-1])
    until(lambda: nic.call("query_age", aged)[0])
    assert nic.call("query_age", kept)[0] is False


@BOTH
def test_a_context_moved_in_the_device_is_read_back(bench: Bench, steering: Steering) -> None:
    nic = bench(steering)
    nic.call("create", TRACKED)
    (context,) = nic.control.contexts()
    assert context.fields["valid"] == 1
    assert nic.call("query_context")["state"] == "ESTABLISHED"
    nic.control.set_context(context, state=2, original_dir__max_win=1234, reply_dir__reply_end=99)
    assert nic.call("query_context") == {"state": "FIN_WAIT", "max_win": 1234, "reply_end": 99}


@BOTH
def test_the_direction_of_a_rule_is_the_contexts_when_it_is_made(bench: Bench, steering: Steering) -> None:
    nic = bench(steering)
    nic.call("create", TRACKED)
    nic.call("update_context_direction", False)
    nic.call("create", "in/2/v4-tcp/ct+queue")
    directions = [a["direction"] for rule in nic.control.rules() for a in rule.actions if a["action"] == "context"]
    assert directions == ["original", "reply"]
