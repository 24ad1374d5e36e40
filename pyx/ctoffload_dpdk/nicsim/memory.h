/* Memory for what a port may hold: taken from the kernel at once, touched as it is used or all of it at the start. */
#ifndef NICSIM_MEMORY_H
#define NICSIM_MEMORY_H

#include <stddef.h>

/* Zeroed, aligned to a page; NULL where there is none. */
void *nicsim_memory_get(size_t bytes);
void nicsim_memory_put(void *memory, size_t bytes);
/* Makes the kernel provide every page now. Keeps what is there. */
void nicsim_memory_touch(void *memory, size_t bytes);

#endif /* NICSIM_MEMORY_H */
