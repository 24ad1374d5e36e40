# When the NIC last saw a packet of a connection: asked by AGE, or found by sampling COUNT.
#
# Connections are named by their index among the owner's entries. The owner calls from one thread at a time. Times are
# milliseconds of the clock passed in; a use that nobody saw is never claimed.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow

cdef enum LastUsedSource:
    LAST_USED_AGE = 1        # an AGE query answers
    LAST_USED_COUNT = 2      # COUNT is sampled
    # With AGE | COUNT, AGE answers, and COUNT tells what happened where AGE cannot.

# What the owner does when asked to. Both are called from last_used_poll and last_used_answer.
cdef struct LastUsedOwner:
    void *user
    # A hint of the NIC's: this connection's rules went idle.
    void (*aged)(void *user, uint32_t index) noexcept nogil
    # This direction's rule aged out and counts no longer, but the connection lives: create a second rule like it, destroy
    # the first, and call last_used_replaced. In this order no packet is lost. 0, EINPROGRESS or errno; tried again later.
    int (*reinstall)(void *user, uint32_t index, int direction) noexcept nogil

# Where one direction's rule is.
cdef struct WatchedRule:
    rte_flow *flow
    uint16_t ethdev

# A connection's record. 64 bytes: one cache line.
cdef struct Sample:
    rte_flow *rule[2]
    int64_t last_used_ms     # 0: the NIC saw no packet
    int64_t sampled_ms       # when that was so
    uint32_t hits[2]         # of COUNT as last read, the low half
    uint32_t since_s[2]      # when the rule was put in, rounded up
    uint32_t index
    uint16_t ethdev[2]
    uint32_t timeout_ms
    uint16_t refresh_ms
    uint8_t source
    uint8_t flags            # Mark of _rte_flow_last_used.pyx

# Connections that are sampled with the same period; the last class is for those that AGE answers for. Places before the
# cursor had their turn in this round.
cdef struct SampleClass:
    Sample *samples
    uint32_t n_samples
    uint32_t capacity
    uint32_t cursor
    uint32_t period_ms
    int64_t next_round_ms

cdef struct LastUsedCounts:
    uint64_t queries         # rte_flow_query calls
    uint64_t queries_failed
    uint64_t samples         # connections sampled by COUNT
    uint64_t aged_hints
    uint64_t aged_clamped    # times a driver said it listed more than it wrote
    uint64_t reinstalls      # rules replaced because they had aged out
    uint64_t behind          # polls that ran out of their budget with samples due

cdef enum:
    N_SAMPLE_CLASSES = 8
    MAX_AGED_PORTS = 64

cdef struct LastUsed:
    LastUsedOwner owner
    SampleClass classes[N_SAMPLE_CLASSES]
    uint32_t *place_of       # index -> class and place of its record; 0: not watched
    uint32_t n_places
    int64_t next_aged_ms
    uint16_t aged_ports[MAX_AGED_PORTS]
    int n_aged_ports
    void **aged              # what a driver lists
    uint32_t aged_room
    LastUsedCounts counts


cdef extern from * nogil:
    void prefetch_ "__builtin_prefetch"(const void *address)


# It will soon be watched, asked about or forgotten.
cdef inline void last_used_fetch(const LastUsed *watch, uint32_t index) noexcept nogil:
    if index < watch.n_places:
        prefetch_(&watch.place_of[index])


cdef void last_used_open(LastUsed *watch, LastUsedOwner owner) noexcept nogil
cdef void last_used_close(LastUsed *watch) noexcept nogil

# Ports whose list of aged rules is read: those that own rules with AGE, whose context must be index + 1.
cdef int last_used_port_add(LastUsed *watch, uint16_t ethdev) noexcept nogil
cdef void last_used_port_del(LastUsed *watch, uint16_t ethdev) noexcept nogil

# Both rules are in the NIC: from now on it is known when they were used. `timeout_ms` is the connection's,
# `refresh_ms` how old an answer of this NIC can be (below 65536). 0 or ENOMEM.
cdef int last_used_watch(LastUsed *watch, uint32_t index, const WatchedRule *rules, int source, uint32_t timeout_ms,
                         uint32_t refresh_ms, int64_t now_ms) noexcept nogil
# A rule was replaced by one like it, which was made at now_ms; what is known of the connection is kept.
cdef void last_used_replaced(LastUsed *watch, uint32_t index, int direction, rte_flow *flow, int64_t now_ms) noexcept nogil
# Its rules are about to leave, or gone. Nothing happens where it is not watched.
cdef void last_used_forget(LastUsed *watch, uint32_t index) noexcept nogil

# 0: when a packet last used it (0 ms where the NIC saw none) and the time of collection. ENODATA: nobody knows now. AGE is
# asked here and now; of COUNT the record of the last sample is the answer.
cdef int last_used_answer(LastUsed *watch, uint32_t index, int64_t now_ms, int64_t *last_used_ms,
                          int64_t *sampled_ms) noexcept nogil
# Samples what is due for at most budget_us (0: all of it), reads the aged lists once a second. When to call next, in ms.
cdef int64_t last_used_poll(LastUsed *watch, int64_t now_ms, int64_t budget_us) noexcept nogil
