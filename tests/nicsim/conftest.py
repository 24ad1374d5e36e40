"""A lab bench: emulated NICs with their hosts, and packets to send."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ctoffload_dpdk.base.packets import Packets

# Before `tests`, whose directory `standin` would be taken for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

NAMES = (f"net_nicsim{n}" for n in itertools.count())


@dataclass
class Host:
    """A port, its Nic, and what the host receives."""

    port: Any
    nic: Any
    pool: Any
    rules: list[Any] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)

    def shared(self, action: Any) -> Any:
        """An indirect action."""
        self.objects.append(self.port.create_indirect(action, ingress=True))
        return self.objects[-1]

    def rule(self, pattern: list[Any], actions: list[Any], **attr: Any) -> Any:
        from ctoffload_dpdk.dpdk import Attr  # noqa: PLC0415 - only a child loads DPDK

        attr = attr or {"ingress": True}
        made = self.port.create_rule(Attr(**attr), pattern, actions)
        self.rules.append(made)
        return made

    def send(self, *packets: Any) -> None:
        """These arrive on the wire."""
        self.nic.wire_send(Packets.of([bytes(p) for p in packets]))

    def burst(self, queue: int = 0) -> Any:
        return self.port.rx_burst(queue, 64)

    def received(self, queue: int = 0) -> list[bytes]:
        """What the host finds in a queue."""
        return list(self.burst(queue).packets)

    def left(self) -> list[bytes]:
        """What left by the wire."""
        return list(self.nic.wire_receive())

    def restart(self, **config: Any) -> None:
        self.port.configure(**config)
        self.port.setup_queues(self.pool, descriptors=128)
        self.port.start()


@dataclass
class Lab:
    """Makes hosts; all of them go when the test ends."""

    eal: Any
    hosts: list[Host] = field(default_factory=list)

    def host(
        self,
        *,
        name: str = "",
        queues: int = 1,
        rss: bool = True,
        start: bool = True,
        rx_offloads: int = 0,
        sizes: Any = None,
        **parameters: Any,
    ) -> Host:
        from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415

        parameters.setdefault("clock", "manual")
        nic = Nic.create(self.eal, name or next(NAMES), **parameters)
        port = self.eal.port(nic.port_id)
        pool = self.eal.mempool(1023, cache_size=0)
        host = Host(port, nic, pool)
        self.hosts.append(host)
        rss_types = port.info().rss_types if queues > 1 and rss else None
        port.configure(
            rx_queues=queues, tx_queues=queues, rx_offloads=rx_offloads, rss_types=rss_types, removal_events=True
        )
        port.setup_queues(pool, descriptors=128)
        if sizes is not None:
            port.configure_flow(sizes)
        if start:
            port.start()
        return host

    def pair(self, **parameters: Any) -> tuple[Host, Host]:
        """Two ports of one switch."""
        number = next(SWITCHES)
        return self.host(switch=number, **parameters), self.host(switch=number, **parameters)

    def close(self) -> None:
        # The first may be the proxy of the others, and stops last.
        for host in reversed(self.hosts):
            if not host.port.is_closed:
                host.port.remove()
            host.nic.close()
            host.pool.close()


SWITCHES = itertools.count(1)


@pytest.fixture
def lab(eal: Any) -> Iterator[Lab]:
    from ctoffload_dpdk.nicsim import NicsimError, load  # noqa: PLC0415

    try:
        load()
    except NicsimError as error:
        pytest.skip(str(error))
    with contextlib.closing(Lab(eal)) as bench:
        yield bench


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.host()
