"""The questions a port is asked: one function each, which makes rules and says what it saw, or raises.

FlowError means no, in the driver's words; No means no for a reason of ours, Open not yet. Addresses are reserved for
documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk.actions import (
    Action,
    Age,
    Conntrack,
    Count,
    Drop,
    Field,
    FieldAt,
    Indirect,
    Jump,
    Mark,
    ModifyField,
    PortRepresentor,
    Queue,
    RepresentedPort,
    Rss,
    SetIpv4Dst,
    SetIpv4Src,
    SetIpv6Dst,
    SetIpv6Src,
    SetTpDst,
    SetTpSrc,
)
from ctoffload_dpdk.dpdk.items import Conntrack as ConntrackItem
from ctoffload_dpdk.dpdk.items import Eth, Icmp, Ipv4, Ipv6, Item, Masked, Tcp, Udp, Vlan
from ctoffload_dpdk.providers._rte_flow_probe import query_age, query_count
from ctoffload_dpdk.providers.capability import Answered, Cap, Domain, Engine, Finding
from ctoffload_dpdk.providers.plan import Fate, Relation
from ctoffload_dpdk.providers.rte_flow_prepare import BUSY, said
from ctoffload_dpdk.providers.rte_flow_scratch import GROUP, Scratch, attr_of

if TYPE_CHECKING:
    from ctoffload_dpdk.providers.rte_flow_probe import PortProbe


class No(Exception):
    """The port cannot, and why."""


class Open(Exception):
    """What the question rests on is not known yet, and why: it is asked another time."""


@dataclass(frozen=True)
class Yes:
    """The port can: what was done, and which of several ways it took."""

    evidence: str
    how: str = ""


Question = Callable[["PortProbe", Domain], Yes]

# Values of Finding.how.
GROUP_0 = "group-0"
BY_MISS, BY_PORT_REPRESENTOR, BY_QUEUE = "miss", "port-representor", "queue"
BY_MARK = "mark"
BY_MODIFY_FIELD, BY_SET = "modify-field", "set"
WITH_COUNT = "with-count"
REWRITE_FIRST, REWRITE_LAST = "rewrite-first", "rewrite-last"

# Switches of these drivers hand a packet that no rule matches to the host of the port it came by.
MISS_REACHES_SOFTWARE = ("mlx5", "net_nicsim")

TAKEN = "a rule was created and destroyed"
LONGEST_AGE_S = 86400 + 60

V4 = Ipv4(src="192.0.2.1", dst="192.0.2.2")
V6 = Ipv6(src="2001:db8::1", dst="2001:db8::2")
DISCARD = Tcp(src_port=9, dst_port=9)
CONNECTION: tuple[Item, ...] = (Eth(), V4, DISCARD)
DATAGRAM: tuple[Item, ...] = (Eth(), V4, Udp(src_port=9, dst_port=9))

PATTERNS: Mapping[Cap, tuple[Item, ...]] = {
    Cap.TCP_FLAGS: (Eth(), V4, Tcp(flags=Masked(0, 7))),
    Cap.NO_FRAGMENT_IPV4: (Eth(), Ipv4(src="192.0.2.1", dst="192.0.2.2", fragment_offset=Masked(0, 0x3FFF))),
    Cap.NO_FRAGMENT_IPV6: (Eth(), Ipv6(src="2001:db8::1", dst="2001:db8::2", has_frag_ext=False)),
    Cap.VLAN: (Eth(), Vlan(vid=1), V4, DISCARD),
    Cap.QINQ: (Eth(), Vlan(vid=1), Vlan(vid=2), V4, DISCARD),
    Cap.IPV4_TCP: CONNECTION,
    Cap.IPV4_UDP: DATAGRAM,
    Cap.IPV4_ICMP: (Eth(), V4, Icmp(type=8, code=0, ident=9)),
    Cap.IPV6_TCP: (Eth(), V6, DISCARD),
    Cap.IPV6_UDP: (Eth(), V6, Udp(src_port=9, dst_port=9)),
}


def constant(field: Field, value: bytes) -> ModifyField:
    return ModifyField(FieldAt(field), value, 8 * len(value))


V4_BYTES, V6_BYTES = bytes((192, 0, 2, 3)), bytes.fromhex("20010db8000000000000000000000003")
# Per capability: the pattern, and what rewrites by either action.
REWRITES: Mapping[Cap, list[tuple[tuple[Item, ...], Mapping[str, list[Action]]]]] = {
    Cap.REWRITE_IPV4: [
        (
            CONNECTION,
            {
                BY_MODIFY_FIELD: [constant(Field.IPV4_SRC, V4_BYTES), constant(Field.IPV4_DST, V4_BYTES)],
                BY_SET: [SetIpv4Src("192.0.2.3"), SetIpv4Dst("192.0.2.3")],
            },
        )
    ],
    Cap.REWRITE_IPV6: [
        (
            (Eth(), V6, DISCARD),
            {
                BY_MODIFY_FIELD: [constant(Field.IPV6_SRC, V6_BYTES), constant(Field.IPV6_DST, V6_BYTES)],
                BY_SET: [SetIpv6Src("2001:db8::3"), SetIpv6Dst("2001:db8::3")],
            },
        )
    ],
    Cap.REWRITE_PORTS: [
        (
            CONNECTION,
            {
                BY_MODIFY_FIELD: [constant(Field.TCP_PORT_SRC, b"\0\t"), constant(Field.TCP_PORT_DST, b"\0\t")],
                BY_SET: [SetTpSrc(9), SetTpDst(9)],
            },
        ),
        (
            DATAGRAM,
            {
                BY_MODIFY_FIELD: [constant(Field.UDP_PORT_SRC, b"\0\t"), constant(Field.UDP_PORT_DST, b"\0\t")],
                BY_SET: [SetTpSrc(9), SetTpDst(9)],
            },
        ),
    ],
}


def need(found: Finding, why: str = "") -> Finding:
    """What a question rests on, which the port has to be able to do."""
    if found.has:
        return found
    said_so = why or f"not asked: {found.evidence.removeprefix('not asked: ')}"
    raise No(said_so) if found.has is False else Open(said_so)


# Rules at all ---------------------------------------------------------------------------------------------------------


def sync(probe: PortProbe, domain: Domain) -> Yes:
    """In whichever domain and group the driver takes a rule at once."""
    return first_of(
        lambda: plain_rule(probe, Domain.INGRESS, GROUP, Engine.SYNC),
        lambda: plain_rule(probe, Domain.INGRESS, 0, Engine.SYNC),
        *([lambda: plain_rule(probe, Domain.TRANSFER, GROUP, Engine.SYNC)] if probe.owner else []),
    )


def through_queues(probe: PortProbe, domain: Domain) -> Yes:
    if probe.prepared.sizes is None:
        raise No(f"not asked, without queues a call could crash the driver: {probe.prepared.sizes_said}")
    return first_of(
        lambda: plain_rule(probe, Domain.INGRESS, GROUP, Engine.ASYNC),
        *([lambda: plain_rule(probe, Domain.TRANSFER, GROUP, Engine.ASYNC)] if probe.owner else []),
    )


def plain_rule(probe: PortProbe, domain: Domain, group: int, engine: Engine | None = None) -> Yes:
    with probe.scratch(domain, engine) as s:
        end = Drop() if domain is Domain.TRANSFER else Queue(0)
        s.rule(attr_of(domain, group), probe.pattern(domain, *DATAGRAM), [end])
    return Yes(f"{TAKEN} in group {group}", GROUP_0 if group == 0 else "")


def first_of(*ways: Callable[[], Yes]) -> Yes:
    """The first way that the driver takes; with none, what it said to each."""
    refused: list[str] = []
    for way in ways:
        try:
            return way()
        except No as no:
            refused.append(str(no))
        except FlowError as error:
            if error.errno in BUSY:
                raise
            refused.append(said(error))
    raise No("; ".join(dict.fromkeys(refused)))


def rules(probe: PortProbe, domain: Domain) -> Yes:
    engine = probe.findings[Cap(probe.engine), Domain.PORT]
    need(engine, engine.evidence)
    return first_of(lambda: plain_rule(probe, domain, GROUP), lambda: plain_rule(probe, domain, 0))


def jump(probe: PortProbe, domain: Domain) -> Yes:
    if probe.group(domain) == 0:
        raise No(f"group {GROUP} takes no rule, group 0 does")
    with probe.scratch(domain) as s:
        pattern = probe.pattern(domain, *DATAGRAM)
        s.rule(attr_of(domain, GROUP), pattern, [Jump(GROUP + 1)])
        s.rule(attr_of(domain, 0), pattern, [Jump(GROUP)])
    return Yes(f"rules from group 0 to {GROUP} and on to {GROUP + 1} were created and destroyed")


def to_software(probe: PortProbe, domain: Domain) -> Yes:
    """The last rule of a group, or what the switch does by itself with a packet that no rule matches."""
    with probe.scratch(domain) as s:
        fate = PortRepresentor(probe.port.id) if domain is Domain.TRANSFER else Queue(0)
        try:
            s.rule(attr_of(domain, probe.group(domain), priority=1), probe.pattern(domain, Eth()), [fate])
        except FlowError as error:
            by_itself = domain is Domain.TRANSFER and probe.info.driver.startswith(MISS_REACHES_SOFTWARE)
            if by_itself and error.errno not in BUSY:
                return Yes(f"by its default, a miss goes to its port's host; PORT_REPRESENTOR: {said(error)}", BY_MISS)
            raise
    return Yes(
        f"a last rule to {'PORT_REPRESENTOR' if domain is Domain.TRANSFER else 'QUEUE'} was created and destroyed",
        BY_PORT_REPRESENTOR if domain is Domain.TRANSFER else BY_QUEUE,
    )


# What rules match and where they lead ---------------------------------------------------------------------------------


def matches(cap: Cap) -> Question:
    def question(probe: PortProbe, domain: Domain) -> Yes:
        return takes(probe, domain, PATTERNS[cap], [probe.end(domain)])

    return question


def takes(probe: PortProbe, domain: Domain, pattern: tuple[Item, ...], actions: list[Action]) -> Yes:
    with probe.scratch(domain) as s:
        s.rule(attr_of(domain, probe.group(domain)), probe.pattern(domain, *pattern), actions)
    return Yes(TAKEN)


def echo_ipv6(probe: PortProbe, domain: Domain) -> Yes:
    raise No("not asked: no item before DPDK 23.03 matches the identifier of an ICMPv6 echo")


def leads(*actions: Action) -> Question:
    def question(probe: PortProbe, domain: Domain) -> Yes:
        return takes(probe, domain, DATAGRAM, list(actions))

    return question


def rx_mark(probe: PortProbe, domain: Domain) -> Yes:
    if not probe.prepared.rx_mark:
        raise No("rte_eth_rx_metadata_negotiate: the driver does not deliver marks")
    return Yes("rte_eth_rx_metadata_negotiate did not refuse it")


def survives(probe: PortProbe, domain: Domain) -> Yes:
    """Whether a mark that is set before a jump arrives in software."""
    if domain is Domain.TRANSFER and probe.is_mlx5:
        raise No("not asked: mlx5's switch takes no MARK, and META reaches software only with dv_xmeta_en")
    if not probe.prepared.rx_mark:
        raise No("the driver does not deliver marks")
    need(probe.findings[Cap.JUMP, domain], "not asked: it needs a jump")
    end = PortRepresentor(probe.port.id) if domain is Domain.TRANSFER else Queue(0)
    with probe.scratch(domain) as s:
        pattern = probe.pattern(domain, *CONNECTION)
        s.rule(attr_of(domain, GROUP + 1), pattern, [end])
        s.rule(attr_of(domain, GROUP), pattern, [Mark(9), Jump(GROUP + 1)])
    return Yes("a rule that marks and jumps was created and destroyed; the driver delivers marks", BY_MARK)


def hairpin(probe: PortProbe, domain: Domain) -> Yes:
    if probe.prepared.hairpin_queue is None:
        raise No(probe.prepared.hairpin_said)
    return Yes(probe.prepared.hairpin_said)


def shared_contexts(probe: PortProbe, domain: Domain) -> Yes:
    raise No("not asked: contexts are not shared between ports; mlx5 does with hardware steering from DPDK 24.03")


# Who knows when a rule was last used ----------------------------------------------------------------------------------


def counts(probe: PortProbe, domain: Domain) -> Yes:
    with probe.scratch(domain) as s:
        pattern = probe.pattern(domain, *DATAGRAM)
        rule = s.rule(attr_of(domain, probe.group(domain)), pattern, [Count(), probe.end(domain)])
        return told(query_count(rule), "COUNT")


def ages(probe: PortProbe, domain: Domain) -> Yes:
    with probe.scratch(domain) as s:
        pattern = probe.pattern(domain, *DATAGRAM)
        rule = s.rule(attr_of(domain, probe.group(domain)), pattern, [Age(LONGEST_AGE_S), probe.end(domain)])
        return told(query_age(rule), "AGE")


def ages_and_counts(probe: PortProbe, domain: Domain) -> Yes:
    with probe.scratch(domain) as s:
        attr, pattern = attr_of(domain, probe.group(domain)), probe.pattern(domain, *DATAGRAM)
        rule = s.rule(attr, pattern, [Count(), Age(LONGEST_AGE_S), probe.end(domain)])
        told(query_age(rule), "AGE")
        told(query_count(rule), "COUNT")
    return Yes("both were queried beside each other")


def told(answer: Answered, action: str) -> Yes:
    """What a query's answer is worth. Some drivers answer 0 and write nothing."""
    if not answer.wrote:
        raise No(f"rte_flow_query for {action} answered 0 and wrote nothing")
    if not answer.is_valid:
        raise No(f"rte_flow_query for {action} answered, but marked nothing of it as valid")
    if action == "AGE":
        return Yes(f"rte_flow_query for AGE answered: last used {answer.value} s ago")
    return Yes(f"rte_flow_query for COUNT answered: {answer.value} packets{'' if answer.has_bytes else ', no bytes'}")


# Contexts -------------------------------------------------------------------------------------------------------------


def tracks(probe: PortProbe, domain: Domain) -> Yes:
    """One context, two directions, the check of its verdict in the group after it, its state read back."""
    require_groups(probe, domain)
    with probe.scratch(domain) as s:
        context = s.context(domain)
        check = (Eth(), Ipv4(), Tcp(), ConntrackItem(flags=Masked(1, 1)))
        after = attr_of(domain, GROUP + 1)
        s.rule(after, probe.pattern(domain, *check), [after_check(probe, domain)])
        connection(probe, domain, s, [Indirect(context, Conntrack), Jump(GROUP + 1)])
        context.update_conntrack(original_direction=False)
        back = (Eth(), Ipv4(src="192.0.2.2", dst="192.0.2.1"), DISCARD)
        s.rule(attr_of(domain, GROUP), probe.pattern(domain, *back), [Indirect(context, Conntrack), Jump(GROUP + 1)])
        try:
            context.query()
        except FlowError as error:
            if error.errno in BUSY:
                raise
            return Yes(f"a context served both directions; reading it back: {said(error)}", "no-read")
    return Yes("a context served both directions and was read back")


def after_check(probe: PortProbe, domain: Domain) -> Action:
    """Where a packet goes that the check let through."""
    return RepresentedPort(probe.port.id) if domain is Domain.TRANSFER else Queue(0)


def connection(probe: PortProbe, domain: Domain, s: Scratch, actions: list[Action]) -> object:
    return s.rule(attr_of(domain, GROUP), probe.pattern(domain, *CONNECTION), actions)


def require_groups(probe: PortProbe, domain: Domain) -> None:
    need(probe.findings[Cap.JUMP, domain], "not asked: CONNTRACK needs a group above 0 and a jump")


def require_contexts(probe: PortProbe, domain: Domain) -> None:
    need(probe.findings[Cap.CONNTRACK, domain])


def tracks_and_counts(probe: PortProbe, domain: Domain) -> Yes:
    require_contexts(probe, domain)
    with probe.scratch(domain) as s:
        actions = [Count(), Indirect(s.context(domain), Conntrack), Jump(GROUP + 1)]
        rule = s.rule(attr_of(domain, GROUP), probe.pattern(domain, *CONNECTION), actions)
        return told(query_count(rule), "COUNT")


def tracks_and_ages(probe: PortProbe, domain: Domain) -> Yes:
    """With COUNT as well where that can be: then it is known what the connection carried."""
    if probe.is_mlx5 and not probe.is_hardware_steering:
        raise No("not asked: mlx5 supports no AGE beside CONNTRACK with software steering, and may crash when queried")
    require_contexts(probe, domain)

    def way(counts: list[Action], how: str) -> Yes:
        with probe.scratch(domain) as s:
            actions = [*counts, Age(LONGEST_AGE_S), Indirect(s.context(domain), Conntrack), Jump(GROUP + 1)]
            rule = s.rule(attr_of(domain, GROUP), probe.pattern(domain, *CONNECTION), actions)
            if counts:
                told(query_count(rule), "COUNT")
            return replace(told(query_age(rule), "AGE"), how=how)

    return first_of(lambda: way([Count()], WITH_COUNT), lambda: way([], ""))


def tracks_and_rewrites(probe: PortProbe, domain: Domain) -> Yes:
    """Software steering wants the rewrite first, hardware steering last."""
    require_contexts(probe, domain)
    rewrite = need(probe.findings[Cap.REWRITE_IPV4, domain])
    actions = REWRITES[Cap.REWRITE_IPV4][0][1][rewrite.how]

    def way(how: str) -> Yes:
        with probe.scratch(domain) as s:
            context: list[Action] = [Count(), Indirect(s.context(domain), Conntrack)]
            order = [*actions, *context] if how == REWRITE_FIRST else [*context, *actions]
            connection(probe, domain, s, [*order, Jump(GROUP + 1)])
        return Yes(f"{TAKEN}, {how}", how)

    orders = (REWRITE_LAST, REWRITE_FIRST) if probe.engine is Engine.ASYNC else (REWRITE_FIRST, REWRITE_LAST)
    return first_of(*(lambda how=how: way(how) for how in orders))


def rewrites(cap: Cap) -> Question:
    def question(probe: PortProbe, domain: Domain) -> Yes:
        return first_of(*(lambda how=how: way(probe, domain, how) for how in (BY_MODIFY_FIELD, BY_SET)))

    def way(probe: PortProbe, domain: Domain, how: str) -> Yes:
        for pattern, actions in REWRITES[cap]:
            takes(probe, domain, pattern, [*actions[how], probe.end(domain)])
        return Yes(f"{TAKEN}, by {'MODIFY_FIELD' if how == BY_MODIFY_FIELD else 'SET_*'}", how)

    return question


# The ways between ports -----------------------------------------------------------------------------------------------


def over_the_switch(first: PortProbe, second: PortProbe, relation: Relation) -> Yes:
    """A rule from each port to the other, with what tells its last use."""
    if relation is Relation.TWO_PORTS:
        raise No("not asked: they are not ports of one switch")
    if first.is_mlx5 and relation is Relation.SAME_PORT:
        raise No("not asked: mlx5's switch does not send a packet back to the wire it came by")
    if first.is_mlx5 and not (first.info.is_representor or second.info.is_representor):
        raise No("not asked: mlx5's switch does not forward from one physical port to another")
    if first.owner is None or second.owner is None:
        raise No(f"not asked: {first.owner_said or second.owner_said}")
    for a, b in ((first, second), (second, first)):
        found = a.findings[Cap.RULES, Domain.TRANSFER]
        need(found, found.evidence)
        with a.scratch(Domain.TRANSFER) as s:
            actions = [*last_used(a, Domain.TRANSFER), RepresentedPort(b.port.id)]
            s.rule(attr_of(Domain.TRANSFER, a.group(Domain.TRANSFER)), a.pattern(Domain.TRANSFER, *DATAGRAM), actions)
    return Yes("a rule each way was created and destroyed")


def by_hairpin(first: PortProbe, second: PortProbe, relation: Relation) -> Yes:
    """A rule into each port's hairpin queue, with what tells its last use."""
    domain = Domain.INGRESS
    for one, other in ((first, second), (second, first)):
        queue = one.prepared.hairpin_queue
        if queue is None:
            raise No(one.prepared.hairpin_said)
        if one.prepared.hairpin_peer != other.port.id:
            raise No(f"not asked: the hairpin of {one.info.name} was made for port {one.prepared.hairpin_peer}")
        if relation is Relation.SAME_SWITCH and one.is_mlx5:
            raise No("not asked: mlx5 has no hairpin between the ports of a switch")
        if relation is not Relation.SAME_PORT and (refused := one.bound.get(other.port.id, "they were not bound")):
            raise No(refused)
        with one.scratch(domain) as s:
            actions = [*last_used(one, domain), Queue(queue)]
            s.rule(attr_of(domain, one.group(domain)), one.pattern(domain, *DATAGRAM), actions)
    return Yes("a rule into the hairpin queue was created and destroyed")


def last_used(probe: PortProbe, domain: Domain) -> list[Action]:
    if probe.findings[Cap.AGE, domain].has:
        return [Age(LONGEST_AGE_S)]
    return [Count()] if probe.findings[Cap.COUNT, domain].has else []


PATHS: Mapping[Fate, Callable[[PortProbe, PortProbe, Relation], Yes]] = {
    Fate.TRANSFER: over_the_switch,
    Fate.HAIRPIN: by_hairpin,
}

OF_PORT: Mapping[Cap, Question] = {
    Cap.SYNC: sync,
    Cap.ASYNC: through_queues,
    Cap.HAIRPIN: hairpin,
    Cap.RX_MARK: rx_mark,
    Cap.SHARED_CONTEXTS: shared_contexts,
}

OF_DOMAIN: Mapping[Cap, Question] = {
    Cap.RULES: rules,
    Cap.JUMP: jump,
    Cap.TO_SOFTWARE: to_software,
    **{cap: matches(cap) for cap in PATTERNS},
    Cap.IPV6_ICMP: echo_ipv6,
    Cap.COUNT: counts,
    Cap.AGE: ages,
    Cap.AGE_COUNT: ages_and_counts,
    Cap.CONNTRACK: tracks,
    Cap.CONNTRACK_COUNT: tracks_and_counts,
    Cap.CONNTRACK_AGE: tracks_and_ages,
    Cap.CONNTRACK_REWRITE: tracks_and_rewrites,
    **{cap: rewrites(cap) for cap in REWRITES},
    Cap.ID: survives,
}

OF_INGRESS: Mapping[Cap, Question] = {
    Cap.QUEUE: leads(Queue(0)),
    Cap.RSS: leads(Rss((0,))),
    Cap.MARK: leads(Mark(9), Queue(0)),
}

QUESTIONS: Mapping[tuple[Cap, Domain], Question] = {
    **{(cap, Domain.PORT): question for cap, question in OF_PORT.items()},
    **{(cap, Domain.INGRESS): question for cap, question in (*OF_DOMAIN.items(), *OF_INGRESS.items())},
    **{(cap, Domain.TRANSFER): question for cap, question in OF_DOMAIN.items()},
}
