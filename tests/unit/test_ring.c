#include "tests/lib/unit.h"

#include <poll.h>
#include <pthread.h>

#include "base/ring.h"

#define MESSAGES 200000

struct message {
	uint64_t number, check;
};

static bool readable(const struct ring *r, int timeout_ms)
{
	struct pollfd p = {ring_fd(r), POLLIN, 0};

	return poll(&p, 1, timeout_ms) == 1;
}

static void first_in_first_out(void **state)
{
	struct ring *r = ring_create(4, sizeof(uint32_t));
	uint32_t v;

	(void)state;
	assert_non_null(r);
	assert_false(ring_pop(r, &v));
	for (uint32_t lap = 0; lap < 10; lap++) {
		for (uint32_t i = 0; i < 4; i++) {
			v = lap * 4 + i;
			assert_true(ring_push(r, &v, sizeof(v)));
		}
		assert_false(ring_push(r, &v, sizeof(v)));
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(ring_pop(r, &v));
			assert_int_equal(v, lap * 4 + i);
		}
		assert_false(ring_pop(r, &v));
	}
	ring_destroy(r);
}

static void a_message_stays_until_it_is_dropped(void **state)
{
	struct ring *r = ring_create(2, sizeof(uint32_t));
	const uint32_t *at;

	(void)state;
	assert_non_null(r);
	assert_null(ring_peek(r));
	for (uint32_t v = 0; v < 10; v += 2) {
		for (uint32_t i = v; i < v + 2; i++)
			assert_true(ring_push(r, &i, sizeof(i)));
		assert_false(ring_push(r, &v, sizeof(v)));
		for (uint32_t i = v; i < v + 2; i++) {
			at = ring_peek(r);
			assert_ptr_equal(ring_peek(r), at);
			assert_int_equal(*at, i);
			ring_drop(r);
		}
		assert_null(ring_peek(r));
	}
	ring_destroy(r);
}

static void slots_are_rounded_up(void **state)
{
	struct ring *r = ring_create(5, 1);
	unsigned n = 0;
	uint8_t v = 1;

	(void)state;
	assert_non_null(r);
	while (ring_push(r, &v, 1))
		n++;
	assert_int_equal(n, 8);
	ring_destroy(r);
	ring_destroy(NULL);
}

static void message_sizes(void **state)
{
	struct ring *r = ring_create(2, 8);
	uint8_t big[9] = {0}, out[8];

	(void)state;
	assert_non_null(r);
	assert_false(ring_push(r, big, sizeof(big)));
	assert_true(ring_push(r, "abc", 3));
	assert_true(ring_pop(r, out));
	assert_memory_equal(out, "abc", 3);
	ring_destroy(r);
}

static void waking(void **state)
{
	struct ring *r = ring_create(2, 1);

	(void)state;
	assert_non_null(r);
	assert_true(ring_push(r, "x", 1));
	assert_false(readable(r, 0)); /* pushing alone does not wake */
	ring_wake(r);
	ring_wake(r);
	assert_true(readable(r, 0));
	ring_clear(r);
	assert_false(readable(r, 0));
	ring_clear(r); /* does not block */
	ring_destroy(r);
}

static void *produce(void *arg)
{
	struct ring *r = arg;

	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct message m = {i, ~i};

		while (!ring_push(r, &m, sizeof(m)))
			sched_yield();
		if (i % 16 == 15)
			ring_wake(r);
	}
	ring_wake(r);
	return NULL;
}

/* Every message arrives once, whole and in order, and no wake-up is lost. */
static void two_threads(void **state)
{
	struct ring *r = ring_create(64, sizeof(struct message));
	uint64_t expected = 0;
	struct message m;
	pthread_t thread;

	(void)state;
	assert_non_null(r);
	assert_int_equal(pthread_create(&thread, NULL, produce, r), 0);
	while (expected < MESSAGES) {
		assert_true(readable(r, 10000));
		ring_clear(r);
		while (ring_pop(r, &m)) {
			assert_true(m.number == expected && m.check == ~expected);
			expected++;
		}
	}
	pthread_join(thread, NULL);
	assert_false(ring_pop(r, &m));
	ring_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_first_out),
		cmocka_unit_test(a_message_stays_until_it_is_dropped),
		cmocka_unit_test(slots_are_rounded_up),
		cmocka_unit_test(message_sizes),
		cmocka_unit_test(waking),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
