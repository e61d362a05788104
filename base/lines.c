#include "base/lines.h"

#include <stdlib.h>

/* Behind the last line of the caller's comes a whole one, before the first one the block's
 * beginning is noted, which is for lines_free. */
void *lines_alloc(size_t count, size_t size)
{
	size_t bytes;
	uint8_t *block;
	void **first;

	if (__builtin_mul_overflow(count, size, &bytes) ||
	    __builtin_add_overflow(bytes, 3 * (size_t)LINE_BYTES, &bytes))
		return NULL;
	block = calloc(1, bytes);
	if (!block)
		return NULL;
	first = (void **)(void *)(block + 2 * LINE_BYTES - (uintptr_t)block % LINE_BYTES);
	first[-1] = block;
	return first;
}

void lines_free(void *p)
{
	if (p)
		free(((void **)p)[-1]);
}
