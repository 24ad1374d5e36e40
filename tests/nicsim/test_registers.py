"""MARK, FLAG, META and TAG: what one rule notes, later rules match and the host receives."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import pattern, tcp, udp

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk.actions import Field, FieldAt, ModifyField, ModifyOp
from ctoffload_dpdk.dpdk.items import Masked

pytestmark = pytest.mark.eal

DROP = [actions.Count(), actions.Drop()]
QUEUE = [actions.Count(), actions.Queue(0)]
RX_FDIR, RX_FDIR_ID = 1 << 2, 1 << 13


def in_group(host: Any, group: int, match: list[Any], acts: list[Any] = DROP, **attr: Any) -> Any:
    return host.rule(match, acts, ingress=True, group=group, **attr)


def hits(*rules: Any) -> list[int]:
    return [rule.query_count().packets for rule in rules]


def test_a_later_group_matches_the_mark_and_no_mark_is_not_mark_0(host: Any) -> None:
    host.rule(pattern(), [actions.Mark(0), actions.Jump(1)])
    host.rule([items.Eth()], [actions.Jump(1)], ingress=True, priority=9)
    marked = in_group(host, 1, [items.Mark(0)])
    other = in_group(host, 1, [items.Mark(1)])
    host.send(udp(), tcp())
    assert hits(marked, other) == [1, 0]
    assert host.received() == [bytes(tcp())]


def test_bits_of_a_mark(host: Any) -> None:
    host.rule(pattern(), [actions.Mark(0xAB), actions.Jump(1)])
    no, yes = in_group(host, 1, [items.Mark(Masked(0xC0, 0xF0))]), in_group(host, 1, [items.Mark(Masked(0xA0, 0xF0))])
    host.send(udp())
    assert hits(no, yes) == [0, 1]


def test_flag_is_a_mark_without_a_number(host: Any) -> None:
    host.rule(pattern(), [actions.Flag(), actions.Queue(0)])
    host.send(udp(), tcp())
    flags = [int(f) & (RX_FDIR | RX_FDIR_ID) for f in host.burst().ol_flags]
    assert flags == [RX_FDIR, 0]


def test_meta_and_tags_are_written_under_a_mask_and_matched_under_one(host: Any) -> None:
    writes = [actions.SetMeta(0xFFFF1234, 0xFFFF), actions.SetTag(2, 0xAA), actions.SetTag(2, 0xB00, 0xF00)]
    host.rule(pattern(), [*writes, actions.Jump(1)])
    miss = in_group(host, 1, [items.Meta(0xFFFF1234)])
    exact = in_group(host, 1, [items.Meta(0x1234), items.Tag(2, 0xBAA)], [actions.Count(), actions.Jump(2)])
    host.rule([items.Eth()], [actions.Jump(1)], ingress=True, priority=9)
    nothing = in_group(host, 1, [items.Meta(0), items.Tag(2, 0)])
    host.send(udp(), tcp())
    assert hits(miss, exact, nothing) == [0, 1, 1]


def test_meta_reaches_the_host_where_it_was_asked_for(lab: Any) -> None:
    lab.eal.register_meta()
    host = lab.host()
    host.rule(pattern(), [actions.SetMeta(77), actions.Mark(5), actions.Queue(0)])
    host.send(udp(), tcp())
    burst = host.burst()
    assert burst.meta.tolist() == [77, 0]
    assert burst.mark.tolist() == [5, 0]


def test_meta_crosses_from_the_switch_to_the_port_and_tags_do_not(lab: Any) -> None:
    left, _ = lab.pair()
    left.rule(pattern(), [actions.SetMeta(9), actions.SetTag(0, 9), actions.Jump(1)], transfer=True)
    both = left.rule([items.Meta(9), items.Tag(0, 9)], DROP)
    meta = left.rule([items.Meta(9), items.Tag(0, 0)], DROP)
    left.send(udp())
    assert hits(both, meta) == [0, 1]


def little(value: int) -> bytes:
    return value.to_bytes(4, "little")


def test_modify_field_writes_parts_and_copies_registers(host: Any) -> None:
    writes = [
        actions.SetMeta(0xAABBCCDD),
        ModifyField(FieldAt(Field.TAG, tag_index=1), FieldAt(Field.META, offset_bits=8), 16),
        ModifyField(FieldAt(Field.MARK), FieldAt(Field.TAG, tag_index=1), 32),
        ModifyField(FieldAt(Field.META, offset_bits=4), little(0x50), 4),
    ]
    host.rule(pattern(), [*writes, actions.Jump(1)])
    rule = in_group(host, 1, [items.Tag(1, 0xBBCC), items.Mark(0xBBCC), items.Meta(0xAABBCC5D)], QUEUE)
    host.send(udp())
    assert hits(rule) == [1]
    assert host.burst().mark.tolist() == [0xBBCC]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (ModifyField(FieldAt(Field.META), little(1), 32, ModifyOp.ADD), "not counted up or down"),
        (ModifyField(FieldAt(Field.TAG, tag_index=6), little(1), 32), "TAGs 0 to 5"),
        (ModifyField(FieldAt(Field.META), FieldAt(Field.TAG, tag_index=6), 32), "TAGs 0 to 5"),
        (ModifyField(FieldAt(Field.META, offset_bits=1), little(1), 32), "a register has 32 bits"),
        (ModifyField(FieldAt(Field.META), FieldAt(Field.MARK, offset_bits=1), 32), "a register has 32 bits"),
        (ModifyField(FieldAt(Field.META), FieldAt(Field.IPV4_SRC), 32), "a value or another register"),
    ],
)
def test_what_a_register_cannot_take(host: Any, write: Any, words: str) -> None:
    with pytest.raises(FlowError, match=words):
        host.rule(pattern(), [write, actions.Drop()])


def test_passthru_goes_on_with_what_comes_behind_it(host: Any) -> None:
    first = host.rule(pattern(), [actions.Count(), actions.Mark(3), actions.Passthru()], ingress=True, priority=1)
    before = host.rule([items.Eth(), items.Ipv4()], DROP, ingress=True, priority=0)
    host.send(udp())
    assert hits(first, before) == [0, 1]
    before.close()
    behind = host.rule([items.Eth(), items.Mark(3)], QUEUE, ingress=True, priority=2)
    host.send(udp(), tcp())
    assert hits(first, behind) == [1, 1]
    assert host.burst().mark.tolist() == [3, 0]


def test_passthru_at_the_end_is_a_miss_that_counts(host: Any) -> None:
    rule = host.rule([items.Eth()], [actions.Count(), actions.Passthru()])
    host.send(udp())
    assert hits(rule) == [1]
    assert host.received() == [bytes(udp())]
