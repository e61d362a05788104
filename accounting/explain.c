#include "accounting/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* The columns both sides have. */
#define EXPLAIN_SELECT "SELECT s.provider, s.payer, s.role, s.state, s.hour, t.body, r.body"
#define EXPLAIN_FROM                                        \
	" FROM session s JOIN terms t ON t.hash = s.terms " \
	"LEFT JOIN receipt r ON r.session = s.id AND r.seq = s.seq"

static bool read_common(struct db_stmt *s, struct query_explain *x)
{
	bool ok = db_col_blob(s, x->provider, sizeof(x->provider));

	ok = db_col_blob(s, x->payer, sizeof(x->payer)) && ok;
	x->role = (uint8_t)db_col_u64(s);
	x->state = (uint8_t)db_col_u64(s);
	x->opened_hour = db_col_u64(s);
	ok = db_col_blob(s, &x->terms, sizeof(x->terms)) && ok;
	x->has_receipt = db_col_blob(s, &x->receipt, sizeof(x->receipt));
	return ok;
}

/* One row, read by its side's function, or -ENOENT. */
static int explain_row(struct db_stmt *s, const struct query *q, struct query_rows *rows,
		       bool (*read)(struct db_stmt *s, struct query_explain *x))
{
	struct query_explain *x = &rows->explain[0];
	int got;
	bool ok;

	*x = (struct query_explain){0};
	memcpy(x->session, q->session, sizeof(x->session));
	rows->kind = QUERY_EXPLAIN;
	rows->count = 1;
	rows->next = 0;
	db_bind_blob(s, q->session, sizeof(q->session));
	got = db_step(s);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	ok = read_common(s, x) && read(s, x);
	db_done(s);
	return ok ? 0 : -EIO;
}

static bool read_provider(struct db_stmt *s, struct query_explain *x)
{
	x->counted_up = db_col_u64(s);
	x->counted_down = db_col_u64(s);
	x->hold = db_col_u64(s);
	x->posted = db_col_u64(s);
	x->paid = db_col_u64(s);
	x->fee_ppm = db_col_u64(s);
	x->has_fee_account = db_col_blob(s, x->fee_account, sizeof(x->fee_account));
	x->has_offer = db_col_blob(s, &x->offer, sizeof(x->offer));
	return true;
}

int explain_session(struct db *db, const struct query *q, struct query_rows *rows)
{
	return explain_row(db_prepare(db, EXPLAIN_SELECT
				      ", s.final_up, s.final_down, s.hold, s.posted, s.paid, "
				      "s.fee_ppm, s.fee_account, s.offer" EXPLAIN_FROM
				      " WHERE s.key = ?"),
			   q, rows, read_provider);
}

static bool read_client(struct db_stmt *s, struct query_explain *x)
{
	x->counted_up = db_col_u64(s);
	x->counted_down = db_col_u64(s);
	x->seen_up = db_col_u64(s);
	x->seen_down = db_col_u64(s);
	x->has_pair = db_col_blob(s, x->pair, sizeof(x->pair));
	x->has_offer = db_col_blob(s, &x->offer, sizeof(x->offer));
	return true;
}

int explain_wallet(struct db *db, const struct query *q, struct query_rows *rows)
{
	return explain_row(
		db_prepare(db, EXPLAIN_SELECT
			   ", s.counted_up, s.counted_down, s.seen_up, s.seen_down, "
			   "s.pair, (SELECT e.offer FROM evidence e WHERE s.state = 3 "
			   "AND e.session = s.id ORDER BY e.id DESC LIMIT 1)" EXPLAIN_FROM
			   " WHERE s.key = ?"),
		q, rows, read_client);
}

/* ---- bookings ---- */

static void read_booking(struct db_stmt *s, struct query_booking *b)
{
	b->txn = db_col_u64(s);
	snprintf(b->key, sizeof(b->key), "%s", db_col_text(s));
	b->hour = db_col_u64(s);
	b->bytes = db_col_u64(s);
	snprintf(b->account, sizeof(b->account), "%s", db_col_text(s));
	snprintf(b->source, sizeof(b->source), "%s", db_col_text(s));
	b->amount = db_col_i64(s);
}

/* From "KIND:SESSION:" to "KIND:SESSION;", the character after ':'. */
static void bind_keys(struct db_stmt *s, const char *kind, const struct query *q)
{
	char hex[2 * SESSION_ID_LEN + 1], key[QUERY_KEY_TEXT];

	text_hex(hex, q->session, sizeof(q->session));
	snprintf(key, sizeof(key), "%s:%s:", kind, hex);
	db_bind_text(s, key);
	snprintf(key, sizeof(key), "%s:%s;", kind, hex);
	db_bind_text(s, key);
}

int explain_bookings(struct db *db, const struct query *q, struct query_rows *rows)
{
	/* A hold knows what it was set aside from; other accounts' sources are nobody's business.
	 */
	struct db_stmt *s = db_prepare(
		db, "SELECT t.id, t.key, t.hour, t.bytes, a.name, f.name, e.amount FROM txn t "
		    "JOIN entry e ON e.txn = t.id JOIN account a ON a.id = e.account "
		    "LEFT JOIN account f ON f.id = a.source AND a.kind = 4 "
		    "WHERE (t.key >= ?1 AND t.key < ?2) OR (t.key >= ?3 AND t.key < ?4) "
		    "OR (t.key >= ?5 AND t.key < ?6) ORDER BY t.id, e.account LIMIT ?7 OFFSET ?8");
	int got;

	bind_keys(s, "hold", q);
	bind_keys(s, "pay", q);
	bind_keys(s, "release", q);
	db_bind_u64(s, QUERY_PAGE + 1);
	db_bind_u64(s, q->after);
	rows->kind = QUERY_BOOKINGS;
	rows->count = 0;
	rows->next = 0;
	while ((got = db_step(s)) == 1) {
		if (rows->count == QUERY_PAGE) {
			rows->next = q->after + QUERY_PAGE;
			break;
		}
		read_booking(s, &rows->booking[rows->count++]);
	}
	db_done(s);
	return got < 0 ? got : 0;
}
