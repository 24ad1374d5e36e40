"""The provider "dpdk" and the dpif-offload class of the same name, which owns its ports."""

from __future__ import annotations

from ctoffload_dpdk.offload import DpifOffloadClass, Port
from ctoffload_dpdk.providers._rte_flow import RteFlowProvider
from ctoffload_dpdk.providers.rte_flow_types import Capability, RteFlowStats

__all__ = ["Capability", "RteFlowClass", "RteFlowProvider", "RteFlowStats"]


class RteFlowClass(DpifOffloadClass):
    """Uses every port that DPDK has; tells the provider of them."""

    name = "dpdk"

    def __init__(self, provider: RteFlowProvider) -> None:
        self.provider = provider

    def port_add(self, port: Port, name: str) -> bool:
        return self.provider.port_add(port.id, port.generation, name)

    def port_del(self, port: Port) -> None:
        self.provider.port_del(port.id, port.generation)
