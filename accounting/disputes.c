/* The wallet's half of a dispute: what speaks against an offer, and keeping it. */
#include <errno.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "accounting/wallet_rows.h"
#include "base/clock.h"

enum {
	HOUR = 3600
};

/* Does the offer contradict this other one of the session in the way of kind? */
static bool contradicts(struct evidence *e, const struct wallet_row *row, enum evidence_kind kind,
			const struct receipt_offer *first)
{
	struct evidence try = {
		.kind = kind,
		.has_second = true,
		.first = *first,
		.second = e->second,
	};

	if (evidence_check(&try, &row->terms) != EVIDENCE_PROOF)
		return false;
	*e = try;
	return true;
}

/* Is it wrong without another one beside it? */
static bool wrong_alone(struct evidence *e, const struct wallet_row *row, enum evidence_kind kind,
			const struct wallet_count *count)
{
	struct evidence try = {
		.kind = kind,
		.first = e->second,
		.counted_up = count->up,
		.counted_down = count->down,
	};

	if (evidence_check(&try, &row->terms) > EVIDENCE_CLAIM)
		return false;
	*e = try;
	return true;
}

/* The strongest that can be said: what its own signatures prove, then what our counts say. */
static int accuse(struct wallet *w, const struct wallet_row *row, const struct dispute *d,
		  struct evidence *e)
{
	struct receipt signed_;
	int err = wallet_receipt(w, row, le64_get(d->offer->body.seq), &signed_);

	if (err && err != -ENOENT)
		return err;
	*e = (struct evidence){.second = *d->offer};
	if (!err && contradicts(e, row, EVIDENCE_EQUIVOCATION, &signed_.offer))
		return 0;
	if (d->shown && contradicts(e, row, EVIDENCE_EQUIVOCATION, d->shown))
		return 0;
	if (row->seq && (contradicts(e, row, EVIDENCE_DECREASE, &row->head.offer) ||
			 contradicts(e, row, EVIDENCE_FORK, &row->head.offer)))
		return 0;
	if (wrong_alone(e, row, EVIDENCE_AMOUNT, &d->count) ||
	    wrong_alone(e, row, EVIDENCE_OVERCHARGE, &d->count))
		return 0;
	*e = (struct evidence){
		.kind = EVIDENCE_REFUSED,
		.first = *d->offer,
		.counted_up = d->count.up,
		.counted_down = d->count.down,
	};
	return 0;
}

int wallet_accuse(struct wallet *w, const struct dispute *d, struct evidence *out)
{
	struct wallet_row row;
	int err = wallet_find(w, d->offer->body.session, &row);

	if (!err && row.state == SESSION_FROZEN)
		err = -EALREADY;
	return err ? err : accuse(w, &row, d, out);
}

int wallet_dispute(struct wallet *w, const struct dispute *d, struct evidence *out)
{
	struct wallet_row row;
	int err = db_begin(w->db);

	if (err)
		return err;
	err = wallet_find(w, d->offer->body.session, &row);
	if (!err && row.state == SESSION_FROZEN)
		err = -EALREADY;
	if (!err)
		err = accuse(w, &row, d, out);
	if (!err)
		err = both_evidence_add(w->db, row.id, out, clock_wall() / HOUR);
	if (!err)
		err = wallet_state(w, row.id, SESSION_FROZEN);
	return wallet_finish(w, err);
}
