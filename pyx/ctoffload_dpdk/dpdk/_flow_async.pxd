# Rules by the thousand: queues of operations whose results are pulled later.
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.dpdk._flow cimport FlowDevice, Rule

cdef class AsyncDevice(FlowDevice):
    cdef object has_templates       # None until asked
    cdef dict queues                # index -> FlowQueue
    cdef int require_async(self) except -1

cdef class AsyncRule(Rule):
    cdef readonly FlowQueue queue
    cdef uint64_t created_by            # token of its creation
    cdef readonly bint is_confirmed     # the NIC has it
    cdef object removal                 # (FlowQueue, token) while it is under way
    cdef readonly bint is_failed        # the NIC refused it; it has to be destroyed all the same

# What an operation that is under way stands for.
cdef class Operation:
    cdef object kind
    cdef object subject
    cdef uint64_t user_data
    cdef object buffer
    cdef bint is_ok

cdef class FlowQueue:
    cdef readonly AsyncDevice port
    cdef readonly uint32_t index
    cdef dict under_way             # token -> Operation
    cdef uint64_t next_token
    cdef list unread                # results pulled on behalf of close()
    cdef int require_ready(self) except -1
    cdef uint64_t begin(self, object kind, object subject, uint64_t user_data, object buffer) except 0
    cdef list pull_some(self, int most)
    cdef int require_own(self, object port, object what) except -1
    cdef int wait_for(self, uint64_t token) except -1
    cdef int check(self, int rc, str op, void *error, str what) except -1
