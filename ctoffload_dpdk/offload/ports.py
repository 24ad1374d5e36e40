"""Ports as the layer knows them: opaque {id, generation} with a name, each used by one dpif-offload class at most."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ctoffload_dpdk.base.errors import PortError
from ctoffload_dpdk.base.numbers import whole

MAX_PORTS = 1024
NO_PORT = 0xFFFFFFFF


@dataclass(frozen=True)
class Port:
    """One port. A port that was removed and came back has another generation."""

    id: int
    generation: int
    name: str = ""


@dataclass(frozen=True)
class PortEntry:
    """A port in the registry: who uses it, and whether connections on it may go to hardware."""

    port: Port
    used_by: str = ""
    is_enabled: bool = True
    is_leaving: bool = False


class PortRegistry:
    """The ports of one layer, by id."""

    def __init__(self) -> None:
        self._entries: dict[int, PortEntry] = {}
        self._generations: dict[int, int] = {}

    def __iter__(self) -> Iterator[PortEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str = "", port_id: int | None = None) -> Port:
        """A new port; its id is the next free one where none is asked for.

        Raises PortError EEXIST, ENOSPC, UsageError EINVAL for an id that cannot be.
        """
        if len(self._entries) >= MAX_PORTS:
            raise PortError(
                f"port {name}: {MAX_PORTS} ports are the most", errno=errno.ENOSPC, op="port_add", port=name
            )
        if port_id is None:
            port_id = next(i for i in range(MAX_PORTS) if i not in self._entries)
        whole(port_id, 0, NO_PORT - 1, "port_add: port_id")
        if port_id in self._entries:
            raise PortError(f"port {port_id} is there already", errno=errno.EEXIST, op="port_add", port=str(port_id))
        generation = self._generations.get(port_id, 0) + 1
        self._generations[port_id] = generation
        port = Port(port_id, generation, name)
        self._entries[port_id] = PortEntry(port)
        return port

    def entry(self, port: Port | int) -> PortEntry:
        """The entry of a port. Raises PortError ENODEV where it is gone, or came back as another."""
        port_id = port if isinstance(port, int) else port.id
        found = self._entries.get(port_id)
        if found is None or (isinstance(port, Port) and found.port.generation != port.generation):
            raise PortError(f"port {port_id} is not there", errno=errno.ENODEV, op="port", port=str(port_id))
        return found

    def change(self, port: Port, **changes: object) -> PortEntry:
        """Replaces members of an entry. Raises PortError ENODEV as `entry` does."""
        changed = replace(self.entry(port), **changes)  # type: ignore[arg-type]
        self._entries[port.id] = changed
        return changed

    def remove(self, port: Port) -> None:
        """Forgets the port; its generation is remembered. Raises PortError ENODEV as `entry` does."""
        self.entry(port)
        del self._entries[port.id]
