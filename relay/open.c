/* OPEN: from a payer's signed statement to a session that may carry its first byte. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "proto/statement.h"
#include "relay/core.h"

enum {
	ROOM_MS = 50,
};

static void statement_of(struct open_statement *out, const struct relay *r,
			 const struct control_caller *caller, const struct body_open *open)
{
	const struct statement_values v = {
		.network = r->config.network,
		.provider = r->self.body.node,
		.client_control = caller->client,
		.subject = open->exit,
		.terms = open->terms,
		.payer = open->payer,
		.nonce = open->nonce,
	};

	statement_make(out, &v);
}

static void grant(struct relay *r, const struct asker *to, const struct relay_session *s)
{
	struct relay_payer *payer = registry_payer(r->registry, s);
	struct body_granted body = {
		.window = le64_of(s->bind.ever ? s->share.limit - s->share.signed_total
					       : share_prospect(&payer->group)),
		.credit = le64_of(payer->credit),
	};

	memcpy(body.session, s->id, SESSION_ID_LEN);
	memcpy(body.bind_key, s->bind.key, KEY_LEN);
	relay_answer(r, to, VERB_GRANTED, &body, sizeof(body));
	crypto_wipe(&body, sizeof(body));
}

/* The ledger's word on a session it has not been told the end of, though nothing was carried. */
static void closed(void *arg, int err)
{
	(void)err;
	relay_call_end(arg);
}

/* What the ledger's answer says against it, or what came between the question and the answer. */
static enum refusal judge_opened(const struct relay *r, const struct relay_session *s,
				 const struct ledger_payer *now)
{
	if (r->stop.stage != STOP_NOT)
		return REFUSED_BUSY;
	if (!r->exits.slot[s->exit].present)
		return REFUSED_UNKNOWN_EXIT;
	if (now->window == 0 && now->debt == 0 && registry_payer(r->registry, s)->sessions == 1)
		return REFUSED_CREDIT;
	return 0;
}

static void opened(void *arg, int err, const struct ledger_payer *now)
{
	struct relay_call *call = arg;
	struct relay *r = call->relay;
	struct relay_session *s = relay_call_session(call);
	struct asker opener;
	enum refusal why;

	relay_call_end(call);
	if (!s)
		return;
	opener = relay_asker(s, &s->question);
	if (err) {
		relay_refuse(r, &opener, relay_refusal(err));
		ending_forget(r, s);
		return;
	}
	billing_stands(r, registry_payer(r->registry, s), now);
	why = judge_opened(r, s, now);
	if (why) {
		relay_refuse(r, &opener, why);
		ledger_close(r->ledger, s->id, 0, 0, closed, relay_call_begin(r, NULL, NULL));
		ending_forget(r, s);
		return;
	}
	s->phase = PHASE_LIVE;
	s->active_ms = clock_ms();
	grant(r, &opener, s);
	if (now->debt > 0)
		billing_debt(r, s);
}

/* The same OPEN again: the same answer, now or when the ledger has spoken. */
static void again(struct relay *r, struct relay_session *s, const struct asker *a)
{
	switch (s->phase) {
	case PHASE_OPENING:
		s->question = relay_question(a);
		return;
	case PHASE_LIVE:
		grant(r, a, s);
		return;
	case PHASE_ENDING:
	case PHASE_ENDED:
	case PHASE_FREE:
		relay_refuse(r, a, REFUSED_UNKNOWN_SESSION);
		return;
	}
}

/*
 * A client has one session towards an exit: with a new one it says that it lost the older, which
 * would keep its share of the payer's window until it is idle. False if one is still being opened.
 */
static bool replace(struct relay *r, const uint8_t owner[static KEY_LEN], uint32_t exit)
{
	for (struct relay_session *s = registry_of_owner(r->registry, owner); s;
	     s = registry_behind(r->registry, s, LIST_OWNER)) {
		if (s->exit != exit)
			continue;
		if (s->phase == PHASE_OPENING)
			return false;
		if (s->phase == PHASE_LIVE)
			ending_begin(r, s, CLOSE_ASKED, NULL);
	}
	return true;
}

static bool has_session(const struct relay *r, const uint8_t owner[static KEY_LEN], uint32_t exit)
{
	const struct relay_session *s = registry_of_owner(r->registry, owner);

	while (s && s->exit != exit)
		s = registry_behind(r->registry, s, LIST_OWNER);
	return s;
}

static bool has_room(const struct relay *r, const uint8_t id[static KEY_LEN])
{
	const struct relay_payer *payer = registry_payer_by_id(r->registry, id);

	return !payer || payer->sessions < r->config.sessions_per_payer;
}

/* What costs nothing and tells only what the descriptor tells comes before the signature is looked
 * at; whatever is about the payer or changes something comes after. */
static enum refusal judge(struct relay *r, const struct control_caller *caller,
			  const struct open_statement *statement, const struct body_open *open,
			  uint32_t *exit)
{
	uint64_t now_s = clock_wall();
	bool crowded;

	if (memcmp(open->terms, r->terms, KEY_LEN) != 0 ||
	    le64_get(r->self.body.relay_terms.body.expires) <= now_s)
		return REFUSED_TERMS;
	*exit = exits_find(&r->exits, open->exit, now_s);
	if (*exit == EXIT_NONE)
		return exits_was_refused(&r->exits, open->exit) ? REFUSED_EXIT_ADDRESS
								: REFUSED_UNKNOWN_EXIT;
	if (r->stop.stage != STOP_NOT)
		return REFUSED_BUSY;
	/* Where only its own session is in its way, that may end; what it asks for waits for it. */
	crowded = !crowd_admits(r->crowd, &caller->net);
	if (crowded && !has_session(r, caller->client, *exit))
		return REFUSED_FULL;
	if (!identity_verify(open->signature, statement, sizeof(*statement), open->payer))
		return REFUSED_SIGNATURE;
	if (!replace(r, statement->client_control, *exit))
		return REFUSED_BUSY;
	return !crowded && has_room(r, open->payer) ? 0 : REFUSED_FULL;
}

/* A session that only waits for a last signature gives way; whoever asks again finds its place. Not
 * at every request, for this looks at all of them. */
static void make_room(struct relay *r)
{
	uint64_t now_ms = clock_ms();
	struct relay_session *oldest;

	if (now_ms < r->room_ms)
		return;
	r->room_ms = now_ms + ROOM_MS;
	oldest = registry_oldest_ended(r->registry);
	if (oldest)
		ending_close(r, oldest);
}

void open_handle(struct relay *r, const struct asker *a, const struct body_open *open)
{
	struct open_statement statement;
	uint8_t hash[KEY_LEN];
	struct relay_session *s;
	enum refusal why;
	uint32_t exit;

	statement_of(&statement, r, &a->caller, open);
	hash256(hash, &statement, sizeof(statement));
	s = registry_by_statement(r->registry, hash);
	if (s) {
		again(r, s, a);
		return;
	}
	why = judge(r, &a->caller, &statement, open, &exit);
	if (why) {
		relay_refuse(r, a, why);
		return;
	}
	s = registry_add(r->registry, a->caller.client, open->payer, hash);
	if (!s) {
		make_room(r);
		relay_refuse(r, a, REFUSED_FULL);
		return;
	}
	s->exit = exit;
	r->exits.slot[exit].sessions++;
	s->net = a->caller.net;
	crowd_enter(r->crowd, &s->net);
	s->question = relay_question(a);
	s->expires = le64_get(r->self.body.relay_terms.body.expires);
	s->born_ms = s->active_ms = clock_ms();
	ledger_open(r->ledger, ROLE_RELAY, s->id, open->payer, opened,
		    relay_call_begin(r, s, NULL));
}
