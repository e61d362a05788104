/*
 * Receipts and the windows they open. One receipt is outstanding per session at most; it is shown
 * again each second until signed. A signature is durable in the ledger before the limit rises, and
 * the limit rises before the client is told.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "relay/core.h"

enum {
	DATAGRAM_MAX = 1500, /* with less than this left, nothing more may fit */
	ASK_MS = 2000,       /* how often the ledger is asked about a payer that is held */
	STILL_MS = 5000,     /* who carried nothing for so long has its counters asked for ... */
	AWAY_MS = 15000,     /* who was not heard of for so long is shown receipts ... */
	QUIET_SECONDS = 16,  /* ... at this interval only */
};

static uint64_t offer_total(const struct receipt_offer *offer)
{
	return le64_get(offer->body.bytes_up) + le64_get(offer->body.bytes_down);
}

static uint64_t share_of(const struct relay_session *s)
{
	const struct share_member *m = &s->share;

	return m->limit > m->signed_total ? m->limit - m->signed_total : 0;
}

static uint64_t distance(const struct relay_session *s)
{
	uint64_t quarter = share_of(s) / 4;

	return quarter ? quarter : 1;
}

uint64_t billing_mark(const struct relay_session *s)
{
	return share_of(s) ? s->bill.issued + distance(s) : UINT64_MAX;
}

bool billing_held(const struct relay_session *s)
{
	return s->bind.ever && session_total(s) + DATAGRAM_MAX > s->share.limit;
}

/* ---- shares ---- */

static struct relay_session *session_of(struct share_member *m)
{
	return (struct relay_session *)((char *)m - offsetof(struct relay_session, share));
}

void billing_share(struct relay *r, struct relay_payer *payer)
{
	share_plan(&payer->group);
	for (struct share_member *m = payer->group.head; m; m = m->next) {
		struct relay_session *s = session_of(m);

		if (!m->changed || !m->remote || s->bind.place == BIND_RETIRING)
			continue;
		plane_limit(r->plane, s->bind.at.worker, s->handle, m->limit, billing_mark(s));
		share_sent(m);
	}
}

/* Its worker hears the limit again, for the mark that goes with it. */
static void set_mark(struct relay *r, struct relay_session *s)
{
	s->share.changed = true;
	billing_share(r, registry_payer(r->registry, s));
}

void billing_stands(struct relay *r, struct relay_payer *payer, const struct ledger_payer *now)
{
	payer->group.window = now->window;
	payer->credit = now->credit;
	payer->debt = now->debt;
	billing_share(r, payer);
}

/* A debt made while the payer has other sessions is shown to one of them. */
static void show_debt(struct relay *r, const struct relay_payer *payer)
{
	for (struct relay_session *s = registry_of_payer(r->registry, payer); s && payer->debt > 0;
	     s = registry_behind(r->registry, s, LIST_PAYER)) {
		if (s->phase != PHASE_LIVE)
			continue;
		if (!s->bill.debt)
			billing_debt(r, s);
		return;
	}
}

static void asked(void *arg, int err, const struct ledger_payer *now)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);
	struct relay_payer *payer;
	uint8_t id[KEY_LEN];

	memcpy(id, call->id, KEY_LEN);
	relay_call_end(call);
	if (s && s->closing)
		ending_forget(r, s);
	payer = registry_payer_by_id(r->registry, id);
	if (err || !payer)
		return;
	billing_stands(r, payer, now);
	show_debt(r, payer);
}

void billing_ask(struct relay *r, struct relay_payer *payer, struct relay_session *s)
{
	struct relay_call *call = relay_call_begin(r, s, NULL);

	memcpy(call->id, payer->id, KEY_LEN);
	payer->asked_ms = clock_ms();
	ledger_payer_now(r->ledger, payer->id, asked, call);
}

/* ---- issuing ---- */

static void show(struct relay *r, const struct relay_session *s, const struct receipt_offer *offer)
{
	control_server_push(r->control, s->owner, VERB_RECEIPT, offer, sizeof(*offer));
}

static void issue_failed(struct relay *r, struct relay_session *s, int err)
{
	/* A full disk passes, and -EALREADY means that all is signed. */
	if (ledger_error_passes(err) || err == -EALREADY) {
		s->bill.refused |= s->phase == PHASE_ENDED;
		return;
	}
	/* What the ledger will not bill is not carried. */
	s->bill.refused = true;
	ending_begin(r, s, CLOSE_DISPUTE, NULL);
}

static void took_offer(struct relay *r, struct relay_session *s, const struct receipt_offer *offer)
{
	if (!s->bill.offer)
		r->count.receipts_issued++;
	registry_keep(&s->bill.offer, offer);
	s->bill.issued = offer_total(offer);
	s->bill.issued_ms = clock_ms();
	show(r, s, offer);
	set_mark(r, s);
}

static void issued(void *arg, int err, const struct receipt_offer *offer)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);

	relay_call_end(call);
	if (!s)
		return;
	s->bill.issuing = false;
	if (err)
		issue_failed(r, s, err);
	else
		took_offer(r, s, offer);
	if (s->phase == PHASE_ENDED)
		billing_final(r, s);
	ending_check(r, s);
}

static bool may_issue(const struct relay_session *s)
{
	return !s->bill.issuing && !s->bill.offer && !s->bill.refused &&
	       session_total(s) > s->bill.issued;
}

static void issue(struct relay *r, struct relay_session *s)
{
	s->bill.issuing = true;
	s->bill.carried = session_total(s);
	ledger_issue(r->ledger, s->id, s->up, s->down, issued, relay_call_begin(r, s, NULL));
}

void billing_consider(struct relay *r, struct relay_session *s)
{
	uint64_t every_ms = 1000ull * le32_get(r->self.body.relay_terms.body.receipt_seconds);
	uint64_t since = session_total(s) - s->bill.issued;

	if (s->phase != PHASE_LIVE || !may_issue(s))
		return;
	if (since >= distance(s) || clock_ms() - s->bill.issued_ms >= every_ms)
		issue(r, s);
}

void billing_final(struct relay *r, struct relay_session *s)
{
	bool unknown = s->bill.carried < session_total(s);
	bool unsigned_rest = !s->bill.offer && s->share.signed_total < session_total(s);

	/* When the relay stops, the ledger hears it a moment later with the end. */
	if (r->stop.stage != STOP_NOT && s->bill.offer)
		return;
	if (!s->bill.issuing && !s->bill.refused && (unknown || unsigned_rest))
		issue(r, s);
}

void billing_counted(struct relay *r, struct relay_session *s, uint64_t up, uint64_t down)
{
	if (up + down > session_total(s)) {
		s->up = up;
		s->down = down;
		s->active_ms = s->counted_ms = clock_ms();
		if (s->share.counted < up + down)
			s->share.counted = up + down;
	}
	billing_consider(r, s);
}

/* ---- co-signing ---- */

static void tell_window(struct relay *r, const struct asker *to, const uint8_t *id, uint64_t seq,
			const uint64_t window_and_credit[static 2])
{
	struct body_window body = {
		.seq = le64_of(seq),
		.window = le64_of(window_and_credit[0]),
		.credit = le64_of(window_and_credit[1]),
	};

	memcpy(body.session, id, SESSION_ID_LEN);
	relay_answer(r, to, VERB_WINDOW, &body, sizeof(body));
}

void billing_drop_debt(struct relay *r, struct relay_session *s)
{
	r->showing -= s->bill.debt != NULL;
	registry_keep(&s->bill.debt, NULL);
}

/* A debt that other sessions show is paid: nobody is asked for it again. */
static void drop_debts(struct relay *r, const struct relay_payer *payer, const uint8_t *id)
{
	for (struct relay_session *s = registry_of_payer(r->registry, payer); s && r->showing;
	     s = registry_behind(r->registry, s, LIST_PAYER))
		if (s->bill.debt && memcmp(s->bill.debt->body.session, id, SESSION_ID_LEN) == 0)
			billing_drop_debt(r, s);
}

static void took_signature(struct relay *r, struct relay_session *s, const struct ledger_payer *now)
{
	struct relay_payer *payer = registry_payer(r->registry, s);

	s->bill.signed_seq = le64_get(s->bill.offer->body.seq);
	share_signed(&s->share, offer_total(s->bill.offer));
	registry_keep(&s->bill.offer, NULL);
	s->share.changed = true;
	billing_stands(r, payer, now);
	s->bill.signed_window = share_of(s);
	r->count.receipts_signed++;
	drop_debts(r, payer, s->id);
}

static void cosigned(void *arg, int err, const struct ledger_payer *now)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);
	struct asker asker;

	relay_call_end(call);
	if (!s)
		return;
	asker = relay_asker(s, &s->bill.cosigner);
	s->bill.cosigning = false;
	if (err) {
		relay_refuse(r, &asker, err == -EBADMSG ? REFUSED_SIGNATURE : relay_refusal(err));
		return;
	}
	took_signature(r, s, now);
	tell_window(r, &asker, s->id, s->bill.signed_seq,
		    (uint64_t[]){s->bill.signed_window, now->credit});
	/* On a worker, limited() comes next and brings fresher counters than these. */
	if (s->phase == PHASE_ENDED)
		billing_final(r, s);
	else if (!s->share.remote)
		billing_consider(r, s);
	ending_check(r, s);
}

static void debt_signed(void *arg, int err, const struct ledger_payer *now)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);
	struct asker asker = call->asker;
	uint8_t id[SESSION_ID_LEN];
	uint64_t seq = call->seq;

	memcpy(id, call->id, SESSION_ID_LEN);
	relay_call_end(call);
	if (s)
		s->bill.debt_cosigning = false;
	if (err) {
		relay_refuse(r, &asker, err == -EBADMSG ? REFUSED_SIGNATURE : relay_refusal(err));
		return;
	}
	r->count.receipts_signed++;
	if (s) {
		struct relay_payer *payer = registry_payer(r->registry, s);

		drop_debts(r, payer, id);
		billing_stands(r, payer, now);
		billing_debt(r, s);
	}
	tell_window(r, &asker, id, seq, (uint64_t[]){now->window, now->credit});
}

static void cosign_debt(struct relay *r, struct relay_session *s, const struct asker *a,
			const struct body_cosign *cosign)
{
	struct relay_call *call;

	/* The same question again is answered by the answer to the first. */
	if (s->bill.debt_cosigning)
		return;
	s->bill.debt_cosigning = true;
	call = relay_call_begin(r, s, a);
	memcpy(call->id, cosign->session, SESSION_ID_LEN);
	call->seq = le64_get(cosign->seq);
	ledger_cosign(r->ledger, cosign->session, call->seq, cosign->signature, debt_signed, call);
}

void billing_cosign(struct relay *r, struct relay_session *s, const struct asker *a,
		    const struct body_cosign *cosign)
{
	uint64_t seq = le64_get(cosign->seq);

	if (memcmp(cosign->session, s->id, SESSION_ID_LEN) != 0) {
		cosign_debt(r, s, a, cosign);
		return;
	}
	s->active_ms = clock_ms();
	if (seq != 0 && seq == s->bill.signed_seq) {
		tell_window(r, a, s->id, seq,
			    (uint64_t[]){s->bill.signed_window,
					 registry_payer(r->registry, s)->credit});
		return;
	}
	if (!s->bill.offer || seq != le64_get(s->bill.offer->body.seq)) {
		relay_refuse(r, a, REFUSED_SIGNATURE);
		return;
	}
	s->bill.cosigner = relay_question(a);
	if (s->bill.cosigning)
		return;
	s->bill.cosigning = true;
	ledger_cosign(r->ledger, s->id, seq, cosign->signature, cosigned,
		      relay_call_begin(r, s, NULL));
}

/* ---- debts of earlier sessions ---- */

static void unpaid(void *arg, int err, const struct receipt_offer *offer)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call), *own;

	relay_call_end(call);
	if (!s)
		return;
	if (err == -ENOENT)
		billing_drop_debt(r, s);
	if (err)
		return;
	own = registry_by_id(r->registry, offer->body.session);
	if (own && memcmp(own->owner, s->owner, KEY_LEN) == 0)
		return; /* it lingers here and is shown by itself */
	billing_drop_debt(r, s);
	registry_keep(&s->bill.debt, offer);
	r->showing++;
	show(r, s, offer);
}

void billing_debt(struct relay *r, struct relay_session *s)
{
	ledger_unpaid(r->ledger, registry_payer(r->registry, s)->id, unpaid,
		      relay_call_begin(r, s, NULL));
}

struct relay_session *billing_debt_holder(struct relay *r, const uint8_t *owner, const uint8_t *id)
{
	for (struct relay_session *s = registry_of_owner(r->registry, owner); s && r->showing;
	     s = registry_behind(r->registry, s, LIST_OWNER))
		if (s->bill.debt && memcmp(s->bill.debt->body.session, id, SESSION_ID_LEN) == 0)
			return s;
	return NULL;
}

/* ---- disputes ---- */

static void disputed(void *arg, int err)
{
	(void)err; /* the session ends either way, and the ledger said why in its log */
	relay_call_end(arg);
}

void billing_dispute(struct relay *r, struct relay_session *s, const struct asker *a,
		     const struct body_dispute *dispute)
{
	bool own = memcmp(dispute->session, s->id, SESSION_ID_LEN) == 0;
	const struct receipt_offer *offer = own ? s->bill.offer : s->bill.debt;

	if (own && s->bill.refused) {
		ending_begin(r, s, CLOSE_DISPUTE, a);
		return;
	}
	if ((own && (!s->bill.offer || s->bill.cosigning)) ||
	    le64_get(dispute->seq) != le64_get(offer->body.seq)) {
		relay_refuse(r, a, REFUSED_SIGNATURE);
		return;
	}
	r->count.disputes++;
	ledger_dispute(r->ledger, dispute->session, le64_get(dispute->seq),
		       le64_get(dispute->bytes_up), le64_get(dispute->bytes_down), disputed,
		       relay_call_begin(r, NULL, NULL));
	if (own) {
		registry_keep(&s->bill.offer, NULL);
		s->bill.refused = true;
		ending_begin(r, s, CLOSE_DISPUTE, a);
	} else {
		struct body_close closed = {.reason = le32_of(CLOSE_DISPUTE)};

		billing_drop_debt(r, s);
		memcpy(closed.session, dispute->session, SESSION_ID_LEN);
		relay_answer(r, a, VERB_CLOSED, &closed, sizeof(closed));
	}
}

/* ---- time ---- */

static bool turn_of_quiet(const struct relay *r, const struct relay_session *s)
{
	return (r->ticks / TICKS_PER_SECOND + s->handle) % QUIET_SECONDS == 0;
}

/*
 * A session that carried nothing for a while is asked less often: its marks are told without being
 * asked for, and a hundred thousand sleepers would keep the workers from their work. But none ends
 * as idle that was not asked.
 */
static bool worth_metering(const struct relay *r, const struct relay_session *s, uint64_t now_ms)
{
	if (s->bind.place != BIND_BOUND)
		return false;
	return now_ms - s->counted_ms < STILL_MS || turn_of_quiet(r, s) ||
	       now_ms - s->active_ms + (QUIET_SECONDS + 1) * 1000 >= r->config.idle_ms;
}

/* Nor does it help to show a receipt every second to a hundred thousand clients that are not there.
 */
static bool worth_showing(const struct relay *r, const struct relay_session *s, uint64_t now_ms)
{
	bool soon = s->phase != PHASE_LIVE && r->stop.stage == STOP_NOT;

	return soon || now_ms - s->active_ms < AWAY_MS || turn_of_quiet(r, s);
}

void billing_tick(struct relay *r, struct relay_session *s, uint64_t now_ms)
{
	struct relay_payer *payer = registry_payer(r->registry, s);

	if (worth_metering(r, s, now_ms))
		plane_meter(r->plane, s->bind.at.worker, s->handle);
	if (worth_showing(r, s, now_ms)) {
		if (s->bill.offer && !s->bill.cosigning)
			show(r, s, s->bill.offer);
		if (s->bill.debt)
			show(r, s, s->bill.debt);
	}
	if (s->phase != PHASE_LIVE)
		return;
	/* Nothing to sign and nothing left: a grant or a new month's allowance would change that.
	 */
	if (!s->bill.offer && billing_held(s) && now_ms - payer->asked_ms >= ASK_MS)
		billing_ask(r, payer, NULL);
	billing_consider(r, s);
}
