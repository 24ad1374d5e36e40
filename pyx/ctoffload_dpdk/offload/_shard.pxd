# The layer as a shard's loop uses it: what is wanted of each connection goes in, notices come back. The packet path
# calls only shard_want, which links the connection on a waiting list; operations are made and completions taken in
# shard_turn.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.offload._lane cimport Lane
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_counts, ct_offload_ctx, ct_offload_tcp_peer
from ctoffload_dpdk.offload.libspsc cimport shared_time, shared_word

# What is wanted of a connection, and what was reached. WANT_INSTALLED implies WANT_ADDED first.
cpdef enum Want:
    WANT_OUT = 0
    WANT_ADDED = 1
    WANT_INSTALLED = 2

# What the layer tells the owner of the connections.
cpdef enum NoticeKind:
    NOTICE_INSTALLED = 1    # both directions are in the NIC; `flags` are CT_OFFLOAD_R_*
    NOTICE_REFUSED = 2      # not taken, or not kept, nothing is left of it anywhere; `reason`, `error`
    NOTICE_OUT = 3          # the removal that was wanted is complete, nothing is left anywhere; the slot may be reused
    NOTICE_SAMPLE = 4       # an answer to shard_query: last_used_ms, sampled_ms
    NOTICE_NO_SAMPLE = 5    # no answer could be had; `reason`, `error`
    NOTICE_AGED = 6         # a provider's hint: query it
    NOTICE_LOST = 7         # the rules are gone with their port; `reason`; goes on in software
    NOTICE_PUSHED = 8       # rules are about to be pushed: from now on packets may pass software by
    NOTICE_WINDOW = 9       # `peer`: the window as the NIC has it, while its rules forward on; NOTICE_OUT follows
    NOTICE_COUNTED = 10     # `counts`: forwarded past software, not told before; before SAMPLE, OUT, REFUSED or LOST

# `offloaded=` of a dump.
cdef enum Standing:
    STANDS_OUT = 0
    STANDS_PENDING = 1       # an operation is outstanding, or waits for its turn
    STANDS_IN = 2

cdef struct Notice:
    uint64_t conn_id
    int64_t last_used_ms
    int64_t sampled_ms
    const ct_offload_tcp_peer *peer       # WINDOW: two, by direction; valid during the call
    const ct_offload_counts *counts       # COUNTED; valid during the call
    uint32_t kind
    int error
    uint16_t reason
    uint8_t flags

# How the layer reaches the connection table of a shard. All are called from shard_turn only, on the shard's thread.
cdef struct ConnTable:
    void *user
    # Fills all of ctx for a live connection and returns True; False where the slot no longer holds that connection.
    bint (*fill)(void *user, uint64_t conn_id, ct_offload_ctx *ctx) noexcept nogil
    # Says that fill will be asked for this slot soon. NULL: no interest.
    void (*prefetch)(void *user, uint32_t slot) noexcept nogil
    void (*notice)(void *user, const Notice *notice) noexcept nogil

cdef struct OffloadShard

# A shard of the layer for at most max_slots connections; NULL without memory. Freed when nothing is held any more.
cdef OffloadShard *shard_new(uint32_t shard, uint32_t max_slots) noexcept nogil
cdef void shard_free(OffloadShard *shard) noexcept nogil
cdef void shard_attach(OffloadShard *shard, ConnTable table) noexcept nogil

# Says what is wanted of a connection from now on. Costs a store and a link; never blocks, never fails. Wanting what is
# reached already gives no notice. After WANT_OUT, NOTICE_OUT follows if shard_holds says True, nothing otherwise.
# After NOTICE_REFUSED the wish is dropped, except where the reason is one that passes (disabled, no-provider,
# table-full, provider-stalled, port-down), or its rules were in and a provider lost them: then the layer keeps it and
# tries again by itself until WANT_OUT withdraws it.
cdef void shard_want(OffloadShard *shard, uint64_t conn_id, int want, uint16_t reason) noexcept nogil
# As WANT_OUT, of a connection that goes on in software: where a provider has a context of it, its window is read back
# first, as far as the budget goes (NOTICE_WINDOW). Not while hw-offload is off, nor where it comes out for another cause.
cdef void shard_bring_back(OffloadShard *shard, uint64_t conn_id, uint16_t reason) noexcept nogil
# Asks when it was last used; the answer is a notice. At most one question is outstanding; a second is ignored. A
# removal that overtakes the question answers it with NOTICE_OUT (or REFUSED, LOST).
cdef void shard_query(OffloadShard *shard, uint64_t conn_id) noexcept nogil
# True while an operation is outstanding or anything of this slot is left in a provider: the slot must not be reused.
cdef bint shard_holds(OffloadShard *shard, uint32_t slot) noexcept nogil
# Why it is not in hardware (CT_OFFLOAD_REASON_*), and what was reached (Want); pending: an operation is outstanding.
cdef uint16_t shard_reason(OffloadShard *shard, uint32_t slot) noexcept nogil
cdef int shard_reached(OffloadShard *shard, uint32_t slot) noexcept nogil
cdef bint shard_pending(OffloadShard *shard, uint32_t slot) noexcept nogil
cdef int shard_errno(OffloadShard *shard, uint32_t slot) noexcept nogil
# Where a connection is, offered or not, as users are told; why it is not in hardware, and the errno of a provider.
cdef Standing shard_standing(OffloadShard *shard, uint64_t conn_id, uint16_t *reason, int *error) noexcept nogil
# Lets the layer ask how many packets software has seen of a connection; without it `min_packets` does not hold.
cdef void shard_set_packets(OffloadShard *shard,
                            uint64_t (*packets)(void *user, uint64_t conn_id) noexcept nogil) noexcept nogil
# Takes completions and makes operations from the waiting list. Returns how many notices were given.
cdef uint32_t shard_turn(OffloadShard *shard, int64_t now_ms) noexcept nogil
# True while hw-offload is on and a provider is active: the gate for commit and established. Removals are never gated.
cdef bint shard_enabled(OffloadShard *shard) noexcept nogil
# Bumped by each switching. After a change, a table offers the connections it did not offer while the gate was shut.
cdef uint32_t shard_epoch(OffloadShard *shard) noexcept nogil

# --- for the layer itself -------------------------------------------------------------------------------------------

# What the control thread says to all shards. Written there, read by shards.
cdef struct Control:
    shared_word enabled      # hw-offload
    shared_word active       # bit per provider that takes new connections
    shared_word epoch        # bumped by each change of the others
    shared_word n_shards     # the rate of installations is divided among them
    shared_word window_reads # of contexts, per second over all shards; 0: none
    shared_time policy       # const Policy *; NULL: the default
    shared_word flushes      # bumped to have everything taken out once
    shared_word n_ports      # 0: ports are not looked at
    shared_time ports[1024]  # id << 32 | generation << 8 | PORT_* flags; set before n_ports

cdef enum:
    PORT_DISABLED = 1
    PORT_LEAVING = 2

# Totals of one shard, written by its thread alone.
cdef struct ShardCount:
    uint64_t wanted          # shard_want calls
    uint64_t stale           # calls and events for a connection that is gone
    uint64_t nonsense        # results that belong to nothing outstanding
    uint64_t leaving         # connections that are being taken out without being asked for
    uint64_t reading         # windows that are being read back
    uint64_t windows_unread  # not asked for: over the budget, or no room for a query
    uint64_t notices[16]
    uint64_t refused[32]     # by reason
    uint32_t waiting[8]      # per list
    uint32_t waiting_high_water[8]

cdef void shard_set_control(OffloadShard *shard, Control *control) noexcept nogil
cdef void shard_set_lane(OffloadShard *shard, int provider, Lane *lane) noexcept nogil
cdef Lane *shard_lane(OffloadShard *shard, int provider) noexcept nogil
cdef const ShardCount *shard_count(OffloadShard *shard) noexcept nogil
cdef uint8_t shard_owners(OffloadShard *shard, uint32_t slot) noexcept nogil
cdef uint64_t shard_handle(OffloadShard *shard, uint32_t slot, int provider) noexcept nogil
cdef int shard_wanted(OffloadShard *shard, uint32_t slot) noexcept nogil
# Slots ever offered; those still to be seen by the walk that follows a switching.
cdef uint32_t shard_touched(OffloadShard *shard) noexcept nogil
cdef uint32_t shard_walk_left(OffloadShard *shard) noexcept nogil
# True while the walk or any removal is under way.
cdef bint shard_is_draining(OffloadShard *shard) noexcept nogil
# Turns begun, ever; wraps.
cdef uint32_t shard_turns(OffloadShard *shard) noexcept nogil
