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
from ctoffload_dpdk.conntrack._filter import Conditions
from ctoffload_dpdk.conntrack._lines import conntrack_text, json_rows, ovs_lines, ovs_text
from ctoffload_dpdk.conntrack._listing import datagrams, expectations
from ctoffload_dpdk.conntrack._numbers import numbers
from ctoffload_dpdk.conntrack._packet import CtState, PacketFlags, Refusal
from ctoffload_dpdk.conntrack._policy import Policy
from ctoffload_dpdk.conntrack._walk import Walk
from ctoffload_dpdk.conntrack.nat import Nat, NatRange
from ctoffload_dpdk.conntrack.shards import Shards
from ctoffload_dpdk.conntrack.text import PROTOCOL_GROUPS, PROTOCOLS, TCP_STATES

# Compiled enumerations have no docstring of their own.
CtState.__doc__ = """Bits of ct_state, with Open vSwitch's names and values."""
PacketFlags.__doc__ = """What the receiver knows of a packet. Neither of a pair: software verifies the checksum."""
Refusal.__doc__ = """Why a packet is invalid, or why no connection was made for it; in words: REFUSAL_NAMES."""

__all__ = [
    "CONNECTION",
    "LINE",
    "PROTOCOLS",
    "PROTOCOL_GROUPS",
    "REFUSAL_NAMES",
    "TCP_STATES",
    "TIMEOUT_NAMES",
    "VERDICT",
    "Conditions",
    "Conntrack",
    "Counters",
    "CtState",
    "Nat",
    "NatRange",
    "PacketFlags",
    "Policy",
    "Refusal",
    "Shards",
    "Walk",
    "conntrack_text",
    "datagrams",
    "expectations",
    "json_rows",
    "numbers",
    "ovs_lines",
    "ovs_text",
    "states_text",
]
