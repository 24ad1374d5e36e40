"""The threads of a running engine: one per loop, known to DPDK, pinned where that is asked for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine._loop import Loop

LOGGER = logging.getLogger("ctoffload.engine")


class LoopThreads:
    """A thread for each loop, between `start` and `stop`; it is only a loop around a turn, without the GIL."""

    def __init__(self, eal: Eal, loops: Sequence[Loop]) -> None:
        self._eal = eal
        self._loops = list(loops)
        self._threads: list[threading.Thread] = []

    def start(self, cpus: Sequence[int] = ()) -> None:
        """cpus: see `pin`."""
        for number, loop in enumerate(self._loops):
            thread = threading.Thread(target=self._serve, args=(loop,), name=f"ct-loop-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        if cpus:
            self.pin(cpus)

    def pin(self, cpus: Sequence[int]) -> None:
        """Threads that run move to these CPUs, one each, in turn; none: wherever this process may run."""
        for number, thread in enumerate(self._threads):
            wanted = {cpus[number % len(cpus)]} if cpus else os.sched_getaffinity(os.getpid())
            try:
                os.sched_setaffinity(thread.native_id or 0, wanted)
            except OSError as error:
                LOGGER.warning("a loop cannot run on CPU %s: %s", ", ".join(map(str, wanted)), error.strerror)

    def _serve(self, loop: Loop) -> None:
        try:
            self._eal.register_thread()
        except CtoffloadError as error:
            LOGGER.warning("a loop runs without an lcore of DPDK's, and slower: %s", error.message)
            loop.serve()
            return
        try:
            loop.serve()
        finally:
            self._eal.unregister_thread()

    def are_alive(self) -> bool:
        """False where a loop's thread has ended, which it never does by itself."""
        return all(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Ends the threads after the turns that they are in."""
        for loop in self._loops:
            loop.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
