"""A driver without rte_flow refuses in words; what 22.11 would crash on is never called."""

from __future__ import annotations

import pytest

from ctoffload_dpdk.base.errors import FlowError, UsageError
from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items

pytestmark = pytest.mark.eal

INGRESS = Attr(ingress=True)
PATTERN = [items.Eth(), items.Ipv4(), items.Tcp(dst_port=80)]


@pytest.mark.parametrize(
    "call",
    [
        lambda port: port.create_rule(INGRESS, PATTERN, [actions.Queue(0)]),
        lambda port: port.validate_rule(INGRESS, PATTERN, [actions.Queue(0)]),
        lambda port: port.flush_rules(),
        lambda port: port.isolate(),
        lambda port: port.aged(),
        lambda port: port.flow_info(),
        lambda port: port.create_indirect(actions.Count(), ingress=True),
        lambda port: port.transfer_proxy(),
    ],
    ids=["create", "validate", "flush", "isolate", "aged", "info", "indirect", "proxy"],
)
def test_a_refusal_names_port_call_errno_and_next_step(null, call):
    with pytest.raises(FlowError) as caught:
        call(null)
    error = caught.value
    assert error.errno in {38, 95}
    assert error.op.startswith("rte_flow_")
    assert error.port == f"port {null.id} (net_null)"
    assert "ctoffload capabilities" in error.hint
    assert str(error).startswith(f"port {null.id} (net_null): {error.op}")


def test_a_refused_rule_leaves_nothing_behind(null):
    with pytest.raises(FlowError):
        null.create_rule(INGRESS, PATTERN, [actions.Queue(0)])
    null.stop()
    null.start()


def test_sizes_for_queues_are_refused_where_there_are_none(make_port):
    port = make_port("net_null", start=False)
    port.configure()
    with pytest.raises(FlowError) as caught:
        port.configure_flow(FlowSizes())
    assert caught.value.op == "rte_flow_configure"


@pytest.mark.parametrize(
    "sizes",
    [{"queues": 0}, {"queues": -1}, {"queues": 65}, {"queues": 65537}]
    + [{name: n} for name in ("queue_size", "counters", "ages", "meters", "conntracks") for n in (-1, 1 << 32)],
)
def test_sizes_that_cannot_be_are_refused_in_words(make_port, sizes):
    port = make_port("net_null", start=False)
    port.configure()
    with pytest.raises(UsageError, match=f"FlowSizes.{next(iter(sizes))} -?[0-9]+ is not between"):
        port.configure_flow(FlowSizes(**sizes))
    with pytest.raises(UsageError, match="share_with 65536 is not between"):
        port.configure_flow(FlowSizes(), share_with=65536)


@pytest.mark.parametrize("number", [-1, 1 << 32])
@pytest.mark.parametrize("name", ["group", "priority"])
def test_a_group_or_priority_that_does_not_fit_is_refused_in_words(null, name, number):
    for call in (null.create_rule, null.validate_rule):
        with pytest.raises(UsageError, match=f"Attr.{name} {number} is not between 0 and 4294967295"):
            call(Attr(ingress=True, **{name: number}), PATTERN, [actions.Drop()])


def test_nothing_asynchronous_is_called_before_configure_flow_succeeded(make_port):
    port = make_port("net_null", start=False)
    port.configure()
    with pytest.raises(FlowError):
        port.configure_flow(FlowSizes())
    calls = [
        port.flow_queue,
        lambda: port.pattern_template(PATTERN, INGRESS),
        lambda: port.actions_template([actions.Drop()], INGRESS),
        lambda: port.template_table(Attr(group=1, ingress=True), [], [], 1),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="was not configured for templates") as caught:
            call()
        assert "configure_flow" in caught.value.hint


def test_sizes_cannot_change_while_the_port_runs(null):
    with pytest.raises(UsageError, match="stop the port first"):
        null.configure_flow(FlowSizes())
