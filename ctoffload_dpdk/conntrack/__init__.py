"""The software connection tracker: keys, state machines, the table of connections, and their expiry."""

from ctoffload_dpdk.conntrack._conntrack import (
    CONNECTION,
    TIMEOUT_NAMES,
    VERDICT,
    Conntrack,
    Counters,
    states_text,
)
from ctoffload_dpdk.conntrack._packet import CtState, PacketFlags, Refusal

__all__ = [
    "CONNECTION",
    "TIMEOUT_NAMES",
    "VERDICT",
    "Conntrack",
    "Counters",
    "CtState",
    "PacketFlags",
    "Refusal",
    "states_text",
]
