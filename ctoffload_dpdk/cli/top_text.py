"""One look of `ctoffload top`, and what has changed since the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from ctoffload_dpdk.cli.output import printable
from ctoffload_dpdk.demo.frame import ConnectionLine, share
from ctoffload_dpdk.demo.screen import Figures, connections_table, figures, framed

REASONS_SHOWN = 6


@dataclass(frozen=True)
class Look:
    """The answers of the daemon at one time, in seconds of the monotonic clock."""

    at_s: float
    status: dict[str, Any]
    stats: dict[str, Any]
    top: dict[str, Any]

    def rate(self, before: Look | None, *path: str) -> float | None:
        """By how much a counter grew, a second; None without a look before."""
        if before is None or self.at_s <= before.at_s:
            return None
        return float((self.counter(*path) - before.counter(*path)) / (self.at_s - before.at_s))

    def counter(self, *path: str) -> int:
        """A counter of the stats; of several trackers, their sum."""
        value: Any = self.stats
        for name in path:
            value = value[name]
        return sum(value) if isinstance(value, list) else int(value)

    def nic_packets(self) -> int:
        """Packets that the NIC forwarded, as far as it was asked."""
        return sum(sum(tracker["nic_packets"]) for tracker in self.stats["trackers"])

    def rates(self, before: Look | None) -> dict[str, float | None]:
        """What is a rate, by name; a second."""
        found = {
            "created": self.rate(before, "connections", "created"),
            "packets_received": self.rate(before, "packets", "host_rx"),
            "packets_sent": self.rate(before, "packets", "host_tx"),
            "rules_created": self.rate(before, "rules", "created"),
            "rules_destroyed": self.rate(before, "rules", "destroyed"),
        }
        found["nic_packets"] = None
        if before is not None and self.at_s > before.at_s:
            found["nic_packets"] = (self.nic_packets() - before.nic_packets()) / (self.at_s - before.at_s)
        return found

    def queues(self) -> list[dict[str, Any]]:
        """What is outstanding at each provider, by class."""
        return [
            {"provider": provider["name"], "queue": name, **figures}
            for provider in self.stats["offload"]["providers"]
            for name, figures in provider["queues"].items()
        ]

    def as_dict(self, before: Look | None) -> dict[str, Any]:
        return {
            "uptime_s": self.status["uptime_s"],
            "ports": self.status["ports"],
            "offload_enabled": self.status["offload"],
            **self.top,
            "rules": self.counter("rules", "live"),
            "per_s": self.rates(before),
            "queues": self.queues(),
        }


def screen_of(now: Look, before: Look | None) -> RenderableType:
    """The look as a screen."""
    status = now.status
    title = f"{printable(' <> '.join(status['ports']))}, up {status['uptime_s']:,.0f} s, offload "
    title += "on" if status["offload"] else "off"
    known = {row["id"]: packets_of(row) for row in before.top["busiest"]} if before else {}
    seconds = now.at_s - before.at_s if before else 0.0
    lines = [line_of(row, known.get(row["id"]), seconds) for row in now.top["busiest"]]
    shown = connections_table(lines, ("packets", "a second"), now.top["connections"] - len(lines))
    return framed(title, [totals(now, before), shown])


def totals(now: Look, before: Look | None) -> RenderableType:
    """Numbers side by side: connections, rates, reasons, queues."""
    offload, n = now.top["offload"], now.top["connections"]
    rates = now.rates(before)
    connections = [
        ("live", n, ""),
        ("in hardware", offload["yes"], share(offload["yes"], n)),
        ("pending", offload["pending"], ""),
        ("in software", offload["no"], share(offload["no"], n)),
        ("rules", now.counter("rules", "live"), ""),
    ]
    per_s = [
        ("connections made", rated(rates["created"]), ""),
        ("packets to software", rated(rates["packets_received"]), ""),
        ("packets by the NIC", rated(rates["nic_packets"]), ""),
        ("rules made", rated(rates["rules_created"]), ""),
        ("rules destroyed", rated(rates["rules_destroyed"]), ""),
    ]
    reasons = [(reason, count, "") for reason, count in list(now.top["reasons"].items())[:REASONS_SHOWN]]
    queues = [
        (f"{printable(one['provider'])} {one['queue']}", one["depth"], f"of {one['budget']:,}") for one in now.queues()
    ]
    return figures(
        [
            Figures("connections", [*connections]),
            Figures("a second", [*per_s]),
            Figures("not in hardware", [*reasons]),
            Figures("outstanding", [*queues]),
        ]
    )


def rated(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def packets_of(row: dict[str, Any]) -> int:
    return int(row["orig"]["packets"] + row["reply"]["packets"])


def line_of(row: dict[str, Any], packets_before: int | None, seconds: float) -> ConnectionLine:
    """A connection as the screen has it; without a rate where it was not seen before."""
    packets = packets_of(row)
    grown = packets - packets_before if packets_before is not None else 0
    offload = f"offloaded={row['offload']['state']}"
    if row["offload"]["state"] != "yes" and "reason" in row["offload"]:
        offload += f",reason={row['offload']['reason']}"
    return ConnectionLine(
        proto=row["proto"],
        src=end_of(row["orig"], "src", "sport", row["family"]),
        dst=end_of(row["orig"], "dst", "dport", row["family"]),
        state=row["state"],
        offload=offload,
        software_packets=packets,
        nic_packets=round(grown / seconds) if seconds else 0,
    )


def end_of(ends: dict[str, Any], address: str, port: str, family: int) -> str:
    """ "192.0.2.1:80", "[2001:db8::1]:80"; of ICMP the identifier with the source."""
    if port in ends:
        shown = f"[{ends[address]}]" if family == 6 else ends[address]
        return f"{shown}:{ends[port]}"
    return f"{ends[address]} id {ends['id']}" if address == "src" and "id" in ends else str(ends[address])
