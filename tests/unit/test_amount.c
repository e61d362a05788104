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

static void test_u64(void **state)
{
	const struct amount two = {2}, minus = {-3};

	(void)state;
	assert_int_equal(amount_u64(two), 2);
	assert_int_equal(amount_u64(minus), 0);
	assert_int_equal(amount_u64((struct amount){INT64_MIN}), 0);
	assert_true(amount_u64((struct amount){INT64_MAX}) == INT64_MAX);
}

static void test_for_looking_at(void **state)
{
	(void)state;
	assert_true(micro_add(2, 3) == 5);
	assert_true(micro_add(INT64_MAX, 0) == INT64_MAX);
	assert_true(micro_add(INT64_MAX, 1) == INT64_MAX);
	assert_true(micro_add(UINT64_MAX, UINT64_MAX) == INT64_MAX);
	assert_true(micro_add(1, UINT64_MAX) == INT64_MAX);
}

static void test_fee(void **state)
{
	uint64_t before = 0, sum = 0, paid = 0, fee;

	(void)state;
	assert_true(micro_fee(999999, 1) == 0);
	assert_true(micro_fee(1000000, 1) == 1);
	assert_true(micro_fee(UINT64_MAX, 1000000) == UINT64_MAX);
	assert_true(micro_fee(INT64_MAX, 999999) == 9223362813482738952u);
	assert_true(micro_fee(INT64_MAX, 0) == 0);
	/* In however many parts. */
	for (uint64_t part = 1; part < 10000; part += 7) {
		paid += part;
		fee = micro_fee(paid, 123457) - before;
		assert_true(fee <= part);
		before += fee;
		sum += fee;
	}
	assert_true(sum == micro_fee(paid, 123457));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_for_looking_at),
		cmocka_unit_test(test_fee),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
