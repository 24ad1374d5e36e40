import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.conntrack._conntrack import Conntrack
from ctoffload_dpdk.conntrack.nat import Nat

class Frames:
    n: int
    def __init__(self, size: int) -> None: ...
    def fill(self, order: NDArray[np.uint32], reply: bool = False) -> None: ...
    def run(
        self,
        conntrack: Conntrack,
        n: int,
        *,
        now_ms: int,
        good: bool = True,
        port: int = ...,
        port_generation: int = 0,
        nat: Nat | None = None,
        marked: bool = ...,
    ) -> int: ...

class Plain:
    def __init__(self, n: int) -> None: ...
    def run(self, order: NDArray[np.uint32]) -> int: ...
