/* Memory in cache lines of its own: whole ones, zeroed, and nobody else's. */
#include <stdlib.h>

#include "base/lines.h"
#include "tests/lib/unit.h"

enum {
	BLOCKS = 200
};

static void test_apart(void **state)
{
	uint8_t *blocks[BLOCKS];
	void *between[BLOCKS];

	(void)state;
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = lines_alloc(i, 7);
		between[i] = malloc(1 + i % 40);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % LINE_BYTES, 0);
		for (size_t n = 0; n < i * 7; n++)
			assert_int_equal(blocks[i][n], 0);
		memset(blocks[i], 0xff, i * 7);
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		uintptr_t first = (uintptr_t)blocks[i] / LINE_BYTES;
		uintptr_t last = ((uintptr_t)blocks[i] + i * 7) / LINE_BYTES;

		for (size_t k = 0; k < BLOCKS; k++) {
			uintptr_t begin = (uintptr_t)between[k] / LINE_BYTES;
			uintptr_t end = ((uintptr_t)between[k] + k % 40) / LINE_BYTES;

			assert_true(end < first || begin > last);
		}
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		lines_free(blocks[i]);
		free(between[i]);
	}
	lines_free(NULL);
}

static void test_too_much(void **state)
{
	(void)state;
	assert_null(lines_alloc(SIZE_MAX / 2, 3));
	assert_null(lines_alloc(SIZE_MAX, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
