"""The software connection tracker: keys, state machines, the table of connections, and their expiry."""

from ctoffload_dpdk.conntrack._conntrack import (
    CONNECTION,
    LINE,
    REFUSAL_NAMES,
    TIMEOUT_NAMES,
    VERDICT,
    Conntrack,
    Counters,
    states_text,
)
from ctoffload_dpdk.conntrack._packet import CtState, PacketFlags, Refusal
from ctoffload_dpdk.conntrack.nat import Nat, NatRange
from ctoffload_dpdk.conntrack.text import ovs_lines

__all__ = [
    "CONNECTION",
    "LINE",
    "REFUSAL_NAMES",
    "TIMEOUT_NAMES",
    "VERDICT",
    "Conntrack",
    "Counters",
    "CtState",
    "Nat",
    "NatRange",
    "PacketFlags",
    "Refusal",
    "ovs_lines",
    "states_text",
]
