/*
 * Memory that begins and ends with a cache line: what one thread writes there slows nobody who
 * writes elsewhere. For what threads have each of their own. Any thread.
 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include "base/base.h"

enum {
	LINE_BYTES = 64,
};

/* count times size bytes, zeroed and not touched where calloc does not; NULL if there are none. */
MUST_CHECK void *lines_alloc(size_t count, size_t size);
/* What lines_alloc gave, or NULL. */
void lines_free(void *p);

#endif
