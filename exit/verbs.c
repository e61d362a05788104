/* What clients may ask of the exit. Every verb but ADD_PEER names a session, and its owner asks. */
#include <string.h>

#include "base/clock.h"
#include "exit/role.h"

static void handle_keepalive(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
			     const void *body)
{
	control_server_reply(p->exit->control, caller, VERB_ALIVE, id, body,
			     sizeof(struct body_session));
}

static void handle_cosign(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
			  const void *body)
{
	metering_cosign(p, caller, id, body);
}

static void handle_close(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
			 const void *body)
{
	(void)body;
	if (p->state == PEER_OPENING) {
		session_refuse(p->exit, caller, id, REFUSED_BUSY);
		return;
	}
	p->closing = (struct peer_request){true, *caller, id};
	session_close(p, CLOSE_ASKED);
}

static void disputed(void *arg, int err)
{
	struct exit_peer *p = arg;

	(void)err; /* the ledger says what is wrong with it; the session ends either way */
	p->pending--;
	session_closing(p, clock_ms());
}

static void handle_dispute(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
			   const void *body)
{
	const struct body_dispute *d = body;
	struct exit_role *e = p->exit;

	if (!p->outstanding || le64_get(d->seq) != le64_get(p->offer.body.seq)) {
		session_refuse(e, caller, id, REFUSED_SIGNATURE);
		return;
	}
	p->closing = (struct peer_request){true, *caller, id};
	if (p->frozen || (p->state != PEER_LIVE && p->state != PEER_CLOSING))
		return;
	e->disputes++;
	p->frozen = true;
	p->outstanding = false;
	p->pending++;
	ledger_dispute(e->ledger, p->session, le64_get(d->seq), le64_get(d->bytes_up),
		       le64_get(d->bytes_down), disputed, p);
	session_close(p, CLOSE_DISPUTE);
}

static const struct exit_unpaid *unpaid_find(const struct exit_role *e, const uint8_t *session,
					     const uint8_t *owner)
{
	for (size_t i = 0; i < EXIT_UNPAID_MAX; i++) {
		const struct exit_unpaid *u = &e->unpaid[i];

		if (u->used && memcmp(u->session, session, SESSION_ID_LEN) == 0 &&
		    memcmp(u->owner, owner, KEY_LEN) == 0)
			return u;
	}
	return NULL;
}

static const struct {
	uint8_t verb;
	void (*handle)(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
		       const void *body);
} session_verbs[] = {
	{VERB_COSIGN, handle_cosign},
	{VERB_DISPUTE, handle_dispute},
	{VERB_CLOSE, handle_close},
	{VERB_KEEPALIVE, handle_keepalive},
};

/* All these bodies begin with the session. */
static bool handle_session(struct exit_role *e, const struct control_caller *caller, uint8_t verb,
			   uint32_t id, const uint8_t *body)
{
	struct exit_peer *p = peers_by_session(e->peers, body);
	const struct exit_unpaid *u;

	if (!p && verb == VERB_COSIGN) {
		u = unpaid_find(e, body, caller->client);
		if (u)
			metering_cosign_unpaid(e, u, caller, id, (const void *)body);
		return u != NULL;
	}
	if (!p || memcmp(p->owner, caller->client, KEY_LEN) != 0)
		return false;
	p->active_ms = clock_ms();
	for (size_t i = 0; i < ARRAY_SIZE(session_verbs); i++) {
		if (session_verbs[i].verb == verb)
			session_verbs[i].handle(p, caller, id, body);
	}
	return true;
}

bool exit_handle(struct exit_role *e, const struct control_caller *caller, uint8_t verb,
		 uint32_t id, const uint8_t *body, size_t len)
{
	(void)len; /* checked against the verb's exact length before it gets here */
	if (verb == VERB_ADD_PEER) {
		session_add(e, caller, id, (const void *)body);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(session_verbs); i++) {
		if (session_verbs[i].verb == verb)
			return handle_session(e, caller, verb, id, body);
	}
	return false;
}
