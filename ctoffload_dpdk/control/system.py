"""What commands are run over: a running engine, its configuration, and the loops that have the connections."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.control.listening import RING, Listener, Listeners
from ctoffload_dpdk.control.walking import Walking
from ctoffload_dpdk.engine import Conditions, Conntrack, Engine, numbers

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

# Connections that are copied out between two turns of a loop: about 0.1 ms, so that no loop stalls.
SLICE = 1024
# Connections that are ended, or asked about, between two turns.
AT_ONCE = 256


class Configured(Protocol):
    """The configuration as commands see it; what reads files and OVSDB gives one."""

    def values(self) -> Mapping[str, tuple[bool | int | str, str]]:
        """{name: (value, origin)} of every setting."""

    def set(self, name: str, value: object, where: str) -> Sequence[str]:
        """A run-time command; returns the names of settings that wait for the next start. Raises SettingsError."""

    def problems(self) -> Sequence[CtoffloadError]:
        """What is wrong in the sources as they are now."""


class PortSource(Protocol):
    """The ports as commands see them; what runs the engine gives one."""

    def as_rows(self) -> list[dict[str, Any]]:
        """Each port, there or not."""

    def remove(self, name: str) -> None:
        """Takes a port out."""

    def add(self, name: str) -> None:
        """Puts it back in."""


class System:
    """A running engine as commands see it. Belongs to the control thread; other threads go through `Server.call`.

    Each method does a bounded piece of work per call, or per step of what it yields; the loops go on between.
    """

    def __init__(
        self,
        engine: Engine,
        configured: Configured | None = None,
        *,
        notes: Sequence[str] = (),
        ports: PortSource | None = None,
    ) -> None:
        """notes: what it runs without, in words."""
        self.engine = engine
        self.configured = configured
        self.notes = list(notes)
        self.ports = ports
        self.pid = os.getpid()
        self._began_s = time.monotonic()
        self._lost = 0
        self._listeners = Listeners(self._read_events, self._keep_events)

    def trackers(self) -> Sequence[Conntrack]:
        """One per loop."""
        return self.engine.trackers

    def uptime_s(self) -> float:
        return time.monotonic() - self._began_s

    def count(self) -> int:
        """Live connections."""
        return sum(tracker.count for tracker in self.trackers())

    def slices(self, wanted: Conditions | None = None) -> Iterator[Rows]:
        """The connections that fit, a slice of the table at a time; empty arrays where nothing in a slice fits."""
        for walk in self.walk(wanted):
            yield walk.rows(SLICE)

    def walk(self, wanted: Conditions | None = None) -> Walking:
        """A walk over the connections that fit, in steps."""
        return Walking(self.trackers(), wanted)

    def numbers(self, zone: int | None = None) -> tuple[Numbers, Numbers]:
        """Live connections by PROTOCOL_GROUPS, and those of TCP by TCP_STATES; of all zones, or of one."""
        found = [numbers(tracker, zone) for tracker in self.trackers()]
        return np.sum([of for of, _ in found], axis=0), np.sum([tcp for _, tcp in found], axis=0)

    def find(self, src: str, dst: str, proto: int, *, sport: int = 0, dport: int = 0, zone: int = 0) -> Rows:
        """The connection of a tuple of either direction as CONNECTION[1], or CONNECTION[0]; see `Conntrack.find`."""
        for tracker in self.trackers():
            with tracker.held():
                rows = tracker.find(src, dst, proto, sport, dport, zone)
            if len(rows):
                return rows
        return rows

    def find_id(self, conn_id: int) -> Rows:
        """The connection of an id as CONNECTION[1], or CONNECTION[0] where it is no more."""
        for tracker in self.trackers():
            if conn_id >> 56 == tracker.shard_number:
                return tracker.find_id(conn_id)
        return np.zeros(0, self.trackers()[0].find_id(0).dtype)

    def ask(self, rows: Rows) -> int:
        """Asks the NIC about these connections: what it carried is in the rows read some milliseconds later.

        Returns how many were asked about. Questions outstanding at once are bounded by ct-offload-query-budget.
        """
        asked = 0
        for tracker, ids in self._ids(rows):
            with tracker.held():
                asked += tracker.ask(ids)
        return asked

    def _ids(self, rows: Rows) -> Iterator[tuple[Conntrack, NDArray[np.uint64]]]:
        """The ids of these rows, by tracker, so many at a time that no loop stalls."""
        for tracker in self.trackers():
            ids = rows["conn_id"][rows["conn_id"] >> np.uint64(56) == tracker.shard_number]
            for start in range(0, len(ids), AT_ONCE):
                yield tracker, ids[start : start + AT_ONCE]

    def end(self, rows: Rows) -> int:
        """Ends these connections, as rows of a dump; returns how many were still there."""
        ended = 0
        for tracker, ids in self._ids(rows):
            with tracker.held():
                ended += tracker.flush_ids(ids)
        return ended

    def listen(self) -> Listener:
        """Events of connections from now on; close it (it is a context manager)."""
        return self._listeners.add()

    def look(self) -> None:
        """Takes what happened and hands it to those who listen. Call it some times a second while somebody does."""
        self._listeners.look()

    @property
    def n_listeners(self) -> int:
        """Who listens now."""
        return len(self._listeners)

    def _read_events(self) -> tuple[Rows, int]:
        lost = sum(tracker.counters().events_lost for tracker in self.trackers())
        before, self._lost = self._lost, lost
        return np.concatenate([tracker.events() for tracker in self.trackers()]), lost - before

    def _keep_events(self, on: bool) -> None:
        for tracker in self.trackers():
            tracker.keep_events(RING if on else 0)

    def setting(self, name: str, value: object, where: str) -> Sequence[str]:
        """Sets one setting by a run-time command. Raises SettingsError; UsageError without a configuration."""
        if self.configured is None:
            raise UsageError("this engine has no configuration to change", errno=errno.ENOSYS, op="config")
        return self.configured.set(name, value, where)

    def facts(self) -> dict[str, Any]:
        """Who runs here, and how."""
        return {
            "pid": self.pid,
            "uptime_s": round(self.uptime_s(), 3),
            "dpdk": self.engine.eal.version,
            "hugepages": self.engine.eal.has_hugepages,
            "ports": [port.name for port in self.engine.ports.values()],
            "notes": self.notes,
        }
