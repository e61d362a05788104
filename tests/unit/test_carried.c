/* What a month may carry, in the books: never more than the limit, and nothing forgotten. */
#include "tests/lib/store.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "accounting/ledger_message.h"

enum {
	MONTH = 12 * 2026 + 10,
};

static struct ledger_carried ask(uint64_t month, uint64_t more, uint64_t less, uint64_t limit)
{
	const struct ledger_carry c = {.month = month, .more = more, .less = less, .limit = limit};
	struct ledger_carried out;

	begin();
	assert_int_equal(finish(store_carry(store, &c, &out)), 0);
	return out;
}

static void check(struct ledger_carried got, uint64_t total, uint64_t booked)
{
	assert_int_equal(got.total, total);
	assert_int_equal(got.booked, booked);
}

static void test_booking(void **state)
{
	(void)state;
	check(ask(MONTH, 0, 0, 1000), 0, 0);
	assert_int_equal(count_of("SELECT count(*) FROM carried"), 0);
	check(ask(MONTH, 600, 0, 1000), 600, 600);
	check(ask(MONTH, 600, 0, 1000), 1000, 400);
	check(ask(MONTH, 1, 0, 1000), 1000, 0);
	/* A lower limit takes nothing back, and gives nothing. */
	check(ask(MONTH, 1, 0, 500), 1000, 0);
	/* Given back first. */
	check(ask(MONTH, 300, 200, 1000), 1000, 200);
	check(ask(MONTH, 0, 400, 0), 600, 0);
	check(ask(MONTH, 0, 10000, 0), 0, 0);
	/* Months have nothing to do with each other. */
	check(ask(MONTH, 7, 0, 1000), 7, 7);
	check(ask(MONTH + 1, 1000, 0, 1000), 1000, 1000);
	check(ask(MONTH, 0, 0, 1000), 7, 0);
	check_invariants();
}

static void test_refused(void **state)
{
	static const struct ledger_carry wrong[] = {
		{.month = MONTH, .more = BYTES_MAX + 1, .limit = 1},
		{.month = MONTH, .less = UINT64_MAX},
		{.month = MONTH, .more = 1, .limit = UINT64_MAX},
		{.month = UINT64_MAX, .more = 1, .limit = 1},
	};
	struct ledger_carried out;

	(void)state;
	check(ask(MONTH, BYTES_MAX, 0, BYTES_MAX), BYTES_MAX, BYTES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin();
		assert_int_equal(finish(store_carry(store, &wrong[i], &out)), -ERANGE);
	}
	assert_int_equal(count_of("SELECT bytes FROM carried"), (int64_t)BYTES_MAX);
}

/* As the ledger process answers: what was acknowledged is there after kill -9. */
static void test_killed(void **state)
{
	struct ledger_request r = {
		.kind = LEDGER_CARRY,
		.carry = {.month = MONTH, .more = 1000, .limit = 1000000},
	};
	static struct ledger_answer a;
	char dir[TEST_DIR], path[TEST_DIR + 16];
	int status;
	pid_t pid;

	(void)state;
	store_close(store);
	test_dir_make(dir);
	snprintf(path, sizeof(path), "%s/x.db", dir);
	for (uint64_t round = 0; round < 3; round++) {
		pid = fork();
		if (pid == 0) {
			store_new_at(path, &plain);
			for (int i = 0; i < 5; i++) {
				if (store_begin(store, start_at) != 0)
					_exit(1);
				ledger_answer_request(store, &r, sizeof(r), &a);
				if (a.err || store_commit(store) != 0)
					_exit(1);
			}
			kill(getpid(), SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		store_new_at(path, &plain);
		check(ask(MONTH, 0, 0, 0), 5000 * (round + 1), 0);
		store_close(store);
	}
	test_dir_remove(dir);
	store_new(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_booking, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
