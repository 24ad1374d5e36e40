"""What a tap took, as pcapng: each packet with a comment that says what software made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.pcapng import packet_blocks
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import REFUSAL_NAMES, states_text
from ctoffload_dpdk.engine._loop import DROP_NAMES, UNTRACKED_NAMES

OFFLOAD_WORDS = ("no", "pending", "yes")
# The columns that a comment is made of, with their bits; the mark, of 32, comes besides.
PACKED = (("state", 8), ("refusal", 8), ("dropped", 8), ("untracked", 8))
PACKED_OF_CONNECTION = (("offload", 2), ("reason", 6), ("zone", 16))


def blocks(rows: NDArray[np.void], packets: Packets) -> bytearray:
    """The packets of PacketTap.take(), ENTRY[n], as pcapng blocks; interface n is port n of the loop."""
    if not len(rows):
        return bytearray()
    first, which = different(rows)
    comments = [comment_of(rows[i]) for i in first]
    return packet_blocks(packets, rows["port"].astype(np.uint32), which.astype(np.uint32).ravel(), comments)


def different(rows: NDArray[np.void]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(first, which): a packet of each comment, and the comment of each packet. Most have the same to say."""
    record = rows["record"]
    key = (record["conn_id"] != 0).astype(np.uint64)
    for columns, source in ((PACKED, rows), (PACKED_OF_CONNECTION, record)):
        for name, bits in columns:
            key = key << np.uint64(bits) | source[name]
    mark, mark_of = np.unique(record["mark"], return_inverse=True)
    if len(mark) > 1:  # no room in the key: it is numbered, and so is what the marks are
        _, key_of = np.unique(key, return_inverse=True)
        key = key_of.astype(np.uint64) * np.uint64(len(mark)) + mark_of.astype(np.uint64)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return first, which


def comment_of(row: Any) -> str:
    """ "ct_state=est|trk offloaded=no,reason=not-established", or why the packet was not tracked, or not sent on."""
    record = row["record"]
    if row["untracked"]:
        words = [f"untracked={UNTRACKED_NAMES[row['untracked']]}"]
    else:
        words = [f"ct_state={states_text(int(row['state']))}"]
        if row["refusal"]:
            words.append(f"refused={REFUSAL_NAMES[row['refusal']]}")
    if record["conn_id"]:
        reason = f",reason={Reason(int(record['reason'])).text}" if record["offload"] != 2 and record["reason"] else ""
        words.append(f"offloaded={OFFLOAD_WORDS[record['offload']]}{reason}")
        words += [f"{name}={record[name]}" for name in ("zone", "mark") if record[name]]
    if row["dropped"]:
        words.append(f"dropped={DROP_NAMES[row['dropped'] - 1]}")
    return " ".join(words)
