"""What the speed bars are stepped with: loops and workers in turn, as their threads would be, without Python between."""
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.engine._loop cimport Loop
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload._provider cimport Provider
from ctoffload_dpdk.offload._worker cimport Worker, worker_run_once

cdef enum:
    MAX_WORKERS = 8
    IDLE_TURNS = 3           # in a row: nothing is under way any more


def settle(Loop loop, OffloadLayer layer, now_ms: int) -> int:
    """Turns of the loop and of every worker until nothing more is done at this time; how many there were."""
    cdef Worker *workers[MAX_WORKERS]
    cdef int64_t now = now_ms
    cdef uint32_t done, idle = 0, turns = 0
    cdef int i, n = 0
    for provider in layer.providers():
        workers[n] = (<Provider> provider).worker
        n += 1
    with nogil:
        while idle < IDLE_TURNS:
            done = loop.turn(now)
            for i in range(n):
                done += worker_run_once(workers[i], now)
            idle = 0 if done else idle + 1
            turns += 1
    return turns
