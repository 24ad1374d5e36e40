"""The account: what went in, what came out, and whether the two add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class PacketAccount:
    """Packets. wire_in = nic_forwarded + sum(nic_dropped) + host_rx; host_rx = host_tx + sum(sw_dropped) + sw_held.

    sw_held: fragments that wait for the rest of their datagram, packets that wait for another loop; 0 once all is over.
    """

    wire_in: int = 0
    nic_forwarded: int = 0
    nic_dropped: dict[str, int] = field(default_factory=dict)
    host_rx: int = 0
    host_tx: int = 0
    sw_dropped: dict[str, int] = field(default_factory=dict)
    sw_held: int = 0

    def problems(self) -> list[str]:
        """What does not add up, in words; empty where all does."""
        in_nic = self.nic_forwarded + sum(self.nic_dropped.values()) + self.host_rx
        in_software = self.host_tx + sum(self.sw_dropped.values()) + self.sw_held
        return [
            *differs("packets.wire_in", self.wire_in, "nic_forwarded + nic_dropped + host_rx", in_nic),
            *differs("packets.host_rx", self.host_rx, "host_tx + sw_dropped + sw_held", in_software),
        ]


@dataclass(frozen=True)
class ConnectionAccount:
    """Connections. created = live + expired + closed + flushed + replaced.

    closed: ended after a TCP close state; expired: by idle timeout; replaced: a new connection took its ports.
    """

    created: int = 0
    live: int = 0
    expired: int = 0
    closed: int = 0
    flushed: int = 0
    replaced: int = 0

    def problems(self) -> list[str]:
        """What does not add up, in words; empty where all does."""
        ended = self.live + self.expired + self.closed + self.flushed + self.replaced
        return differs("connections.created", self.created, "live + expired + closed + flushed + replaced", ended)


@dataclass(frozen=True)
class RuleAccount:
    """Rules or indirect objects, as the provider counts them. created = destroyed + lost + live."""

    created: int = 0
    destroyed: int = 0
    lost: int = 0
    live: int = 0


@dataclass(frozen=True)
class Audit:
    """How many rules and indirect objects the NIC itself holds."""

    rules: int = 0
    objects: int = 0


@dataclass(frozen=True)
class Account:
    """All of it. `problems` names each sum that does not add up; none: the account is closed."""

    packets: PacketAccount
    connections: ConnectionAccount
    rules: RuleAccount
    objects: RuleAccount
    audit: Audit

    def problems(self) -> list[str]:
        """What does not add up, in words; empty where all does."""
        found = [*self.packets.problems(), *self.connections.problems()]
        for name, held, audited in (
            ("rules", self.rules, self.audit.rules),
            ("objects", self.objects, self.audit.objects),
        ):
            accounted = held.destroyed + held.lost + held.live
            found += differs(f"{name}.created", held.created, "destroyed + lost + live", accounted)
            found += differs(f"{name}.live", held.live, f"audit.{name}", audited)
        return found

    @property
    def closed(self) -> bool:
        """True where every packet, connection and rule is accounted for."""
        return not self.problems()

    def as_dict(self) -> dict[str, Any]:
        """The account under its documented keys, with "schema"."""
        return {"schema": SCHEMA, **asdict(self), "closed": self.closed, "problems": self.problems()}


def differs(name: str, value: int, sum_name: str, sum_value: int) -> list[str]:
    return [] if value == sum_value else [f"{name} is {value}, but {sum_name} is {sum_value}"]
