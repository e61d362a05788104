#include "accounting/epoch_content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch.h"
#include "base/log.h"

enum {
	ROWS = 128,        /* read at once */
	COUNTED = 1 << 13, /* receipts counted at once */
};

struct epoch_content *epoch_content_begin(struct db *db, const uint8_t node[static KEY_LEN],
					  uint64_t epoch)
{
	struct epoch_content *c = xcalloc(1, sizeof(*c));

	c->db = db;
	c->node = node;
	c->epoch = epoch;
	c->sessions = ordered_create(sizeof(struct epoch_session), SESSION_ID_LEN);
	c->terms = ordered_create(KEY_LEN, KEY_LEN);
	c->accounts = ordered_create(sizeof(struct epoch_total), KEY_LEN);
	return c;
}

void epoch_content_free(struct epoch_content *c)
{
	ordered_free(c->sessions);
	ordered_free(c->terms);
	ordered_free(c->accounts);
	free(c);
}

static int gather_row(struct epoch_content *c, struct db_stmt *q)
{
	uint8_t key[SESSION_ID_LEN], terms[KEY_LEN];
	struct epoch_session *x;

	c->session_at = db_col_u64(q);
	if (!db_col_blob(q, key, sizeof(key)) || !db_col_blob(q, terms, sizeof(terms)))
		return -EIO;
	x = ordered_put(c->sessions, key);
	x->id = c->session_at;
	x->first = db_col_u64(q);
	x->last = db_col_u64(q);
	x->paid = db_col_u64(q);
	x->before = db_col_u64(q);
	x->fee_ppm = (uint32_t)db_col_u64(q);
	if (!db_col_blob(q, x->fee_account, sizeof(x->fee_account)) && x->fee_ppm)
		return -EIO;
	ordered_put(c->terms, terms);
	return 0;
}

static int read_sessions(struct epoch_content *c)
{
	struct db_stmt *q = db_prepare(
		c->db, "SELECT t.session, s.key, s.terms, t.first, t.last, t.paid, t.before, "
		       "s.fee_ppm, s.fee_account FROM settled t JOIN session s "
		       "ON s.id = t.session WHERE t.epoch = ? AND t.session > ? "
		       "ORDER BY t.session LIMIT ?");
	int got, err = 0, rows = 0;

	db_bind_u64(q, c->epoch);
	db_bind_u64(q, c->session_at);
	db_bind_u64(q, ROWS);
	while (!err && (got = db_step(q)) != 0) {
		err = got < 0 ? got : gather_row(c, q);
		rows++;
	}
	db_done(q);
	return err ? err : rows == ROWS;
}

/* A node that took over a client's receipt lacks those between: they are counted, not inferred. */
static int count_range(struct epoch_content *c, const struct epoch_session *x, uint64_t last)
{
	struct db_stmt *q = db_prepare(c->db, "SELECT count(*) FROM receipt WHERE session = ? "
					      "AND seq BETWEEN ? AND ?");
	uint64_t n = 0;
	int got;

	db_bind_u64(q, x->id);
	db_bind_u64(q, c->seq);
	db_bind_u64(q, last);
	got = db_step(q);
	if (got == 1)
		n = db_col_u64(q);
	db_done(q);
	if (got == 1 && n > UINT32_MAX - c->receipts)
		return -ERANGE;
	c->receipts += (uint32_t)n;
	return got < 0 ? got : 0;
}

/* c->key is the session before the one at hand, c->seq (0: its first) where in it. */
static int count_receipts(struct epoch_content *c)
{
	const struct epoch_session *x = ordered_after(c->sessions, c->any ? c->key : NULL);
	uint64_t last;
	int err;

	if (!x) {
		c->any = false;
		return 0;
	}
	if (!c->seq)
		c->seq = x->first;
	last = x->last - c->seq < COUNTED ? x->last : c->seq + COUNTED - 1;
	err = count_range(c, x, last);
	c->seq = last + 1;
	if (last == x->last) {
		memcpy(c->key, x->key, sizeof(x->key));
		c->any = true;
		c->seq = 0;
	}
	return err ? err : 1;
}

static int total_add(struct epoch_content *c, const uint8_t *key, uint64_t earned, uint64_t spent)
{
	struct epoch_total *t;

	if (!earned && !spent)
		return 0;
	t = ordered_put(c->accounts, key);
	if (__builtin_add_overflow(t->earned, earned, &t->earned) ||
	    __builtin_add_overflow(t->spent, spent, &t->spent))
		return -ERANGE;
	return 0;
}

static int total_row(struct epoch_content *c, struct db_stmt *q)
{
	uint64_t paid, before, fee;
	uint8_t payer[KEY_LEN], fee_account[KEY_LEN] = {0};
	uint32_t ppm;
	int err;

	c->epoch_at = db_col_u64(q);
	c->session_at = db_col_u64(q);
	paid = db_col_u64(q);
	before = db_col_u64(q);
	if (!db_col_blob(q, payer, sizeof(payer)))
		return -EIO;
	ppm = (uint32_t)db_col_u64(q);
	if (!db_col_blob(q, fee_account, sizeof(fee_account)) && ppm)
		return -EIO;
	fee = batch_fee(paid, ppm) - batch_fee(before, ppm);
	err = total_add(c, payer, 0, paid - before);
	if (!err)
		err = total_add(c, c->node, paid - before - fee, 0);
	return err ? err : total_add(c, fee_account, fee, 0);
}

static int read_totals(struct epoch_content *c)
{
	struct db_stmt *q = db_prepare(
		c->db, "SELECT t.epoch, t.session, t.paid, t.before, s.payer, s.fee_ppm, "
		       "s.fee_account FROM settled t JOIN session s ON s.id = t.session "
		       "WHERE (t.epoch, t.session) > (?, ?) AND t.epoch <= ? "
		       "ORDER BY t.epoch, t.session LIMIT ?");
	int got, err = 0, rows = 0;

	db_bind_u64(q, c->epoch_at);
	db_bind_u64(q, c->session_at);
	db_bind_u64(q, c->epoch);
	db_bind_u64(q, ROWS);
	while (!err && (got = db_step(q)) != 0) {
		err = got < 0 ? got : total_row(c, q);
		rows++;
	}
	db_done(q);
	return err ? err : rows == ROWS;
}

int epoch_content_read(struct epoch_content *c)
{
	static int (*const parts[])(struct epoch_content * c) = {read_sessions, count_receipts,
								 read_totals};
	int more = parts[c->part](c);

	if (more)
		return more;
	c->session_at = c->seq = 0;
	return ++c->part < ARRAY_SIZE(parts);
}
