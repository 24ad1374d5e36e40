# Of _shard.pyx: the waiting lists, and where handles and tuples of a connection are kept.


# --- the waiting lists -----------------------------------------------------------------------------------------------

cdef inline void unlink(OffloadShard *s, Slot *slot) noexcept nogil:
    cdef Chain *chain = &s.lists[slot.list]
    if slot.list == LIST_NONE:
        return
    if slot.prev != NIL:
        s.slots[slot.prev].next = slot.next
    else:
        chain.head = slot.next
    if slot.next != NIL:
        s.slots[slot.next].prev = slot.prev
    else:
        chain.tail = slot.prev
    s.count.waiting[slot.list] -= 1
    slot.list = LIST_NONE


cdef inline void link(OffloadShard *s, uint32_t index, Slot *slot, uint8_t which) noexcept nogil:
    """Puts the slot at the end of a list, taking it off the one it is on."""
    cdef Chain *chain
    if slot.list == which:
        return
    if slot.list != LIST_NONE:
        unlink(s, slot)
    if which == LIST_NONE:
        return
    chain = &s.lists[which]
    slot.list = which
    slot.next = NIL
    slot.prev = chain.tail
    if chain.tail != NIL:
        s.slots[chain.tail].next = index
    else:
        chain.head = index
    chain.tail = index
    s.count.waiting[which] += 1
    if s.count.waiting[which] > s.count.waiting_high_water[which]:
        s.count.waiting_high_water[which] = s.count.waiting[which]


cdef inline uint8_t next_list(Slot *slot) noexcept nogil:
    """Where a slot without outstanding operation belongs: removals first, a question last."""
    if slot.undo or slot.wanted < slot.reached:
        return LIST_DEL
    if slot.wanted > slot.reached:
        return LIST_NONE if slot.parked else LIST_ADD
    return LIST_QUERY if slot.asks & ASKS_SAMPLE else LIST_NONE


cdef void link_later(OffloadShard *s, uint32_t index, Slot *slot, uint32_t delay_ms) noexcept nogil:
    slot.due_ms = <uint32_t> s.now_ms + delay_ms
    link(s, index, slot, LIST_LATER)


cdef inline void because(Slot *slot, uint16_t reason) noexcept nogil:
    """Why it is not in hardware, where no provider's error says so: one that stood there belonged to another reason."""
    slot.reason = reason
    slot.error = 0


# --- handles and tuples ----------------------------------------------------------------------------------------------

cdef inline uint64_t handle_of(OffloadShard *s, uint32_t index, const Slot *slot, int provider) noexcept nogil:
    return slot.handle if slot.first == provider else s.sides[index].handle[provider]


cdef inline void keep_handle(OffloadShard *s, uint32_t index, Slot *slot, int provider, uint64_t handle) noexcept nogil:
    if slot.first == NOBODY or slot.first == provider:
        slot.first = provider
        slot.handle = handle
    else:
        s.sides[index].handle[provider] = handle


cdef inline uint32_t hash_tuple(const ct_offload_ctx *ctx) noexcept nogil:
    """32 bits over what tells one connection from another: original tuple, zone, protocol."""
    cdef uint64_t words[4]
    # the low byte of either eth_type is the same for all of its connections
    cdef uint64_t h = (<uint64_t> ctx.zone << 48 | <uint64_t> (ctx.eth_type ^ ctx.proto) << 32
                       | <uint64_t> ctx.tuple[0].src_port << 16 | ctx.tuple[0].dst_port)
    cdef int i
    memcpy(words, &ctx.tuple[0], sizeof(words))
    h *= <uint64_t> 0x9E3779B97F4A7C15u
    for i in range(4):
        h = (h ^ h >> 29 ^ words[i]) * <uint64_t> 0x9E3779B97F4A7C15u
    return <uint32_t> (h >> 32) ^ <uint32_t> h


cdef inline void hold_tuple(Slot *slot, uint32_t hash) noexcept nogil:
    slot.tuple_hash = hash
    slot.holds = HOLDS_TUPLE


cdef void now_leaving(OffloadShard *s, Slot *slot) noexcept nogil:
    """From now on another connection with its tuple has to wait. Only those are in the table: looking a tuple up costs
    nothing while nothing leaves, as when a whole table of connections goes in (90 ns of each otherwise, a cache miss)."""
    cdef uint32_t *bucket
    if slot.holds != HOLDS_TUPLE:
        return
    bucket = &s.buckets[slot.tuple_hash & s.bucket_mask]
    slot.tuple_next = bucket[0]
    slot.holds = HOLDS_PLACE
    bucket[0] = <uint32_t> (slot - s.slots) + 1
    s.n_places += 1


cdef void forget_tuple(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    cdef uint32_t *link_ = &s.buckets[slot.tuple_hash & s.bucket_mask]
    if slot.holds == HOLDS_PLACE:
        while link_[0] != index + 1:
            link_ = &s.slots[link_[0] - 1].tuple_next
        link_[0] = slot.tuple_next
        s.n_places -= 1
    slot.holds = HOLDS_NOTHING


cdef bint is_tuple_leaving(OffloadShard *s, uint32_t index, uint32_t hash) noexcept nogil:
    """True while the rules of an older connection with this tuple are not gone yet."""
    cdef uint32_t at
    cdef Slot *other
    if s.n_places == 0:
        return False
    at = s.buckets[hash & s.bucket_mask]
    while at:
        other = &s.slots[at - 1]
        if other.tuple_hash == hash and at - 1 != index and (other.wanted == WANT_OUT or other.undo):
            return True
        at = other.tuple_next
    return False
