"""The running system: ports, loops, workers and policy."""

from ctoffload_dpdk.conntrack import (
    CONNECTION,
    PROTOCOL_GROUPS,
    PROTOCOLS,
    TCP_STATES,
    Conditions,
    Conntrack,
    Walk,
    conntrack_text,
    datagrams,
    expectations,
    json_rows,
    numbers,
    ovs_lines,
    ovs_text,
)
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine._loop import Loop, LoopStats
from ctoffload_dpdk.engine._tap import PacketTap
from ctoffload_dpdk.engine.account import Account, Audit, ConnectionAccount, PacketAccount, RuleAccount
from ctoffload_dpdk.engine.engine import Engine, EnginePort
from ctoffload_dpdk.engine.report import capability_report, explain, plan_rows, port_rules
from ctoffload_dpdk.engine.sides import sides
from ctoffload_dpdk.engine.tap import blocks as pcapng_blocks
from ctoffload_dpdk.settings import Settings

__all__ = [
    "CONNECTION",
    "PROTOCOLS",
    "PROTOCOL_GROUPS",
    "TCP_STATES",
    "Account",
    "Audit",
    "Conditions",
    "ConnectionAccount",
    "Conntrack",
    "Eal",
    "Engine",
    "EnginePort",
    "Loop",
    "LoopStats",
    "PacketAccount",
    "PacketTap",
    "RuleAccount",
    "Settings",
    "Walk",
    "capability_report",
    "conntrack_text",
    "datagrams",
    "expectations",
    "explain",
    "json_rows",
    "numbers",
    "ovs_lines",
    "ovs_text",
    "pcapng_blocks",
    "plan_rows",
    "port_rules",
    "sides",
]
