"""Ports that are asked what they can do: configured, prepared, started, with a probe each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ctoffload_dpdk.settings import Settings


@contextlib.contextmanager
def probes(eal: Any, *names: str | int, settings: Settings | None = None, crossed: bool = False) -> Iterator[list[Any]]:
    """A PortProbe for each of these ports, which run until the end. crossed: the hairpins of two lead across."""
    from ctoffload_dpdk.providers.rte_flow_prepare import override_of, set_up  # noqa: PLC0415 - loads DPDK
    from ctoffload_dpdk.providers.rte_flow_probe import PortProbe, bind  # noqa: PLC0415

    settings = settings or Settings()
    pool = eal.mempool(2047, cache_size=0)
    ports = [eal.port(name) for name in names]
    peers = [ports[1].id, ports[0].id] if crossed else [None] * len(ports)
    prepared = [
        set_up(port, pool, settings, descriptors=64, peer=peer) for port, peer in zip(ports, peers, strict=True)
    ]
    for port in ports:
        port.start()
    by_id = {port.id: port for port in ports}
    try:
        made = [PortProbe(*both, by_id.get, override_of(settings)) for both in zip(ports, prepared, strict=True)]
        if crossed:
            bind(*made)
        yield made
    finally:
        for port in reversed(ports):
            port.close()
        pool.close()


def text_of(probe: Any) -> str:
    """Every finding of a port, one a line."""
    lines = []
    for found in probe.findings.values():
        has = {True: "yes", False: "no", None: "?"}[found.has]
        lines.append(f"{found.domain:8} {found.cap:17} {has:3} {found.how:16} {found.evidence}")
    return "\n".join(line.rstrip() for line in lines) + "\n"
