#include "tests/lib/unit.h"

#include "accounting/amount.h"

static void test_edges(void **state)
{
	const struct amount most = {INT64_MAX}, least = {INT64_MIN}, one = {1}, minus = {-1};
	struct amount out = {77};

	(void)state;
	assert_false(amount_add(&out, most, one));
	assert_false(amount_add(&out, least, minus));
	assert_false(amount_sub(&out, least, one));
	assert_false(amount_sub(&out, most, minus));
	assert_false(amount_sub(&out, (struct amount){0}, least));
	assert_false(amount_of(&out, (uint64_t)INT64_MAX + 1));
	assert_false(amount_of(&out, UINT64_MAX));
	assert_int_equal(out.micro, 77); /* a failure leaves it alone */

	assert_true(amount_of(&out, INT64_MAX));
	assert_true(out.micro == INT64_MAX);
	assert_true(amount_add(&out, most, minus));
	assert_true(out.micro == INT64_MAX - 1);
	assert_true(amount_add(&out, most, least));
	assert_int_equal(out.micro, -1);
	assert_true(amount_sub(&out, minus, most));
	assert_true(out.micro == INT64_MIN);
}

static void test_min_and_u64(void **state)
{
	const struct amount two = {2}, minus = {-3};

	(void)state;
	assert_int_equal(amount_min(two, minus).micro, -3);
	assert_int_equal(amount_min(minus, two).micro, -3);
	assert_int_equal(amount_u64(two), 2);
	assert_int_equal(amount_u64(minus), 0);
	assert_int_equal(amount_u64((struct amount){INT64_MIN}), 0);
	assert_true(amount_u64((struct amount){INT64_MAX}) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_min_and_u64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
