"""Which plan is chosen from which capabilities, and what is said of the better ones."""

from __future__ import annotations

import itertools

import pytest

from ctoffload_dpdk.providers.capability import WORDS, Cap, Domain, Engine, Finding, PortCapabilities, table
from ctoffload_dpdk.providers.plan import BYPASS, Family, Fate, LastUsed, Override, Plan, PortPair, Proto, choose

EVERYTHING = frozenset(itertools.product(Cap, Domain))
# What software steering of mlx5 can do: contexts and ids on the receive side alone, one ASO action in a rule.
SOFTWARE_STEERING = EVERYTHING - {
    (Cap.ASYNC, Domain.PORT),
    (Cap.SHARED_CONTEXTS, Domain.PORT),
    (Cap.CONNTRACK, Domain.TRANSFER),
    (Cap.CONNTRACK_AGE, Domain.INGRESS),
    (Cap.ID, Domain.TRANSFER),
}
HARDWARE_STEERING = EVERYTHING - {
    (Cap.SYNC, Domain.PORT),
    (Cap.SHARED_CONTEXTS, Domain.PORT),
    (Cap.ID, Domain.TRANSFER),
}
QUEUES_ONLY = frozenset({
    (Cap.SYNC, Domain.PORT),
    *((cap, Domain.INGRESS) for cap in (Cap.RULES, Cap.QUEUE, Cap.IPV4_TCP, Cap.IPV4_UDP)),
})  # fmt: skip
MARKING = QUEUES_ONLY | {(Cap.MARK, Domain.INGRESS), (Cap.RX_MARK, Domain.PORT)}
COUNTING = EVERYTHING - {(cap, domain) for cap in (Cap.CONNTRACK, Cap.AGE) for domain in Domain}


def port(can: frozenset[tuple[Cap, Domain]], port_id: int = 0, switch: int | None = 7, **more) -> PortCapabilities:
    findings = [Finding(cap, domain, (cap, domain) in can, f"{cap} tried") for cap, domain in EVERYTHING]
    return PortCapabilities(port_id, f"port{port_id}", "net_x", switch, port_id, findings=table(findings), **more)


def paths(*fates: Fate) -> dict[Fate, Finding]:
    return {fate: Finding(Cap.RULES, Domain.PORT, True, "tried") for fate in fates}


def on_switch(can: frozenset[tuple[Cap, Domain]]) -> PortPair:
    return PortPair(port(can, 0), port(can, 1), paths(Fate.TRANSFER))


def one_port(can: frozenset[tuple[Cap, Domain]]) -> PortPair:
    return PortPair(port(can), port(can), paths(Fate.HAIRPIN))


def two_ports(can: frozenset[tuple[Cap, Domain]]) -> PortPair:
    return PortPair(port(can, 0, 7), port(can, 1, 8), paths(Fate.HAIRPIN))


@pytest.mark.parametrize(
    ("pair", "proto", "nat", "answer"),
    [
        (on_switch(HARDWARE_STEERING), "tcp", False, ("ct", "transfer", "async", "age")),
        (on_switch(HARDWARE_STEERING), "tcp", True, ("age", "transfer", "async", "age")),
        (on_switch(HARDWARE_STEERING), "udp", True, ("age", "transfer", "async", "age")),
        (on_switch(SOFTWARE_STEERING), "tcp", False, ("age", "transfer", "sync", "age")),
        (on_switch(SOFTWARE_STEERING), "icmp", False, ("age", "transfer", "sync", "age")),
        (on_switch(SOFTWARE_STEERING), "icmp", True, ("mark", "queue", "sync", "software")),
        (one_port(SOFTWARE_STEERING), "tcp", False, ("ct", "hairpin", "sync", "count")),
        (one_port(SOFTWARE_STEERING), "tcp", True, ("ct", "hairpin", "sync", "count")),
        (one_port(HARDWARE_STEERING), "tcp", False, ("ct", "hairpin", "async", "age")),
        (two_ports(HARDWARE_STEERING), "tcp", False, ("age", "hairpin", "async", "age")),
        (two_ports(EVERYTHING), "tcp", False, ("ct", "hairpin", "sync", "age")),
        (on_switch(COUNTING), "tcp", False, ("count", "transfer", "sync", "count")),
        (two_ports(COUNTING), "udp", True, ("count", "hairpin", "sync", "count")),
        (two_ports(MARKING), "tcp", True, ("mark", "queue", "sync", "software")),
        (one_port(QUEUES_ONLY), "udp", False, ("steer", "queue", "sync", "software")),
        (one_port(QUEUES_ONLY), "icmp", False, ("none", "none", "sync", "none")),
        (on_switch(frozenset()), "tcp", False, ("none", "none", "sync", "none")),
    ],
)
def test_the_best_plan_that_can_be_is_chosen(pair, proto, nat, answer):
    chosen = choose(pair, proto, "ipv4", nat)
    assert (chosen.plan, chosen.fate, chosen.engine, chosen.last_used) == answer


def test_every_better_plan_is_named_with_what_was_missing():
    text = choose(on_switch(SOFTWARE_STEERING), "tcp", "ipv4", nat=False).explain()
    assert text.splitlines() == [
        "age by transfer, rules sync, last used from age",
        "  not ct by transfer: port0 cannot track TCP (CONNTRACK) in its switch (conntrack tried)",
    ]
    assert choose(on_switch(frozenset()), "udp", "ipv6", nat=False).explain().splitlines() == [
        "none: connections stay in software",
        "  port0 takes no rules, neither at once nor through queues (sync tried)",
    ]
    nothing = choose(on_switch(frozenset({(Cap.SYNC, Domain.PORT)})), "udp", "ipv6", nat=False).explain().splitlines()
    assert nothing[0] == "none: connections stay in software"
    assert [line.split(":")[0].strip() for line in nothing[1:]] == [
        *("not ct", "not age by transfer", "not count by transfer", "not mark by queue", "not steer by queue")
    ]


# What a pair on one switch needs for each plan; one missing is enough to lose it.
NEEDED = {
    Plan.CT: {
        *("rules", "conntrack", "jump", "to-software", "no-fragment-ipv4", "tcp-flags", "ipv4-tcp"),
        *("id", "rewrite-ipv4", "rewrite-ports", "conntrack-rewrite"),
    },
    Plan.AGE: {
        *("rules", "age", "jump", "to-software", "no-fragment-ipv4", "tcp-flags", "ipv4-tcp"),
        *("rewrite-ipv4", "rewrite-ports"),
    },
    Plan.COUNT: {
        *("rules", "count", "jump", "to-software", "no-fragment-ipv4", "tcp-flags", "ipv4-tcp"),
        *("rewrite-ipv4", "rewrite-ports"),
    },
    Plan.MARK: {"rules", "mark", "queue", "ipv4-tcp"},
    Plan.STEER: {"rules", "queue", "ipv4-tcp"},
}


@pytest.mark.parametrize("plan", NEEDED)
@pytest.mark.parametrize("cap", Cap)
def test_a_plan_needs_each_of_its_capabilities_and_no_other(plan, cap):
    domain = Domain.TRANSFER if plan in BYPASS else Domain.INGRESS
    chosen = choose(on_switch(EVERYTHING - {(cap, domain)}), "tcp", "ipv4", nat=True, override=Override(plan))
    if cap in NEEDED[plan]:
        assert chosen.plan is Plan.NONE
        assert WORDS[cap] in chosen.refusals[0].why
        assert chosen.refusals[0].evidence == f"{cap} tried"
    else:
        assert chosen.plan is plan


@pytest.mark.parametrize("short", [0, 1])
def test_what_one_port_of_a_pair_lacks_is_lacking(short):
    ports = [port(EVERYTHING - {(Cap.AGE, Domain.TRANSFER)} if i == short else EVERYTHING, i) for i in range(2)]
    chosen = choose(PortPair(*ports, paths(Fate.TRANSFER)), "udp", "ipv4", nat=False)
    assert chosen.plan is Plan.COUNT
    assert chosen.refusals[-1].why.startswith(f"port{short} cannot")


def test_without_a_way_nothing_passes_software_by():
    pair = PortPair(port(EVERYTHING, 0), port(EVERYTHING, 1), {})
    chosen = choose(pair, "tcp", "ipv4", nat=False)
    assert (chosen.plan, chosen.fate) == (Plan.MARK, Fate.QUEUE)
    assert "no rule leads by transfer from port0 to port1 and back" in chosen.refusals[0].why


def test_back_where_it_came_from_by_hairpin_before_the_switch():
    both = PortPair(port(EVERYTHING), port(EVERYTHING), paths(Fate.HAIRPIN, Fate.TRANSFER))
    assert choose(both, "udp", "ipv4", nat=False).fate is Fate.HAIRPIN
    switch = PortPair(port(EVERYTHING), port(EVERYTHING), paths(Fate.TRANSFER))
    assert choose(switch, "udp", "ipv4", nat=False).fate is Fate.TRANSFER


def test_an_answer_that_is_outstanding_is_not_taken_for_yes():
    asked = port(EVERYTHING, 0)
    findings = {**asked.findings, (Cap.AGE, Domain.TRANSFER): Finding(Cap.AGE, Domain.TRANSFER, None, "EAGAIN")}
    busy = PortCapabilities(0, "port0", "net_x", 7, 0, findings=findings)
    chosen = choose(PortPair(busy, port(EVERYTHING, 1), paths(Fate.TRANSFER)), "udp", "ipv4", nat=False)
    assert chosen.plan is Plan.COUNT
    assert "has not answered yet" in chosen.refusals[-1].why
    assert not chosen.is_final
    assert choose(on_switch(COUNTING), "udp", "ipv4", nat=False).is_final


def test_what_was_never_asked_is_not_there():
    bare = PortCapabilities(0, "port0", "net_x", None, 0)
    chosen = choose(PortPair(bare, bare, {}), "tcp", "ipv4", nat=False)
    assert chosen.plan is Plan.NONE
    assert chosen.refusals[0].evidence == "not asked"


@pytest.mark.parametrize(
    ("override", "proto", "why"),
    [
        (Override(Plan.CT), "udp", "TCP alone"),
        (Override(Plan.CT), "tcp", "cannot track TCP"),
        (Override(Plan.AGE, Fate.HAIRPIN), "tcp", "no rule leads by hairpin from port0 to port1"),
        (Override(Plan.AGE, Fate.QUEUE), "tcp", "age cannot go by queue"),
        (Override(Plan.STEER, Fate.TRANSFER), "tcp", "steer cannot go by transfer"),
        (Override(engine=Engine.ASYNC), "tcp", "the setting asks for async rules, but port0 cannot"),
        (Override(Plan.NONE), "tcp", "the setting says"),
    ],
)
def test_an_override_that_cannot_work_is_refused_not_replaced(override, proto, why):
    chosen = choose(on_switch(SOFTWARE_STEERING), proto, "ipv4", nat=False, override=override)
    assert chosen.plan is Plan.NONE
    assert why in chosen.refusals[0].why


def test_a_fate_that_no_plan_has_between_such_ports_is_refused_not_replaced():
    chosen = choose(two_ports(EVERYTHING), "udp", "ipv4", nat=False, override=Override(fate=Fate.TRANSFER))
    assert (chosen.plan, chosen.fate) == (Plan.NONE, Fate.NONE)
    assert [str(refusal) for refusal in chosen.refusals] == [
        "the setting says so, but no plan goes by transfer between ports that are: two ports"
    ]


@pytest.mark.parametrize(
    ("fate", "plan"), [(Fate.TRANSFER, Plan.AGE), (Fate.HAIRPIN, Plan.AGE), (Fate.QUEUE, Plan.MARK)]
)
def test_a_fate_that_is_asked_for_is_had_by_the_best_plan_that_has_it(fate, plan):
    pair = PortPair(port(EVERYTHING, 0), port(EVERYTHING, 1), paths(Fate.TRANSFER, Fate.HAIRPIN))
    chosen = choose(pair, "udp", "ipv4", nat=False, override=Override(fate=fate))
    assert (chosen.plan, chosen.fate) == (plan, fate)


def test_an_override_that_works_is_followed():
    pair = on_switch(EVERYTHING)
    assert choose(pair, "tcp", "ipv4", nat=False, override=Override(Plan.COUNT)).plan is Plan.COUNT
    assert choose(pair, "tcp", "ipv4", nat=False, override=Override(Plan.STEER)).fate is Fate.QUEUE
    assert choose(pair, "tcp", "ipv4", nat=False, override=Override(engine=Engine.ASYNC)).engine is Engine.ASYNC


def test_the_port_says_which_engine_it_prefers_where_it_has_both():
    ports = [port(EVERYTHING, i, preferred=Engine.ASYNC) for i in range(2)]
    assert choose(PortPair(*ports, paths(Fate.TRANSFER)), "tcp", "ipv4", nat=False).engine is Engine.ASYNC
    ports = [port(SOFTWARE_STEERING, i, preferred=Engine.ASYNC) for i in range(2)]
    assert choose(PortPair(*ports, paths(Fate.TRANSFER)), "tcp", "ipv4", nat=False).engine is Engine.SYNC


SOURCES = [Cap.CONNTRACK, Cap.CONNTRACK_AGE, Cap.CONNTRACK_COUNT, Cap.AGE, Cap.COUNT, Cap.ID, Cap.MARK]


@pytest.mark.parametrize("there", list(itertools.product([False, True], repeat=len(SOURCES))))
def test_nothing_ever_passes_software_by_unless_the_nic_tells_when_it_was_used(there):
    gone = {cap for cap, is_there in zip(SOURCES, there, strict=True) if not is_there}
    can = frozenset((cap, domain) for cap, domain in EVERYTHING if cap not in gone)
    for make, proto, family, nat, plan in itertools.product(
        (on_switch, one_port, two_ports), Proto, Family, (False, True), (None, *BYPASS)
    ):
        chosen = choose(make(can), proto, family, nat, Override(plan))
        if chosen.plan in BYPASS:
            assert chosen.last_used in (LastUsed.AGE, LastUsed.COUNT)
            assert not {Cap.AGE, Cap.CONNTRACK_AGE} <= gone or chosen.last_used is LastUsed.COUNT
            assert not {Cap.COUNT, Cap.CONNTRACK_COUNT} <= gone or chosen.last_used is LastUsed.AGE
        else:
            assert chosen.last_used in (LastUsed.SOFTWARE, LastUsed.NONE)
        if chosen.plan is Plan.CT:
            assert proto is Proto.TCP
            assert not nat or Cap.ID not in gone
