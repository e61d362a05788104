#include <errno.h>
#include <string.h>

#include "accounting/rows.h"
#include "base/text.h"

enum {
	HOURS_A_DAY = 24,
	/* Bookings looked at for one page: the process has receipts to store meanwhile. */
	SCAN_MAX = 1000,
	CURSOR_SHIFT = 40, /* a cursor is an hour and, below that, a booking's number */
};

/* No booking is as late, and a cursor has room for it. */
#define HOURS_MAX (UINT64_C(1) << 22)
#define PAY       "pay:"

/* The next booking at or after hour and beyond number, within the question's hours. */
struct posting {
	uint64_t hour, txn, bytes;
	bool pays; /* and not another kind of booking */
	uint8_t session[SESSION_ID_LEN];
};

/* 1: there is one, with hour and txn moved on to it. */
static int posting_next(struct store *s, struct posting *p, uint64_t until)
{
	struct db_stmt *q;
	const char *key;
	char hex[2 * SESSION_ID_LEN + 1];
	int got;

	q = db_prepare(s->db, "SELECT hour, id, bytes, key FROM txn WHERE hour = ?1 AND id > ?2 "
			      "ORDER BY id LIMIT 1");
	db_bind_u64(q, p->hour);
	db_bind_u64(q, p->txn);
	got = db_step(q);
	if (got == 0) {
		q = db_prepare(s->db, "SELECT hour, id, bytes, key FROM txn WHERE hour > ?1 "
				      "AND hour < ?2 ORDER BY hour, id LIMIT 1");
		db_bind_u64(q, p->hour);
		db_bind_u64(q, until);
		got = db_step(q);
	}
	if (got != 1)
		return got;
	p->hour = db_col_u64(q);
	p->txn = db_col_u64(q);
	p->bytes = db_col_u64(q);
	key = db_col_text(q);
	p->pays = strncmp(key, PAY, strlen(PAY)) == 0 && strlen(key) > strlen(PAY) + sizeof(hex);
	if (p->pays) {
		memcpy(hex, key + strlen(PAY), sizeof(hex) - 1);
		hex[sizeof(hex) - 1] = '\0';
		p->pays = text_unhex(p->session, sizeof(p->session), hex);
	}
	db_done(q);
	return 1;
}

static int posting_payer(struct store *s, const struct posting *p, uint8_t payer[static KEY_LEN])
{
	struct db_stmt *q = db_prepare(s->db, "SELECT payer FROM session WHERE key = ?");
	int got;
	bool ok;

	db_bind_blob(q, p->session, sizeof(p->session));
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -EIO;
	ok = db_col_blob(q, payer, KEY_LEN);
	db_done(q);
	return ok ? 0 : -EIO;
}

/* Where a posting's credit came from is below 0; where it went says what it is. */
static int posting_legs(struct store *s, const struct posting *p, struct query_earning *sum)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT e.amount, a.kind, a.payer FROM entry e "
					      "JOIN account a ON a.id = e.account WHERE e.txn = ?");
	int got;

	db_bind_u64(q, p->txn);
	while ((got = db_step(q)) == 1) {
		int64_t amount = db_col_i64(q);
		enum account_kind kind = (enum account_kind)db_col_u64(q);
		uint8_t owner[KEY_LEN];

		/* Before there were holds the node was booked all of it. */
		if (amount < 0 && kind == ACCOUNT_FREE) {
			sum->allowance -= (uint64_t)amount;
			sum->earned += (uint64_t)amount;
		}
		if (amount < 0)
			continue;
		sum->amount += (uint64_t)amount;
		if (kind == ACCOUNT_GIVEN)
			sum->allowance += (uint64_t)amount;
		else if (db_col_blob(q, owner, KEY_LEN) && memcmp(owner, s->by->id, KEY_LEN) != 0)
			sum->fee += (uint64_t)amount;
		else
			sum->earned += (uint64_t)amount;
	}
	return got;
}

/* The page's row of that day and payer, new if need be; NULL: the page is full. */
static struct query_earning *earning_of(struct query_rows *rows, uint64_t day,
					const uint8_t payer[static KEY_LEN])
{
	struct query_earning *row;

	for (uint32_t i = rows->count; i-- > 0;) {
		row = &rows->earning[i];
		if (row->day == day && memcmp(row->payer, payer, KEY_LEN) == 0)
			return row;
	}
	if (rows->count == QUERY_PAGE)
		return NULL;
	row = &rows->earning[rows->count++];
	*row = (struct query_earning){.day = day};
	memcpy(row->payer, payer, KEY_LEN);
	return row;
}

/* 1: added; 0: no room for it on this page. */
static int posting_add(struct store *s, const struct posting *p, struct query_rows *rows)
{
	struct query_earning *row;
	uint8_t payer[KEY_LEN];
	int err = posting_payer(s, p, payer);

	if (err)
		return err;
	row = earning_of(rows, p->hour / HOURS_A_DAY, payer);
	if (!row)
		return 0;
	row->postings++;
	row->bytes += p->bytes;
	err = posting_legs(s, p, row);
	return err ? err : 1;
}

int earnings_query(struct store *s, const struct query *q, struct query_rows *rows)
{
	struct posting p = {.hour = q->after >> CURSOR_SHIFT,
			    .txn = q->after & ((UINT64_C(1) << CURSOR_SHIFT) - 1)};
	int got = 0, scanned = 0;

	rows->kind = QUERY_EARNINGS;
	rows->count = 0;
	rows->next = 0;
	if (q->after == 0)
		p.hour = q->since;
	if (p.hour < q->since || p.hour >= q->until || q->until > HOURS_MAX)
		return q->since >= q->until ? 0 : -EINVAL;
	for (; scanned < SCAN_MAX; scanned++) {
		uint64_t seen = p.hour << CURSOR_SHIFT | p.txn;

		got = posting_next(s, &p, q->until);
		if (got <= 0)
			return got;
		got = p.pays ? posting_add(s, &p, rows) : 1;
		if (got < 0)
			return got;
		if (got == 0) {
			rows->next = seen;
			return 0;
		}
	}
	rows->next = p.hour << CURSOR_SHIFT | p.txn;
	return 0;
}
