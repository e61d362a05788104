#include "accounting/rows.h"

#include <errno.h>
#include <string.h>

#include "accounting/both_rows.h"

int store_session(struct store *s, enum role role, const uint8_t session[static SESSION_ID_LEN],
		  const uint8_t payer[static KEY_LEN], struct ledger_payer *out)
{
	struct payer p;
	int err;

	if ((unsigned)role >= ROLES || !s->has_terms[role])
		return -EINVAL;
	if (db_disk_free(s->db) < STORE_RESERVE)
		return -ENOSPC;
	err = payer_known(s, payer, &p);
	if (!err)
		err = session_row_add(s, role, session, payer);
	return err ? err : payer_view(s, &p, out);
}

int store_issue(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		uint64_t down, struct receipt_offer *out)
{
	struct session x;
	int err = session_row_find(s, session, &x);

	if (err)
		return err;
	if (x.state != SESSION_OPEN)
		return -EACCES;
	if (up > BYTES_MAX || down > BYTES_MAX)
		return -ERANGE;
	session_row_carried(&x, up, down);
	if (!x.outstanding && !session_row_unsigned(&x))
		return -EALREADY;
	if (!x.outstanding)
		err = session_row_offer(s, &x);
	if (!err)
		err = session_row_save(s, &x);
	if (!err)
		*out = x.offer;
	return err;
}

/* What follows for the session itself: an unpaid one is closed if that was all; a live one is
 * posted once an hour. */
static int session_follow_up(struct store *s, struct session *x)
{
	if (x->state == SESSION_UNPAID && session_row_unsigned(x))
		return 0;
	if (x->state == SESSION_UNPAID) {
		x->state = SESSION_CLOSED;
		return session_release(s, x);
	}
	return x->posted_hour == s->now_s / HOUR ? 0 : session_post(s, x);
}

/* Head, window, debt, credits, and what comes next. Bytes signed in a live session make as many of
 * debt good; and what is worked off may not outlast the debt itself, which a late signature takes
 * away. */
int session_signed(struct store *s, struct session *x, const struct receipt *r, struct payer *p,
		   struct live *live)
{
	const struct receipt_body *body = &r->offer.body;
	uint64_t before = x->up + x->down, bytes;
	bool open = x->state == SESSION_OPEN;
	int err;

	x->seq = le64_get(body->seq);
	x->up = le64_get(body->bytes_up);
	x->down = le64_get(body->bytes_down);
	x->amount = le64_get(body->amount);
	x->outstanding = false;
	err = both_receipt_add(s->db, x->id, r);
	if (!err)
		err = session_follow_up(s, x);
	if (!err)
		err = session_row_save(s, x);
	if (!err)
		err = payer_live(s, x->payer, live);
	if (err)
		return err;
	bytes = x->up + x->down - before;
	p->bytes += bytes;
	window_signed(&p->window, &s->config.window, bytes);
	p->worked = window_work_off(p->worked, open ? bytes : 0, live->debt);
	return payer_save(s, p);
}

/* A co-signature we have already: right only if it is the very same. */
static int session_resigned(struct store *s, struct session *x, uint64_t seq,
			    const uint8_t signature[static SIGNATURE_LEN])
{
	struct receipt old;
	int err;

	x->seq = seq;
	err = session_row_head(s, x, &old);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	return crypto_equal(old.payer_signature, signature, SIGNATURE_LEN) ? 0 : -EBADMSG;
}

int store_cosign(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		 const uint8_t signature[static SIGNATURE_LEN], struct ledger_payer *out)
{
	struct session x;
	struct receipt r;
	struct payer p;
	struct live live;
	int err = session_row_find(s, session, &x);

	if (err)
		return err;
	if (x.state == SESSION_FROZEN)
		return -EACCES;
	if (seq >= 1 && seq <= x.seq) {
		err = session_resigned(s, &x, seq, signature);
		return err ? err : store_payer(s, x.payer, out);
	}
	if (!x.outstanding || seq != le64_get(x.offer.body.seq) ||
	    !identity_verify(signature, &x.offer, sizeof(x.offer), x.payer))
		return -EBADMSG;
	r.offer = x.offer;
	memcpy(r.payer_signature, signature, SIGNATURE_LEN);
	err = payer_row(s, x.payer, &p);
	if (!err)
		err = session_signed(s, &x, &r, &p, &live);
	return err ? err : payer_view_live(s, &p, &live, out);
}

int store_dispute(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		  uint64_t up, uint64_t down)
{
	struct session x;
	int err = session_row_find(s, session, &x);

	if (err)
		return err;
	if (x.state == SESSION_FROZEN)
		return 0;
	if (!x.outstanding || seq != le64_get(x.offer.body.seq))
		return -EBADMSG;
	err = evidence_keep(s, &x, EVIDENCE_OVERCHARGE, &x.offer, NULL, up, down);
	return err ? err : payer_default(s, x.payer);
}

/* What all that was carried costs is set aside, neither less nor more. */
static int session_hold_all(struct store *s, struct session *x)
{
	uint64_t cost;
	int err = session_row_cost(x, &cost);

	if (!err)
		err = session_hold(s, x, cost);
	return err ? err : session_give_back(s, x, cost);
}

static int session_unpaid(struct store *s, struct session *x)
{
	int err = session_hold_all(s, x);

	if (!err)
		err = session_post(s, x);
	if (!err)
		err = session_hold_unpaid(s, x);
	return err;
}

int session_row_end(struct store *s, struct session *x)
{
	int err;

	if (!x->final_up && !x->final_down)
		return session_row_forget(s, x);
	x->state = session_row_unsigned(x) ? SESSION_UNPAID : SESSION_CLOSED;
	err = x->state == SESSION_UNPAID ? session_unpaid(s, x) : session_release(s, x);
	if (!err)
		err = session_row_save(s, x);
	if (!err && x->state == SESSION_UNPAID)
		err = payer_default(s, x->payer);
	return err;
}

int store_end(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
	      uint64_t down)
{
	struct session x;
	int err = session_row_find(s, session, &x);

	if (err == -EACCES && !up && !down)
		return 0; /* as when it was forgotten */
	if (err)
		return err;
	if (up > BYTES_MAX || down > BYTES_MAX)
		return -ERANGE;
	if (x.state == SESSION_CLOSED)
		return 0;
	session_row_carried(&x, up, down);
	if (x.state == SESSION_OPEN)
		return session_row_end(s, &x);
	if (x.state == SESSION_UNPAID)
		err = session_hold_all(s, &x);
	return err ? err : session_row_save(s, &x);
}

/*
 * What an ended session still wants signed is written only here, when its payer is about to be
 * asked: it has shown what it holds by then, so books put back from an older copy know which
 * numbers are used.
 */
int store_unpaid(struct store *s, const uint8_t payer[static KEY_LEN], struct receipt_offer *out)
{
	struct db_stmt *q = db_prepare(s->db, SESSION_SELECT "WHERE payer = ? AND state <> 1 "
							     "AND state = 2 ORDER BY id LIMIT 1");
	struct session x;
	int got, err;

	db_bind_blob(q, payer, KEY_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	err = session_row_read(q, &x);
	if (!err && !x.outstanding) {
		err = session_row_offer(s, &x);
		if (!err)
			err = session_hold_unpaid(s, &x);
		if (!err)
			err = session_row_save(s, &x);
	}
	if (!err)
		*out = x.offer;
	return err;
}
