"""The rte_flow provider between two emulated ports, for the conformance kit: `provider`, and the NIC's `clock`."""

from __future__ import annotations

import os
from itertools import product
from typing import Any

from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.nicsim import Nic
from ctoffload_dpdk.providers.plan import Fate, LastUsed, Plan
from ctoffload_dpdk.providers.rte_flow import RteFlowProvider

NAMES = ("net_nicsim0", "net_nicsim1")
LAST_USED = {Plan.AGE: LastUsed.AGE, Plan.COUNT: LastUsed.COUNT, Plan.CT: LastUsed.COUNT}
TCP, UDP = 0, 1

held: dict[str, Any] = {}


def start() -> None:
    """EAL once per process, and two running ports of one switch."""
    eal = held["eal"] = Eal.start(["--no-pci", "--no-huge", "-m", "256", "--no-shconf", "--no-telemetry"])
    pool = held["pool"] = eal.mempool(1023)
    held["nics"] = [Nic.create(eal, name, switch=1, clock="manual") for name in NAMES]
    for name in NAMES:
        port = eal.port(name)
        port.configure()
        port.setup_queues(pool, descriptors=64)
        port.start()
        held[name] = port


def provider() -> RteFlowProvider:
    """By the plan that CTOFFLOAD_TEST_PLAN names; UDP by AGE where that is ct. age-alone: without COUNT beside it."""
    if not held:
        start()
    named = os.environ.get("CTOFFLOAD_TEST_PLAN", "age")
    plan = Plan(named.removesuffix("-alone"))
    made = RteFlowProvider()
    numbers = [made.port_add(i, 1, name) for i, name in enumerate(NAMES)]
    for first, second in product(numbers, numbers):
        for proto, family in product((TCP, UDP), (0, 1)):
            own = Plan.AGE if plan is Plan.CT and proto == UDP else plan
            made.set_plan(
                first, second, (proto, family, False), own, Fate.TRANSFER, LAST_USED[own], counts=plan == named
            )
    return made


def clock(now_ms: int) -> None:
    """The NIC counts seconds by the kit's clock, which begins anew with each test."""
    passed_ms = now_ms - held.get("now_ms", now_ms)
    held["now_ms"] = now_ms
    if passed_ms > 0:
        held["nics"][0].advance_ms(passed_ms)
