"""The emulated NIC: a DPDK driver, and the controls of its wire, clock, faults and books."""

from ctoffload_dpdk.nicsim._nicsim import Nic, driver_path, load
from ctoffload_dpdk.nicsim.types import (
    DROPS,
    FATES,
    RULE_DTYPE,
    Answer,
    Audit,
    Books,
    Call,
    Counters,
    FlowAudit,
    NicsimError,
    QueueAudit,
    Room,
    TableAudit,
)

__all__ = [
    "DROPS",
    "FATES",
    "RULE_DTYPE",
    "Answer",
    "Audit",
    "Books",
    "Call",
    "Counters",
    "FlowAudit",
    "Nic",
    "NicsimError",
    "QueueAudit",
    "Room",
    "TableAudit",
    "driver_path",
    "load",
]
