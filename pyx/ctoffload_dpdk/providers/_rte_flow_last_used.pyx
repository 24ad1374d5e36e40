"""When the NIC last saw a packet of a connection.

AGE is asked when somebody wants to know. COUNT only tells how many packets came, so those connections are read again and
again, in classes by timeout, and last-used is the time of the sample that saw a change. Records lie in arrays, one per class,
so that a round reads memory in order; a round costs what the class holds, a class with nothing due costs nothing.
"""
from libc.errno cimport ENODATA, ENOMEM, ENOSPC
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    rte_flow_action,
    rte_flow_action_type,
    rte_flow_error,
    rte_flow_get_aged_flows,
    rte_flow_query,
    rte_flow_query_age,
    rte_flow_query_count,
)
from ctoffload_dpdk.offload.libspsc cimport clock_ns, pages_free, pages_grow

# A period is a quarter of the timeout, at most the longest of these.
cdef uint32_t[7] PERIODS_MS = [250, 500, 1000, 2000, 4000, 8000, 10000]

cdef enum:
    ANSWERED_BY_AGE = N_SAMPLE_CLASSES - 1   # the class without rounds
    PLACE_BITS = 29
    PLACE_MASK = (1 << PLACE_BITS) - 1
    SAMPLES_AHEAD = 8                        # records between fetching one and writing it
    BUDGET_STEP = 32                         # samples between two looks at the clock
    AGED_PERIOD_MS = 1000
    AGED_MOST = 65536                        # read at once

cdef enum Mark:
    MARK_FAILED = 1          # its last sample failed
    MARK_HINTED = 2          # its ageing was reported since somebody last asked
    MARK_AGED = 4            # << direction: its rule aged out and tells nothing any more
    MARK_BASE = 16           # << direction: COUNT was read when AGE last answered


# ---- records -------------------------------------------------------------------------------------------------------------

cdef void last_used_open(LastUsed *watch, LastUsedOwner owner) noexcept nogil:
    cdef int i
    memset(watch, 0, sizeof(LastUsed))
    watch.owner = owner
    for i in range(N_SAMPLE_CLASSES - 1):
        watch.classes[i].period_ms = PERIODS_MS[i]


cdef void last_used_close(LastUsed *watch) noexcept nogil:
    cdef int i
    for i in range(N_SAMPLE_CLASSES):
        pages_free(watch.classes[i].samples, watch.classes[i].capacity * sizeof(Sample))
    free(watch.place_of)
    free(watch.aged)
    memset(watch, 0, sizeof(LastUsed))


cdef Sample *sample_of(LastUsed *watch, uint32_t index) noexcept nogil:
    """NULL where it is not watched."""
    cdef uint32_t place = watch.place_of[index] if index < watch.n_places else 0
    return &watch.classes[place >> PLACE_BITS].samples[(place & PLACE_MASK) - 1] if place else NULL


cdef int class_for(uint32_t timeout_ms, uint32_t refresh_ms) noexcept nogil:
    """The longest period that is not over a quarter of the timeout, but none below what the NIC itself takes."""
    cdef int i = 0
    while i + 1 < ANSWERED_BY_AGE and (PERIODS_MS[i + 1] <= timeout_ms // 4 or PERIODS_MS[i] < refresh_ms):
        i += 1
    return i


cdef inline int places_grow(LastUsed *watch, uint32_t index) noexcept nogil:
    cdef uint32_t n = watch.n_places if watch.n_places else 1024
    cdef uint32_t *places
    if index < watch.n_places:
        return 0
    while n <= index:
        n *= 2
    places = <uint32_t *> realloc(watch.place_of, n * sizeof(uint32_t))
    if places == NULL:
        return ENOMEM
    memset(places + watch.n_places, 0, (n - watch.n_places) * sizeof(uint32_t))
    watch.place_of = places
    watch.n_places = n
    return 0


cdef inline int class_grow(SampleClass *group) noexcept nogil:
    cdef uint32_t capacity = group.capacity * 2 if group.capacity else 256
    cdef Sample *samples
    if group.n_samples < group.capacity:
        return 0
    if group.n_samples >= PLACE_MASK:
        return ENOSPC
    # pages rather than a heap: a record lies on a cache line of its own
    samples = <Sample *> pages_grow(group.samples, group.capacity * sizeof(Sample), capacity * sizeof(Sample))
    if samples == NULL:
        return ENOMEM
    group.samples = samples
    group.capacity = capacity
    return 0


cdef inline void put_at(LastUsed *watch, int number, uint32_t place, const Sample *sample) noexcept nogil:
    watch.classes[number].samples[place] = sample[0]
    watch.place_of[sample.index] = (<uint32_t> number << PLACE_BITS) | (place + 1)


cdef int last_used_watch(LastUsed *watch, uint32_t index, const WatchedRule *rules, int source, uint32_t timeout_ms,
                         uint32_t refresh_ms, int64_t now_ms) noexcept nogil:
    cdef int number = ANSWERED_BY_AGE if source & LAST_USED_AGE else class_for(timeout_ms, refresh_ms)
    cdef SampleClass *group = &watch.classes[number]
    cdef uint32_t since_s = seconds_up(now_ms)
    cdef Sample *sample
    cdef int direction
    if index < watch.n_places and watch.place_of[index]:
        last_used_forget(watch, index)
    if places_grow(watch, index) != 0 or class_grow(group) != 0:
        return ENOMEM
    if group.n_samples == 0:
        group.cursor = 0
        group.next_round_ms = now_ms + group.period_ms
    sample = &group.samples[group.n_samples]
    if group.n_samples + SAMPLES_AHEAD < group.capacity:
        prefetch_(&sample[SAMPLES_AHEAD])
    memset(sample, 0, sizeof(Sample))
    sample.index = index
    sample.source = <uint8_t> source
    sample.timeout_ms = timeout_ms
    sample.refresh_ms = <uint16_t> refresh_ms
    sample.sampled_ms = now_ms - refresh_ms
    for direction in range(2):
        sample.rule[direction] = rules[direction].flow
        sample.ethdev[direction] = rules[direction].ethdev
        sample.since_s[direction] = since_s
    watch.place_of[index] = (<uint32_t> number << PLACE_BITS) | (group.n_samples + 1)
    group.n_samples += 1
    return 0


cdef inline uint32_t seconds_up(int64_t ms) noexcept nogil:
    return <uint32_t> ((ms + 999) // 1000)


cdef void last_used_forget(LastUsed *watch, uint32_t index) noexcept nogil:
    """Fills the hole so that neither a sample of this round is taken twice nor one is left out."""
    cdef uint32_t place, number
    cdef SampleClass *group
    if index >= watch.n_places or watch.place_of[index] == 0:
        return
    number = watch.place_of[index] >> PLACE_BITS
    place = (watch.place_of[index] & PLACE_MASK) - 1
    watch.place_of[index] = 0
    group = &watch.classes[number]
    group.n_samples -= 1
    if place < group.cursor:
        group.cursor -= 1
        if place != group.cursor:
            put_at(watch, number, place, &group.samples[group.cursor])
        place = group.cursor
    if place != group.n_samples:
        put_at(watch, number, place, &group.samples[group.n_samples])


cdef void last_used_replaced(LastUsed *watch, uint32_t index, int direction, rte_flow *flow, int64_t now_ms) noexcept nogil:
    cdef Sample *sample = sample_of(watch, index)
    if sample == NULL:
        return
    sample.rule[direction] = flow
    sample.since_s[direction] = seconds_up(now_ms)
    sample.hits[direction] = 0
    sample.flags &= ~<uint8_t> ((MARK_AGED | MARK_BASE) << direction)
    watch.counts.reinstalls += 1


# ---- asking the NIC ------------------------------------------------------------------------------------------------------

cdef int query(LastUsed *watch, Sample *sample, int direction, int action_type, void *data) noexcept nogil:
    cdef rte_flow_action action[2]
    cdef rte_flow_error error
    cdef int rc
    action[0].type = <rte_flow_action_type> action_type
    action[0].conf = NULL
    action[1].type = RTE_FLOW_ACTION_TYPE_END
    action[1].conf = NULL
    error.message = NULL
    watch.counts.queries += 1
    rc = rte_flow_query(sample.ethdev[direction], sample.rule[direction], action, data, &error)
    watch.counts.queries_failed += rc != 0
    return rc


cdef int count_changed(LastUsed *watch, Sample *sample, int direction) noexcept nogil:
    """1: packets came since it was last read. 0: none. -1: nobody knows.

    A count that became less was reset; what it says is what came since. One that became 0 may have been reset alone.
    """
    cdef rte_flow_query_count count
    cdef uint32_t hits
    count.reset = 0
    count.hits_set = 0
    count.bytes_set = 0
    if query(watch, sample, direction, RTE_FLOW_ACTION_TYPE_COUNT, &count) != 0:
        return -1
    if not count.hits_set and not count.bytes_set:
        watch.counts.queries_failed += 1     # a driver that says 0 and tells nothing
        return -1
    hits = <uint32_t> (count.hits if count.hits_set else count.bytes)
    if hits == sample.hits[direction]:
        return 0
    sample.hits[direction] = hits
    return hits != 0


cdef void sample_count(LastUsed *watch, Sample *sample, int64_t now_ms) noexcept nogil:
    """Reads both directions. Where one cannot be read, what was known stays."""
    cdef int forth = count_changed(watch, sample, 0)
    cdef int back = count_changed(watch, sample, 1)
    watch.counts.samples += 1
    if forth > 0 or back > 0:
        sample.last_used_ms = now_ms
    if forth < 0 or back < 0:
        sample.flags |= MARK_FAILED
        return
    sample.flags &= ~<uint8_t> MARK_FAILED
    sample.sampled_ms = now_ms - sample.refresh_ms


cdef int ask_age(LastUsed *watch, Sample *sample, int direction, int64_t now_ms) noexcept nogil:
    """0, or ENODATA where this direction tells nothing."""
    cdef rte_flow_query_age age
    memset(&age, 0, sizeof(age))
    if query(watch, sample, direction, RTE_FLOW_ACTION_TYPE_AGE, &age) != 0:
        return ENODATA
    if not age.sec_since_last_hit_valid:
        return ask_aged(watch, sample, direction, now_ms) if age.aged else ENODATA
    return take_age(watch, sample, direction, age.sec_since_last_hit, now_ms)


cdef int take_age(LastUsed *watch, Sample *sample, int direction, uint32_t idle_s, int64_t now_ms) noexcept nogil:
    """COUNT, where the rule has one, tells what AGE cannot: whether a rule that is as idle as it is old ever had a packet,
    and, of one that may age out before somebody asks again, whether a packet came since.
    """
    cdef int64_t used_ms = now_ms - <int64_t> idle_s * 1000
    cdef bint may_be_unused = used_ms <= <int64_t> sample.since_s[direction] * 1000 + sample.refresh_ms
    if sample.source & LAST_USED_COUNT and (may_be_unused or <int64_t> idle_s * 2000 >= sample.timeout_ms):
        if count_changed(watch, sample, direction) >= 0:
            sample.flags |= MARK_BASE << direction
            if may_be_unused and sample.hits[direction] == 0:
                return 0
    if used_ms > sample.last_used_ms:
        sample.last_used_ms = used_ms
    return 0


cdef int ask_aged(LastUsed *watch, Sample *sample, int direction, int64_t now_ms) noexcept nogil:
    """A rule that aged out. 0 where it is known what came since, or where a use cannot be excluded: then that is said, once."""
    cdef bint is_news = not sample.flags & (MARK_AGED << direction)
    cdef bint is_known = sample.flags & (MARK_BASE << direction)
    cdef int changed = count_changed(watch, sample, direction) if sample.source & LAST_USED_COUNT else -1
    sample.flags |= MARK_AGED << direction
    if changed >= 0:
        sample.flags |= MARK_BASE << direction
    if (is_news and not is_known) or changed > 0:
        sample.last_used_ms = now_ms
        return 0
    return 0 if changed == 0 else ENODATA


cdef void revive(LastUsed *watch, uint32_t index, bint was_aged, int64_t now_ms) noexcept nogil:
    """Has rules that aged out replaced where the connection goes on: it was used, or is asked about once more."""
    cdef Sample *sample = sample_of(watch, index)
    cdef int direction
    for direction in range(2):
        if sample == NULL or not sample.flags & (MARK_AGED << direction):
            continue
        if was_aged or now_ms - sample.last_used_ms < sample.timeout_ms:
            watch.owner.reinstall(watch.owner.user, index, direction)
            sample = sample_of(watch, index)


cdef int last_used_answer(LastUsed *watch, uint32_t index, int64_t now_ms, int64_t *last_used_ms,
                          int64_t *sampled_ms) noexcept nogil:
    cdef Sample *sample = sample_of(watch, index)
    cdef bint was_aged
    cdef int rc = 0
    if sample == NULL:
        return ENODATA
    sample.flags &= ~<uint8_t> MARK_HINTED
    was_aged = sample.flags & (MARK_AGED | MARK_AGED << 1)
    if sample.source & LAST_USED_AGE:
        rc = ask_age(watch, sample, 0, now_ms) | ask_age(watch, sample, 1, now_ms)
        if rc == 0:
            sample.sampled_ms = now_ms - sample.refresh_ms
    else:
        if sample.flags & MARK_FAILED:
            sample_count(watch, sample, now_ms)
        rc = ENODATA if sample.flags & MARK_FAILED else 0
    last_used_ms[0] = sample.last_used_ms
    sampled_ms[0] = sample.sampled_ms
    if sample.flags & (MARK_AGED | MARK_AGED << 1):
        revive(watch, index, was_aged, now_ms)
    return rc


# ---- turns ---------------------------------------------------------------------------------------------------------------

cdef bint sample_class(LastUsed *watch, SampleClass *group, int64_t now_ms, int64_t deadline_ns) noexcept nogil:
    """Goes on with the round that is due. False where time ran out; deadline_ns 0: none."""
    cdef uint32_t end
    if group.n_samples == 0 or now_ms < group.next_round_ms:
        return True
    while group.cursor < group.n_samples:
        end = group.cursor + BUDGET_STEP
        end = end if end < group.n_samples else group.n_samples
        while group.cursor < end:
            sample_count(watch, &group.samples[group.cursor], now_ms)
            group.cursor += 1
        if deadline_ns and group.cursor < group.n_samples and clock_ns() >= deadline_ns:
            return False
    group.cursor = 0
    # A round that is late does not make the next ones follow faster.
    group.next_round_ms += group.period_ms
    if group.next_round_ms <= now_ms:
        group.next_round_ms = now_ms + group.period_ms
    return True


cdef int64_t last_used_poll(LastUsed *watch, int64_t now_ms, int64_t budget_us) noexcept nogil:
    cdef int64_t deadline_ns = clock_ns() + budget_us * 1000 if budget_us else 0
    cdef int64_t next_ms = now_ms + AGED_PERIOD_MS
    cdef SampleClass *group
    cdef int i
    if watch.n_aged_ports and now_ms >= watch.next_aged_ms:
        watch.next_aged_ms = now_ms + AGED_PERIOD_MS
        for i in range(watch.n_aged_ports):
            read_aged(watch, watch.aged_ports[i])
    for i in range(ANSWERED_BY_AGE):
        group = &watch.classes[i]
        if not sample_class(watch, group, now_ms, deadline_ns):
            watch.counts.behind += 1
            return now_ms
        if group.n_samples and group.next_round_ms < next_ms:
            next_ms = group.next_round_ms
    return next_ms


# ---- the NIC's hints -----------------------------------------------------------------------------------------------------

cdef int last_used_port_add(LastUsed *watch, uint16_t ethdev) noexcept nogil:
    last_used_port_del(watch, ethdev)
    if watch.n_aged_ports == MAX_AGED_PORTS:
        return ENOSPC
    watch.aged_ports[watch.n_aged_ports] = ethdev
    watch.n_aged_ports += 1
    return 0


cdef void last_used_port_del(LastUsed *watch, uint16_t ethdev) noexcept nogil:
    cdef int i
    for i in range(watch.n_aged_ports):
        if watch.aged_ports[i] == ethdev:
            watch.n_aged_ports -= 1
            watch.aged_ports[i] = watch.aged_ports[watch.n_aged_ports]
            return


cdef bint aged_room(LastUsed *watch, uint32_t n) noexcept nogil:
    cdef void **grown
    if n <= watch.aged_room:
        return True
    grown = <void **> realloc(watch.aged, n * sizeof(void *))
    if grown == NULL:
        return False
    watch.aged = grown
    watch.aged_room = n
    return True


cdef void read_aged(LastUsed *watch, uint16_t ethdev) noexcept nogil:
    """Passes on what aged, each once until somebody asked: a driver may list it again and again, or only this once."""
    cdef rte_flow_error error
    cdef Sample *sample
    cdef uintptr_t context
    cdef int i, n, most
    memset(&error, 0, sizeof(error))
    most = rte_flow_get_aged_flows(ethdev, NULL, 0, &error)
    most = most if most < AGED_MOST else AGED_MOST
    if most <= 0 or not aged_room(watch, most):
        return
    n = rte_flow_get_aged_flows(ethdev, watch.aged, most, &error)
    if n > most:
        watch.counts.aged_clamped += 1       # it counted on past the end of the array
        n = most
    for i in range(n):
        context = <uintptr_t> watch.aged[i]
        sample = sample_of(watch, <uint32_t> (context - 1)) if 0 < context <= watch.n_places else NULL
        if sample != NULL and not sample.flags & MARK_HINTED:
            sample.flags |= MARK_HINTED
            watch.counts.aged_hints += 1
            watch.owner.aged(watch.owner.user, <uint32_t> (context - 1))
