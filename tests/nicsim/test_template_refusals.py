"""What cannot be made of templates, tables and queues: the errno, and a sentence that says why."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, pattern
from nicsim_templates import COUNT_DROP, ROOT, SIZES, Bench, number

from ctoffload_dpdk.base.errors import FlowError, UsageError
from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items
from ctoffload_dpdk.nicsim import Call

pytestmark = pytest.mark.eal

INNER = Attr(ingress=True, group=1)
TRANSFER = Attr(transfer=True)
BOTH = Attr(ingress=True, transfer=True)


@pytest.fixture
def bench(lab: Any) -> Bench:
    return Bench(lab.host(sizes=SIZES), room=4)


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(FlowError) as caught:
        call()
    return errno.errorcode[caught.value.errno], str(caught.value)


def indirect(kind: Any) -> Any:
    return actions.Indirect(None, kind)


REFUSED: list[tuple[str, Callable[[Bench], Any], str, str]] = [
    ("no direction", lambda b: b.port.pattern_template(number(0), Attr()), "EINVAL", "ingress, egress or transfer"),
    (
        "an item it does not know",
        lambda b: b.port.pattern_template([items.Eth(), items.Any()], ROOT),
        "ENOTSUP",
        "item not supported",
    ),
    (
        "too many items",
        lambda b: b.port.pattern_template([items.Void()] * 40, ROOT),
        "E2BIG",
        "too many items",
    ),
    (
        "too many actions",
        lambda b: b.port.actions_template([actions.Void()] * 40, ROOT),
        "E2BIG",
        "too many actions",
    ),
    (
        "mark in transfer",
        lambda b: b.port.actions_template([actions.Mark(1), actions.Drop()], TRANSFER),
        "ENOTSUP",
        "",
    ),
    (
        "a table of two directions",
        lambda b: b.new_table(BOTH, [number(0)], [(COUNT_DROP, None)], 4),
        "EINVAL",
        "either for ingress, for egress or for transfer",
    ),
    (
        "templates of another direction",
        lambda b: b.port.template_table(TRANSFER, [b.pattern_of(ROOT)], [b.actions_of(TRANSFER)], 4),
        "EINVAL",
        "a pattern template is for another direction",
    ),
    (
        "actions of another direction",
        lambda b: b.port.template_table(TRANSFER, [b.pattern_of(TRANSFER)], [b.actions_of(ROOT)], 4),
        "EINVAL",
        "an actions template is for another direction",
    ),
    ("no room", lambda b: b.new_table(ROOT, [number(0)], [(COUNT_DROP, None)], 0), "EINVAL", "at least one rule"),
    (
        "more room than the NIC has",
        lambda b: b.new_table(ROOT, [number(0)], [(COUNT_DROP, None)], 1 << 24),
        "ENOSPC",
        "more rules than this NIC holds",
    ),
    (
        "a jump that leads back",
        lambda b: b.new_table(INNER, [number(0)], [([actions.Jump(1)], [True])], 4),
        "EINVAL",
        "a jump leads to a higher group",
    ),
    (
        "contexts in group 0",
        lambda b: b.new_table(
            ROOT, [pattern(4, TCP_ITEM)], [([indirect(actions.Conntrack), actions.Jump(1)], [False, True])], 4
        ),
        "ENOTSUP",
        "groups above 0",
    ),
    (
        "no fate",
        lambda b: b.new_table(ROOT, [number(0)], [([actions.Count()], None)], 4),
        "EINVAL",
        "no fate",
    ),
    (
        "two fates",
        lambda b: b.new_table(ROOT, [number(0)], [([actions.Drop(), actions.Drop()], None)], 4),
        "EINVAL",
        "one fate",
    ),
    (
        "a rewrite that goes with none of the patterns",
        lambda b: b.new_table(ROOT, [number(0)], [([actions.SetIpv6Dst("::1"), actions.Drop()], None)], 4),
        "EINVAL",
        "does not name the header",
    ),
    (
        "other items than the template's",
        lambda b: b.enqueue(pattern(4, TCP_ITEM)),
        "EINVAL",
        "not those of the template",
    ),
    ("more items", lambda b: b.enqueue([*number(1), items.Void()]), "EINVAL", "more items than the template"),
    ("fewer items", lambda b: b.enqueue(number(1)[:2]), "EINVAL", "not those of the template"),
    (
        "an item without a value",
        lambda b: b.enqueue([items.Eth(), items.Ipv4(), items.Udp(src_port=1)]),
        "EINVAL",
        "it needs a value",
    ),
    (
        "other actions",
        lambda b: b.enqueue(number(1), [actions.Count(), actions.Queue(0)]),
        "EINVAL",
        "not those of the template",
    ),
    ("more actions", lambda b: b.enqueue(number(1), [*COUNT_DROP, actions.Void()]), "EINVAL", "more actions"),
]


@pytest.mark.parametrize("wish", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(bench: Bench, wish: tuple[str, Callable[[Bench], Any], str, str]) -> None:
    _, call, number_of, words = wish
    name, said = refusal(lambda: call(bench))
    assert name == number_of and words in said
    assert bench.nic.audit().rules.created == 0


def test_a_template_in_use_cannot_be_destroyed_nor_a_table_with_rules(bench: Bench) -> None:
    for template in bench.host.objects[:2]:
        name, said = refusal(template.close)
        assert name == "EBUSY" and "template tables still use it" in said
    bench.rules(range(1, 2))
    bench.nic.fail_next("async_destroy")  # the rules that a table owns are taken out first; here one stays
    name, said = refusal(bench.table.close)
    assert name == "EBUSY" and "there are rules in the table" in said
    bench.port.flush_rules()
    bench.table.close()
    for template in bench.host.objects[:2]:
        template.close()
    audit = bench.nic.flow_audit()
    assert (audit.pattern_templates, audit.actions_templates, audit.tables) == (0, 0, ())


def test_a_rule_is_not_destroyed_before_its_creation_was_executed(bench: Bench) -> None:
    rule = bench.create(1)
    with pytest.raises(UsageError, match="not confirmed yet"):
        bench.destroy(rule)
    bench.run()
    bench.destroy(rule)
    with pytest.raises(UsageError, match="being removed already"):
        bench.destroy(rule)
    assert bench.run() == [(0, True)]


def test_close_of_what_is_being_removed_waits_for_that_removal(bench: Bench) -> None:
    (rule,) = bench.rules(range(1, 2))
    shared = bench.shared()
    queue = bench.port.flow_queue()
    bench.run()
    bench.destroy(rule, 7)
    queue.enqueue_indirect_destroy(shared, user_data=8, postpone=True)
    rule.close()
    shared.close()
    assert bench.pull() == [(7, True), (8, True)]
    assert bench.nic.audit().rules.live == bench.nic.audit().objects.live == 0


def test_a_removal_that_failed_may_be_asked_for_again(bench: Bench) -> None:
    (rule,) = bench.rules(range(1, 2))
    bench.destroy(rule, 7)
    bench.nic.fail_next(Call.COMPLETION, 1)
    assert bench.run() == [(7, False)]
    bench.destroy(rule, 8)
    assert bench.run() == [(8, True)]
    assert rule.is_closed


@pytest.mark.parametrize(
    ("name", "index"),
    [(name, index) for name in ("pattern_index", "actions_index") for index in (1, 256, -1)],
)
def test_a_template_that_the_table_has_not_is_refused(bench: Bench, name: str, index: int) -> None:
    with pytest.raises(UsageError, match=f"{name} {index} is not between 0 and 0"):
        bench.enqueue(number(1), **{name: index})
    assert bench.nic.audit().rules.created == 0


@pytest.mark.parametrize("n_rules", [-1, 1 << 32])
def test_a_table_for_more_or_fewer_rules_than_dpdk_counts_is_refused(bench: Bench, n_rules: int) -> None:
    with pytest.raises(UsageError, match=f"n_rules {n_rules} is not between"):
        bench.new_table(ROOT, [number(0)], [(COUNT_DROP, None)], n_rules)


def test_no_less_than_no_results_can_be_pulled(bench: Bench) -> None:
    queue = bench.port.flow_queue()
    bench.create(1)
    bench.create(2)
    with pytest.raises(UsageError, match="most -1 is not between"):
        queue.pull(-1)
    queue.push()
    assert [bench.port.flow_queue().pull(most).user_data.tolist() for most in (0, 1, 5)] == [[], [1], [2]]


@pytest.fixture
def foreign(bench: Bench, lab: Any) -> Bench:
    """A table on another port."""
    return Bench(lab.host(sizes=SIZES), room=4)


@pytest.mark.parametrize(
    "call",
    [
        lambda own, foreign: own.flow_queue().enqueue_create(foreign.table, number(1), COUNT_DROP),
        lambda own, foreign: own.flow_queue().enqueue_destroy(foreign.rules(range(1, 2))[0]),
        lambda own, foreign: own.flow_queue().enqueue_query(foreign.host.shared(actions.Count())),
        lambda own, foreign: own.flow_queue().enqueue_indirect_destroy(foreign.host.shared(actions.Count())),
        lambda own, foreign: own.flow_queue().enqueue_conntrack_update(
            foreign.host.shared(actions.Conntrack()), original_direction=False
        ),
    ],
    ids=["table", "rule", "query", "destroy", "update"],
)
def test_what_belongs_to_another_port_is_refused(
    bench: Bench, foreign: Bench, call: Callable[[Any, Bench], Any]
) -> None:
    with pytest.raises(UsageError, match="no business of <flow queue 0"):
        call(bench.port, foreign)
    assert bench.port.flow_queue().n_under_way == 0


def test_templates_of_another_port_are_refused(bench: Bench, foreign: Bench) -> None:
    for patterns, chosen in (
        ([foreign.pattern_of(ROOT)], [bench.actions_of(ROOT)]),
        ([bench.pattern_of(ROOT)], [foreign.actions_of(ROOT)]),
        ([None], [bench.actions_of(ROOT)]),
    ):
        with pytest.raises(UsageError, match="is no template of"):
            bench.port.template_table(ROOT, patterns, chosen, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.enqueue_create(None, number(1), COUNT_DROP),
        lambda queue: queue.enqueue_destroy(None),
        lambda queue: queue.enqueue_query(None),
        lambda queue: queue.enqueue_indirect_destroy(None),
        lambda queue: queue.enqueue_conntrack_update(None),
    ],
    ids=["create", "destroy", "query", "indirect-destroy", "update"],
)
def test_none_is_refused(bench: Bench, call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        call(bench.port.flow_queue())


def test_another_kind_of_indirect_action_than_the_template_wants(bench: Bench) -> None:
    table = bench.new_table(ROOT, [number(0)], [([indirect(actions.Count), actions.Drop()], [False, True])], 4)
    age, count = bench.host.shared(actions.Age(5)), bench.host.shared(actions.Count())
    name, said = refusal(lambda: bench.add(table, number(1), [actions.Indirect(age), actions.Drop()]))
    assert name == "EINVAL" and "another kind of indirect action" in said
    assert bench.add(table, number(1), [actions.Indirect(count), actions.Drop()]).is_confirmed


def test_another_field_than_the_template_modifies(bench: Bench) -> None:
    def field(which: Any) -> Any:
        return actions.ModifyField(actions.FieldAt(which), bytes(4), width_bits=32)

    own = [field(actions.Field.IPV4_DST), actions.Drop()]
    table = bench.new_table(ROOT, [number(0)], [(own, [False, True])], 4)
    name, said = refusal(lambda: bench.add(table, number(1), [field(actions.Field.IPV4_SRC), actions.Drop()]))
    assert name == "EINVAL" and "modifies another field" in said


SIZES_REFUSED: list[tuple[str, FlowSizes, str, str]] = [
    ("meters", FlowSizes(queue_size=8, meters=1), "ENOTSUP", "no meters"),
    ("counters", FlowSizes(queue_size=8, counters=101), "ENOSPC", "more counters"),
    ("ages", FlowSizes(queue_size=8, ages=51), "ENOSPC", "more ageing objects"),
    ("contexts", FlowSizes(queue_size=8, conntracks=21), "ENOSPC", "more connection contexts"),
    ("queues", FlowSizes(queues=5), "EINVAL", "more flow queues"),
    ("queue size", FlowSizes(queue_size=33), "EINVAL", "larger than"),
    ("empty queue", FlowSizes(queue_size=0), "EINVAL", "at least one operation"),
]


@pytest.mark.parametrize("wish", SIZES_REFUSED, ids=[r[0] for r in SIZES_REFUSED])
def test_sizes_beyond_what_the_nic_has(lab: Any, wish: tuple[str, FlowSizes, str, str]) -> None:
    host = lab.host(start=False, counters=100, ages=50, contexts=20, flow_queues=4, queue_size=32)
    info = host.port.flow_info()
    assert (info.max_counters, info.max_ages, info.max_conntracks, info.max_queues) == (100, 50, 20, 4)
    assert (info.max_queue_size, info.max_meters, info.strict_queue) == (32, 0, True)
    name, said = refusal(lambda: host.port.configure_flow(wish[1]))
    assert name == wish[2] and wish[3] in said
    assert not host.nic.flow_audit().is_configured
    host.port.configure_flow(FlowSizes(queues=4, queue_size=32, counters=100, ages=50, conntracks=20))


def test_without_configure_there_are_no_templates(host: Any) -> None:
    with pytest.raises(UsageError, match="was not configured for templates"):
        host.port.pattern_template(number(0), ROOT)
