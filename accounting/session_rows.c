#include "accounting/rows.h"

#include <errno.h>
#include <string.h>

#include "accounting/both_rows.h"

int session_row_read(struct db_stmt *q, struct session *x)
{
	bool ok;

	x->id = db_col_u64(q);
	ok = db_col_blob(q, x->key, sizeof(x->key));
	ok = db_col_blob(q, x->payer, sizeof(x->payer)) && ok;
	ok = db_col_blob(q, x->terms, sizeof(x->terms)) && ok;
	x->role = (enum role)db_col_u64(q);
	x->state = (enum session_state)db_col_u64(q);
	x->price = db_col_u64(q);
	x->seq = db_col_u64(q);
	x->up = db_col_u64(q);
	x->down = db_col_u64(q);
	x->amount = db_col_u64(q);
	x->final_up = db_col_u64(q);
	x->final_down = db_col_u64(q);
	x->hold = db_col_u64(q);
	x->posted = db_col_u64(q);
	x->paid = db_col_u64(q);
	x->posted_hour = db_col_u64(q);
	x->posted_bytes = db_col_u64(q);
	x->moves = db_col_u64(q);
	x->fee_ppm = (uint32_t)db_col_u64(q);
	ok = (db_col_blob(q, x->fee_account, sizeof(x->fee_account)) || !x->fee_ppm) && ok;
	x->settled = db_col_u64(q);
	x->settled_seq = db_col_u64(q);
	x->outstanding = db_col_blob(q, &x->offer, sizeof(x->offer));
	db_done(q);
	return ok ? 0 : -EIO;
}

int session_row_find(struct store *s, const uint8_t key[static SESSION_ID_LEN], struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, SESSION_SELECT "WHERE key = ?");
	int got;

	db_bind_blob(q, key, SESSION_ID_LEN);
	got = db_step(q);
	return got == 1 ? session_row_read(q, x) : got == 0 ? -EACCES : got;
}

int session_row_save(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(
		s->db, "UPDATE session SET state = ?, seq = ?, up = ?, down = ?, amount = ?, "
		       "final_up = ?, final_down = ?, hold = ?, posted = ?, paid = ?, "
		       "posted_hour = ?, posted_bytes = ?, moves = ?, settled = ?, "
		       "settled_seq = ?, offer = ? WHERE id = ?");

	db_bind_u64(q, x->state);
	db_bind_u64(q, x->seq);
	db_bind_u64(q, x->up);
	db_bind_u64(q, x->down);
	db_bind_u64(q, x->amount);
	db_bind_u64(q, x->final_up);
	db_bind_u64(q, x->final_down);
	db_bind_u64(q, x->hold);
	db_bind_u64(q, x->posted);
	db_bind_u64(q, x->paid);
	db_bind_u64(q, x->posted_hour);
	db_bind_u64(q, x->posted_bytes);
	db_bind_u64(q, x->moves);
	db_bind_u64(q, x->settled);
	db_bind_u64(q, x->settled_seq);
	if (x->outstanding)
		db_bind_blob(q, &x->offer, sizeof(x->offer));
	else
		db_bind_null(q);
	db_bind_u64(q, x->id);
	return db_run(q);
}

int session_row_insert(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(
		s->db, "INSERT INTO session(key, provider, payer, role, state, terms, hour, price, "
		       "posted_hour, fee_ppm, fee_account) "
		       "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");

	db_bind_blob(q, x->key, SESSION_ID_LEN);
	db_bind_blob(q, s->by->id, KEY_LEN);
	db_bind_blob(q, x->payer, KEY_LEN);
	db_bind_u64(q, x->role);
	db_bind_u64(q, x->state);
	db_bind_blob(q, x->terms, KEY_LEN);
	db_bind_u64(q, s->now_s / HOUR);
	db_bind_u64(q, x->price);
	db_bind_u64(q, s->now_s / HOUR);
	db_bind_u64(q, s->config.fee_ppm);
	if (s->config.fee_ppm)
		db_bind_blob(q, s->config.fee_account, KEY_LEN);
	else
		db_bind_null(q);
	return db_run(q);
}

int session_row_add(struct store *s, enum role role, const uint8_t key[static SESSION_ID_LEN],
		    const uint8_t payer[static KEY_LEN])
{
	struct session x = {
		.role = role,
		.state = SESSION_OPEN,
		.price = le64_get(s->terms[role].body.price),
	};

	memcpy(x.key, key, SESSION_ID_LEN);
	memcpy(x.payer, payer, KEY_LEN);
	memcpy(x.terms, s->terms_hash[role], KEY_LEN);
	return session_row_insert(s, &x);
}

int session_row_cost(const struct session *x, uint64_t *cost)
{
	/* Both are within BYTES_MAX. */
	return terms_amount(x->price, x->final_up + x->final_down, cost) && *cost <= INT64_MAX
		       ? 0
		       : -ERANGE;
}

int session_row_head(struct store *s, const struct session *x, struct receipt *out)
{
	return both_receipt(s->db, x->id, x->seq, out);
}

int session_row_offer(struct store *s, struct session *x)
{
	struct receipt_session about = {
		.role = x->role,
		.network = s->config.network,
		.price = x->price,
	};
	struct receipt head;
	uint64_t cost;
	int err = session_row_cost(x, &cost);

	if (!err)
		err = session_hold(s, x, cost);
	if (!err && x->seq)
		err = session_row_head(s, x, &head);
	if (err)
		return err;
	memcpy(about.session, x->key, sizeof(about.session));
	memcpy(about.payer, x->payer, sizeof(about.payer));
	memcpy(about.terms, x->terms, sizeof(about.terms));
	if (!receipt_make(&x->offer, &about, x->seq ? &head.offer : NULL, x->final_up,
			  x->final_down, s->now_s / HOUR, s->by))
		return -ERANGE;
	x->outstanding = true;
	return 0;
}

void session_row_carried(struct session *x, uint64_t up, uint64_t down)
{
	if (up > x->final_up)
		x->final_up = up;
	if (down > x->final_down)
		x->final_down = down;
}

bool session_row_unsigned(const struct session *x)
{
	return x->final_up > x->up || x->final_down > x->down;
}

int session_row_forget(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, "DELETE FROM session WHERE id = ?");

	db_bind_u64(q, x->id);
	return db_run(q);
}
