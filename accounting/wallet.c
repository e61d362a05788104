#include "accounting/wallet_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "accounting/explain.h"
#include "accounting/migrations.h"
#include "accounting/pages.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	HOUR = 3600,
};

int wallet_open(struct wallet **out, const char *path, bool readonly)
{
	struct wallet *w = xcalloc(1, sizeof(*w));
	int err = schema_open(&w->db, path, readonly ? DB_READONLY : 0, &schema_wallet);

	if (err) {
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

void wallet_close(struct wallet *w)
{
	if (w)
		db_close(w->db);
	free(w);
}

/* ---- rows ---- */

int wallet_receipt(struct wallet *w, const struct wallet_row *row, uint64_t seq,
		   struct receipt *out)
{
	return seq > row->seq ? -ENOENT : both_receipt(w->db, row->id, seq, out);
}

/* A head without its receipt: the file is damaged. */
static int wallet_head(struct wallet *w, struct wallet_row *row)
{
	int err = wallet_receipt(w, row, row->seq, &row->head);

	return err == -ENOENT ? -EIO : err;
}

int wallet_find(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		struct wallet_row *row)
{
	struct db_stmt *q = db_prepare(
		w->db, "SELECT s.id, s.state, s.seq, s.up, s.down, s.amount, s.payer, t.body "
		       "FROM session s JOIN terms t ON t.hash = s.terms WHERE s.key = ?");
	int got;
	bool ok;

	db_bind_blob(q, session, SESSION_ID_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	row->id = db_col_u64(q);
	row->state = (enum session_state)db_col_u64(q);
	row->seq = db_col_u64(q);
	row->up = db_col_u64(q);
	row->down = db_col_u64(q);
	row->amount = db_col_u64(q);
	ok = db_col_blob(q, row->payer, sizeof(row->payer));
	ok = db_col_blob(q, &row->terms, sizeof(row->terms)) && ok;
	db_done(q);
	if (!ok)
		return -EIO;
	return row->seq ? wallet_head(w, row) : 0;
}

int wallet_finish(struct wallet *w, int err)
{
	if (!err)
		return db_commit(w->db);
	db_rollback(w->db);
	return err;
}

static int provider_add(struct wallet *w, const uint8_t key[static KEY_LEN])
{
	struct db_stmt *q = db_prepare(w->db, "INSERT INTO provider(key) VALUES(?) "
					      "ON CONFLICT(key) DO NOTHING");

	db_bind_blob(q, key, KEY_LEN);
	return db_run(q);
}

static int session_add(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		       const struct terms *terms, const uint8_t hash[static KEY_LEN],
		       const uint8_t payer[static KEY_LEN])
{
	struct db_stmt *q = db_prepare(
		w->db, "INSERT INTO session(key, provider, payer, role, state, terms, hour) "
		       "VALUES(?, ?, ?, ?, 0, ?, ?)");

	db_bind_blob(q, session, SESSION_ID_LEN);
	db_bind_blob(q, terms->body.provider, KEY_LEN);
	db_bind_blob(q, payer, KEY_LEN);
	db_bind_u64(q, terms->body.role);
	db_bind_blob(q, hash, KEY_LEN);
	db_bind_u64(q, clock_wall() / HOUR);
	return db_run(q);
}

int wallet_session(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		   const struct terms *terms, const uint8_t payer[static KEY_LEN])
{
	uint8_t hash[KEY_LEN];
	int err = db_begin(w->db);

	if (err)
		return err;
	terms_hash(hash, terms);
	err = both_terms_add(w->db, terms);
	if (!err)
		err = provider_add(w, terms->body.provider);
	if (!err)
		err = session_add(w, session, terms, hash, payer);
	return wallet_finish(w, err);
}

/* ---- counts ---- */

static int count_raise(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		       const struct wallet_count *count)
{
	struct db_stmt *q =
		db_prepare(w->db, "UPDATE session SET counted_up = CASE WHEN counted_up < ?1 "
				  "THEN ?1 ELSE counted_up END, counted_down = CASE "
				  "WHEN counted_down < ?2 THEN ?2 ELSE counted_down "
				  "END WHERE key = ?3");

	db_bind_u64(q, count->up);
	db_bind_u64(q, count->down);
	db_bind_blob(q, session, SESSION_ID_LEN);
	return db_run(q);
}

int wallet_counted(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		   const struct wallet_count *count)
{
	int err = db_begin(w->db);

	return err ? err : wallet_finish(w, count_raise(w, session, count));
}

/* What was counted as the newest receipt was signed: later bytes are in no bill yet. */
static int count_seen(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		      const struct wallet_count *count)
{
	struct db_stmt *q =
		db_prepare(w->db, "UPDATE session SET seen_up = ?, seen_down = ? WHERE key = ?");

	db_bind_u64(q, count->up);
	db_bind_u64(q, count->down);
	db_bind_blob(q, session, SESSION_ID_LEN);
	return db_run(q);
}

int wallet_count_of(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		    struct wallet_count *out)
{
	struct db_stmt *q =
		db_prepare(w->db, "SELECT counted_up, counted_down FROM session WHERE key = ?");
	int got;

	db_bind_blob(q, session, SESSION_ID_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	out->up = db_col_u64(q);
	out->down = db_col_u64(q);
	db_done(q);
	return 0;
}

/* ---- judging ---- */

/* Everything but the counts. */
static int judge_form(const struct wallet_row *row, const struct receipt_offer *offer)
{
	if (row->state == SESSION_FROZEN)
		return -EBADMSG;
	if (memcmp(offer->body.payer, row->payer, KEY_LEN) != 0)
		return -EBADMSG;
	if (receipt_check_offer(offer, &row->terms) != RECEIPT_OK)
		return -EBADMSG;
	if (receipt_check_chain(row->seq ? &row->head.offer : NULL, offer) != RECEIPT_OK)
		return -EBADMSG;
	return 0;
}

static int judge_count(const struct wallet_row *row, const struct receipt_offer *offer,
		       const struct wallet_count *count)
{
	uint64_t down = le64_get(offer->body.bytes_down), allowed;

	if (le64_get(offer->body.bytes_up) > count->up)
		return -EBADMSG;
	allowed = evidence_loss_allowed(&row->terms, down);
	return down > count->down && down - count->down > allowed ? -EAGAIN : 0;
}

/* The very offer that was signed last: signing it again says nothing new. */
static bool is_head(const struct wallet_row *row, const struct receipt_offer *offer)
{
	return row->seq && memcmp(&row->head.offer, offer, sizeof(*offer)) == 0;
}

/* Signed, and a later one since: 1. A provider shows such a one again if it comes out of order. */
static int is_past(struct wallet *w, const struct wallet_row *row,
		   const struct receipt_offer *offer)
{
	struct receipt old;
	int err = wallet_receipt(w, row, le64_get(offer->body.seq), &old);

	if (err)
		return err == -ENOENT ? 0 : err;
	return memcmp(&old.offer, offer, sizeof(*offer)) == 0;
}

int wallet_judge(struct wallet *w, const struct receipt_offer *offer,
		 const struct wallet_count *count)
{
	struct wallet_row row;
	int err = wallet_find(w, offer->body.session, &row), past;

	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (is_head(&row, offer))
		return 0;
	past = is_past(w, &row, offer);
	if (past)
		return past < 0 ? past : -EALREADY;
	err = judge_form(&row, offer);
	return err ? err : judge_count(&row, offer, count);
}

/* ---- signing ---- */

static int head_raise(struct wallet *w, const struct wallet_row *row, const struct receipt_body *b)
{
	struct db_stmt *q = db_prepare(
		w->db, "UPDATE session SET seq = ?, up = ?, down = ?, amount = ? WHERE id = ?");

	db_bind_u64(q, le64_get(b->seq));
	db_bind_u64(q, le64_get(b->bytes_up));
	db_bind_u64(q, le64_get(b->bytes_down));
	db_bind_u64(q, le64_get(b->amount));
	db_bind_u64(q, row->id);
	return db_run(q);
}

static int provider_raise(struct wallet *w, const struct wallet_row *row,
			  const struct receipt_body *b)
{
	struct db_stmt *q = db_prepare(
		w->db, "UPDATE provider SET spent = spent + ?, bytes = bytes + ? WHERE key = ?");

	db_bind_u64(q, le64_get(b->amount) - row->amount);
	db_bind_u64(q, le64_get(b->bytes_up) + le64_get(b->bytes_down) - row->up - row->down);
	db_bind_blob(q, b->provider, KEY_LEN);
	return db_run(q);
}

static int cosign_new(struct wallet *w, const struct wallet_row *row, const struct receipt *r)
{
	int err = judge_form(row, &r->offer);

	if (!err)
		err = both_receipt_add(w->db, row->id, r);
	if (!err)
		err = head_raise(w, row, &r->offer.body);
	return err ? err : provider_raise(w, row, &r->offer.body);
}

int wallet_cosign(struct wallet *w, const struct receipt_offer *offer,
		  const struct wallet_count *count, const struct identity *payer,
		  uint8_t signature[static SIGNATURE_LEN])
{
	struct wallet_row row;
	struct receipt r;
	int err = db_begin(w->db);

	if (err)
		return err;
	err = wallet_find(w, offer->body.session, &row);
	if (!err && memcmp(payer->id, row.payer, KEY_LEN) != 0)
		err = -EBADMSG;
	if (!err && is_head(&row, offer)) {
		r = row.head;
	} else if (!err) {
		receipt_cosign(&r, offer, payer);
		err = cosign_new(w, &row, &r);
		if (!err)
			err = count_raise(w, offer->body.session, count);
		if (!err)
			err = count_seen(w, offer->body.session, count);
	}
	err = wallet_finish(w, err == -ENOENT ? -EBADMSG : err);
	/* The signature leaves this function only once it is on the disk. */
	if (!err)
		memcpy(signature, r.payer_signature, SIGNATURE_LEN);
	return err;
}

/* ---- pairs and endings ---- */

static int pair_set(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		    const uint8_t other[static SESSION_ID_LEN])
{
	struct db_stmt *q = db_prepare(w->db, "UPDATE session SET pair = ? WHERE key = ?");

	db_bind_blob(q, other, SESSION_ID_LEN);
	db_bind_blob(q, session, SESSION_ID_LEN);
	return db_run(q);
}

int wallet_pair(struct wallet *w, const uint8_t relay[static SESSION_ID_LEN],
		const uint8_t exit[static SESSION_ID_LEN])
{
	int err = db_begin(w->db);

	if (err)
		return err;
	err = pair_set(w, relay, exit);
	if (!err)
		err = pair_set(w, exit, relay);
	return wallet_finish(w, err);
}

int wallet_state(struct wallet *w, uint64_t id, enum session_state state)
{
	struct db_stmt *q = db_prepare(w->db, "UPDATE session SET state = ? WHERE id = ?");

	db_bind_u64(q, state);
	db_bind_u64(q, id);
	return db_run(q);
}

int wallet_ended(struct wallet *w, const uint8_t session[static SESSION_ID_LEN])
{
	struct wallet_row row;
	int err = db_begin(w->db);

	if (err)
		return err;
	err = wallet_find(w, session, &row);
	/* A last receipt may still come and be signed: only a dispute ends that. */
	if (!err && row.state == SESSION_OPEN)
		err = wallet_state(w, row.id, SESSION_CLOSED);
	return wallet_finish(w, err);
}

/* ---- pages ---- */

static bool read_credit(struct db_stmt *q, struct query_rows *rows, size_t i)
{
	struct query_credit *row = &rows->credit[i];

	*row = (struct query_credit){0};
	if (!db_col_blob(q, row->peer, sizeof(row->peer)))
		return false;
	row->spent = db_col_u64(q);
	row->bytes = db_col_u64(q);
	return true;
}

int wallet_query(struct wallet *w, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *s;

	if (q->kind == QUERY_EXPLAIN)
		return explain_wallet(w->db, q, rows);
	if (q->kind != QUERY_CREDITS)
		return pages_query(w->db, q, rows);
	s = db_prepare(w->db, "SELECT id, key, spent, bytes FROM provider WHERE id > ?1 "
			      "ORDER BY id LIMIT ?2");
	db_bind_u64(s, q->after);
	db_bind_u64(s, QUERY_PAGE + 1);
	rows->kind = QUERY_CREDITS;
	return pages_fill(s, rows, read_credit);
}
