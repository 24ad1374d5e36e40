from ctoffload_dpdk.engine._loop import Loop
from ctoffload_dpdk.offload import OffloadLayer

def settle(loop: Loop, layer: OffloadLayer, now_ms: int) -> int: ...
