# A connection's rules into the NIC and out of it: both or none, whichever the engine.
from libc.stdint cimport int64_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_error
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_op
from ctoffload_dpdk.providers._rte_flow_queue cimport RuleResult
from ctoffload_dpdk.providers._rte_flow_state cimport Entry, Provider

# An entry whose shapes, tuples and fates are filled in: asks for both rules. What came of it so far, as settle() says it.
cdef int install(Provider *p, Entry *entry) noexcept nogil
# Takes everything out, as far as it goes now. As settle().
cdef int take_out(Provider *p, Entry *entry) noexcept nogil
# 0: it is as it is wanted, or out because it could not be. EINPROGRESS: results are outstanding, or it is tried again.
cdef int settle(Provider *p, Entry *entry) noexcept nogil
# Answers a finished installation: 0, or the errno with which it is refused.
cdef int installed(Provider *p, Entry *entry, ct_offload_op *op) noexcept nogil
# A queued operation was answered.
cdef void answered(Provider *p, const RuleResult *result) noexcept nogil
# Tries again what is due. Completes what is finished.
cdef void retry_due(Provider *p) noexcept nogil
# A rule aged out and counts no longer, but its connection lives: one like it takes its place. 0 or errno.
cdef int reinstall(Provider *p, Entry *entry, int direction) noexcept nogil
# Every rule of the connection went with its port: nothing is asked of the driver.
cdef void went_with_port(Provider *p, Entry *entry, int direction) noexcept nogil
cdef uint64_t user_of(Provider *p, Entry *entry, int direction) noexcept nogil
# The layer's reason for an errno of the driver's.
cdef int reason_of(int error) noexcept nogil
cdef int refuse(ct_offload_op *op, int error, int reason) noexcept nogil
cdef void note_refusal(Provider *p, const rte_flow_error *error) noexcept nogil
