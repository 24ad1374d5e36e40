"""Connection events for whoever listens: read from the loops once, handed to each listener, bounded for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]

# Rows that wait for one listener; and rows that a loop keeps between two looks, while somebody listens.
MAX_WAITING = 65_536
RING = 32_768


class Listeners:
    """Those who listen. read: what happened since the last call; switch: keeps events at all, or not."""

    def __init__(self, read: Callable[[], tuple[Rows, int]], switch: Callable[[bool], None]) -> None:
        self._read = read
        self._switch = switch
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self) -> Listener:
        """A listener from now on, until it is closed."""
        if not self._listeners:
            self._switch(True)
        self._listeners.append(Listener(self))
        return self._listeners[-1]

    def remove(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._listeners:
                self._switch(False)

    def look(self) -> None:
        """Takes what happened and hands it to all."""
        if not self._listeners:
            return
        rows, lost = self._read()
        for listener in self._listeners:
            listener.give(rows, lost)


class Listener:
    """One who listens. `take` gives what came since the last call."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._waiting: deque[Rows] = deque()
        self._n_waiting = 0
        self._lost = 0

    def give(self, rows: Rows, lost: int) -> None:
        self._lost += lost
        if self._n_waiting + len(rows) > MAX_WAITING:
            self._lost += len(rows)
        elif len(rows):
            self._waiting.append(rows)
            self._n_waiting += len(rows)

    def take(self, at_most: int = 1024) -> tuple[Rows | None, int]:
        """(rows, lost): the next rows, or None, and how many were lost since the last call."""
        lost, self._lost = self._lost, 0
        if not self._waiting:
            self._listeners.look()
        if not self._waiting:
            return None, lost
        rows = self._waiting.popleft()
        if len(rows) > at_most:
            self._waiting.appendleft(rows[at_most:])
            rows = rows[:at_most]
        self._n_waiting -= len(rows)
        return rows, lost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listeners.remove(self)
