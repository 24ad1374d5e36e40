"""The connections on the demo's screen, and what happens to them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.demo.frame import ConnectionLine, clock

if TYPE_CHECKING:
    from ctoffload_dpdk.demo.lab import Lab

PROTOS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
TCP_STATES = ("CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
              "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT")  # fmt: skip
OTHER_STATES = ("one way", "one way", "both ways")
CAUSES = ("expired", "closed", "flushed", "replaced")
OFFLOAD_WORDS = ("no", "pending", "yes")
EVENT_DESTROY = 3
# A screen is for people: of a larger table only this many connections are followed one by one.
FOLLOWED = 5000

Row = Any


class Lines:
    """Follows the tracker's connections: what changed since the last look becomes an event in words."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rows: NDArray[Any] = np.zeros(0)
        self.offload: dict[int, tuple[int, int]] = {}
        self.names: dict[int, str] = {}
        self.events: list[str] = []

    def update(self, now_ms: int) -> None:
        """Looks at the tracker once more."""
        tracker = self.lab.engine.conntrack
        ended = tracker.events()
        for row in ended[ended["kind"] == EVENT_DESTROY]:
            name = self.names.pop(int(row["conn_id"]), None) or connection_name(row)
            self.offload.pop(int(row["conn_id"]), None)
            self.say(now_ms, name, f"ended: {CAUSES[int(row['cause'])]}")
        self.rows = next(iter(tracker.iterate(FOLLOWED)), self.rows[:0])
        for row in self.rows:
            self.follow(now_ms, row)

    def follow(self, now_ms: int, row: Row) -> None:
        """Says what changed for one connection."""
        conn_id, offload, reason = int(row["conn_id"]), int(row["offload"]), int(row["reason"])
        before = self.offload.get(conn_id)
        if before == (offload, reason):
            return
        self.offload[conn_id] = (offload, reason)
        if before is None:
            self.names[conn_id] = connection_name(row)
            self.say(now_ms, self.names[conn_id], "new")
        if offload == 2:
            self.say(now_ms, self.names[conn_id], "in hardware")
        elif before is not None and before[0] == 2:
            self.say(now_ms, self.names[conn_id], f"out of hardware: {Reason(reason).text}")
        elif offload == 0 and reason not in (Reason.NONE, Reason.NOT_ESTABLISHED):
            self.say(now_ms, self.names[conn_id], f"stays in software: {Reason(reason).text}")

    def say(self, now_ms: int, name: str, what: str) -> None:
        self.events.append(f"{clock(now_ms)}  {name}  {what}")

    def take_events(self) -> list[str]:
        """What was said since the last call."""
        said, self.events = self.events, []
        return said

    def in_hardware(self) -> int:
        return int((self.rows["offload"] == 2).sum()) if len(self.rows) else 0

    def shown(self) -> list[ConnectionLine]:
        """The connections for the screen: those in hardware first, then those with the most packets."""
        by_tuple = {rule_key(rule): int(rule["packets"]) for rule in self.lab.nic_rules()}
        lines = [connection_line(row, by_tuple) for row in self.rows]
        return sorted(lines, key=lambda line: (not line.in_hardware, -line.nic_packets - line.software_packets))


def connection_line(row: Row, nic_packets: dict[bytes, int]) -> ConnectionLine:
    offload = f"offloaded={OFFLOAD_WORDS[int(row['offload'])]}"
    if row["offload"] != 2 and row["reason"]:
        offload += f",reason={Reason(int(row['reason'])).text}"
    return ConnectionLine(
        proto=proto_name(row),
        src=endpoint(row, "src"),
        dst=endpoint(row, "dst"),
        state=state_name(row),
        offload=offload,
        software_packets=int(row["packets"].sum()),
        nic_packets=sum(nic_packets.get(key, 0) for key in connection_keys(row)),
    )


def proto_name(row: Row) -> str:
    return PROTOS.get(int(row["proto"]), str(int(row["proto"])))


def endpoint(row: Row, which: str) -> str:
    """ "10.0.0.1:80", "[2001:db8::1]:80"; ICMP has the identifier at its source only."""
    raw = row[which].tobytes()
    address = str(ipaddress.ip_address(raw if row["family"] == 6 else raw[:4]))
    if row["proto"] in (1, 58):
        return f"{address} id {int(row['src_port'])}" if which == "src" else address
    port = int(row[f"{which}_port"])
    return f"[{address}]:{port}" if row["family"] == 6 else f"{address}:{port}"


def connection_name(row: Row) -> str:
    return f"{proto_name(row)} {endpoint(row, 'src')} > {endpoint(row, 'dst')}"


def state_name(row: Row) -> str:
    if row["proto"] == 6:
        return TCP_STATES[int(row["tcp_state"].max())]
    return OTHER_STATES[min(int(row["phase"]), 2)]


def key(proto: int, src: bytes, dst: bytes, src_port: int, dst_port: int) -> bytes:
    return bytes([proto]) + src + dst + src_port.to_bytes(2, "big") + dst_port.to_bytes(2, "big")


def rule_key(rule: Row) -> bytes:
    return key(
        int(rule["proto"]), rule["src"].tobytes(), rule["dst"].tobytes(), int(rule["src_port"]), int(rule["dst_port"])
    )


def connection_keys(row: Row) -> tuple[bytes, bytes]:
    """Of the rule of either direction."""
    proto, src, dst = int(row["proto"]), row["src"].tobytes(), row["dst"].tobytes()
    src_port, dst_port = int(row["src_port"]), int(row["dst_port"])
    return key(proto, src, dst, src_port, dst_port), key(proto, dst, src, dst_port, src_port)
