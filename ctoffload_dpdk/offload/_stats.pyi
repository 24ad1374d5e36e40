from ctoffload_dpdk.offload._layer import OffloadLayer
from ctoffload_dpdk.offload.stats import LayerStats

def read(layer: OffloadLayer) -> LayerStats: ...
