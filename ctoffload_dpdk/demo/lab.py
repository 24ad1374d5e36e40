"""The demo's lab: two emulated ports in one switch, and an engine between them, on a clock run by hand."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.engine import Account, Audit, Eal, Engine, PacketAccount, Settings
from ctoffload_dpdk.nicsim import Nic
from ctoffload_dpdk.nicsim.types import Counters

EAL_ARGS = ("--no-pci", "--no-huge", "-m", "256", "--no-shconf", "--no-telemetry")
PORTS = ("net_nicsim0", "net_nicsim1")
SWITCH = 7
RX_RING = 32
N_MBUFS = 4096
CAPACITY = 65536
EVENTS = 65536


class Lab:
    """Feeds packets into either wire, moves the clock, and gives the account.

    parameters: of the emulated ports. Raises NicsimError where the emulated NIC's driver is not built, EalError where a
    parameter is wrong.
    """

    def __init__(self, eal: Eal, settings: Settings, **parameters: int | str | bool) -> None:
        self.eal = eal
        self.mempool = eal.mempool(N_MBUFS)
        self.parameters: dict[str, Any] = {"switch": SWITCH, "clock": "manual", "capacity": CAPACITY} | parameters
        self.nics = [self.make_nic(name) for name in PORTS]
        self.now_ms = 0
        self.start_ms = self.nics[0].now_ms()
        self.engine = self.make_engine(settings)

    def make_nic(self, name: str) -> Nic:
        return Nic.create(self.eal, name, **self.parameters)

    def make_engine(self, settings: Settings) -> Engine:
        """The engine, with both ports."""
        engine = Engine(self.eal, settings, now_ms=0, events=EVENTS)
        for name in PORTS:
            engine.add_port(name, self.mempool)
        engine.join(*PORTS)
        return engine

    def advance_to(self, now_ms: int) -> None:
        """Moves the NIC's clock and the engine's to this time, and lets the engine do what became due."""
        self.now_ms = now_ms
        self.nics[0].set_ms(self.start_ms + now_ms)
        self.engine.settle(now_ms)

    def send(self, side: int, packets: Packets) -> None:
        """Packets arrive on the wire of a side; the engine handles what the NIC hands up."""
        for first in range(0, len(packets), RX_RING):
            self.nics[side].wire_send(packets.slice(first, first + RX_RING))
            self.engine.settle(self.now_ms)
        for nic in self.nics:
            nic.wire_receive()

    def nic_rules(self) -> NDArray[np.void]:
        """Every live rule of both ports, as the NIC has it."""
        return np.concatenate([nic.rules() for nic in self.nics])

    def rules_high_water(self) -> int:
        return self.engine.provider.stats().rules_high_water

    def nic_counters(self) -> list[Counters]:
        return [nic.counters() for nic in self.nics]

    def packets(self) -> PacketAccount:
        """Wire and NIC by the NIC's counters, host by the engine's."""
        counters = self.nic_counters()
        software = self.engine.packets()
        return PacketAccount(
            wire_in=sum(c.wire_in for c in counters),
            nic_forwarded=sum(c.nic_forwarded for c in counters),
            nic_dropped={reason: sum(c.nic_dropped[reason] for c in counters) for reason in counters[0].nic_dropped},
            host_rx=software.host_rx,
            host_tx=software.host_tx,
            sw_dropped=software.sw_dropped,
            sw_held=software.held,
        )

    def account(self) -> Account:
        """The whole account, the NIC's own audit beside the provider's books."""
        audits = [nic.audit() for nic in self.nics]
        return Account(
            packets=self.packets(),
            connections=self.engine.connections(),
            rules=self.engine.rules(),
            objects=self.engine.contexts(),
            audit=Audit(sum(a.rules.live for a in audits), sum(a.objects.live for a in audits)),
        )

    def close(self) -> None:
        """Takes everything out of the NIC and unplugs it. EAL goes on."""
        self.engine.close()
        for nic, name in zip(self.nics, PORTS, strict=True):
            nic.close()
            self.eal.remove_vdev(name)
        self.mempool.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
