from ctoffload_dpdk.dpdk._flow import FlowDevice
from ctoffload_dpdk.dpdk._owned import Owned
from ctoffload_dpdk.dpdk.actions import Attr

class PatternTemplate(Owned):
    @property
    def port(self) -> FlowDevice: ...

class ActionsTemplate(Owned):
    @property
    def port(self) -> FlowDevice: ...

class TemplateTable(Owned):
    @property
    def port(self) -> FlowDevice: ...
    @property
    def attr(self) -> Attr: ...
    @property
    def patterns(self) -> tuple[PatternTemplate, ...]: ...
    @property
    def actions(self) -> tuple[ActionsTemplate, ...]: ...
