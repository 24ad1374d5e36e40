import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.conntrack._conntrack import Conntrack

def numbers(tracker: Conntrack, zone: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
