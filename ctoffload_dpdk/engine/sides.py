"""At which side of a wire each packet of a capture enters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, CtState


def sides(packets: Packets, at_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8[n]: 0 for what travels in the direction of its connection, 1 for what travels against it.

    What belongs to no connection follows its sender's MAC address. at_ms: int64[n], when each packet arrives.
    """
    with Conntrack(max(len(packets), 1), now_ms=0) as tracker:
        verdicts = tracker.process(packets, at_ms)
    state = verdicts["state"]
    side: NDArray[np.uint8] = ((state & CtState.CS_REPLY_DIR) != 0).astype(np.uint8)
    known: dict[bytes, int] = {}
    for i in np.flatnonzero(verdicts["conn_id"] != 0).tolist():
        known.setdefault(sender(packets, i), int(side[i]))
    for i in np.flatnonzero(verdicts["conn_id"] == 0).tolist():
        side[i] = known.get(sender(packets, i), side[i])
    return side


def sender(packets: Packets, index: int) -> bytes:
    start = int(packets.offset[index]) + 6
    return packets.data[start : start + 6].tobytes()
