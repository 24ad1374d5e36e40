from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets

ENTRY: np.dtype[Any]

class PacketTap:
    def __init__(
        self,
        *,
        snaplen: int = 65535,
        ring_bytes: int = 8 << 20,
        proto: int | None = None,
        zone: int | None = None,
        offload: int | None = None,
        reason: int | None = None,
        src_port: int | None = None,
        dst_port: int | None = None,
        tcp_state: int | None = None,
        mark: tuple[int, int] | None = None,
        src: IPv4Network | IPv6Network | None = None,
        dst: IPv4Network | IPv6Network | None = None,
        reply_src: IPv4Network | IPv6Network | None = None,
        reply_dst: IPv4Network | IPv6Network | None = None,
    ) -> None: ...
    @property
    def captured(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    def take(self, max_packets: int = 4096) -> tuple[NDArray[np.void], Packets]: ...
