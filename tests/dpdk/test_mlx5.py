"""The binding against the unmodified mlx5 driver, on the stand-in: what a ConnectX accepts, without one.

The stand-in answers for firmware; contexts are stored but never advance, and no packet is matched.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dpdk_lab import in_a_process

ROOT = Path(__file__).resolve().parents[2]
SOFTWARE, HARDWARE = 1, 2


@pytest.fixture(scope="module")
def standin():
    sys.path.insert(0, str(ROOT))
    module = pytest.importorskip("standin.mlx5", reason="the mlx5 stand-in is not in this tree")
    if reason := module.why_unavailable():
        pytest.skip(f"the mlx5 stand-in cannot run here: {reason}")
    return module


@pytest.fixture
def on_mlx5(standin):
    """on_mlx5(SOFTWARE, function): what the function returns, called with the EAL arguments of that device."""

    def run(steering: int, function: Any) -> Any:
        with standin.Standin(standin.Steering(steering)) as nic:
            return in_a_process(function, nic.eal_args(), nic=nic).answer

    return run


@contextlib.contextmanager
def running_port(args: list[str], sizes: Any = None) -> Iterator[Any]:
    from ctoffload_dpdk.dpdk import Eal, RxMetadata  # noqa: PLC0415 - only the child loads DPDK

    with Eal.start(args) as eal:
        port = eal.port(0)
        assert port.configure(rx_metadata=RxMetadata.USER_MARK) == RxMetadata.USER_MARK
        if sizes is not None:
            port.configure_flow(sizes)
        port.setup_queues(eal.mempool(4095), descriptors=256)
        port.start()
        yield port


def refusal(call: Any) -> list[str]:
    """What a call raises, as class and text."""
    from ctoffload_dpdk.base.errors import CtoffloadError  # noqa: PLC0415

    try:
        call()
    except CtoffloadError as error:
        return [type(error).__name__, str(error)]
    return []


def tuple_of(src_port: int) -> list[Any]:
    from ctoffload_dpdk.dpdk import items  # noqa: PLC0415

    return [items.Eth(), items.Ipv4(src="10.0.0.1", dst="10.0.0.2"), items.Tcp(src_port=src_port, dst_port=80)]


def rules_one_by_one(args: list[str]) -> dict[str, Any]:
    from ctoffload_dpdk.dpdk import Attr, actions, items  # noqa: PLC0415
    from ctoffload_dpdk.dpdk.actions import Field, FieldAt  # noqa: PLC0415

    inner = Attr(ingress=True, group=1)
    with running_port(args) as port:
        port.validate_rule(inner, tuple_of(1), [actions.Count(), actions.Age(30), actions.Queue(0)])
        rule = port.create_rule(inner, tuple_of(1), [actions.Count(), actions.Age(30, 5), actions.Queue(0)])
        others = [
            ([items.Eth(), items.Ipv4(fragment_offset=items.Masked(0, 0x3FFF))], [actions.Jump(3)]),
            ([items.Eth(), items.Ipv6(src="2001:db8::/32"), items.Udp()], [actions.Rss((0,))]),
            ([items.Eth(), items.Vlan(vid=5), items.Ipv4()], [actions.OfPopVlan(), actions.Queue(0)]),
            (tuple_of(2), [actions.Mark(9), actions.SetIpv4Dst("1.2.3.4"), actions.SetTpDst(99), actions.Queue(0)]),
            (tuple_of(3), [actions.ModifyField(FieldAt(Field.IPV4_SRC), bytes([1, 2, 3, 4]), 32), actions.Queue(0)]),
            (tuple_of(4), [actions.SetTag(0, 7), actions.Jump(2)]),
            ([*tuple_of(5), items.Conntrack(items.Masked(1, 1))], [actions.Queue(0)]),
        ]
        made = [port.create_rule(inner, pattern, acts) for pattern, acts in others]
        facts = {
            "count": rule.query_count().packets,
            "idle_s": rule.query_age().idle_s,
            "devargs": port.info().devargs,
            "survive": [port.info().rules_survive_stop, port.info().objects_survive_stop],
            "aged": port.aged().tolist(),
            "mark": refusal(lambda: port.create_rule(inner, tuple_of(9), [actions.Mark(0xFFFFF0), actions.Queue(0)])),
        }
        for each in [rule, *made]:
            each.close()
        return facts


def test_rules_of_every_kind_are_accepted_one_by_one(on_mlx5):
    facts = on_mlx5(SOFTWARE, rules_one_by_one)
    assert (facts["count"], facts["idle_s"], facts["aged"]) == (0, 0, [])
    assert facts["devargs"] == "dv_flow_en=1"
    assert facts["survive"] == [False, True]
    assert facts["mark"][0] == "FlowError" and "mark id" in facts["mark"][1]


def a_context(args: list[str]) -> dict[str, Any]:
    from ctoffload_dpdk.dpdk import Attr, actions  # noqa: PLC0415
    from ctoffload_dpdk.dpdk.actions import Conntrack, ConntrackState, TcpDirection  # noqa: PLC0415

    original = TcpDirection(3, last_ack_seen=True, sent_end=1000, reply_end=2**32 - 1, max_win=500, max_ack=900)
    state = Conntrack(original=original, liberal_mode=True, last_seq=77)
    with running_port(args) as port:
        context = port.create_indirect(state, ingress=True)
        inner = Attr(ingress=True, group=1)
        both = [actions.Indirect(context), actions.Jump(2)]
        facts = {"same": context.query() == state}
        forth = port.create_rule(inner, tuple_of(1), both)
        context.update_conntrack(original_direction=False)
        back = port.create_rule(inner, tuple_of(2), both)
        context.update_conntrack(Conntrack(state=ConntrackState.FIN_WAIT), original_direction=True)
        after = context.query()
        facts["after"] = [after.state.name, after.is_original_dir]
        facts["root"] = refusal(lambda: port.create_rule(Attr(ingress=True), tuple_of(3), both))
        facts["direct"] = refusal(lambda: port.create_rule(inner, tuple_of(3), [state, actions.Jump(2)]))
        port.stop()
        facts["gone"] = [forth.is_gone, back.is_gone, context.is_closed]
        port.start()
        context.close()
        return facts


def test_a_context_is_stored_updated_and_outlives_a_stop(on_mlx5):
    facts = on_mlx5(SOFTWARE, a_context)
    assert facts["same"]
    assert facts["after"] == ["FIN_WAIT", True]
    assert facts["root"][0] == "FlowError" and "non-root table" in facts["root"][1]
    assert facts["direct"][0] == "UsageError" and "indirect action only" in facts["direct"][1]
    assert facts["gone"] == [True, True, False]


def close_with_a_context_left(args: list[str]) -> bool:
    from ctoffload_dpdk.dpdk import actions  # noqa: PLC0415

    with running_port(args) as port:
        port.create_indirect(actions.Conntrack(), ingress=True).query()
        kept = port.create_indirect(actions.Conntrack(), ingress=True)
        port.stop()
    return bool(kept.is_closed)


def test_what_the_driver_frees_only_while_running_ends_with_the_port(on_mlx5):
    assert on_mlx5(SOFTWARE, close_with_a_context_left)


def refused_in_hardware_steering(args: list[str]) -> dict[str, Any]:
    from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions  # noqa: PLC0415

    inner = Attr(ingress=True, group=1)
    with running_port(args, FlowSizes(queues=1, queue_size=64, counters=64)) as port:
        return {
            "create": refusal(lambda: port.create_rule(inner, tuple_of(1), [actions.Queue(0)])),
            "validate": refusal(lambda: port.validate_rule(inner, tuple_of(1), [actions.Queue(0)])),
            "queue": refusal(lambda: port.flow_queue(1)),
            "sizes": [port.flow_sizes.queue_size, port.flow_info().max_conntracks],
        }


def test_a_call_that_would_crash_the_driver_is_not_made(on_mlx5):
    facts = on_mlx5(HARDWARE, refused_in_hardware_steering)
    for call in ("create", "validate"):
        # The driver of 25.11 has both, and takes the rule.
        assert facts[call] == [] or facts[call][0] in {"UsageError", "FlowError"}
    assert "there is no queue 1" in facts["queue"][1]
    assert facts["sizes"][0] == 64


def rules_through_a_queue(args: list[str]) -> dict[str, Any]:
    from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items  # noqa: PLC0415

    inner = Attr(ingress=True, group=1)
    with running_port(args, FlowSizes(queues=2, queue_size=64, counters=1024, ages=128)) as port:
        key = [items.Eth(), items.Ipv4(src="0.0.0.0/32", dst="0.0.0.0/32"), items.Tcp(src_port=0, dst_port=0)]
        pattern = port.pattern_template(key, inner)
        chosen = [actions.Mark(0), actions.Count(), actions.Queue(0)]
        template = port.actions_template(chosen, inner, fixed=[False, False, True])
        table = port.template_table(inner, [pattern], [template], 1000)
        queue = port.flow_queue(0)

        def create(n: int, user_data: int = 0) -> Any:
            acts = [actions.Mark(n), actions.Count(), actions.Queue(0)]
            return queue.enqueue_create(table, tuple_of(n), acts, user_data=user_data, postpone=True)

        rules = [create(n, 100 + n) for n in range(10)]
        early = refusal(lambda: queue.enqueue_destroy(rules[0]))
        queue.push()
        created = queue.pull_all()
        facts = {
            "early": early,
            "created": [created.user_data.tolist(), created.is_ok.tolist()],
            "confirmed": [rule.is_confirmed for rule in rules],
            "count": rules[0].query_count().packets,
        }
        queue.enqueue_destroy(rules[0], user_data=7)
        queue.push()
        facts["destroyed"] = [queue.pull_all().user_data.tolist(), rules[0].is_closed]
        rules[1].close()
        facts["closed"] = [rules[1].is_closed, queue.n_under_way, len(queue.pull())]
        unpushed = create(50, 150)
        unpushed.close()
        facts["late"] = [unpushed.is_closed, queue.pull().user_data.tolist()]
        more: list[Any] = []
        facts["full"] = refusal(lambda: more.extend(create(1000 + n) for n in range(200)))
        queue.push()
        facts["after_full"] = bool(queue.pull_all().is_ok.all())
        table.close()
        facts["left"] = [rule.is_closed for rule in rules] == [True] * 10
        return facts


def test_rules_go_through_a_queue_and_results_come_back(on_mlx5):
    facts = on_mlx5(HARDWARE, rules_through_a_queue)
    assert "not confirmed yet" in facts["early"][1]
    assert facts["created"] == [[100 + n for n in range(10)], [True] * 10]
    assert facts["confirmed"] == [True] * 10
    assert facts["count"] == 0
    assert facts["destroyed"] == [[7], True]
    assert facts["closed"] == [True, 0, 0]
    assert facts["late"] == [True, [150]]
    assert facts["full"][0] == "FlowError" and "pull results first" in facts["full"][1]
    assert facts["after_full"] and facts["left"]


def contexts_through_a_queue(args: list[str]) -> dict[str, Any]:
    from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items  # noqa: PLC0415

    inner = Attr(ingress=True, group=1)
    sizes = FlowSizes(queues=1, queue_size=64, counters=64, conntracks=64)
    with running_port(args, sizes) as port:
        queue = port.flow_queue()
        context = queue.enqueue_indirect_create(actions.Conntrack(last_seq=5), ingress=True, user_data=1)
        queue.push()
        facts: dict[str, Any] = {"made": queue.pull_all().is_ok.tolist()}
        answer = queue.enqueue_query(context, user_data=2)
        facts["before"] = answer.value is None
        queue.push()
        queue.pull_all()
        facts["asked"] = [answer.value.last_seq, answer.is_failed]
        spread = port.create_indirect(actions.Rss((0,)), ingress=True)
        facts["no value"] = refusal(lambda: queue.enqueue_query(spread))
        spread.close()
        queue.enqueue_conntrack_update(context, original_direction=False, user_data=3)
        queue.push()
        facts["updated"] = [queue.pull_all().is_ok.tolist(), context.query().is_original_dir]
        key = [items.Eth(), items.Ipv4(src="0.0.0.0/32", dst="0.0.0.0/32"), items.Tcp(src_port=0, dst_port=0)]
        chosen = [actions.Indirect(None, actions.Conntrack), actions.Jump(2)]
        template = port.actions_template(chosen, inner, fixed=[False, True])
        table = port.template_table(inner, [port.pattern_template(key, inner)], [template], 64)
        queue.enqueue_create(table, tuple_of(1), [actions.Indirect(context), actions.Jump(2)], user_data=4)
        queue.push()
        facts["rule"] = queue.pull_all().is_ok.tolist()
        table.close()
        queue.enqueue_indirect_destroy(context, user_data=5)
        queue.push()
        facts["destroyed"] = [queue.pull_all().is_ok.tolist(), context.is_closed]
        return facts


def test_contexts_go_through_a_queue(on_mlx5):
    facts = on_mlx5(HARDWARE, contexts_through_a_queue)
    assert facts["made"] == facts["rule"] == [True]
    assert facts["before"] and facts["asked"] == [5, False]
    assert facts["no value"][0] == "UsageError" and "has nothing to query" in facts["no value"][1]
    assert facts["updated"] == [[True], False]
    assert facts["destroyed"] == [[True], True]


def stop_with_rules_in_a_queue(args: list[str]) -> list[Any]:
    from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items  # noqa: PLC0415

    inner = Attr(ingress=True, group=1)
    with running_port(args, FlowSizes(queues=1, queue_size=64, counters=64)) as port:
        pattern = port.pattern_template([items.Eth(), items.Ipv4(src="0.0.0.0/32")], inner)
        table = port.template_table(inner, [pattern], [port.actions_template([actions.Drop()], inner)], 64)
        queue = port.flow_queue()
        rule = queue.enqueue_create(table, [items.Eth(), items.Ipv4(src="10.0.0.1")], [actions.Drop()])
        queue.push()
        queue.pull_all()
        port.stop()
        return [rule.is_gone, rule.is_closed, queue.n_under_way, refusal(queue.push)[0]]


def test_a_stop_takes_queued_rules_along(on_mlx5):
    assert on_mlx5(HARDWARE, stop_with_rules_in_a_queue) == [True, True, 0, "UsageError"]
