"""Rules, counts, ages and indirect actions through the binding, on the emulated NIC."""

from __future__ import annotations

import gc
import itertools
import warnings
from types import SimpleNamespace

import pytest

from ctoffload_dpdk.base.errors import ClosedError, FlowError, RuleGone, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import Attr, actions, items
from ctoffload_dpdk.dpdk.types import AgeState, Count, Event

pytestmark = pytest.mark.eal

INGRESS = Attr(ingress=True)
names = (f"net_nicsim9{n}" for n in itertools.count())


def udp(src_port: int) -> bytes:
    """10.0.0.1:src_port to 10.0.0.2:80, 60 bytes long."""
    ethernet = bytes.fromhex("020000000002 020000000001 0800")
    ip = bytearray.fromhex("4500 002e 0000 0000 40 11 0000 0a000001 0a000002")
    total = sum(int.from_bytes(ip[i : i + 2]) for i in range(0, 20, 2))
    ip[10:12] = (0xFFFF - (total % 0xFFFF)).to_bytes(2)
    return ethernet + bytes(ip) + src_port.to_bytes(2) + b"\x00\x50\x00\x1a\x00\x00" + bytes(18)


def pattern(src_port: int = 1000) -> list[items.Item]:
    return [items.Eth(), items.Ipv4(src="10.0.0.1", dst="10.0.0.2"), items.Udp(src_port=src_port, dst_port=80)]


@pytest.fixture
def lab(eal, pool):
    """A running port of an emulated NIC whose time stands still, and the NIC's controls."""
    from ctoffload_dpdk.nicsim import Nic, NicsimError, load  # noqa: PLC0415 - only a child loads DPDK

    try:
        load()
    except NicsimError as error:
        pytest.skip(str(error))
    nic = Nic.create(eal, next(names), clock="manual")
    port = eal.port(nic.port_id)
    port.configure()
    port.setup_queues(pool, descriptors=128)
    port.start()
    yield SimpleNamespace(nic=nic, port=port, send=lambda *sent: nic.wire_send(Packets.of(sent)))
    if not port.is_closed:
        port.remove()
    nic.close()


def make(lab, *more, src_port: int = 1000, **attr):
    return lab.port.create_rule(Attr(**attr) if attr else INGRESS, pattern(src_port), [*more, actions.Queue(0)])


def test_a_rule_counts_what_hits_it_and_nothing_else(lab):
    with make(lab, actions.Count()) as rule:
        assert rule.query_count() == Count(0, 0)
        lab.send(udp(1000), udp(1000), udp(1001))
        assert rule.query_count(reset=True) == Count(2, 120)
        assert rule.query_count() == Count(0, 0)
        assert len(lab.port.rx_burst()) == 3


def test_a_mark_arrives_with_the_packet(lab):
    with make(lab, actions.Mark(0xABCDE)):
        lab.send(udp(1000), udp(1001))
        burst = lab.port.rx_burst()
        assert list(burst.packets) == [udp(1000), udp(1001)]
        assert burst.has_mark.tolist() == [True, False] and burst.mark.tolist() == [0xABCDE, 0]
        assert burst.port_id.tolist() == [lab.port.id] * 2


def test_an_idle_rule_ages_and_is_reported_by_its_context(lab):
    rules = [
        make(lab, actions.Age(10, 77)),
        make(lab, actions.Age(10), src_port=1001),
        make(lab, actions.Age(99), src_port=1002),
    ]
    lab.nic.advance_ms(5000)
    assert rules[0].query_age() == AgeState(False, 5)
    assert lab.port.aged().tolist() == []
    lab.nic.advance_ms(6000)
    assert rules[0].query_age() == AgeState(True, 11)
    assert set(lab.port.aged().tolist()) == {77, rules[1].handle}
    for rule in rules:
        rule.close()
    assert lab.port.aged().tolist() == []


def test_aged_rules_are_announced_and_the_callback_may_ask_for_them(lab):
    found = []
    subscription = lab.port.on_event(Event.FLOW_AGED, lambda *_: found.append(lab.port.aged().tolist()), thread=False)
    with make(lab, actions.Age(1, 5)):
        lab.nic.advance_ms(3000)
        assert subscription.deliver() >= 1
    assert found[0] == [5]
    subscription.close()


def test_a_link_that_goes_down_is_announced(lab):
    heard = []
    with lab.port.on_event(Event.LINK_CHANGE, lambda *report: heard.append(report), thread=False) as subscription:
        lab.nic.set_link(False)
        subscription.deliver()
    assert heard == [(lab.port.id, Event.LINK_CHANGE)]
    assert not lab.port.link().is_up


@pytest.mark.parametrize("end", ["stop", "flush_rules"])
def test_after_stop_or_flush_the_rule_is_gone_and_says_so(lab, end):
    rule = make(lab, actions.Count())
    getattr(lab.port, end)()
    assert rule.is_gone
    with pytest.raises(RuleGone, match="stopped or flushed"):
        rule.query_count()
    rule.close()
    assert lab.nic.audit().rules.live == 0


def test_a_rule_made_after_a_restart_is_not_taken_for_the_old_one(lab):
    old = make(lab, actions.Count())
    lab.port.stop()
    lab.port.start()
    new = make(lab, actions.Count())
    assert old.is_gone and not new.is_gone
    old.close()
    assert new.query_count() == Count(0, 0)
    new.close()


def test_a_closed_rule_is_out_of_the_nic_and_refuses_use(lab):
    rule = make(lab, actions.Count())
    assert lab.nic.audit().rules.live == 1
    rule.close()
    rule.close()
    assert lab.nic.audit().rules.live == 0
    with pytest.raises(ClosedError):
        rule.query_count()


def test_what_a_rule_does_not_have_cannot_be_asked(lab):
    with make(lab) as rule:
        with pytest.raises(UsageError, match="no Count action"):
            rule.query_count()
        with pytest.raises(UsageError, match="no Age action"):
            rule.query_age()


def test_rules_share_an_indirect_counter(lab):
    with lab.port.create_indirect(actions.Count(), ingress=True) as counter:
        rules = [make(lab, actions.Indirect(counter), src_port=port) for port in (1000, 1001)]
        lab.send(udp(1000), udp(1001), udp(1002))
        assert counter.query().packets == 2
        for rule in rules:
            rule.close()
        with pytest.raises(UsageError, match="is no Age"):
            counter.update_age(touch=True)
        with pytest.raises(UsageError, match="is no Conntrack"):
            counter.update_conntrack()
    with pytest.raises(ClosedError):
        make(lab, actions.Indirect(counter))


def test_an_indirect_age_can_be_touched_and_given_another_timeout(lab):
    with lab.port.create_indirect(actions.Age(10), ingress=True) as age, make(lab, actions.Indirect(age)):
        lab.nic.advance_ms(8000)
        age.update_age(touch=True)
        assert age.query() == AgeState(False, 0)
        age.update_age(timeout_s=3)
        lab.nic.advance_ms(5000)
        assert age.query().is_aged
        with pytest.raises(UsageError, match="timeout_s"):
            age.update_age(timeout_s=1 << 24)


def test_the_drivers_words_are_the_message(lab):
    with pytest.raises(FlowError) as caught:
        lab.port.create_rule(INGRESS, pattern(), [actions.Queue(99)])
    error = caught.value
    assert error.op == "rte_flow_create" and error.errno
    assert "refused the rule: " in error.message and not error.message.endswith("refused the rule: ")
    with pytest.raises(FlowError) as validated:
        lab.port.validate_rule(INGRESS, pattern(), [actions.Queue(99)])
    assert validated.value.message == error.message.replace("rte_flow_create", "rte_flow_validate")


@pytest.mark.parametrize(
    ("call", "use"),
    [
        ("create", lambda lab, rule: make(lab, src_port=7)),
        ("query", lambda lab, rule: rule.query_count()),
        ("flush", lambda lab, rule: lab.port.flush_rules()),
        ("aged", lambda lab, rule: lab.port.aged()),
        ("destroy", lambda lab, rule: rule.close()),
    ],
)
def test_a_call_the_nic_fails_raises_and_can_be_repeated(lab, call, use):
    rule = make(lab, actions.Count())
    lab.nic.fail_next(call, 1, 28)
    with pytest.raises(FlowError, match="ENOSPC"):
        use(lab, rule)
    assert not rule.is_closed and not rule.is_gone
    made = use(lab, rule)
    if call == "create":
        made.close()
    rule.close()
    assert lab.nic.audit().rules.live == 0


def test_a_forgotten_rule_warns_and_is_taken_out(lab):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(lab)
        gc.collect()
    assert [w.category for w in caught] == [ResourceWarning]
    assert "rule" in str(caught[0].message) and lab.port.driver in str(caught[0].message)
    assert lab.nic.audit().rules.live == 0


def test_the_port_closes_rules_then_what_they_share(lab):
    counter = lab.port.create_indirect(actions.Count(), ingress=True)
    rules = [make(lab, actions.Indirect(counter), src_port=port) for port in range(1000, 1010)]
    lab.port.remove()
    assert counter.is_closed and all(rule.is_closed for rule in rules)


def test_sizes_are_what_the_driver_says(lab):
    info = lab.port.flow_info()
    assert info.max_counters > 0 and info.max_ages > 0
    assert lab.port.transfer_proxy() == lab.port.id
