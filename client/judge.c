#include "client/judge.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

static struct wallet_count judge_counted(const struct judge *j, const struct judge_session *s)
{
	struct wallet_count now;

	if (!s->live)
		return s->final;
	j->count(j->arg, &now);
	return (struct wallet_count){.up = now.up - s->base.up, .down = now.down - s->base.down};
}

void judge_count(const struct judge *j, struct wallet_count *out)
{
	*out = judge_counted(j, &j->now);
}

static bool same_count(const struct wallet_count *a, const struct wallet_count *b)
{
	return a->up == b->up && a->down == b->down;
}

void judge_note(struct judge *j)
{
	struct judge_session *s = &j->now;
	struct wallet_count count;

	if (!s->live)
		return;
	count = judge_counted(j, s);
	if (same_count(&count, &s->noted))
		return;
	if (wallet_counted(j->wallet, s->id, &count) < 0)
		log_debug("wallet: the counts of a session were not written down");
	else
		s->noted = count;
}

void judge_end(struct judge *j)
{
	struct judge_session *s = &j->now;

	if (!s->live)
		return;
	judge_note(j);
	s->final = judge_counted(j, s);
	s->live = false;
	if (wallet_ended(j->wallet, s->id) < 0)
		log_warnx("wallet: an ended session could not be marked so; receipts are not "
			  "affected");
	if (s->lost)
		return; /* its count is no ground for a quarrel: judge_old has the rest */
	j->past[j->past_next] = *s;
	j->past_next = (j->past_next + 1) % JUDGE_PAST;
}

void judge_begin(struct judge *j, const uint8_t session[static SESSION_ID_LEN],
		 const struct wallet_count *base)
{
	judge_end(j);
	memset(&j->now, 0, sizeof(j->now));
	memcpy(j->now.id, session, SESSION_ID_LEN);
	j->now.base = *base;
	j->now.live = true;
}

void judge_lost(struct judge *j)
{
	j->now.lost = j->now.live;
}

struct judge_session *judge_find(struct judge *j, const uint8_t session[static SESSION_ID_LEN])
{
	if (j->now.live && memcmp(j->now.id, session, SESSION_ID_LEN) == 0)
		return &j->now;
	for (size_t i = 0; i < JUDGE_PAST; i++)
		if (memcmp(j->past[i].id, session, SESSION_ID_LEN) == 0 &&
		    !crypto_is_zero(session, SESSION_ID_LEN))
			return &j->past[i];
	return NULL;
}

static bool judge_sign(struct judge *j, const struct receipt_offer *offer,
		       const struct wallet_count *count, uint8_t signature[static SIGNATURE_LEN])
{
	int err = wallet_cosign(j->wallet, offer, count, j->payer, signature);

	if (err < 0) {
		errno = -err;
		log_warn("wallet: a receipt was not signed because it could not be stored");
	}
	return err == 0;
}

/* Is it wrong by the provider's own signatures, whatever was counted? */
static bool judge_proven(struct judge *j, const struct dispute *d)
{
	struct evidence e;

	return wallet_accuse(j->wallet, d, &e) == 0 && e.kind != EVIDENCE_OVERCHARGE &&
	       e.kind != EVIDENCE_REFUSED;
}

enum judgement judge_old(struct judge *j, const struct receipt_offer *offer,
			 uint8_t signature[static SIGNATURE_LEN])
{
	struct dispute d = {.offer = offer};
	int err = wallet_count_of(j->wallet, offer->body.session, &d.count);

	if (!err)
		err = wallet_judge(j->wallet, offer, &d.count);
	if (!err)
		return judge_sign(j, offer, &d.count, signature) ? JUDGE_SIGN : JUDGE_IGNORE;
	return err == -EBADMSG && judge_proven(j, &d) ? JUDGE_REFUSE : JUDGE_IGNORE;
}

static const struct receipt_offer *judge_shown(const struct judge_session *s)
{
	return s->has_shown ? &s->shown : NULL;
}

/* Two offers with one number: each alone could be signed. */
static bool judge_equivocates(const struct judge_session *s, const struct receipt_offer *offer)
{
	return s->has_shown && le64_get(s->shown.body.seq) == le64_get(offer->body.seq) &&
	       memcmp(&s->shown.body, &offer->body, sizeof(offer->body)) != 0;
}

/* A device counts a datagram just after sending it, so even up may be ahead for a moment. */
static bool judge_early(struct judge *j, const struct judge_session *s, const struct dispute *d)
{
	struct evidence e;

	return s->live && le64_get(d->offer->body.bytes_up) > d->count.up &&
	       wallet_accuse(j->wallet, d, &e) == 0 && e.kind == EVIDENCE_OVERCHARGE;
}

enum judgement judge_offer(struct judge *j, const struct receipt_offer *offer,
			   uint8_t signature[static SIGNATURE_LEN])
{
	struct judge_session *s = judge_find(j, offer->body.session);
	struct dispute d = {.offer = offer};
	int err;

	if (!s)
		return JUDGE_IGNORE;
	d.shown = judge_shown(s);
	d.count = judge_counted(j, s);
	err = wallet_judge(j->wallet, offer, &d.count);
	if ((err == 0 || err == -EAGAIN) && judge_equivocates(s, offer))
		return JUDGE_REFUSE;
	if (err == -EBADMSG && judge_early(j, s, &d))
		err = -EAGAIN;
	if (err == -EAGAIN) {
		s->shown = *offer;
		s->has_shown = true;
	}
	if (err == 0 || err == -EAGAIN)
		s->claimed = (struct wallet_count){.up = le64_get(offer->body.bytes_up),
						   .down = le64_get(offer->body.bytes_down)};
	if (err == 0) {
		if (!judge_sign(j, offer, &d.count, signature))
			return JUDGE_IGNORE;
		s->seq = le64_get(offer->body.seq);
		s->signed_ = s->claimed;
		s->noted = d.count;
		return JUDGE_SIGN;
	}
	if (err == -EAGAIN)
		return JUDGE_WAIT;
	return err == -EBADMSG ? JUDGE_REFUSE : JUDGE_IGNORE;
}

enum evidence_kind judge_dispute(struct judge *j, const struct receipt_offer *offer,
				 struct wallet_count *count)
{
	const struct judge_session *s = judge_find(j, offer->body.session);
	struct dispute d = {.offer = offer, .shown = s ? judge_shown(s) : NULL};
	struct evidence e = {.kind = EVIDENCE_REFUSED};
	int err = 0;

	if (s)
		d.count = judge_counted(j, s);
	else
		err = wallet_count_of(j->wallet, offer->body.session, &d.count);
	*count = d.count;
	if (!err)
		err = wallet_dispute(j->wallet, &d, &e);
	if (err < 0) {
		errno = -err;
		log_warn("wallet: the evidence of a refused receipt could not be stored");
	}
	return e.kind;
}
