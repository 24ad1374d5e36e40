"""The running system: ports, loops, workers and policy."""

from ctoffload_dpdk.engine._loop import Loop, LoopStats
from ctoffload_dpdk.engine.account import Account, Audit, ConnectionAccount, PacketAccount, RuleAccount
from ctoffload_dpdk.engine.engine import Engine, EnginePort

__all__ = [
    "Account",
    "Audit",
    "ConnectionAccount",
    "Engine",
    "EnginePort",
    "Loop",
    "LoopStats",
    "PacketAccount",
    "RuleAccount",
]
