/* spsc.h: what two threads of the layer share: words, locks, and rings with one producer and one consumer. */
#ifndef CTOFFLOAD_SPSC_H
#define CTOFFLOAD_SPSC_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* A word that one thread writes and others read. */
struct shared_word {
    _Atomic uint32_t value;
};

static inline uint32_t
shared_get(const struct shared_word *word)
{
    return atomic_load_explicit(&word->value, memory_order_seq_cst);
}

static inline void
shared_set(struct shared_word *word, uint32_t value)
{
    atomic_store_explicit(&word->value, value, memory_order_seq_cst);
}

static inline uint32_t
shared_add(struct shared_word *word, uint32_t amount)
{
    return atomic_fetch_add_explicit(&word->value, amount, memory_order_seq_cst) + amount;
}

/* The value as it may be a moment ago: only its own thread, or nobody, depends on when. */
static inline uint32_t
shared_peek(const struct shared_word *word)
{
    return atomic_load_explicit(&word->value, memory_order_relaxed);
}

/* Takes one of `most`; false where none is left. Exact, whoever else takes or gives at the same time. */
static inline bool
shared_take(struct shared_word *word, uint32_t most)
{
    uint32_t taken = atomic_load_explicit(&word->value, memory_order_relaxed);
    do {
        if (taken >= most) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&word->value, &taken, taken + 1));
    return true;
}

/* Replaces `from` by `to`; false where it held something else. */
static inline bool
shared_swap_if(struct shared_word *word, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&word->value, &from, to);
}

/* As shared_word, for times. */
struct shared_time {
    _Atomic int64_t value;
};

static inline int64_t
shared_time_get(const struct shared_time *word)
{
    return atomic_load_explicit(&word->value, memory_order_seq_cst);
}

static inline void
shared_time_set(struct shared_time *word, int64_t value)
{
    atomic_store_explicit(&word->value, value, memory_order_seq_cst);
}

/* A ring of fixed-size entries, written and read in place. The indexes only grow; their difference is the depth. */
struct spsc {
    _Alignas(64) _Atomic uint32_t head; /* written by the producer */
    uint32_t known_tail;                /* the producer's last look at tail */
    _Alignas(64) _Atomic uint32_t tail; /* written by the consumer */
    uint32_t known_head;                /* the consumer's last look at head */
    _Alignas(64) uint32_t size;         /* a power of two */
    uint32_t entry_size;
    char *entries; /* owned */
};

/* From this size on memory is wished for in huge pages: what lies at random places is found with fewer TLB misses. */
#define PAGES_HUGE_FROM ((size_t) 4 << 20)

/* Untouched memory costs nothing: pages appear when they are first written. NULL without address space. */
static inline void *
pages_new(size_t n_bytes)
{
    void *pages =
        mmap(NULL, n_bytes ? n_bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    if (n_bytes >= PAGES_HUGE_FROM) {
        madvise(pages, n_bytes, MADV_HUGEPAGE);
    }
    return pages;
}

static inline void
pages_free(void *pages, size_t n_bytes)
{
    if (pages) {
        munmap(pages, n_bytes ? n_bytes : 1);
    }
}

/* More of the same, the rest zeroed; it may move. NULL: no memory, and the old ones stay. `pages` may be NULL. */
static inline void *
pages_grow(void *pages, size_t n_bytes, size_t n_more)
{
    void *grown = pages_new(n_more);
    if (grown && pages) {
        memcpy(grown, pages, n_bytes);
        pages_free(pages, n_bytes);
    }
    return grown;
}

/* `size` is a power of two. False without memory. */
static inline bool
spsc_init(struct spsc *ring, uint32_t size, uint32_t entry_size)
{
    memset(ring, 0, sizeof *ring);
    ring->size = size;
    ring->entry_size = entry_size;
    ring->entries = pages_new((size_t) size * entry_size);
    return ring->entries != NULL;
}

static inline void
spsc_fini(struct spsc *ring)
{
    pages_free(ring->entries, (size_t) ring->size * ring->entry_size);
    ring->entries = NULL;
}

/* Producer: the next free entry, NULL when full. Seen by the consumer after spsc_publish. */
static inline void *
spsc_reserve(struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - ring->known_tail == ring->size) {
        ring->known_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head - ring->known_tail == ring->size) {
            return NULL;
        }
    }
    return ring->entries + (size_t) (head & (ring->size - 1)) * ring->entry_size;
}

static inline void
spsc_publish(struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

/* Producer: how many entries are free now at least. */
static inline uint32_t
spsc_room(struct spsc *ring)
{
    ring->known_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return ring->size - (atomic_load_explicit(&ring->head, memory_order_relaxed) - ring->known_tail);
}

/* Consumer: how many entries are ready. */
static inline uint32_t
spsc_ready(struct spsc *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    ring->known_head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->known_head - tail;
}

/* Consumer: the entry `offset` behind the oldest; offset is below spsc_ready. */
static inline void *
spsc_at(struct spsc *ring, uint32_t offset)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return ring->entries + (size_t) ((tail + offset) & (ring->size - 1)) * ring->entry_size;
}

/* Consumer: the oldest n entries may be overwritten. */
static inline void
spsc_release(struct spsc *ring, uint32_t n)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + n, memory_order_release);
}

/* Consumer: how many entries were ever released; wraps. */
static inline uint32_t
spsc_released(const struct spsc *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

/* Producer: how many entries were ever published; wraps. */
static inline uint32_t
spsc_published(const struct spsc *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

/* Producer: the entry of that running number, while it is in the ring. */
static inline void *
spsc_entry(const struct spsc *ring, uint32_t number)
{
    return ring->entries + (size_t) (number & (ring->size - 1)) * ring->entry_size;
}

/* Either side: entries now in the ring; exact only for the thread that last moved it. */
static inline uint32_t
spsc_depth(const struct spsc *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) -
           atomic_load_explicit(&ring->tail, memory_order_acquire);
}

/* A lock for control threads; the packet path takes none. */
struct control_lock {
    pthread_mutex_t mutex;
};

static inline void
control_lock_init(struct control_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

static inline void
control_lock_fini(struct control_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

/* False where it could not be had within limit_ms. */
static inline bool
control_lock_take(struct control_lock *lock, uint32_t limit_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += limit_ms / 1000u;
    until.tv_nsec += (long) (limit_ms % 1000u) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_mutex_timedlock(&lock->mutex, &until) == 0;
}

static inline void
control_lock_give(struct control_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* A lock for a few instructions, between threads that do not sleep meanwhile. */
static inline void
spin_take(struct shared_word *lock)
{
    uint32_t free = 0;
    while (!atomic_compare_exchange_weak_explicit(&lock->value, &free, 1, memory_order_acquire, memory_order_relaxed)) {
        free = 0;
        sched_yield();
    }
}

static inline void
spin_give(struct shared_word *lock)
{
    atomic_store_explicit(&lock->value, 0, memory_order_release);
}

/* Never 0. */
static inline uint64_t
thread_self(void)
{
    return (uint64_t) pthread_self();
}

/* Microseconds of the monotonic clock, for latencies; wraps after 71 minutes. */
static inline uint32_t
clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t) ((uint64_t) now.tv_sec * 1000000u + (uint64_t) now.tv_nsec / 1000u);
}

/* Milliseconds of the monotonic clock. */
static inline int64_t
clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t
clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void
pause_us(uint32_t us)
{
    struct timespec pause = {us / 1000000u, (long) (us % 1000000u) * 1000};
    nanosleep(&pause, NULL);
}

#endif /* CTOFFLOAD_SPSC_H */
