"""The process of `ctoffload run`: DPDK, an engine in threads, the control socket, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.cli.daemon_account import account_of
from ctoffload_dpdk.cli.daemon_config import LiveConfiguration
from ctoffload_dpdk.cli.daemon_ports import Ports
from ctoffload_dpdk.cli.devices import Device
from ctoffload_dpdk.cli.hugepages import has_hugepages
from ctoffload_dpdk.cli.readiness import notify, watchdog_s
from ctoffload_dpdk.config import Watch
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.dpdk import Eal, Mempool, eal_args
from ctoffload_dpdk.engine import Account, Engine

LOGGER = logging.getLogger("ctoffload.run")

NICSIM = "net_nicsim"
TICK_S = 0.05
MBUFS_PER_PORT = 8192
MBUF_CACHE = 256
# What is served beside the control socket, from before the daemon is ready until it ends: further front ends.
Extra = Callable[[Server], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Plan:
    """What `run` was asked for. devices: of the ports; virtual: those to be made; hugepages None: if there are."""

    devices: Sequence[Device]
    virtual: Sequence[Device]
    socket: Path
    hugepages: bool | None = None
    memory_mb: int = 256
    file_prefix: str = "ctoffload"
    extras: Sequence[Extra] = field(default_factory=tuple)


class Daemon:
    """One run. `run` returns the account, closed or not."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self.plan = plan
        self.watch = watch
        self.notes: list[str] = []
        self._stop = asyncio.Event()

    def run(self) -> Account:
        """Starts, serves until a signal, and ends: out of the NIC, then the account. Raises CtoffloadError."""
        with self._eal() as eal, eal.mempool(MBUFS_PER_PORT * 2 - 1, cache_size=MBUF_CACHE) as mempool:
            with Engine(eal, self.watch.configuration.settings, now_ms=monotonic_ms()) as engine:
                ports = self._ports(eal, engine, mempool)
                engine.start()
                try:
                    asyncio.run(self._serve(engine, ports))
                finally:
                    account = account_of(engine, monotonic_ms)
                    ports.close()
                return account

    @contextlib.contextmanager
    def _eal(self) -> Iterator[Eal]:
        plan = self.plan
        if any(device.name.startswith(NICSIM) for device in plan.virtual):
            from ctoffload_dpdk.nicsim import load  # noqa: PLC0415 - nothing of it where nobody asked

            load()
        huge = has_hugepages(plan.memory_mb) if plan.hugepages is None else plan.hugepages
        if not huge:
            self.notes.append(f"no hugepages: DPDK has {plan.memory_mb} MiB of ordinary memory")
        arguments = eal_args(
            "in-memory" if huge else "no-huge",
            memory_mb=plan.memory_mb,
            allow=[device.devargs for device in plan.devices if device.is_pci],
            vdevs=[device.devargs for device in plan.virtual],
            file_prefix=plan.file_prefix,
            telemetry=True,
        )
        with Eal.start(arguments) as eal:
            yield eal

    def _ports(self, eal: Eal, engine: Engine, mempool: Mempool) -> Ports:
        ports = Ports(eal, engine, mempool, self.plan.devices)
        ports.add_all()
        for name in engine.ports:
            if not ports.may_offload(name):
                self.notes.append(f"port {name} has no driver that can offload: its connections stay in software")
        if len(os.sched_getaffinity(0)) == 1:
            self.notes.append("one CPU for everything: loops, workers and commands take turns")
        return ports

    async def _serve(self, engine: Engine, ports: Ports) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        configuration = LiveConfiguration(self.watch, engine, ports)
        loop.add_signal_handler(signal.SIGHUP, configuration.reload)
        system = System(engine, configuration, notes=self.notes, ports=ports)
        server = Server(system, self.plan.socket)
        await server.start()
        extras = contextlib.AsyncExitStack()
        for extra in self.plan.extras:
            await extras.enter_async_context(extra(server))
        for note in self.notes:
            LOGGER.warning("%s", note)
        LOGGER.info("ready: %s; commands at %s", " <> ".join(ports.joined()), self.plan.socket)
        notify(f"READY=1\nSTATUS={' <> '.join(ports.joined())}")
        try:
            await self._tick(engine, ports, configuration)
        finally:
            notify("STOPPING=1")
            await extras.aclose()
            await server.close()

    async def _tick(self, engine: Engine, ports: Ports, configuration: LiveConfiguration) -> None:
        """What is looked at some times a second, until the end is asked for."""
        alive_every_s = watchdog_s() / 3
        told_alive = 0.0
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)
            configuration.poll()
            ports.look()
            engine.review(monotonic_ms())
            if not engine.threads.are_alive():
                raise CtoffloadError("a loop's thread has ended", hint="this is a bug in ctoffload; see the log")
            if alive_every_s and time.monotonic() - told_alive > alive_every_s:
                told_alive = time.monotonic()
                with engine.held():  # raises where a loop does not come back, and the watchdog starves
                    notify("WATCHDOG=1")


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
