"""Connections as text: the lines that OVS prints."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
TCP_STATES = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)
SYN_RECV, ESTABLISHED, FIN_WAIT_2, TIME_WAIT = 3, 4, 9, 10
WSCALE_ANNOUNCED, WSCALE_UNKNOWN, WSCALE_MASK = 0x80, 0x40, 0x0F


def ovs_lines(rows: NDArray[np.void], *, more: bool = False, statistics: bool = False) -> Iterator[str]:
    """Each connection of a dump as a line of `ovs-appctl dpctl/dump-conntrack`; `more` is -m, `statistics` is -s."""
    for row in rows:
        yield ",".join(_fields(row, more=more, statistics=statistics))


def proto_text(proto: int) -> str:
    """OVS's word for an IP protocol, its number where it has none."""
    return PROTOCOLS.get(proto, str(proto))


def tcp_state_text(states: tuple[int, int]) -> str:
    """Both peers in one word, as a dump without -m shows them."""
    state = max(states)
    return TCP_STATES[{FIN_WAIT_2: TIME_WAIT, SYN_RECV: ESTABLISHED}.get(state, state)]


def _fields(row: np.void, *, more: bool, statistics: bool) -> Iterator[str]:
    yield proto_text(int(row["proto"]))
    yield f"orig=({_tuple(row, reply=False)})"
    yield f"reply=({_tuple(row, reply=True)})"
    if more:
        yield "id=0"
    if row["zone"]:
        yield f"zone={row['zone']}"
    if more:
        yield "status=0"
    if statistics:
        yield f"timeout={max(int(row['timeout_ms']), 0) // 1000}"
    if row["mark"]:
        yield f"mark={row['mark']}"
    label = int(row["label"][0]) | int(row["label"][1]) << 64
    if label:
        yield f"labels={label:#x}"
    if proto_text(int(row["proto"])) == "tcp":
        yield f"protoinfo=({_tcp(row, more=more)})"


def _tuple(row: np.void, *, reply: bool) -> str:
    size = 4 if row["family"] == 4 else 16
    prefix = "reply_" if reply else ""
    ends = [str(ipaddress.ip_address(row[prefix + end][:size].tobytes())) for end in ("src", "dst")]
    first, second = int(row[f"{prefix}src_port"]), int(row[f"{prefix}dst_port"])
    if (int(row["family"]), int(row["proto"])) in {(4, 1), (6, 58)}:
        return f"src={ends[0]},dst={ends[1]},id={first},type={second >> 8},code={second & 255}"
    return f"src={ends[0]},dst={ends[1]},sport={first},dport={second}"


def _tcp(row: np.void, *, more: bool) -> str:
    states = int(row["tcp_state"][0]), int(row["tcp_state"][1])
    if not more:
        return f"state={tcp_state_text(states)}"
    parts = [f"state_orig={TCP_STATES[states[0]]}", f"state_reply={TCP_STATES[states[1]]}"]
    scales = [int(scale) for scale in row["wscale"]]
    if any(scale & WSCALE_MASK for scale in scales):
        parts += [f"wscale_orig={scales[0] & WSCALE_MASK}", f"wscale_reply={scales[1] & WSCALE_MASK}"]
    parts += [f"flags_orig={_flags(scales[0])}", f"flags_reply={_flags(scales[1])}"]
    return ",".join(parts)


def _flags(wscale: int) -> str:
    words = [("WINDOW_SCALE", wscale & WSCALE_ANNOUNCED), ("BE_LIBERAL", wscale & WSCALE_UNKNOWN)]
    return "|".join(word for word, is_set in words if is_set) or "0"
