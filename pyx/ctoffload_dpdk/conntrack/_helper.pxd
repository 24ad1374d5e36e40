# Helpers: what FTP and TFTP say of further connections, and what translation does to their control connection.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._packet cimport Action, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport Expectation, Shard

# Who reads along on the connection that this packet begins; 0 for nobody.
cdef uint8_t helper_for(const Action *action, const Parsed *parsed) noexcept nogil
# The connection of that slot begins with a helper.
cdef void helper_begin(Shard *shard, uint32_t slot, uint8_t kind) noexcept nogil
# The connection of that slot begins because it was expected.
cdef void helper_child(Shard *shard, uint32_t slot, const Expectation *expectation) noexcept nogil
# Before the state machine: acknowledgements speak of what the other side got, which may be longer than what was sent.
cdef void helper_before(Shard *shard, uint32_t slot, const Packet *packet, const Parsed *parsed, bint reply) noexcept nogil
# After it: reads announcements, and with translation rewrites them and the sequence numbers behind them.
cdef void helper_after(Shard *shard, uint32_t slot, const Packet *packet, Parsed *parsed, bint reply, bint translated,
                       Verdict *verdict) noexcept nogil
