"""What the demo shows at one moment, free of how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctoffload_dpdk.engine.account import ConnectionAccount, PacketAccount, RuleAccount


@dataclass(frozen=True)
class ConnectionLine:
    """One connection on the screen. Packets: how many software saw, and how many its live rules forwarded."""

    proto: str
    src: str
    dst: str
    state: str
    offload: str
    software_packets: int
    nic_packets: int

    @property
    def in_hardware(self) -> bool:
        return self.offload == "offloaded=yes"


@dataclass(frozen=True)
class Frame:
    """One moment. Times are milliseconds of the hand-run clock since the first packet."""

    phase: str
    now_ms: int
    traffic_ms: int
    packets_fed: int
    packets_all: int
    packets: PacketAccount
    connections: ConnectionAccount
    rules: RuleAccount
    rules_high_water: int
    in_hardware: int
    lines: list[ConnectionLine] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def clock(ms: int) -> str:
    """ "00:12.345", or "1 d 00:10:00" when hours or days went by."""
    seconds, rest = divmod(max(ms, 0), 1000)
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    if days or hours:
        return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{seconds:02}"
    return f"{minutes:02}:{seconds:02}.{rest:03}"


def share(part: int, whole: int) -> str:
    """ "80 %"; empty where there is nothing to share."""
    return f"{100 * part / whole:.0f} %" if whole else ""
