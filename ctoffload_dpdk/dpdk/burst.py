"""What a receive queue gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets


@dataclass(frozen=True, eq=False, slots=True)
class Burst:
    """Received packets; per packet ol_flags (RTE_MBUF_F_RX_*), mark where has_mark, META (0 without), input port."""

    packets: Packets
    ol_flags: NDArray[np.uint64]
    mark: NDArray[np.uint32]
    has_mark: NDArray[np.bool_]
    meta: NDArray[np.uint32]
    port_id: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.packets)
