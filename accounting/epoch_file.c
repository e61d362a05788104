#include "accounting/epoch_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "accounting/batch.h"
#include "accounting/epoch_content.h"
#include "accounting/rows.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define TMP_SUFFIX ".tmp"

enum {
	ROWS = 128, /* read at once */
	/* A slice is over after so long, or so many bytes, which are as many as the disk took in
	 * about as long the last time. */
	SLICE_MS = 6,
	SYNC_SLOW_MS = 12,
	SYNC_FAST_MS = 5,
	CHUNK_MIN = 1 << 18,
	CHUNK_MAX = 1 << 24,
};

enum step {
	STEP_CONTENT,
	STEP_OPEN,
	STEP_TERMS,
	STEP_SESSIONS,
	STEP_RECEIPTS,
	STEP_ACCOUNTS,
	STEP_FINISH, /* from here on each is a slice of its own */
	STEP_ENTER,
	STEP_RENAME,
	STEPS,
};

struct epoch_file {
	struct store *s;
	const char *directory;
	uint64_t epoch, missing;
	enum step step;
	struct epoch_content *content;
	/* Where the step is. */
	uint64_t seq;
	bool any;
	uint8_t key[KEY_LEN];
	/* What the batch says of itself, and the head it was signed with before, if it was. */
	struct batch_head_values values;
	bool has_head;
	struct batch_head old, head;
	struct batch *batch;
	int fd;
	size_t chunk, unsynced;
	char path[PATH_MAX], tmp[PATH_MAX + sizeof(TMP_SUFFIX)];
};

struct epoch_file *epoch_file_begin(struct store *s, const char *directory, uint64_t epoch)
{
	struct epoch_file *f = xcalloc(1, sizeof(*f));

	f->s = s;
	f->directory = directory;
	f->epoch = epoch;
	f->fd = -1;
	f->chunk = CHUNK_MIN;
	f->content = epoch_content_begin(s->db, s->by->id, epoch);
	return f;
}

uint64_t epoch_file_missing(const struct epoch_file *f)
{
	return f->missing;
}

static void file_drop(struct epoch_file *f)
{
	batch_free(f->batch);
	f->batch = NULL;
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	unlink(f->tmp);
}

void epoch_file_free(struct epoch_file *f)
{
	if (!f)
		return;
	file_drop(f);
	epoch_content_free(f->content);
	free(f);
}

/* The next record of a set, in order; NULL after the last, and the place is the start again. */
static const void *next_of(struct epoch_file *f, const struct ordered *set, size_t key)
{
	const void *record = ordered_after(set, f->any ? f->key : NULL);

	f->any = record != NULL;
	if (record)
		memcpy(f->key, record, key);
	return record;
}

/* ---- the head's numbers ---- */

/* The row of an epoch: its hour; its head, if it has one. */
static int epoch_read(struct epoch_file *f)
{
	struct db_stmt *q = db_prepare(f->s->db, "SELECT hour, head FROM epoch WHERE id = ?");
	int got;

	db_bind_u64(q, f->epoch);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	f->values.hour = db_col_u64(q);
	f->has_head = db_col_blob(q, &f->old, sizeof(f->old));
	db_done(q);
	return 0;
}

/* The tree so far, as the epoch before left it. */
static int edge_read(struct epoch_file *f, uint8_t peaks[static MERKLE_LEVELS][KEY_LEN])
{
	struct db_stmt *q = db_prepare(f->s->db, "SELECT head, edge FROM epoch WHERE id = ?");
	struct batch_head before;
	struct merkle tree;
	int got;
	bool ok;

	merkle_resume(&tree, 0, NULL);
	merkle_root(&tree, f->values.previous_root);
	f->values.previous_size = 0;
	if (f->epoch == 1)
		return 0;
	db_bind_u64(q, f->epoch - 1);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -EIO;
	ok = db_col_blob(q, &before, sizeof(before));
	if (ok) {
		f->values.previous_size = le64_get(before.body.size);
		memcpy(f->values.previous_root, before.body.root, KEY_LEN);
		ok = db_col_blob(q, peaks,
				 (size_t)__builtin_popcountll(f->values.previous_size) * KEY_LEN);
	}
	db_done(q);
	return ok ? 0 : -EIO;
}

static int head_values(struct epoch_file *f)
{
	struct batch_head_values *v = &f->values;
	int err = epoch_read(f);

	if (err)
		return err;
	v->receipts = f->content->receipts;
	if (f->has_head && le32_get(f->old.body.receipts) > v->receipts) {
		f->missing = le32_get(f->old.body.receipts) - v->receipts;
		return -ENODATA;
	}
	if (ordered_count(f->content->sessions) > UINT32_MAX ||
	    ordered_count(f->content->accounts) > UINT32_MAX)
		return -ERANGE;
	v->network = f->s->config.network;
	memcpy(v->node, f->s->by->id, KEY_LEN);
	v->epoch = f->epoch;
	v->terms = (uint32_t)ordered_count(f->content->terms);
	v->sessions = (uint32_t)ordered_count(f->content->sessions);
	v->accounts = (uint32_t)ordered_count(f->content->accounts);
	return 0;
}

/* ---- the file ---- */

/* Receipts have their room on this disk before any file of ours. */
static int room_check(const struct epoch_file *f, uint64_t length)
{
	struct statvfs fs;

	if (fstatvfs(f->fd, &fs) < 0)
		return -errno;
	return (uint64_t)fs.f_bavail * fs.f_frsize < length + STORE_RESERVE ? -ENOSPC : 0;
}

static int file_create_tmp(struct epoch_file *f)
{
	int n = snprintf(f->path, sizeof(f->path), "%s/" EPOCH_FILE_NAME, f->directory, f->epoch);
	int err = n < 0 || (size_t)n >= sizeof(f->path) ? -ENAMETOOLONG
							: dir_make(f->directory, 0700);

	if (!err)
		err = file_sync_directory(f->directory);
	if (err)
		return err;
	snprintf(f->tmp, sizeof(f->tmp), "%s" TMP_SUFFIX, f->path);
	unlink(f->tmp);
	f->fd = open(f->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return f->fd < 0 ? -errno : 0;
}

static int step_content(struct epoch_file *f)
{
	return epoch_content_read(f->content);
}

static int step_open(struct epoch_file *f)
{
	uint8_t peaks[MERKLE_LEVELS][KEY_LEN];
	int err = head_values(f);

	if (!err)
		err = edge_read(f, peaks);
	if (!err)
		err = file_create_tmp(f);
	if (!err)
		err = room_check(f, batch_length(&f->values));
	if (!err)
		err = batch_begin(&f->batch, &f->values,
				  f->values.previous_size ? (const uint8_t(*)[KEY_LEN])peaks : NULL,
				  f->fd);
	return err;
}

static int step_terms(struct epoch_file *f)
{
	const uint8_t *hash = next_of(f, f->content->terms, KEY_LEN);
	struct db_stmt *q;
	struct terms t;
	int got;
	bool ok;

	if (!hash)
		return 0;
	q = db_prepare(f->s->db, "SELECT body FROM terms WHERE hash = ?");
	db_bind_blob(q, hash, KEY_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -EIO;
	ok = db_col_blob(q, &t, sizeof(t));
	db_done(q);
	got = ok ? batch_terms(f->batch, &t) : -EIO;
	f->unsynced += sizeof(t);
	return got < 0 ? got : 1;
}

static int step_sessions(struct epoch_file *f)
{
	const struct epoch_session *x = next_of(f, f->content->sessions, SESSION_ID_LEN);
	struct batch_session_values v;
	struct batch_session record;
	int err;

	if (!x)
		return 0;
	v = (struct batch_session_values){
		.session = x->key,
		.seq = x->last,
		.paid = x->paid,
		.before = x->before,
		.fee_ppm = x->fee_ppm,
		.fee_account = x->fee_account,
	};
	batch_session_make(&record, &v);
	err = batch_session(f->batch, &record);
	f->unsynced += sizeof(record);
	return err ? err : 1;
}

/* f->key is the session before the one at hand, f->seq (0: its first) where in it. Some receipts of
 * x, from number seq on: how many, or -errno. */
static int receipts_put(struct epoch_file *f, const struct epoch_session *x)
{
	struct db_stmt *q = db_prepare(f->s->db, "SELECT seq, body FROM receipt WHERE session = ? "
						 "AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?");
	int got, err = 0, rows = 0;

	db_bind_u64(q, x->id);
	db_bind_u64(q, f->seq);
	db_bind_u64(q, x->last);
	db_bind_u64(q, ROWS);
	while (!err && (got = db_step(q)) != 0) {
		struct receipt r;

		f->seq = got == 1 ? db_col_u64(q) + 1 : f->seq;
		err = got < 0 ? got : db_col_blob(q, &r, sizeof(r)) ? 0 : -EIO;
		if (!err)
			err = batch_receipt(f->batch, &r);
		f->unsynced += sizeof(r);
		rows++;
	}
	db_done(q);
	return err ? err : rows;
}

static int step_receipts(struct epoch_file *f)
{
	const struct epoch_session *x = ordered_after(f->content->sessions, f->any ? f->key : NULL);
	int rows;

	if (!x) {
		f->any = false;
		return 0;
	}
	if (!f->seq)
		f->seq = x->first;
	rows = receipts_put(f, x);
	if (rows < 0)
		return rows;
	if (rows < ROWS) {
		memcpy(f->key, x->key, sizeof(x->key));
		f->any = true;
		f->seq = 0;
	}
	return 1;
}

static int step_accounts(struct epoch_file *f)
{
	const struct epoch_total *t = next_of(f, f->content->accounts, KEY_LEN);
	struct batch_account record;
	int err;

	if (!t)
		return 0;
	batch_account_make(&record, t->key, t->earned, t->spent);
	err = batch_account(f->batch, &record);
	f->unsynced += sizeof(record);
	return err ? err : 1;
}

/* Books restored from a backup of before they entered a head may give another one by now: what the
 * file that is there says was signed, too. */
static int contradicted(const struct epoch_file *f)
{
	int fd = open(f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct batch_head there;
	bool same;

	if (fd < 0)
		return errno == ENOENT ? 0 : -EEXIST;
	same = read(fd, &there, sizeof(there)) == (ssize_t)sizeof(there) &&
	       memcmp(&there, &f->head, sizeof(there)) == 0;
	close(fd);
	return same ? 0 : -EEXIST;
}

static int step_finish(struct epoch_file *f)
{
	int err = batch_finish(f->batch, f->s->by, &f->head);

	if (!err && !f->has_head)
		err = contradicted(f);
	if (err)
		return err;
	if (f->has_head && memcmp(&f->head, &f->old, sizeof(f->head)) != 0)
		return -EBADMSG;
	return fsync(f->fd) < 0 ? -errno : 0;
}

/* From here on the batch is what it is: it can be made again, but no other in its place. */
static int step_enter(struct epoch_file *f)
{
	uint8_t edge[MERKLE_LEVELS][KEY_LEN];
	size_t peaks = merkle_peaks(batch_tree(f->batch), edge);
	struct db_stmt *q;
	int err;

	if (f->has_head)
		return 0;
	err = db_begin(f->s->db);
	if (err)
		return err;
	q = db_prepare(f->s->db, "UPDATE epoch SET state = 2, head = ?, edge = ? WHERE id = ? "
				 "AND state = 1");
	db_bind_blob(q, &f->head, sizeof(f->head));
	db_bind_blob(q, edge, peaks * KEY_LEN);
	db_bind_u64(q, f->epoch);
	err = db_run(q);
	if (!err)
		return db_commit(f->s->db);
	db_rollback(f->s->db);
	return err;
}

static int step_rename(struct epoch_file *f)
{
	if (rename(f->tmp, f->path) < 0)
		return -errno;
	close(f->fd);
	f->fd = -1;
	return file_sync_directory(f->path);
}

/* ---- slices ---- */

static int (*const steps[STEPS])(struct epoch_file *f) = {
	[STEP_CONTENT] = step_content,   [STEP_OPEN] = step_open,
	[STEP_TERMS] = step_terms,       [STEP_SESSIONS] = step_sessions,
	[STEP_RECEIPTS] = step_receipts, [STEP_ACCOUNTS] = step_accounts,
	[STEP_FINISH] = step_finish,     [STEP_ENTER] = step_enter,
	[STEP_RENAME] = step_rename,
};

/* Goes on with a step: 1, and to the next one if it is done; 0 after the last. */
static int file_step(struct epoch_file *f)
{
	int more = steps[f->step](f);

	if (more)
		return more;
	f->seq = 0;
	return ++f->step < STEPS;
}

/* What is written is made durable at once: an fsync of all of it at the end would hold up every
 * receipt that comes meanwhile. */
static int file_sync(struct epoch_file *f)
{
	uint64_t begun = clock_ms(), took;

	if (fdatasync(f->fd) < 0)
		return -errno;
	took = clock_ms() - begun;
	if (took >= SYNC_SLOW_MS && f->chunk > CHUNK_MIN)
		f->chunk /= 2;
	else if (took <= SYNC_FAST_MS && f->unsynced >= f->chunk && f->chunk < CHUNK_MAX)
		f->chunk *= 2;
	f->unsynced = 0;
	return room_check(f, 0);
}

int epoch_file_slice(struct epoch_file *f)
{
	uint64_t until = clock_ms() + SLICE_MS;
	int more;

	do
		more = file_step(f);
	while (more == 1 && f->step < STEP_FINISH && f->unsynced < f->chunk && clock_ms() < until);
	if (more == 1 && f->unsynced) {
		int err = file_sync(f);

		more = err ? err : more;
	}
	if (more < 0)
		file_drop(f);
	return more;
}

void epoch_file_sweep(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (fnmatch("epoch-*.batch" TMP_SUFFIX, e->d_name, 0) == 0 &&
		    unlinkat(dirfd(d), e->d_name, 0) < 0)
			log_warn("%s/%s: cannot be removed", directory, e->d_name);
	if (d)
		closedir(d);
}

bool epoch_file_there(const char *directory, uint64_t epoch)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" EPOCH_FILE_NAME, directory, epoch);
	return access(path, F_OK) == 0;
}
