/*
 * What the relay may carry in a month, booked before it is carried: a row a month, of bytes that
 * may have been. Whatever happens to the node, it has carried no more than stands here.
 */
#include <errno.h>

#include "accounting/rows.h"

static int carried_read(struct store *s, uint64_t month, uint64_t *bytes)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT bytes FROM carried WHERE month = ?");
	int got;

	*bytes = 0;
	db_bind_u64(q, month);
	got = db_step(q);
	if (got != 1)
		return got;
	*bytes = db_col_u64(q);
	db_done(q);
	return 0;
}

static int carried_write(struct store *s, uint64_t month, uint64_t bytes)
{
	struct db_stmt *q =
		db_prepare(s->db, "INSERT INTO carried(month, bytes) VALUES(?1, ?2) "
				  "ON CONFLICT(month) DO UPDATE SET bytes = excluded.bytes");

	db_bind_u64(q, month);
	db_bind_u64(q, bytes);
	return db_run(q);
}

int store_carry(struct store *s, const struct ledger_carry *c, struct ledger_carried *out)
{
	uint64_t before, room;
	int err;

	if (c->more > BYTES_MAX || c->less > BYTES_MAX || c->limit > BYTES_MAX)
		return -ERANGE;
	err = carried_read(s, c->month, &before);
	if (err)
		return err;
	out->total = before > c->less ? before - c->less : 0;
	room = c->limit > out->total ? c->limit - out->total : 0;
	out->booked = c->more < room ? c->more : room;
	out->total += out->booked;
	return out->total == before ? 0 : carried_write(s, c->month, out->total);
}
