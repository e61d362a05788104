/*
 * SQLite, and nothing else includes its header. One connection a file writes, and it is the only
 * one that checkpoints: SQLite before 3.51.3 can corrupt a WAL that one connection resets while
 * another checkpoints it. Read-only ones never do either. Statements are prepared once and kept.
 * One thread.
 */
#ifndef ACCOUNTING_DB_H
#define ACCOUNTING_DB_H

#include "base/base.h"

struct db;
struct db_stmt;

enum db_flags {
	DB_READONLY = 1, /* for queries while another process writes */
};

/* A database of its own in memory, for tests and for comparing schemas. */
#define DB_MEMORY ":memory:"

/*
 * Opens path (made, mode 0600, unless DB_READONLY), hardened, but changes nothing in it yet: see
 * db_durable. Refused with a log_warn line: a symbolic link, a file open to group or others or of
 * another owner, and such files beside it (-wal, -shm, -journal, .lock); a database another process
 * writes (-EBUSY, after up to 5 s in which that one may end).
 */
MUST_CHECK int db_open(struct db **out, const char *path, unsigned flags);
/* A second connection, of the same process, that only reads: its questions see what was committed
 * and wait for nobody. Closed before the first. */
MUST_CHECK int db_reader(struct db **out, const struct db *writer);
/*
 * WAL and synchronous=FULL, asserted by reading them back. What an earlier run left in the WAL is
 * written into the database and synced first: a process that was killed, or whose fsync failed, may
 * have left there what reads well and is not on the disk.
 */
MUST_CHECK int db_durable(struct db *db);
/*
 * Looks at every page for damage, which is then a loss (db_lost). A file of more than 64 MiB is
 * read, with a log_info line, only if its last writer did not close it well or somebody was at it
 * since: killed, a power cut, an fsync that failed, damage it met, a copy put back.
 */
MUST_CHECK int db_check(struct db *db);
/* Rolls back what is open and writes the WAL home: 0 or -errno, of which only a loss (db_lost) is
 * more than a WAL that stays for the next time. Readonly ones have nothing to write. */
MUST_CHECK int db_finish(struct db *db);
/* Closes, after db_finish if nobody called it. NULL is fine. */
void db_close(struct db *db);

/*
 * True after an fsync that failed, damage, or a broken invariant: what the disk holds is unknown,
 * no call works any more, and the owner must end. Other errors are of the moment: the transaction
 * is undone, the call says why, and the next one may work: -ENOSPC (full disk or quota), -EROFS
 * (read-only), -EIO (a write or read that failed), -ENOMEM, -ENOLCK (locked by another program).
 */
bool db_lost(const struct db *db);
/* Takes the log into the file and cuts it to nothing, so that it holds no deleted row any more.
 * -EBUSY while somebody reads: again later. */
MUST_CHECK int db_shrink_log(struct db *db);
/* Bytes free for this database's file system; UINT64_MAX if that cannot be said. */
uint64_t db_disk_free(const struct db *db);

/*
 * Transactions; a savepoint marks one request within. db_undo also ends the savepoint. On some
 * errors SQLite ends a transaction by itself: db_mark, db_keep and db_commit then give that error.
 * -EAGAIN from db_begin or db_commit: undone by the engine for the sake of another writer, begin
 * again; SQLite with its one writer never says so.
 */
MUST_CHECK int db_begin(struct db *db);
/* For reading only: what is read until db_rollback is of one moment. */
MUST_CHECK int db_begin_reading(struct db *db);
MUST_CHECK int db_commit(struct db *db); /* rolled back if it fails */
void db_rollback(struct db *db);
MUST_CHECK int db_mark(struct db *db);
MUST_CHECK int db_keep(struct db *db);
void db_undo(struct db *db);
/* Rows changed so far, by anything but what SQLite has taken back by itself; UINT64_MAX while there
 * is no transaction. */
uint64_t db_changes(const struct db *db);

/*
 * A statement ready to be bound. sql is a string literal: the pointer is the cache's key.
 * Parameters are bound and columns read in order. A failed call is remembered and returned by
 * db_step.
 */
struct db_stmt *db_prepare(struct db *db, const char *sql);
void db_bind_u64(struct db_stmt *s, uint64_t v); /* -ERANGE above INT64_MAX */
void db_bind_i64(struct db_stmt *s, int64_t v);
void db_bind_blob(struct db_stmt *s, const void *p, size_t len);
void db_bind_text(struct db_stmt *s, const char *text);
void db_bind_null(struct db_stmt *s);

/* 1: a row, 0: done, or -errno: -EEXIST for a key that is there already, -ERANGE for a CHECK. */
MUST_CHECK int db_step(struct db_stmt *s);
/* Steps to the end: 0 or -errno. */
MUST_CHECK int db_run(struct db_stmt *s);
/* Ends a statement that was not stepped to its end. */
void db_done(struct db_stmt *s);

uint64_t db_col_u64(struct db_stmt *s); /* negative: 0 */
int64_t db_col_i64(struct db_stmt *s);
/* False, nothing copied, unless it is a blob of exactly len bytes. */
bool db_col_blob(struct db_stmt *s, void *out, size_t len);
/* Valid until the next step; "" for NULL. */
const char *db_col_text(struct db_stmt *s);

/* One statement without parameters or rows, e.g. a migration step of several statements. */
MUST_CHECK int db_exec(struct db *db, const char *sql);
/* One integer. */
MUST_CHECK int db_get_i64(struct db *db, const char *sql, int64_t *out);
uint64_t db_last_id(const struct db *db);

#endif
