#include "accounting/rows.h"

#include <errno.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "base/log.h"

/* 1: the session has evidence of this kind. */
static int evidence_kept(struct store *s, const struct session *x, enum evidence_kind kind)
{
	struct db_stmt *q =
		db_prepare(s->db, "SELECT 1 FROM evidence WHERE session = ? AND kind = ?");
	int got;

	db_bind_u64(q, x->id);
	db_bind_u64(q, kind);
	got = db_step(q);
	db_done(q);
	return got;
}

int evidence_keep(struct store *s, struct session *x, enum evidence_kind kind,
		  const struct receipt_offer *offer, const struct receipt_offer *other, uint64_t up,
		  uint64_t down)
{
	struct evidence e = {
		.kind = kind,
		.has_second = other != NULL,
		.first = *offer,
		.counted_up = up,
		.counted_down = down,
	};
	int err, got = evidence_kept(s, x, kind);

	if (got) /* and frozen then, whether or not it was forgiven since */
		return got < 0 ? got : 0;
	if (other)
		e.second = *other;
	err = both_evidence_add(s->db, x->id, &e, s->now_s / HOUR);
	if (err)
		return err;
	if (other)
		log_warnx("ledger: this node signed receipts that contradict each other, as after "
			  "a backup was restored; the session is frozen, see `culvert disputes`");
	x->state = SESSION_FROZEN;
	err = session_release(s, x);
	return err ? err : session_row_save(s, x);
}

/* What was worked off of a debt may not outlast it. */
static int payer_forgiven(struct store *s, const uint8_t key[static KEY_LEN])
{
	struct payer p;
	struct live live;
	int err = payer_known(s, key, &p);

	if (!err)
		err = payer_live(s, key, &live);
	if (err || !p.id)
		return err;
	p.worked = window_work_off(p.worked, 0, live.debt);
	return payer_save(s, &p);
}

int store_forgive(struct store *s, const uint8_t session[static SESSION_ID_LEN],
		  uint8_t payer[static KEY_LEN])
{
	struct session x;
	int err = session_row_find(s, session, &x);

	if (err)
		return err;
	if (x.state != SESSION_FROZEN)
		return -EALREADY;
	x.state = SESSION_CLOSED;
	x.final_up = x.up;
	x.final_down = x.down;
	x.outstanding = false;
	err = session_release(s, &x);
	if (!err)
		err = session_row_save(s, &x);
	if (!err)
		err = payer_forgiven(s, x.payer);
	if (!err)
		memcpy(payer, x.payer, KEY_LEN);
	return err;
}
