#include "tests/lib/unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "relay/rate.h"

#define SECOND 1000000000ull

enum {
	GRANTS = 3000,
	THREADS = 4,
};

typedef unsigned __int128 wide;

struct grant {
	uint64_t at, bytes;
};

static uint64_t seed = 88172645463325252u;

static uint64_t dice(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static int by_time(const void *a, const void *b)
{
	const struct grant *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Over each interval, in whole numbers: granted * 1 s <= burst * 1 s + rate * time. */
static void check_intervals(struct grant *g, size_t count, uint64_t rate, uint64_t burst)
{
	qsort(g, count, sizeof(*g), by_time);
	for (size_t i = 0; i < count; i++) {
		wide sum = 0;

		for (size_t j = i; j < count; j++) {
			sum += g[j].bytes;
			if (sum * SECOND > (wide)burst * SECOND + (wide)rate * (g[j].at - g[i].at))
				fail_msg("%zu..%zu: %llu bytes in %llu ns", i, j,
					 (unsigned long long)sum,
					 (unsigned long long)(g[j].at - g[i].at));
		}
	}
}

static void test_no_interval_has_a_byte_too_many(void **state)
{
	static const uint64_t rates[] = {1, 8000, 100000, 999983, 1000000, 125000000, RATE_MAX};
	static struct grant g[GRANTS];
	struct rate r;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rates); k++) {
		uint64_t burst = 3000 + dice(5000), now = dice(SECOND * 1000000);
		size_t count = 0;

		rate_init(&r, rates[k], burst, now);
		while (count < GRANTS) {
			uint64_t least = 1 + dice(1500), most = least + dice(3000), n;

			now += dice(4) ? dice(SECOND / 1000 + 2000 * SECOND / rates[k]) : 0;
			n = rate_take(&r, now, least, most);
			assert_true(n == 0 || (n >= least && n <= most));
			g[count++] = (struct grant){now, n};
		}
		check_intervals(g, count, rates[k], burst);
	}
}

/* Hours of odd moments: what was granted is burst - 1 and what was earned, to the byte. */
static void test_nothing_drifts(void **state)
{
	static const uint64_t rates[] = {7, 100003, 999983, 12345678901};
	const uint64_t start = 123456789, hours = 7 * 3600 * SECOND + 1;
	struct rate r;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rates); k++) {
		uint64_t now = start, room = 50000 + rates[k] / 5, total = room;

		rate_init(&r, rates[k], room + 1, now);
		assert_true(rate_take(&r, now, 1, room) == room);
		while (now < start + hours) {
			now += dice(SECOND / 10);
			if (now > start + hours)
				now = start + hours;
			for (uint64_t n = 1; n; total += n)
				n = rate_take(&r, now, 1, 1 + dice(room));
		}
		assert_true(total == room + (uint64_t)((wide)rates[k] * hours / SECOND));
	}
}

static void test_full_is_full(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 1000, 5001, 0);
	assert_int_equal(rate_take(&r, 0, 1, UINT64_MAX), 5000);
	assert_int_equal(rate_take(&r, 2 * SECOND, 1, UINT64_MAX), 2000);
	assert_int_equal(rate_take(&r, 500 * SECOND, 1, UINT64_MAX), 5000);
	/* An earlier clock gets nothing, and harms nothing. */
	assert_int_equal(rate_take(&r, 400 * SECOND, 1, UINT64_MAX), 0);
	assert_int_equal(rate_take(&r, 501 * SECOND, 1000, 1000), 1000);
	assert_int_equal(rate_take(&r, 501 * SECOND, 1, 1), 0);
}

static void test_next_is_the_very_nanosecond(void **state)
{
	struct rate r;
	uint64_t now = 77;

	(void)state;
	rate_init(&r, 999983, 4001, now);
	for (int i = 0; i < 10000; i++) {
		uint64_t least = 1 + dice(4000), at = rate_next(&r, now, least);

		assert_true(at >= now);
		if (at > now)
			assert_int_equal(rate_take(&r, at - 1, least, least), 0);
		assert_int_equal(rate_take(&r, at, least, least), least);
		now = at + dice(1000000);
	}
}

static void test_unlimited(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, RATE_UNLIMITED, 0, 5);
	assert_true(rate_take(&r, 0, 1, 1ull << 50) == 1ull << 50);
	assert_int_equal(rate_next(&r, 9, 1500), 9);
	assert_true(rate_left(&r) == UINT64_MAX);
	rate_set(&r, 1000, 2001, 10);
	assert_int_equal(rate_take(&r, 10, 1, UINT64_MAX), 2000);
	rate_set(&r, RATE_UNLIMITED, 0, 11);
	assert_int_equal(rate_take(&r, 12, 1, 1u << 31), 1u << 31);
}

/* What was in the bucket stays, what was earned before is not earned again. */
static void test_new_terms(void **state)
{
	struct rate r;
	uint64_t now = SECOND;

	(void)state;
	rate_init(&r, 1000, 5001, now);
	assert_int_equal(rate_take(&r, now, 1, 4000), 4000);
	rate_set(&r, 100, 3001, now + SECOND);
	now += SECOND;
	assert_int_equal(rate_take(&r, now, 1, UINT64_MAX), 2000);
	rate_set(&r, 1000000, 3001, now + SECOND);
	assert_int_equal(rate_take(&r, now + SECOND, 1, UINT64_MAX), 100);
	for (uint64_t i = 1; i < 100; i++) {
		now += SECOND;
		rate_set(&r, i, 3001, now + SECOND);
		assert_true(rate_take(&r, now + SECOND, 1, UINT64_MAX) <= 3000);
	}
	rate_set(&r, 1000, 10, now + SECOND);
	assert_int_equal(rate_take(&r, now + 2 * SECOND, 1, UINT64_MAX), 9);
}

static void test_allowance(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 1000, 5001, 0);
	rate_bound(&r);
	assert_int_equal(rate_take(&r, 0, 1, 1), 0);
	assert_true(rate_next(&r, 0, 1) == RATE_NOT_YET);
	rate_allow(&r, 3000);
	rate_allow(&r, 4000);
	assert_int_equal(rate_take(&r, 0, 7001, 9000), 0);
	/* What the bucket does not grant of it stays allowed. */
	assert_int_equal(rate_take(&r, 0, 1, 9000), 5000);
	assert_int_equal(rate_left(&r), 2000);
	assert_int_equal(rate_take(&r, 100 * SECOND, 1, 9000), 2000);
	assert_int_equal(rate_take(&r, 200 * SECOND, 1, 9000), 0);
	rate_allow(&r, 10);
	assert_int_equal(rate_withdraw(&r), 10);
	assert_int_equal(rate_take(&r, 200 * SECOND, 1, 9000), 0);
	rate_unbound(&r);
	assert_int_equal(rate_withdraw(&r), 0);
	assert_int_equal(rate_take(&r, 200 * SECOND, 1, 9000), 5000);
}

/* ---- many threads ---- */

static struct {
	struct rate rate;
	_Atomic uint64_t now;
	atomic_bool stop;
	struct grant grants[THREADS][GRANTS];
} shared;

/* Each moves time on, so their clocks disagree by what happens between reading and taking. */
static void *taker(void *arg)
{
	struct grant *g = arg;

	for (size_t i = 0; i < GRANTS; i++) {
		uint64_t now = atomic_fetch_add(&shared.now, 1000 + i % 777);

		g[i] = (struct grant){now, rate_take(&shared.rate, now, 1 + i % 40, 50 + i % 100)};
	}
	return NULL;
}

static void run(void *(*fn)(void *), pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fn, shared.grants[i]), 0);
}

static uint64_t join(pthread_t *threads)
{
	uint64_t sum = 0;

	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		for (int k = 0; k < GRANTS; k++)
			sum += shared.grants[i][k].bytes;
	}
	return sum;
}

static void test_threads_share_one_bucket(void **state)
{
	const uint64_t rate = 9999991, burst = 2001;
	pthread_t threads[THREADS];
	uint64_t sum, last;

	(void)state;
	atomic_store(&shared.now, 0);
	rate_init(&shared.rate, rate, burst, 0);
	run(taker, threads);
	sum = join(threads);
	last = atomic_load(&shared.now);
	check_intervals(shared.grants[0], (size_t)THREADS * GRANTS, rate, burst);
	/* Nothing was lost either: they asked for more than there was, all the time. */
	while (rate_take(&shared.rate, last, 1, 1))
		sum++;
	assert_true(sum == burst - 1 + (uint64_t)((wide)rate * last / SECOND));
}

static void test_an_allowance_is_spent_once(void **state)
{
	pthread_t threads[THREADS];
	uint64_t allowed = 0, taken;

	(void)state;
	atomic_store(&shared.now, 0);
	rate_init(&shared.rate, 9999991, 2001, 0);
	rate_bound(&shared.rate);
	run(taker, threads);
	for (int i = 0; i < 1000; i++) {
		rate_allow(&shared.rate, (uint64_t)i);
		allowed += (uint64_t)i;
		if (i % 10 == 0)
			allowed -= rate_withdraw(&shared.rate);
	}
	taken = join(threads);
	assert_true(taken + rate_left(&shared.rate) == allowed);
}

/* Terms change all the time: nobody is ever granted what neither rate would have. */
static void test_terms_change_under_threads(void **state)
{
	pthread_t threads[THREADS];
	uint64_t sum, last;

	(void)state;
	atomic_store(&shared.now, 0);
	rate_init(&shared.rate, 9999991, 2001, 0);
	run(taker, threads);
	for (uint64_t i = 0; i < 1000; i++)
		rate_set(&shared.rate, i % 2 ? 9999991 : 5000000, i % 2 ? 2001 : 1500,
			 atomic_load(&shared.now));
	sum = join(threads);
	last = atomic_load(&shared.now);
	assert_true(sum <= 2001 + (uint64_t)((wide)9999991 * last / SECOND));
	assert_true(sum > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_interval_has_a_byte_too_many),
		cmocka_unit_test(test_nothing_drifts),
		cmocka_unit_test(test_full_is_full),
		cmocka_unit_test(test_next_is_the_very_nanosecond),
		cmocka_unit_test(test_unlimited),
		cmocka_unit_test(test_new_terms),
		cmocka_unit_test(test_allowance),
		cmocka_unit_test(test_threads_share_one_bucket),
		cmocka_unit_test(test_an_allowance_is_spent_once),
		cmocka_unit_test(test_terms_change_under_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
