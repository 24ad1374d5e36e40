"""How a connection is put into the NIC: chosen from what the two ports can do, with the reason why not a better way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ctoffload_dpdk.providers.capability import Cap, Domain, Engine, Finding, PortCapabilities


class Plan(StrEnum):
    """What the rules of a connection do; the best first. The first three pass software by."""

    CT = "ct"
    AGE = "age"
    COUNT = "count"
    MARK = "mark"
    STEER = "steer"
    NONE = "none"


class Fate(StrEnum):
    """Where a rule sends its packets: over the NIC's switch, into a hairpin queue, into a queue of software."""

    TRANSFER = "transfer"
    HAIRPIN = "hairpin"
    QUEUE = "queue"
    NONE = "none"


class LastUsed(StrEnum):
    """Who knows when a connection was last used."""

    AGE = "age"
    COUNT = "count"
    SOFTWARE = "software"
    NONE = "none"


class Family(StrEnum):
    """Of a connection's addresses."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Proto(StrEnum):
    """ICMP: echo and its reply, of the family's own ICMP."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


class Relation(StrEnum):
    """How two ports stand to each other."""

    SAME_PORT = "same port"
    SAME_SWITCH = "same switch"
    TWO_PORTS = "two ports"


BYPASS = (Plan.CT, Plan.AGE, Plan.COUNT)
ORDER = (*BYPASS, Plan.MARK, Plan.STEER)

# By which ways packets may pass software by. Over the switch back to where they came from: where a NIC can.
FATES: Mapping[Relation, tuple[Fate, ...]] = {
    Relation.SAME_SWITCH: (Fate.TRANSFER,),
    Relation.SAME_PORT: (Fate.HAIRPIN, Fate.TRANSFER),
    Relation.TWO_PORTS: (Fate.HAIRPIN,),
}


@dataclass(frozen=True)
class PortPair:
    """Two ports between which connections are forwarded; the same one twice where they leave by the port they came by.

    paths: per fate, whether a rule of the first port reaches the second and back.
    """

    in_port: PortCapabilities
    out_port: PortCapabilities
    paths: Mapping[Fate, Finding] = field(default_factory=dict)

    @property
    def relation(self) -> Relation:
        """How the two stand to each other."""
        if self.in_port.port_id == self.out_port.port_id:
            return Relation.SAME_PORT
        switch = self.in_port.switch_domain
        if switch is not None and switch == self.out_port.switch_domain:
            return Relation.SAME_SWITCH
        return Relation.TWO_PORTS

    @property
    def ports(self) -> tuple[PortCapabilities, ...]:
        """Both, or the one that both are."""
        return (self.in_port,) if self.relation is Relation.SAME_PORT else (self.in_port, self.out_port)


@dataclass(frozen=True)
class Override:
    """What is fixed beforehand; None is left to choose(). A hairpin may take the place of the switch."""

    plan: Plan | None = None
    fate: Fate | None = None
    engine: Engine | None = None


@dataclass(frozen=True)
class Refusal:
    """Why not this plan, or, with NONE, none at all. why: what is missing; evidence: what the driver said."""

    plan: Plan
    fate: Fate
    why: str
    evidence: str

    def __str__(self) -> str:
        because = f"{self.why} ({self.evidence})" if self.evidence else self.why
        if self.plan is Plan.NONE:
            return because
        by = "" if self.fate is Fate.NONE else f" by {self.fate}"
        return f"not {self.plan}{by}: {because}"


@dataclass(frozen=True)
class PlanChoice:
    """The plan, and why not each better one. engine: of the first port's rules; each port's own is engine_of().

    is_final: False where a better plan waits for an answer that a driver was too busy to give: choose() again later.
    """

    plan: Plan
    fate: Fate
    engine: Engine
    last_used: LastUsed
    refusals: tuple[Refusal, ...]
    is_final: bool = True

    def explain(self) -> str:
        """One line with the plan, then one per refusal."""
        if self.plan is Plan.NONE:
            first = "none: connections stay in software"
        else:
            first = f"{self.plan} by {self.fate}, rules {self.engine}, last used from {self.last_used}"
        return "\n".join([first, *(f"  {refusal}" for refusal in self.refusals)])


@dataclass(frozen=True)
class Kind:
    """Connections that are put into a NIC in the same way. nat: their packets are rewritten."""

    proto: Proto
    family: Family
    nat: bool


@dataclass(frozen=True)
class Missing:
    """What a plan lacks. is_open: only for now, the driver has not answered yet. is_of_plan: by whichever fate."""

    why: str
    evidence: str = ""
    is_open: bool = False
    is_of_plan: bool = False


def choose(
    pair: PortPair, proto: Proto | str, family: Family | str, nat: bool, override: Override | None = None
) -> PlanChoice:
    """The best plan for connections of this kind between these ports.

    An override that cannot work is refused with its reason, and the plan is NONE: nothing else takes its place. Raises
    ValueError for a word that is no Proto or Family. Reading capabilities that were not asked yet asks the drivers.
    """
    kind, override = Kind(Proto(proto), Family(family), nat), override or Override()
    engine, no_engine = engine_of(pair.in_port, override.engine)
    for port in pair.ports[1:]:
        no_engine = no_engine or engine_of(port, override.engine)[1]
    if override.plan is Plan.NONE:
        no_engine = Missing("the setting says: no plan")
    if no_engine is not None:
        refusal = Refusal(Plan.NONE, Fate.NONE, no_engine.why, no_engine.evidence)
        return PlanChoice(Plan.NONE, Fate.NONE, engine, LastUsed.NONE, (refusal,), not no_engine.is_open)
    refusals: list[Refusal] = []
    is_final = True
    for plan, fate in candidates(pair.relation, override):
        missing = next(missing_of(pair, plan, fate, kind), None)
        if missing is None:
            is_final = is_final and not refinement_is_open(pair, plan, fate)
            return PlanChoice(plan, fate, engine, last_used(pair, plan, fate), tuple(refusals), is_final)
        is_final = is_final and not missing.is_open
        refusal = Refusal(plan, Fate.NONE if missing.is_of_plan else fate, missing.why, missing.evidence)
        refusals += [refusal] if refusal not in refusals else []
    if not refusals:
        what = f"{override.plan} cannot go" if override.plan else "the setting says so, but no plan goes"
        why = f"{what} by {override.fate} between ports that are: {pair.relation}"
        refusals.append(Refusal(override.plan or Plan.NONE, override.fate or Fate.NONE, why, ""))
    return PlanChoice(Plan.NONE, Fate.NONE, engine, LastUsed.NONE, tuple(refusals), is_final)


def candidates(relation: Relation, override: Override) -> Iterator[tuple[Plan, Fate]]:
    """Each plan with each of its fates, the best first, as far as the override leaves the choice."""
    for plan in ORDER if override.plan is None else (override.plan,):
        fates = FATES[relation] if plan in BYPASS else (Fate.QUEUE,)
        if plan in BYPASS and override.fate is Fate.HAIRPIN:
            fates = (Fate.HAIRPIN,)
        for fate in fates:
            if override.fate in (None, fate):
                yield plan, fate


def engine_of(port: PortCapabilities, wanted: Engine | None = None) -> tuple[Engine, Missing | None]:
    """How this port's rules are created, and what is missing for it."""
    other = Engine.ASYNC if port.preferred is Engine.SYNC else Engine.SYNC
    for engine in (port.preferred, other) if wanted is None else (wanted,):
        if port.has(Cap(engine)):
            return engine, None
    engine = wanted or port.preferred
    found = port.find(Cap(engine), Domain.PORT)
    why = f"{port.name} takes no rules, neither at once nor through queues"
    if wanted is not None:
        why = f"the setting asks for {wanted} rules, but {port.cannot(found)}"
    return engine, Missing(why, found.evidence, is_open=found.has is None)


def domain_of(fate: Fate) -> Domain:
    return Domain.TRANSFER if fate is Fate.TRANSFER else Domain.INGRESS


def missing_of(pair: PortPair, plan: Plan, fate: Fate, kind: Kind) -> Iterator[Missing]:
    """What stands against a plan, the most telling first; nothing where it can be."""
    yield from unfit(plan, kind)
    for cap, domain in needs(plan, fate, kind, pair.relation):
        for port in pair.ports:
            # Once: a finding that is not settled is asked for again at each reading.
            found = port.find(cap, domain)
            if not found.has:
                yield Missing(port.cannot(found), found.evidence, is_open=found.has is None)
    if plan in BYPASS:
        path = pair.paths.get(fate)
        if path is None or path.has is not True:
            way = f"no rule leads by {fate} from {pair.in_port.name} to {pair.out_port.name} and back"
            yield Missing(way, path.evidence if path else "not asked", is_open=path is not None and path.has is None)
        if last_used(pair, plan, fate) is LastUsed.NONE:
            yield Missing("packets would pass software by, and nothing would tell when the connection was last used")


def unfit(plan: Plan, kind: Kind) -> Iterator[Missing]:
    """What no port could help."""
    if plan is Plan.CT and kind.proto is not Proto.TCP:
        yield Missing("a CONNTRACK context is for TCP alone", is_of_plan=True)
    if plan in BYPASS and kind.proto is Proto.ICMP and kind.nat:
        yield Missing("no action rewrites the identifier of an echo", is_of_plan=True)


def needs(plan: Plan, fate: Fate, kind: Kind, relation: Relation) -> Iterator[tuple[Cap, Domain]]:
    """What every port of the pair must be able to do, besides the path."""
    domain = domain_of(fate)
    yield Cap.RULES, domain
    if fate is Fate.HAIRPIN:
        yield Cap.HAIRPIN, Domain.PORT
    if plan is Plan.CT:
        yield Cap.CONNTRACK, domain
        if fate is Fate.HAIRPIN and relation is not Relation.SAME_PORT:
            yield Cap.SHARED_CONTEXTS, Domain.PORT
    if plan is Plan.AGE:
        yield Cap.AGE, domain
    if plan is Plan.COUNT:
        yield Cap.COUNT, domain
    if plan is Plan.MARK:
        yield Cap.MARK, domain
        yield Cap.RX_MARK, Domain.PORT
    if fate is Fate.QUEUE:
        yield Cap.QUEUE, domain
    yield Cap(f"{kind.family}-{kind.proto}"), domain
    if plan in BYPASS:
        yield Cap.JUMP, domain
        yield Cap.TO_SOFTWARE, domain
        yield Cap(f"no-fragment-{kind.family}"), domain
        if kind.proto is Proto.TCP:
            yield Cap.TCP_FLAGS, domain
        if kind.nat:
            yield Cap(f"rewrite-{kind.family}"), domain
            yield Cap.REWRITE_PORTS, domain
            if plan is Plan.CT:
                yield Cap.CONNTRACK_REWRITE, domain
                # What CONNTRACK lets go comes to software translated already.
                yield Cap.ID, domain


def refinement_is_open(pair: PortPair, plan: Plan, fate: Fate) -> bool:
    """Whether a driver has yet to say what would make the plan's answers better, not the plan possible."""
    cap = {Plan.CT: Cap.CONNTRACK_AGE, Plan.AGE: Cap.AGE_COUNT}.get(plan)
    return cap is not None and any(port.find(cap, domain_of(fate)).has is None for port in pair.ports)


def last_used(pair: PortPair, plan: Plan, fate: Fate) -> LastUsed:
    """Who knows, in this plan, when a connection was last used."""
    domain = domain_of(fate)
    if plan is Plan.CT:
        for cap, source in ((Cap.CONNTRACK_AGE, LastUsed.AGE), (Cap.CONNTRACK_COUNT, LastUsed.COUNT)):
            if all(port.has(cap, domain) for port in pair.ports):
                return source
        return LastUsed.NONE
    known = {Plan.AGE: LastUsed.AGE, Plan.COUNT: LastUsed.COUNT, Plan.MARK: LastUsed.SOFTWARE}
    return known.get(plan, LastUsed.SOFTWARE if plan is Plan.STEER else LastUsed.NONE)
