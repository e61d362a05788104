#include "accounting/both_rows.h"

#include <errno.h>

int both_terms_add(struct db *db, const struct terms *t)
{
	struct db_stmt *q = db_prepare(db, "INSERT INTO terms(hash, body) VALUES(?, ?) "
					   "ON CONFLICT(hash) DO NOTHING");
	uint8_t hash[KEY_LEN];

	terms_hash(hash, t);
	db_bind_blob(q, hash, KEY_LEN);
	db_bind_blob(q, t, sizeof(*t));
	return db_run(q);
}

int both_receipt_add(struct db *db, uint64_t session, const struct receipt *r)
{
	struct db_stmt *q =
		db_prepare(db, "INSERT INTO receipt(session, seq, body) VALUES(?, ?, ?)");

	db_bind_u64(q, session);
	db_bind_u64(q, le64_get(r->offer.body.seq));
	db_bind_blob(q, r, sizeof(*r));
	return db_run(q);
}

int both_receipt(struct db *db, uint64_t session, uint64_t seq, struct receipt *out)
{
	struct db_stmt *q =
		db_prepare(db, "SELECT body FROM receipt WHERE session = ? AND seq = ?");
	int got;
	bool ok;

	db_bind_u64(q, session);
	db_bind_u64(q, seq);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	ok = db_col_blob(q, out, sizeof(*out));
	db_done(q);
	return ok ? 0 : -EIO;
}

static uint64_t count_kept(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : n;
}

int both_evidence_add(struct db *db, uint64_t session, const struct evidence *e, uint64_t hour)
{
	struct db_stmt *q =
		db_prepare(db, "INSERT INTO evidence(session, kind, offer, other, up, down, hour) "
			       "VALUES(?, ?, ?, ?, ?, ?, ?)");

	db_bind_u64(q, session);
	db_bind_u64(q, e->kind);
	db_bind_blob(q, &e->first, sizeof(e->first));
	if (e->has_second)
		db_bind_blob(q, &e->second, sizeof(e->second));
	else
		db_bind_null(q);
	db_bind_u64(q, count_kept(e->counted_up));
	db_bind_u64(q, count_kept(e->counted_down));
	db_bind_u64(q, hour);
	return db_run(q);
}
