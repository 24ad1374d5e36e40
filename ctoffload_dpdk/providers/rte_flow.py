"""The provider "dpdk" and the dpif-offload class of the same name, which owns its ports."""

from __future__ import annotations

from ctoffload_dpdk.offload import DpifOffloadClass, Port
from ctoffload_dpdk.providers._rte_flow import RteFlowProvider
from ctoffload_dpdk.providers.rte_flow_probe import PortProbe
from ctoffload_dpdk.providers.rte_flow_types import Capability, RteFlowStats

__all__ = ["Capability", "PortProbe", "RteFlowClass", "RteFlowProvider", "RteFlowStats"]


class RteFlowClass(DpifOffloadClass):
    """Uses every port that DPDK has; tells the provider of them.

    probes: what can be asked of each port in use, by the layer's id.
    """

    name = "dpdk"

    def __init__(self, provider: RteFlowProvider) -> None:
        self.provider = provider
        self.probes: dict[int, PortProbe] = {}
        self._offered: dict[str, PortProbe] = {}

    def offer(self, probe: PortProbe) -> None:
        """What the port was given before it started, and how to ask it; before the port is added to the layer."""
        self._offered[probe.port.name] = probe

    def port_add(self, port: Port, name: str) -> bool:
        probe = self._offered.pop(name, None)
        if probe is not None:
            self.probes[port.id] = probe
        return self.provider.port_add(port.id, port.generation, name)

    def port_del(self, port: Port) -> None:
        self.probes.pop(port.id, None)
        self.provider.port_del(port.id, port.generation)
