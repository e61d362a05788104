#include "accounting/epochs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/epoch_file.h"
#include "accounting/pages.h"
#include "accounting/retention.h"
#include "accounting/rows.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	SESSIONS = 32, /* looked up at once */
	SLICE_MS = 6,
	RETRY_MS = 60 * 1000,
};

struct epochs {
	struct store *s;
	const char *directory;
	struct retention *retention;
	bool look;       /* there may be an epoch without a batch */
	uint64_t remake; /* whose file is to be made again; 0: none */
	bool leftover;   /* ... because a crash may have kept it from its name */
	struct epoch_file *file;
	uint64_t file_epoch;
	uint64_t retry_ms; /* not before this (clock_ms) */
	/* What went wrong last, and for which epoch. */
	uint64_t err_epoch, missing;
	int err;
};

/* The oldest epoch without a batch; *epoch 0: none. */
static int epochs_unfinished(struct store *s, uint64_t *epoch, uint64_t *state)
{
	struct db_stmt *q = db_prepare(
		s->db, "SELECT id, state FROM epoch WHERE state < 2 ORDER BY id LIMIT 1");
	int got = db_step(q);

	*epoch = got == 1 ? db_col_u64(q) : 0;
	*state = got == 1 ? db_col_u64(q) : 0;
	db_done(q);
	return got < 0 ? got : 0;
}

static int epochs_last(struct store *s, uint64_t *epoch, uint64_t *state)
{
	struct db_stmt *q =
		db_prepare(s->db, "SELECT id, state FROM epoch ORDER BY id DESC LIMIT 1");
	int got = db_step(q);

	*epoch = got == 1 ? db_col_u64(q) : 0;
	*state = got == 1 ? db_col_u64(q) : 0;
	db_done(q);
	return got < 0 ? got : 0;
}

int epochs_open(struct epochs **out, struct store *s, const char *directory,
		uint64_t retention_days)
{
	struct epochs *e;
	uint64_t last, state;
	int err = epochs_last(s, &last, &state);

	if (err)
		return err;
	e = xcalloc(1, sizeof(*e));
	e->s = s;
	e->directory = directory;
	e->retention = retention_create(s, retention_days);
	e->look = true;
	epoch_file_sweep(directory);
	/* Signed and entered, and not yet under its name when the process ended. */
	if (state == EPOCH_WRITTEN && !epoch_file_there(directory, last)) {
		e->remake = last;
		e->leftover = true;
	}
	*out = e;
	return 0;
}

void epochs_close(struct epochs *e)
{
	if (!e)
		return;
	epoch_file_free(e->file);
	retention_free(e->retention);
	free(e);
}

/* ---- closing ---- */

/* Sessions with receipts that are in no batch yet, but for those of this epoch that went on
 * meanwhile: their new receipts are for the next. Receipts of another network or identity, which
 * the operator had before, are in no batch of this one. */
#define UNSETTLED                                                                      \
	"FROM session s WHERE seq > settled_seq AND provider = ? AND EXISTS "          \
	"(SELECT 1 FROM terms t WHERE t.hash = s.terms AND substr(t.body, 25, 8) = ?)" \
	" AND NOT EXISTS (SELECT 1 FROM settled t WHERE t.epoch = ? AND t.session = s.id)"

_Static_assert(offsetof(struct terms_body, network) == 24, "UNSETTLED counts bytes from 1");

static void bind_unsettled(const struct store *s, struct db_stmt *q, uint64_t epoch)
{
	le64 network = le64_of(s->config.network);

	db_bind_blob(q, s->by->id, KEY_LEN);
	db_bind_blob(q, &network, sizeof(network));
	db_bind_u64(q, epoch);
}

/* Up to SESSIONS of them: how many, or -errno. */
static int close_list(struct store *s, uint64_t epoch, uint64_t id[static SESSIONS])
{
	struct db_stmt *q = db_prepare(s->db, "SELECT id " UNSETTLED " ORDER BY key LIMIT ?");
	int got, n = 0;

	bind_unsettled(s, q, epoch);
	db_bind_u64(q, SESSIONS);
	while ((got = db_step(q)) == 1)
		id[n++] = db_col_u64(q);
	return got < 0 ? got : n;
}

static int close_enter(struct store *s, uint64_t epoch, const struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, "INSERT INTO settled(epoch, session, first, last, "
					      "paid, before) VALUES(?, ?, ?, ?, ?, ?)");

	db_bind_u64(q, epoch);
	db_bind_u64(q, x->id);
	db_bind_u64(q, x->settled_seq + 1);
	db_bind_u64(q, x->seq);
	db_bind_u64(q, x->paid);
	db_bind_u64(q, x->settled);
	return db_run(q);
}

/* Its receipts belong to this epoch from the very commit on that takes them from the next. */
static int close_session(struct store *s, uint64_t epoch, uint64_t id)
{
	struct db_stmt *q = db_prepare(s->db, SESSION_SELECT "WHERE id = ?");
	struct session x;
	int err;

	db_bind_u64(q, id);
	err = db_step(q);
	if (err != 1)
		return err < 0 ? err : -EIO;
	err = session_row_read(q, &x);
	if (!err)
		err = session_post(s, &x);
	if (!err)
		err = close_enter(s, epoch, &x);
	x.settled_seq = x.seq;
	x.settled = x.paid;
	return err ? err : session_row_save(s, &x);
}

static int close_done(struct store *s, uint64_t epoch)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE epoch SET state = 1 WHERE id = ?");

	db_bind_u64(q, epoch);
	return db_run(q);
}

static int close_some(struct store *s, uint64_t epoch)
{
	uint64_t until = clock_ms() + SLICE_MS;
	uint64_t id[SESSIONS];
	int n, err;

	do {
		n = close_list(s, epoch, id);
		err = n < 0 ? n : 0;
		for (int i = 0; i < n && !err; i++)
			err = close_session(s, epoch, id[i]);
	} while (!err && n == SESSIONS && clock_ms() < until);
	if (!err && n < SESSIONS)
		err = close_done(s, epoch);
	return err;
}

static int close_slice(struct store *s, uint64_t epoch, uint64_t now_s)
{
	int err = store_begin(s, now_s);

	if (err)
		return err;
	err = close_some(s, epoch);
	if (!err)
		return store_commit(s);
	store_rollback(s);
	return err;
}

/* ---- asking ---- */

static int settle_new(struct epochs *e, struct ledger_settled *out)
{
	struct store *s = e->s;
	struct db_stmt *q = db_prepare(s->db, "SELECT 1 " UNSETTLED " LIMIT 1");
	uint64_t last, state;
	int got, err = epochs_last(s, &last, &state);

	if (err)
		return err;
	bind_unsettled(s, q, 0);
	got = db_step(q);
	db_done(q);
	*out = (struct ledger_settled){.epoch = last, .fresh = got == 1};
	if (got != 1)
		return got;
	/* Signed by books that were lost since: another head in its place would be a contradiction
	 * under this node's name. */
	if (epoch_file_there(e->directory, last + 1))
		return -EEXIST;
	q = db_prepare(s->db, "INSERT INTO epoch(id, hour) VALUES(?, ?)");
	db_bind_u64(q, ++out->epoch);
	db_bind_u64(q, s->now_s / HOUR);
	e->look = true;
	return db_run(q);
}

static int settle_again(struct epochs *e, uint64_t epoch, struct ledger_settled *out)
{
	struct db_stmt *q = db_prepare(e->s->db, "SELECT 1 FROM epoch WHERE id = ?");
	int got;

	db_bind_u64(q, epoch);
	got = db_step(q);
	db_done(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	e->remake = epoch;
	e->leftover = false;
	*out = (struct ledger_settled){.epoch = epoch, .fresh = true};
	return 0;
}

int store_settle(struct store *s, uint64_t epoch, struct ledger_settled *out)
{
	struct epochs *e = s->epochs;
	uint64_t unfinished, state;
	int err;

	if (!e)
		return -ENOTSUP;
	err = epochs_unfinished(s, &unfinished, &state);
	if (err)
		return err;
	e->retry_ms = 0; /* somebody wants it now */
	if (unfinished || e->remake)
		return -EBUSY;
	if (e->err_epoch == epoch)
		e->err_epoch = 0;
	return epoch ? settle_again(e, epoch, out) : settle_new(e, out);
}

/* ---- looking ---- */

static bool read_epoch(struct db_stmt *q, struct query_rows *rows, size_t i)
{
	struct query_epoch *row = &rows->epoch[i];

	memset(row, 0, sizeof(*row));
	row->epoch = db_col_u64(q);
	row->hour = db_col_u64(q);
	row->state = (uint8_t)db_col_u64(q);
	return db_col_blob(q, &row->head, sizeof(row->head)) || row->state < EPOCH_WRITTEN;
}

int epochs_query(struct store *s, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *stmt = db_prepare(s->db, "SELECT id, id, hour, state, head FROM epoch "
						 "WHERE id > ? ORDER BY id LIMIT ?");
	const struct epochs *e = s->epochs;
	int err;

	db_bind_u64(stmt, q->after);
	db_bind_u64(stmt, QUERY_PAGE + 1);
	rows->kind = QUERY_EPOCHS;
	err = pages_fill(stmt, rows, read_epoch);
	for (uint32_t i = 0; e && !err && i < rows->count; i++) {
		struct query_epoch *row = &rows->epoch[i];

		row->busy = row->state < EPOCH_WRITTEN || row->epoch == e->remake;
		row->err = row->epoch == e->err_epoch ? e->err : 0;
		row->missing = row->err ? e->missing : 0;
	}
	return err;
}

/* ---- working ---- */

static int file_start(struct epochs *e, uint64_t epoch)
{
	e->file = epoch_file_begin(e->s, e->directory, epoch);
	e->file_epoch = epoch;
	return 0;
}

static int file_work(struct epochs *e)
{
	int more = epoch_file_slice(e->file);

	if (more == 1)
		return 0;
	e->missing = epoch_file_missing(e->file);
	epoch_file_free(e->file);
	e->file = NULL;
	if (more < 0 && !e->remake) {
		/* Once it is signed and entered only its name is missing, and no row tells that. */
		e->remake = e->file_epoch;
		e->leftover = true;
	}
	if (more < 0)
		return more;
	log_info("epoch %" PRIu64 " is settled: %s/" EPOCH_FILE_NAME, e->file_epoch, e->directory,
		 e->file_epoch);
	if (e->err_epoch == e->file_epoch)
		e->err_epoch = 0;
	if (e->remake == e->file_epoch)
		e->remake = 0;
	return 0;
}

static int unfinished_work(struct epochs *e, uint64_t now_s)
{
	uint64_t state;
	int err = epochs_unfinished(e->s, &e->file_epoch, &state);

	if (err)
		return err;
	if (e->file_epoch && state == EPOCH_CLOSING)
		return close_slice(e->s, e->file_epoch, now_s);
	if (e->file_epoch)
		return file_start(e, e->file_epoch);
	e->look = false;
	return 0;
}

/* Receipts are not affected, and nothing is lost by waiting: it is tried again, except what no time
 * will mend. */
static void epochs_trouble(struct epochs *e, int err)
{
	/* file_epoch 0: not even which one is to be made can be read now. */
	bool hopeless = e->file_epoch && e->remake == e->file_epoch &&
			(err == -ENODATA || err == -EBADMSG || !e->leftover);

	e->err_epoch = e->file_epoch;
	e->err = err;
	errno = -err;
	if (!e->file_epoch)
		log_warn("epochs cannot be read in the books; it is tried again every minute");
	else if (err == -ENODATA)
		log_warnx("epoch %" PRIu64 ": its file cannot be made again: %" PRIu64
			  " of its receipts were pruned; see [Credits] Retention",
			  e->file_epoch, e->missing);
	else if (err == -EBADMSG)
		log_warnx("epoch %" PRIu64 ": the books give another batch than the one that was "
			  "signed; restore them from a backup",
			  e->file_epoch);
	else if (err == -EEXIST)
		log_warnx("epoch %" PRIu64 " has another file already, which the books know "
			  "nothing of; restore a newer backup: signing this epoch anew would "
			  "contradict that file",
			  e->file_epoch);
	else
		log_warn("%s: epoch %" PRIu64 " cannot be written; %s", e->directory, e->file_epoch,
			 hopeless ? "make room or mend it, then ask again"
				  : "receipts go on, and it is tried again every minute");
	if (hopeless)
		e->remake = 0;
	else
		e->retry_ms = clock_ms() + RETRY_MS;
}

static bool epochs_wanted(const struct epochs *e)
{
	return e->file || e->look || e->remake;
}

uint64_t epochs_idle_ms(const struct epochs *e)
{
	uint64_t now = clock_ms();

	if (!epochs_wanted(e))
		return retention_idle_ms(e->retention);
	return e->retry_ms > now ? e->retry_ms - now : 0;
}

void epochs_work(struct epochs *e, uint64_t now_s)
{
	int err;

	if (!epochs_wanted(e)) {
		retention_work(e->retention, now_s);
		return;
	}
	if (e->file)
		err = file_work(e);
	else if (e->look)
		err = unfinished_work(e, now_s);
	else
		err = file_start(e, e->remake);
	if (err)
		epochs_trouble(e, err);
}

uint64_t store_idle_ms(const struct store *s)
{
	return s->epochs ? epochs_idle_ms(s->epochs) : UINT64_MAX;
}

void store_work(struct store *s, uint64_t now_s)
{
	if (s->epochs)
		epochs_work(s->epochs, now_s);
}
