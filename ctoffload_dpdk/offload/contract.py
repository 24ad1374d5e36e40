"""ct_offload.h for Python: the numpy type of each structure, the enumerations, and connection ids."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

ABI_VERSION = 0
MAX_PROVIDERS = 8
NO_PORT = 0xFFFFFFFF
ORIG = 0
REPLY = 1
CAPSULE = "ctoffload_dpdk.offload.ct_offload_class"
DPIF_CAPSULE = "ctoffload_dpdk.offload.dpif_offload_class"


class OpType(IntEnum):
    """What one operation asks for: CT_OFFLOAD_OP_*."""

    ADD = 0
    DEL = 1
    UPD = 2
    POLICY = 3
    FLUSH = 4
    EST = 5
    WINDOW = 6


class TcpState(IntEnum):
    """State of one TCP peer: CT_OFFLOAD_TCP_*."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECV = 3
    ESTABLISHED = 4
    CLOSE_WAIT = 5
    FIN_WAIT_1 = 6
    CLOSING = 7
    LAST_ACK = 8
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


class Event(IntEnum):
    """What a provider says by itself: CT_OFFLOAD_EVENT_*."""

    AGED = 1
    LOST = 2


class ConnFlag(IntFlag):
    """Properties of a connection: CT_OFFLOAD_F_*."""

    SNAT = 1
    DNAT = 2
    ALG = 4
    MIDSTREAM = 8
    STRICT = 16
    NEW = 32


class ResultFlag(IntFlag):
    """What a provider says with an answer: CT_OFFLOAD_R_*."""

    BYPASS = 1
    CONTEXT = 2
    COUNTED = 4


PORT = np.dtype([("id", "u4"), ("generation", "u4")], align=True)

TUPLE = np.dtype([("src", "u1", 16), ("dst", "u1", 16), ("src_port", ">u2"), ("dst_port", ">u2")], align=True)

PEER = np.dtype(
    [
        ("seq_lo", "u4"),
        ("seq_hi", "u4"),
        ("max_win", "u4"),
        ("wscale", "u1"),
        ("state", "u1"),
        ("has_wscale", "u1"),
        ("reserved", "u1"),
    ],
    align=True,
)

CTX = np.dtype(
    [
        ("conn_id", "u8"),
        ("tuple", TUPLE, 2),
        ("port", PORT, 2),
        ("label", "u8", 2),
        ("mark", "u4"),
        ("timeout_ms", "u4"),
        ("timeout_max_ms", "u4"),
        ("flags", "u4"),
        ("peer", PEER, 2),
        ("zone", "u2"),
        ("eth_type", "u2"),
        ("proto", "u1"),
        ("reserved", "u1", 3),
    ],
    align=True,
)

COUNTS = np.dtype([("packets", "u8", 2), ("bytes", "u8", 2)], align=True)

OP = np.dtype(
    [
        ("op_id", "u8"),
        ("conn_id", "u8"),
        ("ctx", "u8"),
        ("handle", "u8"),
        ("last_used_ms", "i8"),
        ("sampled_ms", "i8"),
        ("error", "i4"),
        ("type", "u2"),
        ("reason", "u2"),
        ("handled_by", "u1"),
        ("flags", "u1"),
        ("reserved", "u1", 6),
    ],
    align=True,
)


def counts_of(contexts: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """COUNTS[n] in the place of `peer` of CTX[n]: where UPD and DEL say what was counted. A view of `contexts`."""
    counts: npt.NDArray[np.void] = contexts["peer"].view(COUNTS)[:, 0]
    return counts


def make_id(shard: int, generation: int, slot: int) -> int:
    """The connection id of {shard, generation, slot}: 8, 24 and 32 bits; what is beyond them is cut off."""
    return (shard & 0xFF) << 56 | (generation & 0xFFFFFF) << 32 | slot & 0xFFFFFFFF


def id_shard(conn_id: int) -> int:
    """The shard of a connection id."""
    return conn_id >> 56


def id_generation(conn_id: int) -> int:
    """The generation of a connection id."""
    return conn_id >> 32 & 0xFFFFFF


def id_slot(conn_id: int) -> int:
    """The slot of a connection id."""
    return conn_id & 0xFFFFFFFF
