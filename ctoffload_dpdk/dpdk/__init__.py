"""The binding of DPDK: EAL, ports, packet buffers, rules, events.

    eal = Eal.start(eal_args(memory_mb=256, vdevs=["net_ring0"]))
    port = eal.port("net_ring0")

Items and actions of rules are in `items` and `actions`. Everything owns what it made, and can be closed.
"""

from ctoffload_dpdk.dpdk import libraries  # noqa: F401 - first: says what is missing

# isort: split
from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk._eal import Eal
from ctoffload_dpdk.dpdk._events import Subscription
from ctoffload_dpdk.dpdk._flow import IndirectAction, Rule
from ctoffload_dpdk.dpdk._flow_async import Answer, AsyncRule, FlowQueue
from ctoffload_dpdk.dpdk._mempool import Mempool
from ctoffload_dpdk.dpdk._port import Port
from ctoffload_dpdk.dpdk._templates import ActionsTemplate, PatternTemplate, TemplateTable
from ctoffload_dpdk.dpdk.actions import Attr
from ctoffload_dpdk.dpdk.args import Memory, eal_args
from ctoffload_dpdk.dpdk.burst import Burst
from ctoffload_dpdk.dpdk.log import Log, LogLine
from ctoffload_dpdk.dpdk.pulled import Pulled
from ctoffload_dpdk.dpdk.types import (
    AgeState,
    Count,
    Event,
    FlowInfo,
    FlowSizes,
    HairpinCapability,
    Link,
    PortAddress,
    PortInfo,
    PortStats,
    Rss,
    RxMetadata,
)

__all__ = [
    "ActionsTemplate",
    "AgeState",
    "Answer",
    "AsyncRule",
    "Attr",
    "Burst",
    "Count",
    "Eal",
    "Event",
    "FlowInfo",
    "FlowQueue",
    "FlowSizes",
    "HairpinCapability",
    "IndirectAction",
    "Link",
    "Log",
    "LogLine",
    "Memory",
    "Mempool",
    "PatternTemplate",
    "Port",
    "PortAddress",
    "PortInfo",
    "PortStats",
    "Pulled",
    "Rss",
    "Rule",
    "RxMetadata",
    "Subscription",
    "TemplateTable",
    "actions",
    "eal_args",
    "items",
]
