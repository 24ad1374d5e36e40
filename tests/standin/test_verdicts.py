"""What the driver says to every shape of rule has not changed, and some of it in words."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from standin.mlx5 import Steering, Worker, golden, verdicts

pytestmark = pytest.mark.usefixtures("recorded")

BOTH = pytest.mark.parametrize("steering", list(Steering))


@BOTH
@pytest.mark.parametrize("needs_switch", [False, True], ids=["nic", "switch"])
def test_the_verdicts_are_those_of_the_table(standin_available: None, steering: Steering, needs_switch: bool) -> None:
    known = verdicts.read(verdicts.table_path())
    name = steering.name.lower()
    found = dict(verdicts.verdicts(steering, needs_switch))
    mine = {shape: known[shape][name] for shape in known if shape.startswith("fdb/") == needs_switch}
    changed = {
        shape: (mine.get(shape), found.get(shape)) for shape in {**mine, **found} if mine.get(shape) != found.get(shape)
    }
    assert not changed, (
        f"known and now, if meant run `python -m standin.mlx5.verdicts`:\n{json.dumps(changed, indent=1)}"
    )
    assert len(found) > 400


@BOTH
def test_the_rules_reach_the_device_as_in_the_golden_file(standin_available: None, steering: Steering) -> None:
    changed = golden.difference(steering)
    assert not changed, f"if meant run `python -m standin.mlx5.golden`:\n{changed}"


def test_no_shape_crashes_the_driver(standin_available: None) -> None:
    table = verdicts.read(verdicts.table_path())
    assert not [shape for shape, found in table.items() if "crash" in json.dumps(found)]


# --- some of the table, in words: what the plans of the provider stand on -------------------------------------------


def said(shape: str, steering: Steering) -> str:
    return json.dumps(verdicts.read(verdicts.table_path())[shape][steering.name.lower()])


def accepts(shape: str, steering: Steering) -> bool:
    return said(shape, steering) == '"accepted"'


def test_software_steering_wants_the_rewrite_before_conntrack_and_hardware_steering_after_it() -> None:
    before, after = "in/2/order/mark+rewrite+count+ct+jump", "in/2/order/mark+count+ct+rewrite+jump"
    assert accepts(before, Steering.SOFTWARE)
    assert not accepts(before, Steering.HARDWARE)
    assert "not in this order" in said(after, Steering.SOFTWARE)
    assert accepts(after, Steering.HARDWARE)


def test_a_context_of_software_steering_belongs_to_the_nics_receive_side_alone() -> None:
    assert accepts("in/2/v4-tcp/count+ct+jump", Steering.SOFTWARE)
    for shape in ("fdb/2/v4-tcp/count+ct+jump", "out/2/v4-tcp/count+ct+jump"):
        assert "the context belongs to another domain" in said(shape, Steering.SOFTWARE)
        assert '"validate": "accepted"' in said(shape, Steering.SOFTWARE)
        assert accepts(shape, Steering.HARDWARE)


def test_a_mark_does_not_pass_the_e_switch() -> None:
    assert "the E-Switch does not take" in said("fdb/2/v4-tcp/mark+port", Steering.SOFTWARE)
    assert not accepts("fdb/2/v4-tcp/mark+port", Steering.HARDWARE)


def test_conntrack_and_age_in_one_rule_are_for_hardware_steering() -> None:
    assert "Only one ASO action" in said("in/2/order/age+count+ct+jump", Steering.SOFTWARE)
    assert accepts("in/2/order/age+count+ct+jump", Steering.HARDWARE)


def test_hardware_steering_counts_nothing_in_group_0_and_takes_no_set_actions() -> None:
    assert "on root table" in said("in/0/v4/count+jump", Steering.HARDWARE)
    assert accepts("in/0/v4/count+jump", Steering.SOFTWARE)
    assert "not supported in template API" in said("in/2/v4-tcp/set-v4-nat+count+jump", Steering.HARDWARE)
    assert accepts("in/2/v4-tcp/set-v4-nat+count+jump", Steering.SOFTWARE)


def test_hardware_steering_tracks_udp_without_a_word() -> None:
    assert "Not a outer TCP packet" in said("in/2/v4-udp/count+ct+jump", Steering.SOFTWARE)
    assert accepts("in/2/v4-udp/count+ct+jump", Steering.HARDWARE)


@pytest.mark.parametrize("left_over", [3999, 0])
def test_an_invalid_order_is_refused_whatever_rte_errno_holds(bench: Callable[..., Worker], left_over: int) -> None:
    """The driver of 22.11 takes it for valid where rte_errno is 0, and crashes at the first rule: not through us."""
    worker = bench(Steering.HARDWARE)
    refused = worker.call("try_make", "in/2/order/ct+count+age+jump", left_over)
    assert refused["message"].endswith("Failed to create template table")
