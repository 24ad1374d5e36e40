"""What a port was found able to do, each entry with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Domain(StrEnum):
    """Where a rule lives: on what a port receives or sends, or in the NIC's switch. PORT: it is not about rules."""

    PORT = "port"
    INGRESS = "ingress"
    EGRESS = "egress"
    TRANSFER = "transfer"


class Engine(StrEnum):
    """How rules are created: each at once, or through queues with templates."""

    SYNC = "sync"
    ASYNC = "async"


class Cap(StrEnum):
    """One thing that a port can do or not."""

    SYNC = "sync"
    ASYNC = "async"
    HAIRPIN = "hairpin"
    RX_MARK = "rx-mark"
    SHARED_CONTEXTS = "shared-contexts"

    RULES = "rules"
    JUMP = "jump"
    TCP_FLAGS = "tcp-flags"
    NO_FRAGMENT_IPV4 = "no-fragment-ipv4"
    NO_FRAGMENT_IPV6 = "no-fragment-ipv6"
    VLAN = "vlan"
    QINQ = "qinq"
    TO_SOFTWARE = "to-software"
    IPV4_TCP = "ipv4-tcp"
    IPV4_UDP = "ipv4-udp"
    IPV4_ICMP = "ipv4-icmp"
    IPV6_TCP = "ipv6-tcp"
    IPV6_UDP = "ipv6-udp"
    IPV6_ICMP = "ipv6-icmp"

    QUEUE = "queue"
    RSS = "rss"
    MARK = "mark"
    ID = "id"
    COUNT = "count"
    AGE = "age"
    AGE_COUNT = "age-count"
    CONNTRACK = "conntrack"
    CONNTRACK_COUNT = "conntrack-count"
    CONNTRACK_AGE = "conntrack-age"
    CONNTRACK_REWRITE = "conntrack-rewrite"
    REWRITE_IPV4 = "rewrite-ipv4"
    REWRITE_IPV6 = "rewrite-ipv6"
    REWRITE_PORTS = "rewrite-ports"


# What a port does where it has the capability; reads after "can" and "cannot".
WORDS: Mapping[Cap, str] = {
    Cap.SYNC: "create a rule at once",
    Cap.ASYNC: "create rules through queues",
    Cap.HAIRPIN: "join a receive queue with a transmit queue",
    Cap.RX_MARK: "hand a mark over with the packet",
    Cap.SHARED_CONTEXTS: "share CONNTRACK contexts with another port",
    Cap.RULES: "take any rule",
    Cap.JUMP: "jump to a further group",
    Cap.TCP_FLAGS: "keep SYN, FIN and RST apart",
    Cap.NO_FRAGMENT_IPV4: "keep IPv4 fragments apart",
    Cap.NO_FRAGMENT_IPV6: "keep IPv6 fragments apart",
    Cap.VLAN: "match a VLAN",
    Cap.QINQ: "match two VLANs",
    Cap.TO_SOFTWARE: "send to software what no rule of a group matches",
    Cap.IPV4_TCP: "match TCP over IPv4",
    Cap.IPV4_UDP: "match UDP over IPv4",
    Cap.IPV4_ICMP: "match ICMP echo",
    Cap.IPV6_TCP: "match TCP over IPv6",
    Cap.IPV6_UDP: "match UDP over IPv6",
    Cap.IPV6_ICMP: "match ICMPv6 echo",
    Cap.QUEUE: "steer to a queue",
    Cap.RSS: "spread over queues",
    Cap.MARK: "mark packets",
    Cap.ID: "tell software by an id which connection a translated packet belongs to",
    Cap.COUNT: "count packets of a rule",
    Cap.AGE: "tell when a rule was last hit (AGE)",
    Cap.AGE_COUNT: "count and age in one rule",
    Cap.CONNTRACK: "track TCP (CONNTRACK)",
    Cap.CONNTRACK_COUNT: "count beside CONNTRACK",
    Cap.CONNTRACK_AGE: "age beside CONNTRACK",
    Cap.CONNTRACK_REWRITE: "rewrite beside CONNTRACK",
    Cap.REWRITE_IPV4: "rewrite IPv4 addresses",
    Cap.REWRITE_IPV6: "rewrite IPv6 addresses",
    Cap.REWRITE_PORTS: "rewrite ports",
}

PLACES: Mapping[Domain, str] = {
    Domain.PORT: "",
    Domain.INGRESS: " on what it receives",
    Domain.EGRESS: " on what it sends",
    Domain.TRANSFER: " in its switch",
}


@dataclass(frozen=True)
class Finding:
    """Whether a port can do something, and how that was found out.

    has: None where the driver's answer said nothing of it (busy, out of memory): it is asked again.
    evidence: what was tried and what the driver answered, or why it was not tried. how: which of several ways it takes
    (the constants of rte_flow_questions); empty where there is but one.
    """

    cap: Cap
    domain: Domain
    has: bool | None
    evidence: str
    how: str = ""


@dataclass(frozen=True)
class Answered:
    """A driver's answer to a query. wrote: whether it wrote at all; value: packets or seconds, None where not valid."""

    wrote: bool
    is_valid: bool
    value: int | None
    has_bytes: bool


@dataclass(frozen=True)
class PortCapabilities:
    """Everything that was found of one port. What was never asked is absent, and counts as not there.

    switch_domain: ports with the same one are joined in the NIC; None: there is no switch. owner: the port on which
    rules of the switch are made. preferred: the engine where the port has both.
    """

    port_id: int
    name: str
    driver: str
    switch_domain: int | None
    owner: int
    preferred: Engine = Engine.SYNC
    findings: Mapping[tuple[Cap, Domain], Finding] = field(default_factory=dict)

    def find(self, cap: Cap, domain: Domain) -> Finding:
        """What was found; a Finding that says so where it was never asked."""
        return self.findings.get((cap, domain)) or Finding(cap, domain, False, "not asked")

    def has(self, cap: Cap, domain: Domain = Domain.PORT) -> bool:
        """True where it was found able to; what was not asked or not answered counts as False."""
        return self.find(cap, domain).has is True

    def cannot(self, found: Finding) -> str:
        """The sentence for a capability that is missing."""
        what = f"{WORDS[found.cap]}{PLACES[found.domain]}"
        if found.has is None:
            return f"{self.name} has not answered yet whether it can {what}"
        return f"{self.name} cannot {what}"


def table(findings: Iterable[Finding]) -> Mapping[tuple[Cap, Domain], Finding]:
    """Findings by what they are about."""
    return {(found.cap, found.domain): found for found in findings}
