/*
 * Receipts a payer shows again: what an older copy of the books, put back, does not know. Both
 * signed them, so they are owed whether the books remember or not. Any order and any repetition
 * come to the same: a session's head only rises, and what it comes to is posted once.
 */
#include <errno.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "accounting/rows.h"

/* Everything the bytes prove by themselves. */
static bool held_valid(const struct store *s, const struct body_held *held)
{
	const struct receipt_body *b = &held->receipt.offer.body;

	return memcmp(b->provider, s->by->id, KEY_LEN) == 0 &&
	       le64_get(b->network) == s->config.network && le64_get(b->bytes_up) <= BYTES_MAX &&
	       le64_get(b->bytes_down) <= BYTES_MAX && le64_get(b->seq) <= INT64_MAX &&
	       le64_get(b->amount) <= INT64_MAX && terms_valid(&held->terms) &&
	       receipt_check(&held->receipt, &held->terms) == RECEIPT_OK;
}

/* The receipt of that number the books have, if any: 1, 0 or -errno. */
static int receipt_row_find(struct store *s, const struct session *x, uint64_t seq,
			    struct receipt *out)
{
	struct session at = *x;
	int err;

	at.seq = seq;
	err = session_row_head(s, &at, out);
	return err == -ENOENT ? 0 : err ? err : 1;
}

static bool same_session(const struct session *x, const struct receipt_body *b)
{
	return memcmp(x->payer, b->payer, KEY_LEN) == 0 &&
	       memcmp(x->terms, b->terms, KEY_LEN) == 0 && x->role == (enum role)b->role;
}

/* A session the books do not know: it is over, since whoever carried it is gone. */
static int session_adopt(struct store *s, const struct body_held *held, struct session *x)
{
	const struct receipt_body *b = &held->receipt.offer.body;
	int err =
		db_disk_free(s->db) < STORE_RESERVE ? -ENOSPC : both_terms_add(s->db, &held->terms);

	*x = (struct session){
		.role = (enum role)b->role,
		.state = SESSION_CLOSED,
		.price = le64_get(held->terms.body.price),
	};
	memcpy(x->key, b->session, SESSION_ID_LEN);
	memcpy(x->payer, b->payer, KEY_LEN);
	memcpy(x->terms, b->terms, KEY_LEN);
	if (!err)
		err = session_row_insert(s, x);
	return err ? err : session_row_find(s, b->session, x);
}

/* An offer that waits has a number this receipt has used or passed: it goes. */
static int session_raise(struct store *s, struct session *x, const struct receipt *r)
{
	const struct receipt_body *b = &r->offer.body;
	struct payer p;
	struct live live;
	int err = payer_row(s, x->payer, &p);

	session_row_carried(x, le64_get(b->bytes_up), le64_get(b->bytes_down));
	if (x->state == SESSION_CLOSED)
		x->state = SESSION_UNPAID; /* until this is booked */
	if (!err)
		err = session_signed(s, x, r, &p, &live);
	if (err || x->state == SESSION_CLOSED)
		return err;
	err = session_post(s, x);
	return err ? err : session_row_save(s, x);
}

/* How a receipt that does not follow, or has the number of, the one in the books contradicts it. */
static enum evidence_kind contradiction(const struct receipt_body *known,
					const struct receipt_body *shown)
{
	if (le64_get(shown->seq) == le64_get(known->seq))
		return EVIDENCE_EQUIVOCATION;
	return receipt_totals_grow(known, shown) ? EVIDENCE_FORK : EVIDENCE_DECREASE;
}

/* A valid receipt that the books do not have: it follows their newest one, as it will have to in a
 * batch, or it is another story of the same session. */
static int session_take(struct store *s, struct session *x, const struct receipt *r,
			struct ledger_adopted *out)
{
	const struct receipt_body *b = &r->offer.body;
	bool newer = le64_get(b->seq) > x->seq;
	struct receipt old;
	int got = receipt_row_find(s, x, newer ? x->seq : le64_get(b->seq), &old);

	if (got < 0)
		return got;
	if (newer && (!got || receipt_check_later(&old.offer, &r->offer) == RECEIPT_OK)) {
		out->news = true;
		return session_raise(s, x, r);
	}
	/* Passed, and not kept any more; or only the payer's signature was made in another way. */
	if (!got || memcmp(&old.offer.body, b, sizeof(*b)) == 0)
		return 0;
	out->frozen = true;
	x->outstanding = false;
	return evidence_keep(s, x, contradiction(&old.offer.body, b), &old.offer, &r->offer, 0, 0);
}

int store_adopt(struct store *s, const struct body_held *held, struct ledger_adopted *out)
{
	const struct receipt_body *b = &held->receipt.offer.body;
	struct receipt old;
	struct session x;
	struct payer p;
	int err = session_row_find(s, b->session, &x), got = 0;
	bool known = !err;

	*out = (struct ledger_adopted){0};
	if (err && err != -EACCES)
		return err;
	if (known)
		got = receipt_row_find(s, &x, le64_get(b->seq), &old);
	out->seq = known ? x.seq : 0;
	/* The very bytes are in the books: they were looked at when they came. */
	if (got < 0 || (got == 1 && memcmp(&old, &held->receipt, sizeof(old)) == 0))
		return got < 0 ? got : 0;
	if (!held_valid(s, held) || (known && !same_session(&x, b)))
		return -EBADMSG;
	/* Takes back what expired, which may change the session's row. */
	err = payer_meet(s, b->payer, &p);
	if (!err)
		err = known ? session_row_find(s, b->session, &x) : session_adopt(s, held, &x);
	if (!err)
		err = session_take(s, &x, &held->receipt, out);
	out->seq = x.seq;
	return err;
}
