/* What a fuzz target states: assert that no build turns off. */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include <stdbool.h>
#include <stdlib.h>

static inline void require(bool ok)
{
	if (!ok)
		abort();
}

#endif
