from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.conntrack._conntrack import Conntrack

def take(
    tracker: Conntrack, sender: int, at_most: int, now_ms: int, **action: Any
) -> tuple[NDArray[np.uint64], NDArray[np.void]]: ...
def waiting(tracker: Conntrack, sender: int) -> int: ...
def stubs(tracker: Conntrack) -> int: ...
