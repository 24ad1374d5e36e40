"""A port of the stand-in with an engine on it, told when its device goes: a module of functions for a `Worker`."""

from __future__ import annotations

import time
from typing import Any

from ctoffload_dpdk.dpdk import Eal, Event

events: list[str] = []
held: dict[str, Any] = {}


def start(eal_args: list[str]) -> list[str]:
    """Starts every port, asked for the event of its removal."""
    eal = held["eal"] = Eal.start(eal_args)
    pool = eal.mempool(1023)
    held["ports"] = [eal.port(address.id) for address in eal.ports()]
    for port in held["ports"]:
        port.configure(removal_events=True)
        port.setup_queues(pool, descriptors=64)
        port.start()
        held[port.name] = port.on_event(Event.REMOVED, lambda number, event: events.append(f"{number} {event.name}"))
    return [port.name for port in held["ports"]]


def told(n: int, seconds: float = 10.0) -> list[str]:
    """The events so far, once there are n."""
    end = time.monotonic() + seconds
    while len(events) < n and time.monotonic() < end:
        time.sleep(0.02)
    return sorted(events)


def gone() -> list[bool]:
    """What the driver says of each port's device."""
    return [port.is_removed for port in held["ports"]]


def finish() -> None:
    for port in reversed(held["ports"]):
        port.close()
