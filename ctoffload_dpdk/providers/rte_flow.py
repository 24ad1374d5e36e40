"""The provider "dpdk" and the dpif-offload class of the same name, which owns its ports and plans for their pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import product

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.dpdk import libraries  # noqa: F401 - says what is missing
from ctoffload_dpdk.offload import DpifOffloadClass, Port
from ctoffload_dpdk.providers._rte_flow import RteFlowProvider
from ctoffload_dpdk.providers.capability import Cap, Domain, Engine, PortCapabilities
from ctoffload_dpdk.providers.plan import Family, Fate, Override, Plan, PlanChoice, PortPair, Proto, choose, engine_of
from ctoffload_dpdk.providers.rte_flow_probe import PortProbe, pair_of
from ctoffload_dpdk.providers.rte_flow_questions import WITH_COUNT
from ctoffload_dpdk.providers.rte_flow_types import RteFlowStats

__all__ = ["PortProbe", "RteFlowClass", "RteFlowProvider", "RteFlowStats"]

Kind = tuple[Proto, Family, bool]
KINDS = tuple(product(Proto, Family, (False, True)))
LOGGER = logging.getLogger(__name__)
# A choice that waits for a driver's answer is made again after a time that doubles.
REVIEW_FIRST_MS = 1_000
REVIEW_LONGEST_MS = 64_000
# Connections are offered again so many times, a review's first period apart: what a better plan takes out comes out
# while others go in.
OFFERS = 3
# Room in a queued table of connections, where the port has no counters to go by.
TABLE_RULES = 1 << 16


class RteFlowClass(DpifOffloadClass):
    """Uses every port that DPDK has; tells the provider of them, and what to do between each two.

    probes: what can be asked of each port in use, by the layer's id. A port that nobody offered a probe for is used,
    but nothing is planned for it. override: what the settings fix of the choice.
    """

    name = "dpdk"

    def __init__(self, provider: RteFlowProvider, override: Override | None = None) -> None:
        self.provider = provider
        self.override = override
        self.probes: dict[int, PortProbe] = {}
        self._offered: dict[str, PortProbe] = {}
        self._pairs: dict[tuple[int, int], PortPair] = {}
        self._choices: dict[tuple[int, int], dict[Kind, PlanChoice]] = {}
        self._review_at_ms: int | None = None
        self._review_after_ms = REVIEW_FIRST_MS
        self._are_final = True
        self._offers_left = 0

    def offer(self, probe: PortProbe) -> None:
        """What the port was given before it started, and how to ask it; before the port is added to the layer."""
        self._offered[probe.port.name] = probe

    def port_add(self, port: Port, name: str) -> bool:
        probe = self._offered.pop(name, None)
        if self.provider.port_add(port.id, port.generation, name, software_queues(probe)) is None:
            return False
        if probe is not None:
            try:
                self._take(port, probe)
            except BaseException:
                self.port_del(port)
                raise
        return True

    def _take(self, port: Port, probe: PortProbe) -> None:
        """Asks the port what it can, and plans for its pairs."""
        self.probes[port.id] = probe
        self._prepare(probe)
        for other in [*self.probes]:
            for pair in {(port.id, other), (other, port.id)}:
                self._plan(*pair)
        for pair in [pair for pair in self._pairs if port.id not in pair]:
            if probe.port.id in {asked.owner for asked in self._pairs[pair].ports}:
                self._plan(*pair)
        self._note_open()
        self._review_at_ms, self._review_after_ms = None, REVIEW_FIRST_MS

    def port_del(self, port: Port) -> None:
        self.probes.pop(port.id, None)
        self._choices = {pair: found for pair, found in self._choices.items() if port.id not in pair}
        self._pairs = {pair: found for pair, found in self._pairs.items() if port.id not in pair}
        self._note_open()
        self.provider.port_del(port.id, port.generation)

    def choices(self, first: Port, second: Port) -> dict[Kind, PlanChoice]:
        """The plan for connections from the first port to the second, by protocol, family and NAT or not.

        Raises UsageError where nothing is planned: no probe was offered for one of them, or it is not in use.
        """
        found = self._choices.get((first.id, second.id))
        if found is None:
            raise UsageError(f"nothing is planned from {first.name} to {second.name}", op="choices", port=first.name)
        return found

    def set_zone(self, port: Port, tags: tuple[int, ...], zone: int) -> None:
        """Packets of a port with these VLAN ids, outer first, are in a zone. Raises UsageError once it has rules."""
        probe = self.probes.get(port.id)
        if probe is not None:
            self.provider.set_zone(probe.port.id, tags, zone)

    def _prepare(self, probe: PortProbe) -> None:
        """How rules get into the port, and into that which owns its switch's, while neither has any."""
        self.provider.set_misses(probe.port.id, probe.misses_reach_software)
        self.provider.set_one_group(probe.port.id, probe.findings[Cap.JUMP, Domain.INGRESS].has is False)
        for owner in {probe.port.id, probe.capabilities.owner}:
            if self.provider.has_rules(owner):
                continue
            asked = next((p for p in self.probes.values() if p.port.id == owner), probe)
            engine, missing = engine_of(asked.capabilities, self.override.engine if self.override else None)
            sizes = asked.prepared.sizes
            if missing is None and engine is Engine.ASYNC and sizes is not None:
                n_rules = sizes.counters or TABLE_RULES
                self.provider.set_engine(owner, True, asked.prepared.queues, sizes.queue_size, n_rules)

    def _plan(self, first: int, second: int) -> None:
        self._pairs[first, second] = pair_of(self.probes[first], self.probes[second])
        chosen = {kind: choose(self._pairs[first, second], *kind, self.override) for kind in KINDS}
        self._choices[first, second] = chosen
        for kind, choice in chosen.items():
            self._tell((first, second), kind, choice)

    def review(self, now_ms: int) -> bool:
        """Chooses again where a driver was too busy to answer; asks it no more often than a time that doubles allows.

        Returns True where connections are to be offered to the layer again: a plan is better than it was, those that
        went by the worse one were taken out. To be called about every second, from the thread that adds ports.
        """
        if not self._offers_left and self._are_final:
            return False
        if self._review_at_ms is None:
            self._review_at_ms = now_ms + self._review_after_ms
        if now_ms < self._review_at_ms:
            return False
        if self._choose_again():
            self._offers_left, self._review_after_ms = OFFERS, REVIEW_FIRST_MS
        elif not self._offers_left:
            self._review_after_ms = min(2 * self._review_after_ms, REVIEW_LONGEST_MS)
        self._review_at_ms = now_ms + self._review_after_ms
        is_to_offer = self._offers_left > 0
        self._offers_left -= is_to_offer
        return is_to_offer

    def _choose_again(self) -> bool:
        """Whether any choice that was not final is another now."""
        is_better = False
        for probe in self.probes.values():
            self._prepare(probe)
        for pair, chosen in self._choices.items():
            for kind in [kind for kind, choice in chosen.items() if not choice.is_final]:
                was, chosen[kind] = chosen[kind], choose(self._pairs[pair], *kind, self.override)
                if self._tell(pair, kind, chosen[kind]):
                    is_better = True
                    names = [self.probes[port].port.name for port in pair]
                    LOGGER.info("%s to %s, %s over %s: %s by %s now, was %s", *names, *kind[:2], chosen[kind].plan,
                                chosen[kind].fate, was.plan)  # fmt: skip
        self._note_open()
        return is_better

    def _note_open(self) -> None:
        self._are_final = all(choice.is_final for found in self._choices.values() for choice in found.values())

    def _tell(self, ports: tuple[int, int], kind: Kind, choice: PlanChoice) -> bool:
        """Whether the provider was told something else before."""
        proto, family, nat = kind
        probes, pair = [self.probes[port] for port in ports], self._pairs[ports]
        domain = Domain.TRANSFER if choice.fate is Fate.TRANSFER else Domain.INGRESS
        return self.provider.set_plan(
            probes[0].port.id,
            probes[1].port.id,
            (list(Proto).index(proto), list(Family).index(family), nat),
            choice.plan,
            choice.fate,
            choice.last_used,
            counts=all(counts_beside_age(port, choice.plan, domain) for port in pair.ports),
            queue=probes[0].prepared.hairpin_queue or 0,
            reason=reason_of(choice),
        )


def counts_beside_age(port: PortCapabilities, plan: Plan, domain: Domain) -> bool:
    """Whether the port's rules have COUNT as well where AGE tells their last use."""
    if plan is Plan.CT:
        return port.find(Cap.CONNTRACK_AGE, domain).how == WITH_COUNT
    return port.has(Cap.AGE_COUNT, domain)


def software_queues(probe: PortProbe | None) -> int:
    """Receive queues that software reads: the hairpin's is the last and not one of them. 0: not known."""
    if probe is None:
        return 0
    return probe.port.n_rx_queues - (probe.prepared.hairpin_queue is not None)


def reason_of(choice: PlanChoice) -> Reason:
    """Why a connection without a plan stays in software."""
    if choice.plan is not Plan.NONE:
        return Reason.NONE
    return Reason.NO_CAPABILITY if choice.refusals else Reason.PORT_PAIR


def explained(choices: dict[Kind, PlanChoice]) -> Iterator[str]:
    """One paragraph per kind of connection."""
    for (proto, family, nat), choice in choices.items():
        yield f"{proto} over {family}{' with NAT' if nat else ''}: {choice.explain()}"
