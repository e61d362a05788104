/* How much memory this program has, and whether that tells anything. */
#ifndef TESTS_LIB_RESIDENT_H
#define TESTS_LIB_RESIDENT_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/unit.h"

/* Bytes in memory, by the kernel's count. */
static inline uint64_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* False where allocating touches memory or is written down, as under some sanitizers. */
static inline bool resident_tells(void)
{
	uint64_t before = resident();
	char *volatile probe = calloc(1, 64 << 20);
	bool lazy;

	assert_non_null(probe);
	lazy = resident() - before < 1 << 20;
	free(probe);
	return lazy;
}

#endif
