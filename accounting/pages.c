#include "accounting/pages.h"

#include <errno.h>

static uint32_t page_room(enum query_kind kind)
{
	return kind == QUERY_DISPUTES ? QUERY_PAGE_DISPUTES : QUERY_PAGE;
}

int pages_fill(struct db_stmt *s, struct query_rows *rows,
	       bool (*read)(struct db_stmt *s, struct query_rows *rows, size_t i))
{
	uint64_t last = 0;
	int got;

	rows->count = 0;
	rows->next = 0;
	while ((got = db_step(s)) == 1) {
		if (rows->count == page_room(rows->kind)) {
			rows->next = last;
			break;
		}
		last = db_col_u64(s);
		if (!read(s, rows, rows->count)) {
			got = -EIO;
			break;
		}
		rows->count++;
	}
	db_done(s);
	return got < 0 ? got : 0;
}

static bool read_session(struct db_stmt *s, struct query_rows *rows, size_t i)
{
	struct query_session *row = &rows->session[i];
	bool ok = db_col_blob(s, row->session, sizeof(row->session));

	ok = db_col_blob(s, row->provider, sizeof(row->provider)) && ok;
	ok = db_col_blob(s, row->payer, sizeof(row->payer)) && ok;
	row->role = (uint8_t)db_col_u64(s);
	row->state = (uint8_t)db_col_u64(s);
	row->seq = db_col_u64(s);
	row->bytes_up = db_col_u64(s);
	row->bytes_down = db_col_u64(s);
	row->amount = db_col_u64(s);
	row->opened_hour = db_col_u64(s);
	return ok;
}

static bool read_receipt(struct db_stmt *s, struct query_rows *rows, size_t i)
{
	return db_col_blob(s, &rows->receipt[i].receipt, sizeof(struct receipt));
}

static bool read_terms(struct db_stmt *s, struct query_rows *rows, size_t i)
{
	return db_col_blob(s, &rows->terms[i], sizeof(struct terms));
}

static bool read_dispute(struct db_stmt *s, struct query_rows *rows, size_t i)
{
	struct query_dispute *row = &rows->dispute[i];
	struct evidence *e = &row->evidence;
	bool ok;

	*row = (struct query_dispute){.state = (uint8_t)db_col_u64(s)};
	ok = db_col_blob(s, &row->terms, sizeof(row->terms));
	e->kind = (enum evidence_kind)db_col_u64(s);
	ok = db_col_blob(s, &e->first, sizeof(e->first)) && ok;
	e->has_second = db_col_blob(s, &e->second, sizeof(e->second));
	e->counted_up = db_col_u64(s);
	e->counted_down = db_col_u64(s);
	row->hour = db_col_u64(s);
	return ok;
}

/* Cursor, then the session or NULL for all, then how many: one more than a page tells of a next. */
static void bind_page(struct db_stmt *s, const struct query *q)
{
	db_bind_u64(s, q->after);
	if (q->has_session)
		db_bind_blob(s, q->session, sizeof(q->session));
	else
		db_bind_null(s);
	db_bind_u64(s, page_room(q->kind) + 1);
}

#define SESSION_ROWS                                                                              \
	"SELECT id, key, provider, payer, role, state, seq, up, down, amount, hour FROM session " \
	"WHERE id > ?1 "

/* Two statements, here and below: one that fits both looks at every row for the one it wants. */
static int query_sessions(struct db *db, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *s;

	if (q->has_session)
		s = db_prepare(db, SESSION_ROWS "AND key = ?2 ORDER BY id LIMIT ?3");
	else
		s = db_prepare(db, SESSION_ROWS "AND ?2 IS NULL ORDER BY id LIMIT ?3");
	bind_page(s, q);
	return pages_fill(s, rows, read_session);
}

static int query_receipts(struct db *db, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *s;

	if (q->has_session)
		s = db_prepare(db, "SELECT r.id, r.body FROM receipt r JOIN session s "
				   "ON s.id = r.session WHERE r.id > ?1 AND s.key = ?2 "
				   "ORDER BY r.id LIMIT ?3");
	else
		s = db_prepare(db, "SELECT id, body FROM receipt WHERE id > ?1 AND ?2 IS NULL "
				   "ORDER BY id LIMIT ?3");
	bind_page(s, q);
	return pages_fill(s, rows, read_receipt);
}

/* Only terms that co-signed receipts refer to; with a session, only its own. */
static int query_terms(struct db *db, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *s;

	if (q->has_session)
		s = db_prepare(db,
			       "SELECT id, body FROM terms WHERE id > ?1 AND hash = (SELECT terms "
			       "FROM session WHERE key = ?2 AND seq > 0) ORDER BY id LIMIT ?3");
	else
		s = db_prepare(db, "SELECT id, body FROM terms t WHERE id > ?1 AND ?2 IS NULL "
				   "AND EXISTS (SELECT 1 FROM session s WHERE s.terms = t.hash "
				   "AND s.seq > 0) ORDER BY id LIMIT ?3");
	bind_page(s, q);
	return pages_fill(s, rows, read_terms);
}

static int query_disputes(struct db *db, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *s = db_prepare(
		db, "SELECT e.id, s.state, t.body, e.kind, e.offer, e.other, e.up, e.down, e.hour "
		    "FROM evidence e JOIN session s ON s.id = e.session "
		    "JOIN terms t ON t.hash = s.terms "
		    "WHERE e.id > ?1 AND (?2 IS NULL OR s.key = ?2) ORDER BY e.id LIMIT ?3");

	bind_page(s, q);
	return pages_fill(s, rows, read_dispute);
}

int pages_query(struct db *db, const struct query *q, struct query_rows *rows)
{
	rows->kind = q->kind;
	switch (q->kind) {
	case QUERY_SESSIONS:
		return query_sessions(db, q, rows);
	case QUERY_RECEIPTS:
		return query_receipts(db, q, rows);
	case QUERY_TERMS:
		return query_terms(db, q, rows);
	case QUERY_DISPUTES:
		return query_disputes(db, q, rows);
	case QUERY_CREDITS:
	case QUERY_EXPLAIN:
	case QUERY_BOOKINGS:
	case QUERY_EARNINGS:
	case QUERY_EPOCHS:
	case QUERY_PROMISES:
		break;
	}
	return -EINVAL;
}
