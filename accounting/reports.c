#include "accounting/rows.h"

#include <errno.h>

#include "accounting/epochs.h"
#include "accounting/explain.h"
#include "accounting/pages.h"

static bool read_credit(struct db_stmt *q, struct query_rows *rows, size_t i)
{
	struct query_credit *row = &rows->credit[i];
	bool ok = db_col_blob(q, row->peer, sizeof(row->peer));

	row->spent = 0;
	row->window = db_col_u64(q);
	row->bytes = db_col_u64(q);
	row->earned = db_col_u64(q);
	return ok;
}

static int query_credits(struct store *s, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *stmt = db_prepare(s->db, "SELECT id, key, window, bytes, earned FROM payer "
						 "WHERE id > ?1 ORDER BY id LIMIT ?2");
	int err;

	db_bind_u64(stmt, q->after);
	db_bind_u64(stmt, QUERY_PAGE + 1);
	err = pages_fill(stmt, rows, read_credit);
	for (uint32_t i = 0; !err && i < rows->count; i++) {
		struct query_credit *row = &rows->credit[i];
		struct books_purse purse;
		struct live live;

		err = payer_purse(s, row->peer, &purse);
		if (!err)
			err = payer_live(s, row->peer, &live);
		if (err)
			break;
		row->free_left = purse.free_left;
		row->granted = purse.granted;
		row->balance = purse.free_left + purse.granted;
		row->debt = live.debt;
		row->earned = micro_add(row->earned, live.pending);
	}
	return err;
}

int store_query(struct store *s, const struct query *q, struct query_rows *rows)
{
	/* The same books, by the connection that only reads. */
	struct store view = *s;

	view.db = s->reader;
	rows->kind = q->kind;
	rows->count = 0;
	rows->next = 0;
	switch (q->kind) {
	case QUERY_CREDITS:
		return query_credits(&view, q, rows);
	case QUERY_EXPLAIN:
		return explain_session(view.db, q, rows);
	case QUERY_BOOKINGS:
		return explain_bookings(view.db, q, rows);
	case QUERY_EARNINGS:
		return earnings_query(&view, q, rows);
	case QUERY_EPOCHS:
		return epochs_query(&view, q, rows);
	case QUERY_PROMISES:
		return promises_query(&view, q, rows);
	default:
		return pages_query(view.db, q, rows);
	}
}
