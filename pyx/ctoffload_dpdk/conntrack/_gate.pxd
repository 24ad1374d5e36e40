# Who may touch a shard: the thread that runs it, or one visitor between two of its turns.
from libc.stdint cimport uint32_t
from posix.unistd cimport usleep

from ctoffload_dpdk.offload.libspsc cimport clock_us, shared_get, shared_set, shared_swap_if, shared_word

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    GATE_FREE = 0        # nobody is in: no thread runs it, or its thread sleeps
    GATE_RUNNING = 1     # its thread is in a turn
    GATE_WANTED = 2      # and a visitor waits for its end
    GATE_HELD = 3        # the visitor is in
    GATE_YIELDS = 200    # then the thread sleeps while it waits for the visitor
    GATE_NAP_US = 20

cdef struct Gate:
    shared_word state


cdef inline void gate_enter(Gate *gate) noexcept nogil:
    """The thread of the shard goes in, after the visitor if there is one."""
    cdef int yields = 0
    while not shared_swap_if(&gate.state, GATE_FREE, GATE_RUNNING):
        if yields < GATE_YIELDS:
            yields += 1
            sched_yield()
        else:
            usleep(GATE_NAP_US)


cdef inline void gate_leave(Gate *gate) noexcept nogil:
    """It goes out: before it sleeps or ends. A visitor that waits is let in."""
    if not shared_swap_if(&gate.state, GATE_RUNNING, GATE_FREE):
        shared_set(&gate.state, GATE_HELD)


cdef inline void gate_pass(Gate *gate) noexcept nogil:
    """Between two turns: one load where nobody waits."""
    if shared_get(&gate.state) != GATE_RUNNING:
        gate_leave(gate)
        gate_enter(gate)


cdef inline bint gate_take(Gate *gate, uint32_t limit_us) noexcept nogil:
    """The visitor goes in; False where the thread did not come to the end of its turn in time. One visitor at a time."""
    cdef uint32_t began = clock_us()
    cdef bint asked = False
    while True:
        if not asked:
            if shared_swap_if(&gate.state, GATE_FREE, GATE_HELD):
                return True
            asked = shared_swap_if(&gate.state, GATE_RUNNING, GATE_WANTED)
        elif shared_get(&gate.state) == GATE_HELD:
            return True
        elif <uint32_t> (clock_us() - began) > limit_us and shared_swap_if(&gate.state, GATE_WANTED, GATE_RUNNING):
            return False
        else:
            sched_yield()


cdef inline void gate_give(Gate *gate) noexcept nogil:
    shared_set(&gate.state, GATE_FREE)
