/* Databases that are opened, brought up to date, or refused. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounting/migrations.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "tests/lib/books.h"

static char dir[TEST_DIR], path[TEST_DIR + 16];

static const char *const steps[] = {
	"CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT) STRICT;",
	"CREATE TABLE b(id INTEGER PRIMARY KEY) STRICT; INSERT INTO b VALUES(7);",
	"ALTER TABLE a ADD COLUMN y INTEGER;",
};
static const struct schema v1 = {"a test", 0x1234, steps, 1};
static const struct schema v3 = {"a test", 0x1234, steps, 3};

static int setup(void **state)
{
	(void)state;
	test_dir_make(dir);
	snprintf(path, sizeof(path), "%s/x.db", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_dir_remove(dir);
	return 0;
}

static int open_error(const struct schema *schema, unsigned flags)
{
	struct db *db;
	int err = schema_open(&db, path, flags, schema);

	if (!err)
		db_close(db);
	return err;
}

static int64_t number(struct db *db, const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_i64(db, sql, &n), 0);
	return n;
}

/* Behind the library's back, as another program would. */
static void meddle(const char *sql)
{
	struct db *db;

	assert_int_equal(db_open(&db, path, 0), 0);
	assert_int_equal(db_exec(db, sql), 0);
	db_close(db);
}

static void test_upgrade(void **state)
{
	struct db *db;

	(void)state;
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(db_exec(db, "INSERT INTO a(x) VALUES('kept')"), 0);
	db_close(db);
	assert_int_equal(open_error(&v3, DB_READONLY), -EAGAIN);
	assert_int_equal(schema_open(&db, path, 0, &v3), 0);
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	assert_int_equal(number(db, "PRAGMA application_id"), 0x1234);
	assert_int_equal(number(db, "SELECT count(*) FROM a WHERE x = 'kept' AND y IS NULL"), 1);
	assert_int_equal(number(db, "SELECT id FROM b"), 7);
	db_close(db);
	assert_int_equal(open_error(&v3, 0), 0);
	assert_int_equal(open_error(&v3, DB_READONLY), 0);
}

/* Books from before holds: nobody has more or less, and what allowances paid is told apart. */
static void test_old_ledger(void **state)
{
	static const char earned[] =
		"INSERT INTO terms(hash, body) VALUES(zeroblob(32), zeroblob(176));"
		"INSERT INTO session(key, provider, payer, role, state, terms, hour, seq, up, down,"
		" amount, price, final_up, final_down, posted)"
		" VALUES(x'000102030405060708090a0b0c0d0e0f', zeroblob(32), randomblob(32), 1, 1,"
		" zeroblob(32), 490896, 2, 30, 12, 42, 1, 30, 12, 40);"
		"INSERT INTO account(name, kind, payer, expires, balance) VALUES"
		" ('sys:free', 0, NULL, 0, -50), ('sys:grant', 0, NULL, 0, -100),"
		" ('free:x', 1, randomblob(32), 9, 25), ('user:x', 2, randomblob(32), 0, 75),"
		" ('grant:x', 2, randomblob(32), 9, 10), ('node:earned', 3, NULL, 0, 40);"
		"INSERT INTO txn(key, hour) VALUES('free:x', 1), ('grant:y', 1), ('grant:x', 1),"
		" ('pay:000102030405060708090a0b0c0d0e0f:1', 2),"
		" ('pay:000102030405060708090a0b0c0d0e0f:2', 3);"
		"INSERT INTO entry VALUES(1, 1, -50), (1, 3, 50), (2, 2, -90), (2, 4, 90),"
		" (3, 2, -10), (3, 5, 10), (4, 3, -20), (4, 6, 20), (5, 3, -5), (5, 4, -15),"
		" (5, 6, 20)";
	struct schema before = schema_ledger;
	struct db *db;

	(void)state;
	before.count = 2;
	assert_int_equal(schema_open(&db, path, 0, &before), 0);
	assert_int_equal(db_exec(db, earned), 0);
	db_close(db);
	assert_int_equal(schema_open(&db, path, 0, &schema_ledger), 0);
	assert_int_equal(number(db, "SELECT sum(balance) FROM account"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM account a WHERE balance <> "
				    "(SELECT sum(amount) FROM entry WHERE account = a.id)"),
			 0);
	assert_int_equal(number(db, "SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY txn "
				    "HAVING sum(amount) <> 0)"),
			 0);
	assert_int_equal(number(db, "SELECT balance FROM account WHERE name = 'node:earned'"), 0);
	assert_int_equal(number(db, "SELECT balance FROM account WHERE name = 'sys:given'"), 25);
	assert_int_equal(number(db, "SELECT balance FROM account WHERE kind = 2 AND "
				    "name = 'user:' || lower(hex(zeroblob(32)))"),
			 15);
	assert_int_equal(number(db, "SELECT hold = 40 AND paid = 15 AND posted_bytes = 42 "
				    "FROM session"),
			 1);
	assert_int_equal(number(db, "SELECT source FROM account WHERE name = 'free:x'"), 1);
	assert_int_equal(number(db, "SELECT source FROM account WHERE name = 'grant:x'"), 2);
	assert_int_equal(number(db, "SELECT source IS NULL FROM account WHERE name = 'user:x'"), 1);
	db_close(db);
}

static void test_newer_refused(void **state)
{
	(void)state;
	assert_int_equal(open_error(&v3, 0), 0);
	assert_int_equal(open_error(&v1, 0), -EPROTO);
	assert_int_equal(open_error(&v1, DB_READONLY), -EPROTO);
}

static void test_foreign_refused(void **state)
{
	(void)state;
	assert_int_equal(open_error(&v1, 0), 0);
	assert_int_equal(open_error(&schema_ledger, 0), -EINVAL);
	assert_int_equal(unlink(path), 0);
	/* Another program's file has no application id, and stays as it is. */
	meddle("CREATE TABLE somebody(x)");
	assert_int_equal(open_error(&v1, 0), -EINVAL);
	assert_int_equal(file_replace(path, "this is not a database, only text of some length....",
				      50, 0600),
			 0);
	assert_true(open_error(&v1, 0) < 0);
}

static void test_half_a_migration_is_none(void **state)
{
	static const char *const broken[] = {
		"CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT) STRICT;",
		"CREATE TABLE b(id INTEGER PRIMARY KEY) STRICT; NONSENSE;",
	};
	const struct schema v2 = {"a test", 0x1234, broken, 2};
	struct db *db;

	(void)state;
	assert_int_equal(open_error(&v1, 0), 0);
	assert_true(open_error(&v2, 0) < 0);
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'b'"), 0);
	db_close(db);
}

static void test_changed_schema_refused(void **state)
{
	static const char *const changes[] = {
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
		"CREATE VIEW v AS SELECT * FROM a",
		"CREATE TABLE extra(x)",
		"CREATE VIRTUAL TABLE v USING fts5(x)",
		"ALTER TABLE a ADD COLUMN z TEXT GENERATED ALWAYS AS (x || x)",
		"CREATE INDEX i ON a(x)",
		"ALTER TABLE a ADD COLUMN z TEXT",
		"DROP TABLE b",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		unlink(path);
		assert_int_equal(open_error(&v3, 0), 0);
		meddle(changes[i]);
		assert_int_equal(open_error(&v3, 0), -EINVAL);
		assert_int_equal(open_error(&v3, DB_READONLY), -EINVAL);
	}
}

static void test_file_itself(void **state)
{
	char other[TEST_DIR + 32];
	struct stat st;

	(void)state;
	assert_int_equal(open_error(&v1, DB_READONLY), -ENOENT);
	assert_int_equal(open_error(&v1, 0), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		assert_int_equal(chmod(path, 0600 | bit), 0);
		assert_int_equal(open_error(&v1, 0), -EPERM);
	}
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink("x.db.other", path), 0);
	assert_int_equal(open_error(&v1, 0), -ELOOP);
	assert_int_equal(open_error(&v1, DB_READONLY), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(open_error(&v1, 0) < 0);
}

/* What the promise of durability rests on, as SQLite itself says it. */
static void test_durable(void **state)
{
	struct db *db;

	(void)state;
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_int_equal(number(db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
	assert_int_equal(number(db, "PRAGMA synchronous"), 2);
	assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
	assert_int_equal(number(db, "PRAGMA trusted_schema"), 0);
	assert_int_equal(number(db, "PRAGMA cell_size_check"), 1);
	assert_int_equal(number(db, "PRAGMA secure_delete"), 1);
	/* Taken over by hand, for the sake of its errors; not writable by statements. */
	assert_int_equal(number(db, "PRAGMA wal_autocheckpoint"), 0);
	assert_int_equal(db_exec(db, "PRAGMA writable_schema=ON"), 0);
	assert_int_not_equal(db_exec(db, "DELETE FROM sqlite_schema"), 0);
	db_close(db);
}

static void test_one_writer(void **state)
{
	struct db *a, *b;

	(void)state;
	assert_int_equal(schema_open(&a, path, 0, &v1), 0);
	/* Readers are welcome, and see what is committed. */
	assert_int_equal(db_exec(a, "INSERT INTO a(x) VALUES('1')"), 0);
	assert_int_equal(schema_open(&b, path, DB_READONLY, &v1), 0);
	assert_int_equal(number(b, "SELECT count(*) FROM a"), 1);
	assert_int_not_equal(db_exec(b, "INSERT INTO a(x) VALUES('2')"), 0);
	db_close(b);
	assert_int_equal(number(a, "SELECT count(*) FROM a"), 1);
	db_close(a);
}

/* The second connection of one process: reads what is committed, writes nothing, holds up nobody,
 * and leaves the writer's locks alone. */
static void test_reader(void **state)
{
	struct db *a, *b, *other;
	char wal[TEST_DIR + 32];
	struct stat st;

	(void)state;
	assert_int_equal(schema_open(&a, path, 0, &v1), 0);
	assert_int_equal(db_reader(&b, a), 0);
	assert_int_equal(db_begin(a), 0);
	assert_int_equal(db_exec(a, "INSERT INTO a(x) VALUES('1')"), 0);
	assert_int_equal(db_begin_reading(b), 0);
	assert_int_equal(number(b, "SELECT count(*) FROM a"), 0);
	assert_int_equal(db_commit(a), 0);
	assert_int_equal(number(b, "SELECT count(*)  FROM a"), 0); /* one moment */
	db_rollback(b);
	assert_int_equal(number(b, "SELECT count(*)   FROM a"), 1);
	assert_int_equal(db_exec(b, "INSERT INTO a(x) VALUES('2')"), -EROFS);
	assert_false(db_lost(b));
	db_close(b);
	/* The WAL is still there with all that was written, and the writer is still the writer. */
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(stat(wal, &st), 0);
	assert_true(st.st_size > 4096);
	assert_true(db_open(&other, path, 0) == -EBUSY);
	assert_int_equal(db_exec(a, "INSERT INTO a(x) VALUES('3')"), 0);
	db_close(a);
}

static void make_beside(const char *suffix, mode_t mode, const char *link)
{
	char name[TEST_DIR + 32];
	int fd;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	unlink(name);
	if (link) {
		assert_int_equal(symlink(link, name), 0);
		return;
	}
	fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* What SQLite reads beside the database is as good as the database. */
static void test_files_beside(void **state)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal", ".lock"};
	char name[TEST_DIR + 32];

	(void)state;
	assert_int_equal(open_error(&v1, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		for (mode_t bit = 1; bit <= 040; bit <<= 1) {
			make_beside(suffixes[i], 0600 | bit, NULL);
			assert_int_equal(open_error(&v1, 0), -EPERM);
		}
		make_beside(suffixes[i], 0, "x.db");
		assert_int_equal(open_error(&v1, 0), -ELOOP);
		make_beside(suffixes[i], 0600, NULL);
		assert_int_equal(open_error(&v1, 0), 0);
		unlink(name);
	}
}

static void test_modes_beside(void **state)
{
	static const char *const suffixes[] = {"-wal", "-shm", ".lock"};
	char name[TEST_DIR + 32];
	struct stat st;
	struct db *db;

	(void)state;
	umask(0);
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_int_equal(db_exec(db, "INSERT INTO a(x) VALUES('1')"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		assert_int_equal(lstat(name, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
	}
	db_close(db);
}

/* Another process that opens the database and keeps it for so long (0: until it is killed). */
static pid_t hold_for(unsigned ms)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct db *db;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not come to kill it */
		if (schema_open(&db, path, 0, &v1) != 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		if (ms == 0)
			pause();
		usleep(ms * 1000);
		db_close(db);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* A predecessor that is still finishing is waited for. */
static void test_writer_lets_go(void **state)
{
	uint64_t start = clock_ms();
	pid_t pid = hold_for(300);
	int status;

	(void)state;
	assert_int_equal(open_error(&v1, 0), 0);
	assert_true(clock_ms() - start >= 250);
	assert_true(clock_ms() - start < 4000);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* One that was killed holds nothing. */
	pid = hold_for(0);
	kill(pid, SIGKILL);
	assert_int_equal(open_error(&v1, 0), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* What was said on stderr while opening. */
static int open_saying(char *said, size_t size)
{
	int log = open("build/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), old = dup(2), err;
	ssize_t n;

	assert_true(log >= 0);
	log_set_level(LOG_LEVEL_INFO);
	dup2(log, 2);
	err = open_error(&v1, 0);
	dup2(old, 2);
	log_set_level(LOG_LEVEL_ERROR);
	n = pread(log, said, size - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(log);
	close(old);
	return err;
}

static void test_writer_stays(void **state)
{
	char said[1024], pid_text[32], *waits;
	uint64_t start = clock_ms();
	pid_t pid = hold_for(0);

	(void)state;
	assert_int_equal(open_saying(said, sizeof(said)), -EBUSY);
	assert_true(clock_ms() - start >= 5000);
	waits = strstr(said, "waiting");
	assert_non_null(waits);
	assert_null(strstr(waits + 1, "waiting")); /* once */
	snprintf(pid_text, sizeof(pid_text), "(pid %d)", (int)pid);
	assert_non_null(strstr(waits, pid_text));
	assert_non_null(strstr(waits, "stop that one first"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* SQLITE_FULL: the request fails, the connection lives, nothing half-done is kept. */
static void test_full(void **state)
{
	struct db *db;
	int err = 0;
	int64_t before;

	(void)state;
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_int_equal(number(db, "PRAGMA max_page_count=8"), 8);
	for (int i = 0; i < 1000 && !err; i++) {
		before = number(db, "SELECT count(*) FROM a");
		assert_int_equal(db_begin(db), 0);
		err = db_run(db_prepare(db, "INSERT INTO a(x) VALUES(hex(randomblob(500)))"));
		if (err)
			db_rollback(db);
		else
			err = db_commit(db);
	}
	assert_int_equal(err, -ENOSPC);
	assert_false(db_lost(db));
	assert_int_equal(number(db, "SELECT count(*) FROM a"), before);
	/* A savepoint outside a transaction would commit by itself. */
	assert_true(db_mark(db) < 0);
	assert_true(number(db, "PRAGMA max_page_count=100") == 100);
	assert_int_equal(db_exec(db, "INSERT INTO a(x) VALUES('again')"), 0);
	db_close(db);
}

/* What cannot be taken back alone is not committed with the rest. */
static void test_undo_that_fails(void **state)
{
	struct db *db;
	int64_t rows;

	(void)state;
	assert_int_equal(schema_open(&db, path, 0, &v3), 0);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO b VALUES(8)"), 0);
	db_undo(db); /* of no mark */
	assert_true(db_mark(db) < 0);
	assert_true(db_keep(db) < 0);
	assert_true(db_commit(db) < 0);
	assert_int_equal(db_get_i64(db, "SELECT count(*) FROM b", &rows), 0);
	assert_int_equal(rows, 1);
	db_close(db);
}

/* Pages 2 to 19, and the file looks as old as it did: what a bad disk does. */
static void damage(void)
{
	struct timespec times[2];
	struct stat st;
	FILE *f = fopen(path, "r+");

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	for (long page = 2; page < 20; page++) {
		fseek(f, page * 4096, SEEK_SET);
		fputs("\x05garbage where a page should be", f);
	}
	fclose(f);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* 80 MiB more make it one that is not read at every start. */
static void make_filled(bool large)
{
	struct db *db;

	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	for (int i = 0; i < 200; i++)
		assert_int_equal(db_exec(db, "INSERT INTO a(x) VALUES(hex(randomblob(400)))"), 0);
	for (int i = 0; large && i < 160; i++)
		assert_int_equal(db_exec(db, "INSERT INTO a(x) VALUES(hex(zeroblob(262144)))"), 0);
	db_close(db);
}

static void test_damage_refused(void **state)
{
	(void)state;
	make_filled(false);
	damage();
	assert_true(open_error(&v1, 0) < 0);
	assert_true(open_error(&v1, 0) < 0);
	assert_true(open_error(&v1, DB_READONLY) < 0);
}

/* That damage is not seen shows that nobody looked. It is seen once it was met. */
static void test_large_is_not_read_after_a_clean_end(void **state)
{
	char said[1024];
	struct db *db;
	int64_t n;

	(void)state;
	make_filled(true);
	damage();
	assert_int_equal(open_saying(said, sizeof(said)), 0);
	assert_null(strstr(said, "in search of damage"));
	assert_int_equal(schema_open(&db, path, 0, &v1), 0);
	assert_true(db_get_i64(db, "SELECT count(*) FROM a WHERE x < 'a'", &n) < 0);
	assert_true(db_lost(db));
	db_close(db);
	for (int i = 0; i < 2; i++) {
		assert_true(open_saying(said, sizeof(said)) < 0);
		assert_non_null(strstr(said, "in search of damage"));
		assert_non_null(strstr(said, "restore a backup"));
	}
}

static void killed_while_open(void)
{
	pid_t pid = hold_for(0);

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_large_is_read_after_a_kill(void **state)
{
	char said[1024], wal[TEST_DIR + 32];
	struct stat st;

	(void)state;
	make_filled(true);
	killed_while_open();
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_true(stat(wal, &st) < 0 || st.st_size == 0); /* that alone does not tell */
	/* Refused for another reason in between, which does not make it sound. */
	assert_int_equal(open_error(&schema_ledger, 0), -EINVAL);
	assert_int_equal(open_saying(said, sizeof(said)), 0);
	assert_non_null(strstr(said, "in search of damage"));
	assert_int_equal(open_saying(said, sizeof(said)), 0);
	assert_null(strstr(said, "in search of damage"));
	killed_while_open();
	damage();
	assert_true(open_error(&v1, 0) < 0);
	assert_true(open_error(&v1, 0) < 0);
}

/* A copy that was put back, or another program's write: not the file that was closed. */
static void test_large_is_read_when_changed(void **state)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1700000000}};
	char said[1024], wal[TEST_DIR + 32];
	FILE *f;

	(void)state;
	make_filled(true);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(open_saying(said, sizeof(said)), 0);
	assert_non_null(strstr(said, "in search of damage"));
	/* A power cut kept the note of a clean end, and the WAL of what came after it. */
	make_beside("-wal", 0600, NULL);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	f = fopen(wal, "w");
	assert_non_null(f);
	fputs("half a header", f);
	fclose(f);
	assert_int_equal(open_saying(said, sizeof(said)), 0);
	assert_non_null(strstr(said, "in search of damage"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_upgrade),
		TEST(test_old_ledger),
		TEST(test_newer_refused),
		TEST(test_foreign_refused),
		TEST(test_half_a_migration_is_none),
		TEST(test_changed_schema_refused),
		TEST(test_file_itself),
		TEST(test_durable),
		TEST(test_one_writer),
		TEST(test_reader),
		TEST(test_files_beside),
		TEST(test_modes_beside),
		TEST(test_writer_lets_go),
		TEST(test_writer_stays),
		TEST(test_full),
		TEST(test_undo_that_fails),
		TEST(test_damage_refused),
		TEST(test_large_is_not_read_after_a_clean_end),
		TEST(test_large_is_read_after_a_kill),
		TEST(test_large_is_read_when_changed),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
