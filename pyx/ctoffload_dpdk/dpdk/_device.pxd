# A port as a device: which one it is, its set-up, its life.
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk._owned cimport Owned

cdef class Device(Owned):
    cdef readonly uint16_t id
    cdef readonly str name
    cdef readonly str driver
    cdef readonly Eal eal
    cdef readonly bint is_started
    cdef readonly int n_rx_queues
    cdef readonly int n_tx_queues
    # Rules of an older epoch are gone: the port was stopped, reset or flushed since.
    cdef uint64_t rules_epoch
    cdef bint keeps_rules
    cdef int n_busy         # threads inside a call that must not lose the port
    cdef object delivered   # RxMetadata; None: not asked for yet
    cdef dict pools         # queue -> Mempool
    # Queues that were set up since configure: queue -> whether it is a hairpin, which the NIC alone serves.
    cdef dict rx_ready
    cdef dict tx_ready
    cdef object flow_lock   # DPDK does not lock indirect actions and configuration
    cdef int attach(self, Eal eal, uint16_t port_id) except -1
    cdef int check(self, int rc, str op, object mark=*) except -1
    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef void lose_rules(self)
    cdef int before_stop(self) except -1
    cdef object deliver(self, wanted)
    cdef uint8_t key_length(self, bytes key) except? 0
    cdef void set_pool(self, object queue, object pool)
    cdef int tell_name(self) except -1
