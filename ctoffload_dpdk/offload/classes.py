"""dpif-offload classes: who owns ports and their hardware."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ctoffload_dpdk.base.errors import ProviderError
from ctoffload_dpdk.offload._dpif import DpifTable
from ctoffload_dpdk.offload.ports import Port


class DpifOffloadClass:
    """A dpif-offload class. The provider of its name is available while it is registered, active with its ports."""

    name: str = ""

    def set_config(self, key: str, value: str) -> int:
        """A setting of the layer; returns 0, or a positive errno, which `set_global_cfg` raises once all were told."""
        return 0

    def port_add(self, port: Port, name: str) -> bool:
        """A port appeared: True where this class uses it."""
        return False

    def port_del(self, port: Port) -> None:
        """A port it uses goes; nothing of any connection is left on it."""


class CompiledDpifOffloadClass(DpifOffloadClass):
    """One that is a `struct dpif_offload_class`: a PyCapsule, or an object that gives one.

    Raises ProviderError EINVAL where it is neither, or lacks a name or port_add, EPROTO for another ABI.
    """

    def __init__(self, source: object) -> None:
        self._table = DpifTable(source)
        self.name = self._table.name

    def set_config(self, key: str, value: str) -> int:
        return self._table.set_config(key, value)

    def port_add(self, port: Port, name: str) -> bool:
        return self._table.port_add(port.id, port.generation, name)

    def port_del(self, port: Port) -> None:
        self._table.port_del(port.id, port.generation)


class ClassRegistry:
    """The dpif-offload classes of one layer, in order of registration."""

    def __init__(self) -> None:
        self._classes: dict[str, DpifOffloadClass] = {}

    def __iter__(self) -> Iterator[DpifOffloadClass]:
        return iter(list(self._classes.values()))

    def is_registered(self, name: str) -> bool:
        """True while a class of that name is registered."""
        return name in self._classes

    def register(self, cls: DpifOffloadClass) -> None:
        """Takes a class in. Raises ProviderError EEXIST where the name is taken, EINVAL without one."""
        if not cls.name:
            raise ProviderError("the dpif-offload class has no name", errno=errno.EINVAL, op="class_register")
        if cls.name in self._classes:
            raise ProviderError(
                f"dpif-offload class {cls.name} is registered already",
                errno=errno.EEXIST,
                op="class_register",
                provider=cls.name,
                hint="unregister it first, or give the other one its own name",
            )
        self._classes[cls.name] = cls

    def unregister(self, name: str) -> None:
        """Forgets the class of that name. Raises ProviderError ENOENT where it is not there."""
        if self._classes.pop(name, None) is None:
            known = ", ".join(self._classes) or "none"
            raise ProviderError(
                f"dpif-offload class {name} is not registered",
                errno=errno.ENOENT,
                op="class_unregister",
                provider=name,
                hint=f"registered: {known}",
            )

    def get(self, name: str) -> DpifOffloadClass | None:
        """The class of that name; None where it is not registered."""
        return self._classes.get(name)
