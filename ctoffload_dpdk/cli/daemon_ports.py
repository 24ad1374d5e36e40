"""The ports of a running daemon: two that are joined, or one with itself; taken out and put back while it runs."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Sequence
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError, PortError, SettingsError, UsageError
from ctoffload_dpdk.cli.devices import Device, not_taken, pci_devices
from ctoffload_dpdk.dpdk import Eal, Event, Mempool
from ctoffload_dpdk.engine import Engine
from ctoffload_dpdk.providers.plan import Plan

LOGGER = logging.getLogger("ctoffload.run")

# How often a port that is gone is looked for.
RETRY_S = 2.0
VANISHED = "its device vanished"


class Ports:
    """The ports, by the device each was asked for as. Belongs to the control thread."""

    def __init__(self, eal: Eal, engine: Engine, mempool: Mempool, devices: Sequence[Device]) -> None:
        self._eal = eal
        self._engine = engine
        self._mempool = mempool
        self._devices = list(devices)
        self._names: list[str] = []
        self._away: dict[str, str] = {}  # name: why
        self._removed: list[int] = []
        self._next_try_s = 0.0
        self._failed: list[int] = []
        self._subscriptions = [
            eal.on_event(Event.REMOVED, lambda port_id, _: self._removed.append(port_id)),
            eal.on_event(Event.RESET, lambda port_id, _: self._failed.append(port_id)),
        ]

    def add_all(self) -> None:
        """Takes every port in and joins them. Raises PortError."""
        for device in self._devices:
            names = [address.name for address in self._eal.ports() if device.names(address.name)]
            if not names:
                raise not_taken(device, self._eal.log.errors_since(0))
            self._names += [name for name in names if name not in self._names]
        if len(self._names) > 2:
            raise PortError(f"these are {len(self._names)} ports: {', '.join(self._names)}", hint="name two, or one")
        for name in self._names:
            self._take_in(name)
        self._join()
        if unknown := self.unknown():
            raise unknown

    def unknown(self) -> SettingsError | None:
        """What is wrong where the policy names ports that are none of these."""
        names = [name for name in self._engine.unknown_ports() if name not in self._names]
        if not names:
            return None
        return SettingsError(
            f"the policy names {', '.join(names)}, which is no port here",
            errno=errno.ENODEV,
            hint=f"there are: {', '.join(self._names)}",
        )

    def _take_in(self, name: str) -> None:
        other = [known for known in self._names if known != name]
        self._engine.add_port(name, self._mempool, peer=other[0] if other else "")

    def _join(self) -> None:
        if len(self._engine.ports) == len(self._names):
            self._engine.join(self._names[0], self._names[-1])

    def joined(self) -> list[str]:
        """The two names that packets go between; the same one twice for a hairpin."""
        return [self._names[0], self._names[-1]]

    def may_offload(self, name: str) -> bool:
        """True where some kind of connection that comes by this port has a plan."""
        to = self._names[-1] if name == self._names[0] else self._names[0]
        return any(choice.plan is not Plan.NONE for choice in self._engine.plans(name, to).values())

    def as_rows(self) -> list[dict[str, Any]]:
        """Each port, there or not."""
        rows: list[dict[str, Any]] = []
        for name in self._names:
            if name in self._away:
                rows.append({"name": name, "present": False, "why": self._away[name]})
                continue
            port = self._engine.port(name).port
            info, link = port.info(), port.link()
            rows.append(
                {
                    "name": name,
                    "present": True,
                    "driver": info.driver,
                    "mac": info.mac,
                    "link": link.is_up,
                    "speed_mbps": link.speed_mbps,
                    "switch_domain": info.switch_domain,
                }
            )
        return rows

    def remove(self, name: str) -> None:
        """Takes a port out: its rules first. Raises UsageError, CtoffloadError."""
        self._known(name)
        if name in self._away:
            raise UsageError(f"port {name} is out already", errno=errno.ENODEV, port=name)
        self._engine.remove_port(name, 0)
        device = self._device(name)
        if not device.is_pci:
            self._eal.remove_vdev(device.name)
        self._away[name] = "taken out by a command"
        LOGGER.warning("port %s was taken out by a command", name)

    def add(self, name: str) -> None:
        """Puts a port back in. Raises PortError where its device is not there."""
        self._known(name)
        if name not in self._away:
            raise UsageError(f"port {name} is in already", errno=errno.EEXIST, port=name)
        self._put_back(name)

    def _known(self, name: str) -> None:
        if name not in self._names:
            known = ", ".join(self._names)
            raise UsageError(f"there is no port {name}", errno=errno.ENODEV, port=name, hint=f"there are: {known}")

    def _device(self, name: str) -> Device:
        return next(device for device in self._devices if device.names(name))

    def _put_back(self, name: str) -> None:
        if not any(address.name == name for address in self._eal.ports()):
            self._eal.probe(self._device(name).devargs)
        self._take_in(name)
        del self._away[name]
        self._join()
        LOGGER.warning("port %s is back", name)

    def look(self) -> None:
        """Takes out ports whose devices vanished, puts those back that came again, resets those that ask for it."""
        while self._removed:
            self._vanished(self._removed.pop())
        while self._failed:
            self._reset(self._failed.pop())
        if time.monotonic() < self._next_try_s:
            return
        self._next_try_s = time.monotonic() + RETRY_S
        for name in [name for name, why in self._away.items() if why == VANISHED]:
            if self._is_there(name):
                try:
                    self._put_back(name)
                except CtoffloadError as error:
                    LOGGER.warning("port %s cannot be put back yet: %s", name, error.message)

    def _is_there(self, name: str) -> bool:
        """Whether the device of a port that vanished is there again: in its PCI slot; a virtual one, with DPDK."""
        device = self._device(name)
        if device.is_pci:
            return (pci_devices() / device.name).is_dir()
        return any(address.name == name for address in self._eal.ports())

    def _vanished(self, port_id: int) -> None:
        for name, taken in list(self._engine.ports.items()):
            if taken.port.id == port_id:
                self._away[name] = VANISHED
                LOGGER.warning("the device of port %s vanished; its connections go on in software", name)
                try:
                    self._engine.remove_port(name, 0, vanished=True)
                except PortError as error:  # the first port of a switch closes after the others alone
                    LOGGER.warning("port %s is out, but stays open: %s", name, error.message)
                device = self._device(name)
                if not device.is_pci:
                    with contextlib.suppress(CtoffloadError):  # what is left of it would stand in the way of its return
                        self._eal.remove_vdev(device.name)

    def _reset(self, port_id: int) -> None:
        name = next((name for name, taken in self._engine.ports.items() if taken.port.id == port_id), None)
        if name is None:
            return
        LOGGER.warning("the device of port %s failed and is reset; its connections go on in software", name)
        other = next((known for known in self._names if known != name), "")
        try:
            self._engine.reset_port(name, self._mempool, 0, peer=other)
        except CtoffloadError as error:
            self._away[name] = "its device cannot be reset"
            LOGGER.warning("port %s is out: %s", name, error.message)
            return
        self._join()

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
