/* Retention: what is deleted, when, what stays, and that it is gone from the disk. */
#include "tests/unit/epochs_world.h"

/* ---- retention ---- */

enum {
	DAYS = 10
};

/* All epochs so far are so many days older. */
static void age(unsigned days)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "UPDATE epoch SET hour = hour - %u", days * 24);
	assert_int_equal(db_exec(store->db, sql), 0);
}

static void test_retention_keeps_each_session_s_newest(void **state)
{
	struct ledger_settled out;

	(void)state;
	reopen(DAYS);
	fill(30, 1, 200);
	assert_int_equal(settling_settle(store), 1);
	age(DAYS);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 6000); /* to the hour */
	age(1);
	reopen(0);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 6000);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 30);
	assert_int_equal(count_of("SELECT count(*) FROM receipt WHERE seq <> 200"), 0);
	assert_int_equal(row_of(1).state, EPOCH_PRUNED);
	/* It goes on from there; and what was not settled since stays. */
	fill(30, 201, 5);
	assert_int_equal(settling_settle(store), 2);
	fill(30, 206, 5);
	age(DAYS + 1);
	reopen(DAYS);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 150);
	assert_int_equal(count_of("SELECT min(seq) FROM receipt"), 206);
	assert_int_equal(settling_settle(store), 3);
	/* What is gone cannot be made again, and it says how much that is. */
	assert_int_equal(ask(2, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(2).err, -ENODATA);
	assert_int_equal(row_of(2).missing, 150);
	assert_int_equal(files(), 3);
	assert_int_equal(ask(3, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(3).err, 0);
}

/* What is not in a batch is not pruned, however old. */
static void test_retention_spares_what_is_not_written(void **state)
{
	struct ledger_settled out;

	(void)state;
	reopen(DAYS);
	fill(5, 1, 5);
	no_room = true;
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	age(DAYS + 1);
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 25);
	no_room = false;
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(files(), 1);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 5);
}

static bool file_holds(const char *name, const void *needle, size_t needle_len)
{
	char path[256];
	size_t len;
	uint8_t *bytes;
	bool found;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	bytes = read_whole(path, &len);
	found = bytes && memmem(bytes, len, needle, needle_len);
	free(bytes);
	return found;
}

static void test_pruned_receipts_are_nowhere_on_the_disk(void **state)
{
	uint8_t old[SIGNATURE_LEN], head[SIGNATURE_LEN];

	(void)state;
	memset(old, 7, sizeof(old)); /* what settling_fill has for signatures */
	memset(head, 40, sizeof(head));
	reopen(DAYS);
	fill(10, 1, 40);
	assert_int_equal(settling_settle(store), 1);
	age(DAYS + 1);
	assert_true(file_holds("ledger.db-wal", old, sizeof(old)) ||
		    file_holds("ledger.db", old, sizeof(old)));
	clock_added += 11 * 60 * 1000;
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 10);
	assert_false(file_holds("ledger.db-wal", old, sizeof(old)));
	assert_false(file_holds("ledger.db", old, sizeof(old)));
	assert_true(file_holds("ledger.db", head, sizeof(head)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_retention_keeps_each_session_s_newest),
		CASE(test_retention_spares_what_is_not_written),
		CASE(test_pruned_receipts_are_nowhere_on_the_disk),
	};

	crypto_start();
	test_identity(&node, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
