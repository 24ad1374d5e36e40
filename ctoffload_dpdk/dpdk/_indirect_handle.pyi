from ctoffload_dpdk.dpdk._owned import Owned
from ctoffload_dpdk.dpdk.actions import Action

class IndirectHandle(Owned):
    @property
    def kind(self) -> type[Action]: ...
