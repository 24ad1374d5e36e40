"""The generic layer between a connection tracker and its offload providers."""

from ctoffload_dpdk.offload._layer import OffloadLayer
from ctoffload_dpdk.offload.classes import DpifOffloadClass
from ctoffload_dpdk.offload.ports import Port
from ctoffload_dpdk.offload.provider import Batch, CtOffloadProvider

__all__ = ["Batch", "CtOffloadProvider", "DpifOffloadClass", "OffloadLayer", "Port"]
