# spsc.h as it is declared there.
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "spsc.h" nogil:
    struct shared_word:
        pass
    struct shared_time:
        pass
    struct control_lock:
        pass
    struct spsc:
        uint32_t size

    uint32_t shared_get(const shared_word *word)
    void shared_set(shared_word *word, uint32_t value)
    uint32_t shared_add(shared_word *word, uint32_t amount)
    uint32_t shared_peek(const shared_word *word)
    bint shared_take(shared_word *word, uint32_t most)
    bint shared_swap_if(shared_word *word, uint32_t expected, uint32_t to)
    int64_t shared_time_get(const shared_time *word)
    void shared_time_set(shared_time *word, int64_t value)

    void *pages_new(size_t n_bytes)
    void pages_free(void *pages, size_t n_bytes)
    void *pages_grow(void *pages, size_t n_bytes, size_t n_more)

    bint spsc_init(spsc *ring, uint32_t size, uint32_t entry_size)
    void spsc_fini(spsc *ring)
    void *spsc_reserve(spsc *ring)
    void spsc_publish(spsc *ring)
    uint32_t spsc_room(spsc *ring)
    uint32_t spsc_ready(spsc *ring)
    void *spsc_at(spsc *ring, uint32_t offset)
    void spsc_release(spsc *ring, uint32_t n)
    uint32_t spsc_released(const spsc *ring)
    uint32_t spsc_published(const spsc *ring)
    void *spsc_entry(const spsc *ring, uint32_t number)
    uint32_t spsc_depth(const spsc *ring)

    void control_lock_init(control_lock *lock)
    void control_lock_fini(control_lock *lock)
    bint control_lock_take(control_lock *lock, uint32_t limit_ms)
    void control_lock_give(control_lock *lock)
    void spin_take(shared_word *lock)
    void spin_give(shared_word *lock)
    uint64_t thread_self()

    uint32_t clock_us()
    int64_t clock_ms()
    int64_t clock_ns()
    void pause_us(uint32_t us)
