#include "tests/lib/unit.h"

#include "accounting/window.h"

static const struct window_policy policy = {.start = 1000, .cap = 7000};

static void test_doubles_when_fully_signed(void **state)
{
	struct window w = window_fresh(&policy);

	(void)state;
	assert_int_equal(w.bytes, 1000);
	window_signed(&w, &policy, 999);
	assert_int_equal(w.bytes, 1000);
	window_signed(&w, &policy, 1);
	assert_int_equal(w.bytes, 2000);
	window_signed(&w, &policy, 1999);
	assert_int_equal(w.bytes, 2000);
	window_signed(&w, &policy, 1);
	assert_int_equal(w.bytes, 4000);
	window_signed(&w, &policy, 4000);
	assert_int_equal(w.bytes, 7000); /* the cap, not 8000 */
	window_signed(&w, &policy, UINT64_MAX);
	window_signed(&w, &policy, UINT64_MAX);
	assert_int_equal(w.bytes, 7000);
	assert_int_equal(w.signed_bytes, 0);
}

static void test_much_at_once(void **state)
{
	struct window w = window_fresh(&policy), x = w;

	(void)state;
	window_signed(&w, &policy, 3500); /* 1000 and 2000, and 500 towards the next */
	assert_int_equal(w.bytes, 4000);
	for (int i = 0; i < 35; i++)
		window_signed(&x, &policy, 100);
	assert_memory_equal(&w, &x, sizeof(w)); /* however it was cut up */
	window_signed(&x, &policy, UINT64_MAX);
	assert_int_equal(x.bytes, 7000);
}

static void test_huge_cap(void **state)
{
	const struct window_policy huge = {.start = 1, .cap = UINT64_MAX};
	struct window w = window_fresh(&huge);

	(void)state;
	for (int i = 0; i < 3; i++)
		window_signed(&w, &huge, UINT64_MAX);
	assert_true(w.bytes == UINT64_MAX);
}

static void test_debt(void **state)
{
	const struct window_policy big = {.start = 1600000, .cap = 1600000};
	const struct window_policy mib = {.start = 1 << 20, .cap = 1 << 21};
	const struct window_policy small = {.start = 1 << 16, .cap = 1 << 21};
	const struct window w = {.bytes = 1600000}, tiny = {.bytes = 1000};

	(void)state;
	assert_int_equal(window_left(&w, &big, 0), 1600000);
	assert_int_equal(window_left(&w, &big, 1500000), 100000);
	assert_int_equal(window_left(&w, &big, 1500001), 100000); /* a sixteenth */
	assert_int_equal(window_left(&w, &big, 1600000), 100000);
	assert_int_equal(window_left(&w, &big, UINT64_MAX), 100000);
	/* at least 64 KiB of a start that has as much */
	assert_int_equal(window_left(&w, &mib, UINT64_MAX), 65536);
	assert_int_equal(window_left(&w, &small, UINT64_MAX), 65536);
	assert_int_equal(window_left(&tiny, &policy, 0), 1000);
	assert_int_equal(window_left(&tiny, &policy, UINT64_MAX), 1000);
}

static void test_work_off(void **state)
{
	(void)state;
	assert_int_equal(window_work_off(0, 100, 1000), 100);
	assert_int_equal(window_work_off(100, 100, 1000), 200);
	assert_int_equal(window_work_off(950, 100, 1000), 1000); /* nothing in advance */
	assert_int_equal(window_work_off(0, 100, 0), 0);
	assert_int_equal(window_work_off(950, 0, 300), 300); /* 700 were signed themselves */
	assert_int_equal(window_work_off(1, UINT64_MAX, 1000), 1000);
}

static void test_policy_changes(void **state)
{
	struct window w = {.bytes = 500, .signed_bytes = 10};

	(void)state;
	window_clamp(&w, &policy);
	assert_int_equal(w.bytes, 1000);
	w.bytes = 64000;
	window_clamp(&w, &policy);
	assert_int_equal(w.bytes, 7000);
	w.bytes = 3000;
	window_clamp(&w, &policy);
	assert_int_equal(w.bytes, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_when_fully_signed),
		cmocka_unit_test(test_much_at_once),
		cmocka_unit_test(test_huge_cap),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_work_off),
		cmocka_unit_test(test_policy_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
