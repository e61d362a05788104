#include "accounting/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "accounting/rows.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	DAY_HOURS = 24,
	SLICE_MS = 6,
	RANGE = 64,           /* receipts deleted by one statement ... */
	SLICE_RECEIPTS = 256, /* ... and in one commit, each on a page of its own at worst */
	LOOK_MS = 10 * 60 * 1000,
	RETRY_MS = 60 * 1000,
};

struct retention {
	struct store *s;
	uint64_t days;
	uint64_t next_ms;        /* clock_ms of the next look */
	uint64_t epoch, session; /* where it is; epoch 0: nowhere */
	bool shrink;             /* the log still holds what was deleted */
};

struct retention *retention_create(struct store *s, uint64_t days)
{
	struct retention *r = xcalloc(1, sizeof(*r));

	r->s = s;
	r->days = days;
	r->shrink = true; /* a predecessor may have been killed before it could */
	return r;
}

void retention_free(struct retention *r)
{
	free(r);
}

uint64_t retention_idle_ms(const struct retention *r)
{
	uint64_t now = clock_ms();

	if (r->days == 0)
		return UINT64_MAX;
	return r->next_ms > now ? r->next_ms - now : 0;
}

/* The oldest epoch whose time has come; r->epoch 0: none. */
static int retention_look(struct retention *r, uint64_t now_s)
{
	struct db_stmt *q = db_prepare(r->s->db, "SELECT id FROM epoch WHERE state = 2 AND "
						 "hour < ? ORDER BY id LIMIT 1");
	uint64_t hour = now_s / HOUR, age = r->days * DAY_HOURS;
	int got;

	db_bind_u64(q, hour > age ? hour - age : 0);
	got = db_step(q);
	r->epoch = got == 1 ? db_col_u64(q) : 0;
	r->session = 0;
	db_done(q);
	return got < 0 ? got : 0;
}

/* Some receipts of a session up to number last, never its newest. *deleted 0: there are none. */
static int prune_range(struct retention *r, uint64_t session, uint64_t last, unsigned *deleted)
{
	struct db_stmt *q = db_prepare(
		r->s->db, "SELECT r.seq, s.seq FROM session s JOIN receipt r ON r.session = s.id "
			  "WHERE s.id = ? AND r.seq <= ? AND r.seq < s.seq ORDER BY r.seq LIMIT 1");
	uint64_t from, head;
	int got;

	*deleted = 0;
	db_bind_u64(q, session);
	db_bind_u64(q, last);
	got = db_step(q);
	if (got != 1)
		return got;
	from = db_col_u64(q);
	head = db_col_u64(q);
	db_done(q);
	if (last >= head)
		last = head - 1;
	if (last - from >= RANGE)
		last = from + RANGE - 1;
	*deleted = (unsigned)(last - from + 1);
	q = db_prepare(r->s->db, "DELETE FROM receipt WHERE session = ? AND seq BETWEEN ? AND ?");
	db_bind_u64(q, session);
	db_bind_u64(q, from);
	db_bind_u64(q, last);
	return db_run(q);
}

/* Goes on in the epoch: 1, 0 at its end. */
static int prune_next(struct retention *r, unsigned *deleted)
{
	struct db_stmt *q =
		db_prepare(r->s->db, "SELECT session, last FROM settled WHERE epoch = ? "
				     "AND session > ? ORDER BY session LIMIT 1");
	uint64_t session, last;
	int got;

	*deleted = 0;
	db_bind_u64(q, r->epoch);
	db_bind_u64(q, r->session);
	got = db_step(q);
	if (got != 1)
		return got;
	session = db_col_u64(q);
	last = db_col_u64(q);
	db_done(q);
	got = prune_range(r, session, last, deleted);
	if (!got && !*deleted)
		r->session = session;
	return got ? got : 1;
}

static int prune_done(struct retention *r)
{
	struct db_stmt *q = db_prepare(r->s->db, "UPDATE epoch SET state = 3 WHERE id = ?");

	db_bind_u64(q, r->epoch);
	return db_run(q);
}

static int prune_some(struct retention *r, bool *ended)
{
	uint64_t until = clock_ms() + SLICE_MS;
	unsigned deleted, sum = 0;
	int more;

	do {
		more = prune_next(r, &deleted);
		sum += deleted;
	} while (more == 1 && sum < SLICE_RECEIPTS && clock_ms() < until);
	*ended = more == 0;
	return more < 0 ? more : *ended ? prune_done(r) : 0;
}

static int prune_slice(struct retention *r, uint64_t now_s)
{
	bool ended;
	int err = store_begin(r->s, now_s);

	if (err)
		return err;
	err = prune_some(r, &ended);
	if (err) {
		store_rollback(r->s);
		return err;
	}
	err = store_commit(r->s);
	if (err)
		return err;
	r->shrink = true;
	if (ended) {
		log_info("epoch %" PRIu64 " is older than [Credits] Retention: its receipts are "
			 "pruned",
			 r->epoch);
		r->epoch = 0;
	}
	return 0;
}

/* The place is kept across a rollback: at worst a session is looked at twice. */
void retention_work(struct retention *r, uint64_t now_s)
{
	int err = r->epoch ? 0 : retention_look(r, now_s);

	if (!err && r->epoch) {
		err = prune_slice(r, now_s);
	} else if (!err) {
		if (r->shrink)
			err = db_shrink_log(r->s->db);
		r->shrink = r->shrink && err;
		r->next_ms = clock_ms() + LOOK_MS;
	}
	if (!err)
		return;
	if (err != -EBUSY) {
		errno = -err;
		log_warn("settled receipts cannot be pruned now; it is tried again every minute");
	}
	/* What a rolled back slice skipped must not stay. */
	r->epoch = 0;
	r->next_ms = clock_ms() + RETRY_MS;
}
