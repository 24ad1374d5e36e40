"""What a port can do, found by making rules and taking them out again.

Each capability is a question; it is asked when the answer is first needed. A driver that refuses says no in its own
words. rte_flow_validate is never called. Where a driver takes a rule that its NIC would not, or where asking would
crash it, the answer is known by the driver's name and says so.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping

from ctoffload_dpdk.base.errors import FlowError, PortError
from ctoffload_dpdk.dpdk import Port
from ctoffload_dpdk.dpdk.actions import Action, Drop, Jump, Queue
from ctoffload_dpdk.dpdk.items import Item, RepresentedPort
from ctoffload_dpdk.providers import rte_flow_questions as questions
from ctoffload_dpdk.providers.capability import Cap, Domain, Engine, Finding, PortCapabilities
from ctoffload_dpdk.providers.plan import Fate, Override, PortPair, Relation
from ctoffload_dpdk.providers.rte_flow_prepare import BUSY, Prepared, said
from ctoffload_dpdk.providers.rte_flow_scratch import GROUP, Account, Scratch

Owners = Callable[[int], Port | None]
Key = tuple[Cap, Domain]


class PortProbe:
    """Asks one running port. Its driver's calls come from the thread that reads a finding for the first time.

    owners: the open Port with an id, for the port on which rules of the switch are made; None where it is not open.
    """

    def __init__(self, port: Port, prepared: Prepared, owners: Owners, override: Override | None = None) -> None:
        self.port = port
        self.prepared = prepared
        self.account = Account()
        self.info = port.info()
        self.is_mlx5 = self.info.driver.startswith("mlx5")
        # Hardware steering alone knows rte_flow_configure.
        self.is_hardware_steering = self.is_mlx5 and prepared.sizes is not None
        self._owners = owners
        self._owner_id, self._no_owner = self._find_owner()
        self.findings = Findings(self)
        # What the bind of hairpin queues with another port's said; empty where it succeeded.
        self.bound: dict[int, str] = {}
        self.wanted_engine = override.engine if override else None

    def _find_owner(self) -> tuple[int | None, str]:
        if self.info.switch_domain is None:
            return None, "the port belongs to no switch"
        try:
            return self.port.transfer_proxy(), ""
        except FlowError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                return None, said(error)
            return self.port.id, ""

    @property
    def owner(self) -> Port | None:
        """The port on which rules of the switch are made, as it is open now: it may go and come back."""
        if self._owner_id is None or self._owner_id == self.port.id:
            return None if self._owner_id is None else self.port
        return self._owners(self._owner_id)

    @property
    def owner_said(self) -> str:
        """Why there is no owner."""
        return self._no_owner or f"rules of the switch are made on port {self._owner_id}, which is not open here"

    @property
    def preferred(self) -> Engine:
        """mlx5 steers in hardware where it was told to; its queues are then the way it is made for."""
        return Engine.ASYNC if self.is_hardware_steering else Engine.SYNC

    @property
    def capabilities(self) -> PortCapabilities:
        """What choose() reads; asks the driver as it is read."""
        return PortCapabilities(
            port_id=self.port.id,
            name=self.info.name,
            driver=self.info.driver,
            switch_domain=self.info.switch_domain,
            owner=self.port.id if self._owner_id is None else self._owner_id,
            preferred=self.preferred,
            findings=self.findings,
        )

    @property
    def engine(self) -> Engine:
        """By which questions are asked: the one that rules will use."""
        other = Engine.ASYNC if self.preferred is Engine.SYNC else Engine.SYNC
        for engine in (self.preferred, other) if self.wanted_engine is None else (self.wanted_engine,):
            if self.findings[Cap(engine), Domain.PORT].has:
                return engine
        return self.wanted_engine or self.preferred

    @property
    def misses_reach_software(self) -> bool:
        """What no rule of the switch matches goes to its port's host by itself, and the driver takes no rule for it."""
        return self.findings[Cap.TO_SOFTWARE, Domain.TRANSFER].how == questions.BY_MISS

    # What questions are made of ---------------------------------------------------------------------------------------

    def scratch(self, domain: Domain, engine: Engine | None = None) -> Scratch:
        """Where a question about rules of this domain makes them."""
        port = self.owner if domain is Domain.TRANSFER else self.port
        assert port is not None, self.owner_said
        return Scratch(port, engine or self.engine, self.prepared.probe_queue, self.account)

    def pattern(self, domain: Domain, *items: Item) -> list[Item]:
        """In the switch the port a packet came by is an item."""
        return [RepresentedPort(self.port.id), *items] if domain is Domain.TRANSFER else list(items)

    def group(self, domain: Domain) -> int:
        """The scratch group, or group 0 where the driver has no other."""
        return 0 if self.findings[Cap.RULES, domain].how == questions.GROUP_0 else GROUP

    def end(self, domain: Domain) -> Action:
        """How a question's rule ends where that is not what is asked: in the next group where there is one.

        Raises questions.Open where that is not known yet.
        """
        jump = self.findings[Cap.JUMP, domain]
        if jump.has is None:
            raise questions.Open(jump.evidence)
        if jump.has:
            return Jump(GROUP + 1)
        return Drop() if domain is Domain.TRANSFER else Queue(0)


class Findings(Mapping[Key, Finding]):
    """The findings of a port, each asked for when it is first read, and again while the driver was too busy to tell."""

    def __init__(self, probe: PortProbe) -> None:
        self._probe = probe
        self._found: dict[Key, Finding] = {}

    def __getitem__(self, key: Key) -> Finding:
        found = self._found.get(key)
        if found is None or found.has is None:
            if key not in questions.QUESTIONS:
                raise KeyError(key)
            found = ask(self._probe, *key)
            if key[1] is not Domain.TRANSFER or self._probe.owner is not None:  # it may be opened later
                self._found[key] = found
        return found

    def known(self) -> dict[Key, Finding]:
        """What was asked so far; asks nothing."""
        return dict(self._found)

    def __iter__(self) -> Iterator[Key]:
        return iter(questions.QUESTIONS)

    def __len__(self) -> int:
        return len(questions.QUESTIONS)


def ask(probe: PortProbe, cap: Cap, domain: Domain) -> Finding:
    """Asks one question. Nothing that it made is left, or the account says what."""
    if domain is Domain.TRANSFER and probe.owner is None:
        return Finding(cap, domain, False, f"not asked: {probe.owner_said}")
    if domain is not Domain.PORT and cap is not Cap.RULES:
        rules = probe.findings[Cap.RULES, domain]
        if not rules.has:
            return Finding(cap, domain, rules.has, f"not asked, no rule is taken: {rules.evidence}")
    return answered(cap, domain, lambda: questions.QUESTIONS[cap, domain](probe, domain))


def answered(cap: Cap, domain: Domain, question: Callable[[], questions.Yes]) -> Finding:
    """The finding that a question's end stands for."""
    try:
        yes = question()
    except questions.No as no:
        return Finding(cap, domain, False, str(no))
    except questions.Open as unknown:
        return Finding(cap, domain, None, str(unknown))
    except FlowError as error:
        return Finding(cap, domain, None if error.errno in BUSY else False, said(error))
    return Finding(cap, domain, True, yes.evidence, yes.how)


def bind(first: PortProbe, second: PortProbe) -> None:
    """Binds the hairpin queues of two ports that were set up for each other and run; the path between them says how."""
    for one, other in ((first, second), (second, first)):
        if one.prepared.hairpin_queue is None or one.prepared.hairpin_peer != other.port.id:
            continue
        try:
            one.port.bind_hairpin(other.port.id)
            one.bound[other.port.id] = ""
        except PortError as error:
            one.bound[other.port.id] = said(error)


def pair_of(first: PortProbe, second: PortProbe) -> PortPair:
    """What choose() wants to know of two ports, or of one port twice."""
    pair = PortPair(first.capabilities, second.capabilities)
    return PortPair(pair.in_port, pair.out_port, Paths(first, second, pair.relation))


class Paths(Mapping[Fate, Finding]):
    """The ways from one port to another and back, each tried when it is first read."""

    def __init__(self, first: PortProbe, second: PortProbe, relation: Relation) -> None:
        self._ports = (first, second)
        self._relation = relation
        self._found: dict[Fate, Finding] = {}

    def __getitem__(self, fate: Fate) -> Finding:
        if fate not in questions.PATHS:
            raise KeyError(fate)
        found = self._found.get(fate)
        if found is None or found.has is None:
            path = questions.PATHS[fate]
            found = self._found[fate] = answered(Cap.RULES, Domain.PORT, lambda: path(*self._ports, self._relation))
        return found

    def __iter__(self) -> Iterator[Fate]:
        return iter(questions.PATHS)

    def __len__(self) -> int:
        return len(questions.PATHS)
