/* Threads on processors of their own. */
#include <errno.h>
#include <sched.h>

#include "relay/pin.h"
#include "tests/lib/unit.h"

int __real_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set);
int __wrap_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set);

static bool refuse;
static cpu_set_t allowed;

int __wrap_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
	return refuse ? EPERM : __real_pthread_setaffinity_np(thread, size, set);
}

static void *wait_for_end(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

/* Pins one thread after the other; true if all were, and then each is alone on its processor. */
static bool pin_all(unsigned count)
{
	pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[CPU_SETSIZE];
	cpu_set_t taken, own;
	unsigned pinned = 0;

	CPU_ZERO(&taken);
	pthread_mutex_lock(&end);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &end), 0);
		pinned += pin_thread(threads[i], i, count);
		assert_int_equal(pthread_getaffinity_np(threads[i], sizeof(own), &own), 0);
		CPU_OR(&taken, &taken, &own);
		assert_int_equal(CPU_COUNT(&own), pinned ? 1 : CPU_COUNT(&allowed));
		assert_true(!pinned || CPU_COUNT(&taken) == (int)i + 1);
	}
	pthread_mutex_unlock(&end);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	assert_true(CPU_EQUAL(&taken, &allowed) || !count);
	assert_true(pinned == 0 || pinned == count);
	return pinned > 0;
}

static void test_one_each(void **state)
{
	const unsigned processors = (unsigned)CPU_COUNT(&allowed);

	(void)state;
	assert_true(pin_all(processors));
	assert_false(pin_all(processors + 1));
	assert_false(pin_all(processors - 1));
}

/* A service may be given a part of the machine. */
static void test_part_of_the_machine(void **state)
{
	const cpu_set_t all = allowed;
	cpu_set_t one;
	size_t last = CPU_SETSIZE - 1;

	(void)state;
	while (!CPU_ISSET(last, &all))
		last--;
	CPU_ZERO(&one);
	CPU_SET(last, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	allowed = one;
	assert_true(pin_all(1));
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	allowed = all;
}

static void test_refused(void **state)
{
	(void)state;
	refuse = true;
	assert_false(pin_all((unsigned)CPU_COUNT(&allowed)));
	refuse = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_each),
		cmocka_unit_test(test_part_of_the_machine),
		cmocka_unit_test(test_refused),
	};

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
