from ipaddress import IPv4Network, IPv6Network

import numpy as np
from numpy.typing import NDArray

class Conditions:
    def __init__(
        self,
        *,
        proto: int = ...,
        zone: int = ...,
        src_port: int = ...,
        dst_port: int = ...,
        tcp_state: int = ...,
        offload: int = ...,
        reason: int = ...,
        mark: tuple[int, int] = ...,
        label: tuple[int, int] = ...,
        src: IPv4Network | IPv6Network = ...,
        dst: IPv4Network | IPv6Network = ...,
        reply_src: IPv4Network | IPv6Network = ...,
        reply_dst: IPv4Network | IPv6Network = ...,
    ) -> None: ...
    def fits(self, rows: NDArray[np.void]) -> NDArray[np.bool_]: ...
