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
# The columns that a comment is made of.
SAID = np.dtype(
    [
        ("has_connection", "u1"),
        *((name, "u1") for name in ("state", "refusal", "dropped", "untracked", "offload")),
        ("reason", "u2"),
        ("zone", "u2"),
        ("mark", "u4"),
    ]
)


def blocks(rows: NDArray[np.void], packets: Packets) -> bytearray:
    """The packets of PacketTap.take() as pcapng blocks; interface n is port n of the loop."""
    if not len(rows):
        return bytearray()
    said = np.zeros(len(rows), SAID)
    said["has_connection"] = rows["record"]["conn_id"] != 0
    for name in ("state", "refusal", "dropped", "untracked"):
        said[name] = rows[name]
    for name in ("offload", "reason", "zone", "mark"):
        said[name] = rows["record"][name]
    # Most packets of a moment have the same to say: a comment is made once for all of them.
    different, which = np.unique(said, return_inverse=True)
    comments = [comment_of(one) for one in different]
    return packet_blocks(packets, rows["port"].astype(np.uint32), which.astype(np.uint32).ravel(), comments)


def comment_of(said: Any) -> str:
    """ "ct_state=est|trk offloaded=no,reason=not-established", or why the packet was not tracked, or not sent on."""
    words = []
    if said["untracked"]:
        words.append(f"untracked={UNTRACKED_NAMES[said['untracked']]}")
    else:
        words.append(f"ct_state={states_text(int(said['state']))}")
        if said["refusal"]:
            words.append(f"refused={REFUSAL_NAMES[said['refusal']]}")
    if said["has_connection"]:
        reason = f",reason={Reason(int(said['reason'])).text}" if said["offload"] != 2 and said["reason"] else ""
        words.append(f"offloaded={OFFLOAD_WORDS[said['offload']]}{reason}")
        words += [f"{name}={said[name]}" for name in ("zone", "mark") if said[name]]
    if said["dropped"]:
        words.append(f"dropped={DROP_NAMES[said['dropped'] - 1]}")
    return " ".join(words)
