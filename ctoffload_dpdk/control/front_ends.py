"""The further front ends of a running daemon: unixctl, telemetry, metrics; each as the settings want it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Protocol

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.telemetry import Telemetry
from ctoffload_dpdk.control.unixctl import UnixctlServer

LOGGER = logging.getLogger("ctoffload.control")

UNIXCTL = "ctoffload.ctl"


class FrontEnd(Protocol):
    """What is started and closed in the control thread."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


def front_ends(server: Server) -> list[FrontEnd]:
    """Those that the settings want."""
    system, settings = server.system, server.system.engine.settings
    found: list[FrontEnd] = [UnixctlServer(system, server.path.with_name(UNIXCTL)), Telemetry(system, server.call)]
    if settings.ct_offload_metrics_port:
        from ctoffload_dpdk.control.metrics_http import MetricsServer  # noqa: PLC0415 - off by default

        found.append(MetricsServer(system, settings.ct_offload_metrics_listen, settings.ct_offload_metrics_port))
    return found


@contextlib.asynccontextmanager
async def serve_front_ends(server: Server) -> AsyncIterator[None]:
    """Serves them as long as it is entered. One that cannot start is said, and left out."""
    started: list[FrontEnd] = []
    for front_end in front_ends(server):
        try:
            await front_end.start()
        except CtoffloadError as error:
            LOGGER.warning("%s", error)
        else:
            started.append(front_end)
    try:
        yield
    finally:
        for front_end in reversed(started):
            await front_end.close()
