/*
 * No crash, and no disk that fails, leaves half a batch, or keeps a receipt from its place: every
 * moment between which one is made, and the next start.
 */
#include "tests/unit/epochs_world.h"

#include <sys/wait.h>

#include "base/spawn.h"

/* ---- crashes ---- */

static char pristine[TEST_DIR];

/* Books to settle, the same every time, without the time it takes to fill them. */
static void crash_world(void)
{
	const char *const copy[] = {"cp", "-r", "--", pristine, dir, NULL};
	char out[256];

	test_dir_remove(dir);
	assert_int_equal(spawn_run(copy, NULL, out, sizeof(out)), 0);
}

static void crash_prepare(void)
{
	store_close(store);
	store = NULL;
	test_dir_make(pristine);
	store = settling_open(pristine, &node, 0);
	settling_fill(store, &(struct settling_plan){40, 3, 1, true});
	store_close(store);
}

/* In a child, so that nothing of it is cleaned up: its exit status. */
static int crash_child(unsigned at)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct ledger_settled out;

		small_slices = true;
		store = settling_open(dir, &node, 0);
		calls = 0;
		die_at = at;
		if (store_begin(store, 1767225600) || store_settle(store, 0, &out) ||
		    store_commit(store))
			_exit(1);
		settling_work(store);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Either there is no batch under its name, or the whole one. */
static void check_after_crash(const uint8_t *whole, size_t whole_len)
{
	size_t len;
	uint8_t *bytes = read_whole(settling_path(dir, 1), &len);

	if (!bytes)
		return;
	assert_int_equal(len, whole_len);
	assert_memory_equal(bytes, whole, len);
	free(bytes);
}

/* The batch as it is without a crash; how many moments there are until it is made. */
static uint8_t *crash_never(size_t *len, unsigned *moments)
{
	uint8_t *whole;

	crash_world();
	store = settling_open(dir, &node, 0);
	calls = 0;
	small_slices = true;
	assert_int_equal(settling_settle(store), 1);
	small_slices = false;
	*moments = calls;
	whole = read_epoch(1, len);
	store_close(store);
	return whole;
}

static void crash_once(unsigned at, const uint8_t *whole, size_t whole_len)
{
	uint8_t *bytes;
	size_t len;

	crash_world();
	assert_int_equal(crash_child(at), 99);
	check_after_crash(whole, whole_len);
	store = settling_open(dir, &node, 0);
	settling_work(store);
	if (count_of("SELECT count(*) FROM epoch") == 0) {
		assert_int_equal(at, 1); /* it died before the wish was committed */
		assert_int_equal(settling_settle(store), 1);
	}
	bytes = read_epoch(1, &len);
	assert_int_equal(len, whole_len);
	assert_memory_equal(bytes, whole, len);
	free(bytes);
	assert_int_equal(files(), 1);
	assert_int_equal(settling_settle(store), 0);
	store_close(store);
	store = NULL;
}

/* Each one at the beginning and at the end, and of the many alike in between every fifth. */
static void test_a_crash_at_any_moment_is_finished_by_the_next_start(void **state)
{
	unsigned moments;
	size_t len;
	uint8_t *whole;

	(void)state;
	crash_prepare();
	whole = crash_never(&len, &moments);
	assert_true(moments > 100);
	for (unsigned at = 1; at <= moments; at += at < 20 || at > moments - 30 ? 1 : 5)
		crash_once(at, whole, len);
	free(whole);
	test_dir_remove(pristine);
	store = NULL;
}

/* A crash while an old one was made again. */
static void test_what_was_left_unfinished_is_swept(void **state)
{
	const char *path;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	path = settling_path(dir, 1);
	{
		char tmp[512];
		int fd;

		snprintf(tmp, sizeof(tmp), "%s.tmp", path);
		fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(files(), 2);
	reopen(0);
	assert_int_equal(files(), 1);
}

/* ---- no room ---- */

static void check_trouble(int err)
{
	struct ledger_settled out;

	fill(3, 1, 3);
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(1).err, err);
	assert_true(row_of(1).busy);
	assert_int_equal(files(), 0);
	assert_true(store_idle_ms(store) > 0 && store_idle_ms(store) <= 60000);
	/* Receipts go on. */
	fill(3, 4, 2);
	no_room = pwrite_full = fsync_fails = fdatasync_fails = rename_fails = false;
	clock_added += 61000;
	settling_work(store);
	assert_int_equal(row_of(1).err, 0);
	assert_false(row_of(1).busy);
	assert_int_equal(files(), 1);
	assert_int_equal(settling_settle(store), 2);
}

static void test_a_full_disk_is_waited_for(void **state)
{
	(void)state;
	pwrite_full = true;
	check_trouble(-ENOSPC);
}

/* The last of the disk is for receipts. */
static void test_the_reserve_is_not_touched(void **state)
{
	(void)state;
	no_room = true;
	check_trouble(-ENOSPC);
}

static void test_a_failed_fsync_is_no_batch(void **state)
{
	(void)state;
	fsync_fails = true;
	check_trouble(-EIO);
}

static void test_a_failed_fdatasync_is_no_batch(void **state)
{
	(void)state;
	fdatasync_fails = true;
	check_trouble(-EIO);
}

/* It is signed and entered by then, and only its name is missing. */
static void test_a_failed_rename_is_made_good(void **state)
{
	(void)state;
	rename_fails = true;
	check_trouble(-EROFS);
}

/* Not even which epoch is to be made can be told then. */
static void test_books_that_cannot_be_read_are_not_asked_all_the_time(void **state)
{
	struct ledger_settled out;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(ask(0, &out), 0);
	step_fails = true;
	store_work(store, 1767225600);
	step_fails = false;
	assert_true(store_idle_ms(store) > 0 && store_idle_ms(store) <= 60000);
	clock_added += 61000;
	settling_work(store);
	assert_int_equal(row_of(1).err, 0);
	assert_int_equal(files(), 1);
}

static void test_asking_again_does_not_wait_for_the_minute(void **state)
{
	struct ledger_settled out;

	(void)state;
	fill(3, 1, 3);
	no_room = true;
	assert_int_equal(ask(0, &out), 0);
	settling_work(store);
	no_room = false;
	assert_int_equal(ask(0, &out), -EBUSY);
	settling_work(store);
	assert_int_equal(files(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_crash_at_any_moment_is_finished_by_the_next_start),
		CASE(test_what_was_left_unfinished_is_swept),
		CASE(test_a_full_disk_is_waited_for),
		CASE(test_the_reserve_is_not_touched),
		CASE(test_a_failed_fsync_is_no_batch),
		CASE(test_a_failed_fdatasync_is_no_batch),
		CASE(test_a_failed_rename_is_made_good),
		CASE(test_books_that_cannot_be_read_are_not_asked_all_the_time),
		CASE(test_asking_again_does_not_wait_for_the_minute),
	};

	crypto_start();
	test_identity(&node, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
