/*
 * Books to settle under a test: a store on a real disk, a clock that makes slices small, and system
 * calls that fail, or are the last of their process (tools/epochs.mk wraps them).
 */
#ifndef TESTS_UNIT_EPOCHS_WORLD_H
#define TESTS_UNIT_EPOCHS_WORLD_H

#include "tests/lib/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "accounting/batch.h"
#include "accounting/epochs.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/lib/books.h"
#include "tests/lib/settling.h"

static char dir[TEST_DIR];
static struct identity node;
static struct store *store;

/* ---- what is wrapped: a clock that makes slices small, and calls that fail or are the last ----
 */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);
int __real_db_commit(struct db *db);
int __wrap_db_commit(struct db *db);
int __real_db_step(struct db_stmt *s);
int __wrap_db_step(struct db_stmt *s);

static bool small_slices;
static uint64_t clock_added;
static unsigned calls, die_at; /* die_at 0: never */
static bool no_room, pwrite_full, fsync_fails, fdatasync_fails, rename_fails, step_fails;

/* Before and after each of these calls is a moment to die. */
static inline void moment(void)
{
	if (++calls == die_at)
		_exit(99);
}

uint64_t __wrap_clock_ms(void)
{
	if (small_slices)
		clock_added += 10;
	return __real_clock_ms() + clock_added;
}

int __wrap_fsync(int fd)
{
	struct stat st;
	int got;

	moment();
	if (fsync_fails && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	got = __real_fsync(fd);
	moment();
	return got;
}

int __wrap_fdatasync(int fd)
{
	int got;

	moment();
	if (fdatasync_fails) {
		errno = EIO;
		return -1;
	}
	got = __real_fdatasync(fd);
	moment();
	return got;
}

int __wrap_rename(const char *from, const char *to)
{
	int got;

	moment();
	if (rename_fails) {
		errno = EROFS;
		return -1;
	}
	got = __real_rename(from, to);
	moment();
	return got;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t got;

	moment();
	if (pwrite_full) {
		errno = ENOSPC;
		return -1;
	}
	got = __real_pwrite(fd, data, len, at);
	moment();
	return got;
}

int __wrap_fstatvfs(int fd, struct statvfs *out)
{
	int got = __real_fstatvfs(fd, out);

	if (no_room)
		out->f_bavail = STORE_RESERVE / out->f_frsize;
	return got;
}

int __wrap_db_commit(struct db *db)
{
	int got;

	moment();
	got = __real_db_commit(db);
	moment();
	return got;
}

int __wrap_db_step(struct db_stmt *s)
{
	if (!step_fails)
		return __real_db_step(s);
	db_done(s);
	return -EIO;
}

/* ---- helpers ---- */

static inline int setup(void **state)
{
	(void)state;
	test_dir_make(dir);
	store = settling_open(dir, &node, 0);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	small_slices = no_room = pwrite_full = fsync_fails = fdatasync_fails = rename_fails =
		step_fails = false;
	store_close(store);
	test_dir_remove(dir);
	return 0;
}

static inline void reopen(uint64_t retention_days)
{
	store_close(store);
	store = settling_open(dir, &node, retention_days);
}

static inline void fill(uint64_t sessions, uint64_t from, uint64_t receipts)
{
	settling_fill(store, &(struct settling_plan){sessions, receipts, from, false});
}

static inline int64_t count_of(const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_i64(store->db, sql, &n), 0);
	return n;
}

/* NULL: there is no such file. */
static inline uint8_t *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = xcalloc(1, *len + 1);
	assert_int_equal(read(fd, bytes, *len), *len);
	close(fd);
	return bytes;
}

static inline uint8_t *read_epoch(uint64_t epoch, size_t *len)
{
	uint8_t *bytes = read_whole(settling_path(dir, epoch), len);

	assert_non_null(bytes);
	return bytes;
}

static inline unsigned files_in(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static inline unsigned files(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/settlement", dir);
	return files_in(path);
}

static inline int ask(uint64_t epoch, struct ledger_settled *out)
{
	int err;

	assert_int_equal(store_begin(store, 1767225600), 0);
	err = store_settle(store, epoch, out);
	assert_int_equal(store_commit(store), 0);
	return err;
}

static inline struct query_epoch row_of(uint64_t epoch)
{
	struct query q = {.kind = QUERY_EPOCHS, .after = epoch - 1};
	static struct query_rows rows;

	assert_int_equal(store_query(store, &q, &rows), 0);
	assert_true(rows.count >= 1);
	assert_int_equal(rows.epoch[0].epoch, epoch);
	return rows.epoch[0];
}

static inline const struct batch_head *head_of(const uint8_t *bytes)
{
	return (const struct batch_head *)bytes;
}

/* The records of a kind in a whole file. */
static inline const void *records(const uint8_t *bytes, char kind)
{
	const struct batch_head_body *h = &head_of(bytes)->body;
	size_t at = sizeof(struct batch_head);

	if (kind == 't')
		return bytes + at;
	at += le32_get(h->terms) * sizeof(struct terms);
	if (kind == 's')
		return bytes + at;
	at += le32_get(h->sessions) * sizeof(struct batch_session);
	if (kind == 'r')
		return bytes + at;
	return bytes + at + le32_get(h->receipts) * sizeof(struct receipt);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
