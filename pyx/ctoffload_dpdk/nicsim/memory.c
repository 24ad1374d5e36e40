#include "memory.h"

#include <sys/mman.h>

#define HUGE_BYTES ((size_t) 2 << 20)

void *
nicsim_memory_get(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (bytes >= 2 * HUGE_BYTES) {
        /* A wish: random rules are found with fewer TLB misses where the kernel grants it. */
        madvise(memory, bytes, MADV_HUGEPAGE);
    }
    return memory;
}

void
nicsim_memory_put(void *memory, size_t bytes)
{
    if (memory) {
        munmap(memory, bytes);
    }
}

void
nicsim_memory_touch(void *memory, size_t bytes)
{
    volatile char *byte = memory;

    for (size_t i = 0; i < bytes; i += 4096) {
        byte[i] = byte[i];
    }
}
