/*
 * The end of a session. ENDING: it may still be on a worker, or on its way to or from one, and only
 * the worker's last word makes its counters final. ENDED: nothing carries bytes any more; the
 * client is shown the last receipt and told CLOSED. The ledger hears of the end when all is signed,
 * or when SIGN_MS is over: what is unsigned then is a debt and a default. With a full disk it is
 * told again later. The session goes when the ledger has said how its payer stands with that. Who
 * may still hold it then: calls to the ledger, by handle and serial, which find nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "relay/core.h"

enum {
	SIGN_MS = 10000
};

static void tell_closed(struct relay *r, struct relay_session *s)
{
	struct body_close body = {
		.bytes_up = le64_of(s->up),
		.bytes_down = le64_of(s->down),
		.reason = le32_of(s->close_reason),
	};

	memcpy(body.session, s->id, SESSION_ID_LEN);
	if (s->asked) {
		const struct asker closer = relay_asker(s, &s->question);

		relay_answer(r, &closer, VERB_CLOSED, &body, sizeof(body));
	} else if (!s->told) {
		control_server_push(r->control, s->owner, VERB_CLOSED, &body, sizeof(body));
	}
	s->asked = false;
	s->told = true;
}

static void remember_closer(struct relay_session *s, const struct asker *a)
{
	if (!a)
		return;
	s->question = relay_question(a);
	s->asked = true;
}

void ending_begin(struct relay *r, struct relay_session *s, enum close_reason reason,
		  const struct asker *a)
{
	switch (s->phase) {
	case PHASE_FREE:
	case PHASE_OPENING: /* open.c sees that the relay stops when the ledger answers */
		return;
	case PHASE_LIVE:
		s->close_reason = reason;
		s->phase = PHASE_ENDING;
		r->leaving++;
		remember_closer(s, a);
		if (rebind_unbind(r, s))
			ending_off_worker(r, s);
		return;
	case PHASE_ENDING:
		remember_closer(s, a);
		return;
	case PHASE_ENDED:
		remember_closer(s, a);
		ending_check(r, s);
		return;
	}
}

static void ledger_closed(void *arg, int err)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);

	r->closing--;
	relay_call_end(call);
	if (!s)
		return;
	if (ledger_error_passes(err)) {
		/* Not a debt yet: until it is, what is unsigned stays in the payer's window. */
		s->closing = false;
		s->ended_ms = clock_ms();
		return;
	}
	/* Any other error the ledger says itself; here the session is over. */
	if (stopping_all_ended(r))
		ending_forget(r, s);
	else
		billing_ask(r, registry_payer(r->registry, s), s);
}

void ending_close(struct relay *r, struct relay_session *s)
{
	if (s->phase != PHASE_ENDED || s->closing)
		return;
	s->closing = true;
	r->closing++;
	ledger_close(r->ledger, s->id, s->up, s->down, ledger_closed, relay_call_begin(r, s, NULL));
}

void ending_off_worker(struct relay *r, struct relay_session *s)
{
	s->phase = PHASE_ENDED;
	r->leaving--;
	s->ended_ms = clock_ms();
	share_end(&s->share);
	billing_share(r, registry_payer(r->registry, s));
	pass_forget(r->pass, s->handle);
	billing_final(r, s);
	ending_check(r, s);
	stopping_check(r);
}

void ending_check(struct relay *r, struct relay_session *s)
{
	bool settled = s->bill.refused || s->share.signed_total == session_total(s);

	/* The last receipt goes out before CLOSED, so that a client that leaves has seen it. */
	if (s->phase != PHASE_ENDED || s->bill.issuing)
		return;
	if (!s->told || s->asked)
		tell_closed(r, s);
	if (settled && !s->bill.cosigning)
		ending_close(r, s);
}

void ending_forget(struct relay *r, struct relay_session *s)
{
	billing_drop_debt(r, s);
	r->exits.slot[s->exit].sessions--;
	crowd_leave(r->crowd, &s->net);
	registry_remove(r->registry, s);
	stopping_check(r);
}

void ending_tick(struct relay *r, struct relay_session *s, uint64_t now_ms)
{
	switch (s->phase) {
	case PHASE_LIVE:
		if (now_ms - s->active_ms >= r->config.idle_ms)
			ending_begin(r, s, CLOSE_IDLE, NULL);
		else if (clock_wall() >= s->expires)
			ending_begin(r, s, CLOSE_EXPIRED, NULL);
		return;
	case PHASE_ENDED:
		if (now_ms - s->ended_ms >= SIGN_MS && !s->bill.issuing && !s->bill.cosigning)
			ending_close(r, s);
		return;
	case PHASE_FREE:
	case PHASE_OPENING:
	case PHASE_ENDING:
		return;
	}
}
