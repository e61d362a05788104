#include "accounting/db.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "accounting/db_file.h"
#include "base/file.h"
#include "base/log.h"

enum {
	DB_STATEMENTS = 192,
	DB_CHECKPOINT_PAGES = 1000,
	DB_SETTLE_WAIT_MS = 5000, /* for readers, before the first commit */
	DB_WRITER_WAIT_MS = 500, /* for somebody else's lock; the ledger answers nobody meanwhile */
	DB_READER_WAIT_MS = 2000,
	DB_CHECK_ALWAYS = 64 << 20, /* bytes; at most a second of reading */
};

struct db_stmt {
	struct db *db;
	sqlite3_stmt *stmt;
	const char *sql;
	int bound, column, err;
};

struct db {
	sqlite3 *handle;
	char path[PATH_MAX];
	int lock; /* flock(2)ed file beside the database, or -1 */
	unsigned flags;
	bool memory, lost, finished;
	bool sound;    /* closed well by its last writer, or read whole by this one */
	bool home;     /* all of it is in the file, and synced */
	int cause;     /* the last error of the moment: what undid a transaction */
	int wal_pages; /* after the last commit */
	size_t count;
	struct db_stmt stmts[DB_STATEMENTS];
};

/* ---- errors ---- */

/*
 * After a failed fsync the kernel may have thrown the pages away and call them clean; damaged or
 * shortened files speak for themselves; a file that is no longer at its path is not the ledger.
 */
static bool db_is_lost(int rc)
{
	switch (rc) {
	case SQLITE_IOERR_FSYNC:
	case SQLITE_IOERR_DIR_FSYNC:
	case SQLITE_IOERR_SHORT_READ:
	case SQLITE_IOERR_DATA:
	case SQLITE_IOERR_CORRUPTFS:
	case SQLITE_READONLY_DBMOVED:
		return true;
	default:
		break;
	}
	switch (rc & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_NOMEM:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_ABORT:
	case SQLITE_CONSTRAINT:
		return false;
	default:
		return true; /* SQLITE_CORRUPT, SQLITE_NOTADB, and what only broken code brings */
	}
}

static int db_file_errno(const struct db *db, int which)
{
	sqlite3_file *f = NULL;
	int err = 0;

	if (sqlite3_file_control(db->handle, "main", which, &f) == SQLITE_OK && f && f->pMethods)
		f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &err);
	return err;
}

/* What the operating system said of the WAL or the database, where it helps a person more than
 * SQLite's word. sqlite3_system_errno knows only what errno is by now. */
static int db_system_error(const struct db *db)
{
	int wal = db_file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
	int err = wal ? wal : db_file_errno(db, SQLITE_FCNTL_FILE_POINTER);

	return err == EROFS ? -EROFS : err == EDQUOT ? -ENOSPC : -EIO;
}

static int db_passing_error(const struct db *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -ENOLCK;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_ABORT:
		return db->cause; /* the statement was undone with its transaction */
	default:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : db_system_error(db);
	}
}

static int db_error(struct db *db, int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
		return 0;
	if ((rc & 0xff) == SQLITE_CONSTRAINT)
		return rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE ||
				       rc == SQLITE_CONSTRAINT_ROWID
			       ? -EEXIST
			       : -ERANGE;
	if (!db_is_lost(rc)) {
		db->cause = db_passing_error(db, rc);
		log_debug("%s: %s (%d)", db->path, sqlite3_errstr(rc), rc);
		return db->cause;
	}
	if (!db->lost)
		log_warnx("%s: %s (%d)", db->path, sqlite3_errstr(rc), rc);
	db->lost = true;
	return -EIO;
}

bool db_lost(const struct db *db)
{
	return db->lost;
}

/* ---- opening ---- */

static const struct {
	int id, value;
} db_limits[] = {
	{SQLITE_LIMIT_LENGTH, 1 << 20},     {SQLITE_LIMIT_SQL_LENGTH, 1 << 15},
	{SQLITE_LIMIT_COLUMN, 64},          {SQLITE_LIMIT_EXPR_DEPTH, 64},
	{SQLITE_LIMIT_COMPOUND_SELECT, 8},  {SQLITE_LIMIT_VDBE_OP, 25000},
	{SQLITE_LIMIT_FUNCTION_ARG, 8},     {SQLITE_LIMIT_ATTACHED, 0},
	{SQLITE_LIMIT_VARIABLE_NUMBER, 32}, {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
	{SQLITE_LIMIT_WORKER_THREADS, 0},   {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64},
};

static const struct {
	int option, value;
} db_switches[] = {
	{SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	{SQLITE_DBCONFIG_ENABLE_FKEY, 1},    {SQLITE_DBCONFIG_DQS_DML, 0},
	{SQLITE_DBCONFIG_DQS_DDL, 0},
};

static int db_harden(struct db *db)
{
	for (size_t i = 0; i < ARRAY_SIZE(db_limits); i++)
		sqlite3_limit(db->handle, db_limits[i].id, db_limits[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(db_switches); i++) {
		int got = -1;

		sqlite3_db_config(db->handle, db_switches[i].option, db_switches[i].value, &got);
		if (got != db_switches[i].value)
			fatalx("this SQLite (%s) lacks a safety switch (%d); use Debian's package",
			       sqlite3_libversion(), db_switches[i].option);
	}
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !!(db->flags & DB_READONLY),
			  NULL);
	if (db->flags & DB_READONLY && db_exec(db, "PRAGMA query_only=ON") < 0)
		return -EIO;
	return db_exec(db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
			   "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON");
}

/* sqlite3_wal_hook replaces the automatic checkpoint, which would hide a failed fsync. */
static int db_committed(void *arg, sqlite3 *handle, const char *name, int pages)
{
	struct db *db = arg;

	(void)handle;
	(void)name;
	db->wal_pages = pages;
	return SQLITE_OK;
}

static int db_connect(struct db *db)
{
	int mode = db->flags & DB_READONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, rc;

	/* Nobody asks how much memory it has; counting takes a lock at every malloc and free, a
	 * tenth of all its work. Refused, and without effect, after the first database. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	rc = sqlite3_open_v2(db->path, &db->handle,
			     mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	if (rc != SQLITE_OK) {
		log_warnx("%s: %s", db->path, sqlite3_errstr(rc));
		return -EIO;
	}
	/* A reader may meet the writer's checkpoint; the writer, another program's. */
	sqlite3_busy_timeout(db->handle,
			     db->flags & DB_READONLY ? DB_READER_WAIT_MS : DB_WRITER_WAIT_MS);
	sqlite3_wal_hook(db->handle, db_committed, db);
	return db_harden(db);
}

static struct db *db_new(unsigned flags)
{
	struct db *db = xcalloc(1, sizeof(*db));

	db->flags = flags;
	db->lock = -1;
	db->cause = -EIO;
	return db;
}

int db_reader(struct db **out, const struct db *writer)
{
	struct db *db = db_new(DB_READONLY);
	int err;

	/* Not looked at by a descriptor of our own: closing it would drop the writer's locks. */
	snprintf(db->path, sizeof(db->path), "%s", writer->path);
	err = db_connect(db);
	if (err) {
		db_close(db);
		return err;
	}
	*out = db;
	return 0;
}

int db_open(struct db **out, const char *path, unsigned flags)
{
	struct db *db = db_new(flags);
	int err = 0;

	db->memory = strcmp(path, DB_MEMORY) == 0;
	if (strlen(path) >= sizeof(db->path) - 16)
		err = -ENAMETOOLONG;
	snprintf(db->path, sizeof(db->path), "%s", path);
	if (!err && !db->memory && !(flags & DB_READONLY))
		err = db_file_lock(path, &db->lock, &db->sound);
	if (!err && !db->memory)
		err = db_file_check(path, flags & DB_READONLY);
	if (!err)
		err = db_connect(db);
	if (err) {
		db_close(db);
		return err;
	}
	*out = db;
	return 0;
}

static int db_pragma_is(struct db *db, const char *sql, const char *want)
{
	struct db_stmt *s = db_prepare(db, sql);
	int got = db_step(s);
	bool same = got == 1 && strcmp(db_col_text(s), want) == 0;

	/* What it changes is committed, or not, after its row. */
	if (got == 1)
		got = db_run(s);
	if (got < 0)
		return got;
	if (!same)
		log_warnx("%s: %s does not give %s; use a local file system", db->path, sql, want);
	return same ? 0 : -ENOTSUP;
}

/* TRUNCATE syncs the WAL, copies it, syncs the database: in a run of its own, unlike the process
 * before, which may have died between any two of these. */
static int db_settle(struct db *db)
{
	int rc, err;

	sqlite3_busy_timeout(db->handle, DB_SETTLE_WAIT_MS);
	rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(db->handle, DB_WRITER_WAIT_MS);
	err = db_error(db, rc);
	if (err == -ENOLCK)
		log_warnx("%s: another program is reading it; end that one first", db->path);
	/* SQLite syncs the name of a new WAL too, but says nothing if that fails. */
	return err ? err : file_sync_directory(db->path);
}

int db_durable(struct db *db)
{
	int err;

	if (db->memory)
		return 0;
	err = db_pragma_is(db, "PRAGMA journal_mode=WAL", "wal");
	if (!err)
		err = db_pragma_is(db, "PRAGMA journal_mode", "wal");
	if (!err)
		err = db_exec(db, "PRAGMA synchronous=FULL");
	if (!err)
		err = db_pragma_is(db, "PRAGMA synchronous", "2");
	if (!err)
		err = db_pragma_is(db, "PRAGMA foreign_keys", "1");
	return err ? err : db_settle(db);
}

int db_check(struct db *db)
{
	struct db_stmt *s;
	struct stat st;
	int got;

	if (stat(db->path, &st) == 0 && st.st_size > DB_CHECK_ALWAYS) {
		if (db->sound)
			return 0;
		log_info("%s: all of its %jd MiB are read in search of damage, since it was not "
			 "closed by culvert",
			 db->path, (intmax_t)st.st_size >> 20);
	}
	s = db_prepare(db, "PRAGMA quick_check(1)");
	got = db_step(s);
	if (got == 1 && strcmp(db_col_text(s), "ok") != 0) {
		db->lost = true;
		got = -EIO;
	}
	db_done(s);
	db->sound = got >= 0;
	return got < 0 ? got : 0;
}

/* Explicit, so that an fsync error here is seen: after one, the pages may be gone (no retry). */
static int db_checkpoint(struct db *db, int mode)
{
	db->wal_pages = 0;
	return db_error(db, sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, NULL, NULL));
}

int db_finish(struct db *db)
{
	int err;

	db_rollback(db);
	db->finished = true;
	if (db->memory || db->flags & DB_READONLY)
		return 0;
	err = db->lost ? -EIO : db_checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
	db->home = err == 0;
	return err;
}

int db_shrink_log(struct db *db)
{
	int rc =
		sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	return db_error(db, rc);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	if (db->handle && !db->finished && db_finish(db) != 0)
		log_debug("%s: its WAL stays", db->path);
	for (size_t i = 0; i < db->count; i++)
		sqlite3_finalize(db->stmts[i].stmt);
	/* A second try could succeed, and delete a WAL whose content is not in the file. */
	if (db->lost)
		sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (sqlite3_close(db->handle) == SQLITE_OK && db->lock >= 0 && db->sound && db->home)
		db_file_ended(db->path, db->lock);
	if (db->lock >= 0)
		close(db->lock);
	free(db);
}

uint64_t db_disk_free(const struct db *db)
{
	struct statvfs fs;

	if (db->memory || statvfs(db->path, &fs) < 0)
		return UINT64_MAX;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* ---- statements ---- */

struct db_stmt *db_prepare(struct db *db, const char *sql)
{
	struct db_stmt *s;
	size_t i = 0;

	while (i < db->count && db->stmts[i].sql != sql)
		i++;
	if (i == DB_STATEMENTS)
		fatalx("more than %d kinds of SQL statements", DB_STATEMENTS);
	s = &db->stmts[i];
	if (i == db->count) {
		int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
					    &s->stmt, NULL);

		s->db = db;
		s->sql = sql;
		if (rc != SQLITE_OK) {
			s->err = db_error(db, rc);
			return s; /* not counted: prepared anew next time */
		}
		db->count++;
	}
	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
	s->bound = s->column = 0;
	s->err = db->lost ? -EIO : 0;
	return s;
}

static void db_bound(struct db_stmt *s, int rc)
{
	if (rc != SQLITE_OK && !s->err)
		s->err = db_error(s->db, rc);
}

void db_bind_i64(struct db_stmt *s, int64_t v)
{
	db_bound(s, sqlite3_bind_int64(s->stmt, ++s->bound, v));
}

void db_bind_u64(struct db_stmt *s, uint64_t v)
{
	if (v > INT64_MAX && !s->err)
		s->err = -ERANGE;
	db_bind_i64(s, (int64_t)v);
}

void db_bind_blob(struct db_stmt *s, const void *p, size_t len)
{
	db_bound(s, sqlite3_bind_blob(s->stmt, ++s->bound, p, (int)len, SQLITE_TRANSIENT));
}

void db_bind_text(struct db_stmt *s, const char *text)
{
	db_bound(s, sqlite3_bind_text(s->stmt, ++s->bound, text, -1, SQLITE_TRANSIENT));
}

void db_bind_null(struct db_stmt *s)
{
	db_bound(s, sqlite3_bind_null(s->stmt, ++s->bound));
}

int db_step(struct db_stmt *s)
{
	int rc, err = s->err;

	if (err) {
		db_done(s);
		return err;
	}
	s->column = 0;
	rc = sqlite3_step(s->stmt);
	if (rc == SQLITE_ROW)
		return 1;
	err = db_error(s->db, rc);
	db_done(s);
	return err;
}

int db_run(struct db_stmt *s)
{
	int got;

	do
		got = db_step(s);
	while (got == 1);
	return got;
}

void db_done(struct db_stmt *s)
{
	int rc = s->stmt ? sqlite3_reset(s->stmt) : SQLITE_OK;

	/* One that changed something commits here if nothing else does: no error of that is lost.
	 */
	if (rc != SQLITE_OK)
		(void)db_error(s->db, rc);
}

int64_t db_col_i64(struct db_stmt *s)
{
	return sqlite3_column_int64(s->stmt, s->column++);
}

uint64_t db_col_u64(struct db_stmt *s)
{
	int64_t v = db_col_i64(s);

	return v > 0 ? (uint64_t)v : 0;
}

bool db_col_blob(struct db_stmt *s, void *out, size_t len)
{
	int i = s->column++;

	if (sqlite3_column_type(s->stmt, i) != SQLITE_BLOB ||
	    (size_t)sqlite3_column_bytes(s->stmt, i) != len)
		return false;
	memcpy(out, sqlite3_column_blob(s->stmt, i), len);
	return true;
}

const char *db_col_text(struct db_stmt *s)
{
	const unsigned char *text = sqlite3_column_text(s->stmt, s->column++);

	return text ? (const char *)text : "";
}

int db_exec(struct db *db, const char *sql)
{
	return db->lost ? -EIO : db_error(db, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_get_i64(struct db *db, const char *sql, int64_t *out)
{
	struct db_stmt *s = db_prepare(db, sql);
	int got = db_step(s);

	if (got == 1)
		*out = db_col_i64(s);
	db_done(s);
	return got == 1 ? 0 : got == 0 ? -ENOENT : got;
}

uint64_t db_last_id(const struct db *db)
{
	return (uint64_t)sqlite3_last_insert_rowid(db->handle);
}

/* ---- transactions ---- */

/* True if SQLite has ended the transaction by itself, as it does on some errors. */
static bool db_undone(const struct db *db)
{
	return sqlite3_get_autocommit(db->handle);
}

int db_begin(struct db *db)
{
	/* One that could not be rolled back for want of memory may not swallow the next. */
	db_rollback(db);
	if (!db_undone(db))
		return -ENOMEM;
	return db_run(db_prepare(db, "BEGIN IMMEDIATE"));
}

int db_begin_reading(struct db *db)
{
	return db_run(db_prepare(db, "BEGIN"));
}

int db_commit(struct db *db)
{
	int err;

	/* A COMMIT of what was undone must not say 0. */
	if (db_undone(db))
		return db->cause;
	err = db_run(db_prepare(db, "COMMIT"));
	if (err)
		db_rollback(db);
	else if (db->wal_pages >= DB_CHECKPOINT_PAGES)
		/* A full disk or a reader only mean that the WAL stays; a later commit tries again.
		 */
		(void)db_checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
	/* The commit stands, but the owner must end before it says so on a disk that lies. */
	return db->lost ? -EIO : err;
}

void db_rollback(struct db *db)
{
	/* What cannot be undone for want of memory db_begin undoes. */
	if (!db_undone(db) && db_run(db_prepare(db, "ROLLBACK")) != 0)
		log_debug("%s: not rolled back", db->path);
}

int db_mark(struct db *db)
{
	/* A savepoint outside a transaction would begin, and its release commit, one of its own. */
	if (db_undone(db))
		return db->lost ? -EIO : db->cause;
	return db_run(db_prepare(db, "SAVEPOINT request"));
}

int db_keep(struct db *db)
{
	if (db_undone(db))
		return db->lost ? -EIO : db->cause;
	return db_run(db_prepare(db, "RELEASE request"));
}

void db_undo(struct db *db)
{
	static const char undo[] = "ROLLBACK TO request; RELEASE request";

	/* Half a request must never be committed: what cannot be taken back alone goes with all. */
	if (!db_undone(db) && sqlite3_exec(db->handle, undo, NULL, NULL, NULL) != SQLITE_OK)
		db_rollback(db);
}

uint64_t db_changes(const struct db *db)
{
	return db_undone(db) ? UINT64_MAX : (uint64_t)sqlite3_total_changes64(db->handle);
}
