/*
 * Moving a session's data path: BIND -> CHALLENGE (nothing kept) -> ANSWER (counter committed) ->
 * retired on the old worker -> installed on the worker that heard the ANSWER -> BOUND. Whatever is
 * wrong is met with silence and a counter.
 */
#include <string.h>

#include "base/clock.h"
#include "proto/lengths.h"
#include "relay/core.h"

static void tell(struct relay *r, const struct relay_session *s, const struct bind_point *to,
		 enum message_type type, const uint8_t *token)
{
	struct message_bind msg;

	bind_make(&msg, type, s->id, to->counter, token, s->bind.key);
	plane_send(r->plane, to->worker, &to->addr, &msg, sizeof(msg));
}

static bool same_place(const struct bind_point *a, const struct bind_point *b)
{
	return a->worker == b->worker && net_addr_eq(&a->addr, &b->addr);
}

static void install(struct relay *r, struct relay_session *s)
{
	struct plane_session p = {
		.handle = s->handle,
		.exit = s->exit,
		.client = s->bind.wish.addr,
		.up = s->up,
		.down = s->down,
		.packets_up = s->packets_up,
		.packets_down = s->packets_down,
		.client_indices = s->client_indices,
		.exit_indices = s->exit_indices,
	};
	const struct plane_losses losses = registry_losses(s);
	struct relay_payer *payer = registry_payer(r->registry, s);

	s->bind.at = s->bind.wish;
	s->bind.wanted = false;
	s->bind.place = BIND_INSTALLING;
	if (!s->bind.ever)
		share_join(&payer->group, &s->share);
	s->bind.ever = true;
	s->counted_ms = clock_ms();
	billing_share(r, payer);
	p.limit = s->share.limit;
	p.mark = billing_mark(s);
	share_installed(&s->share);
	plane_install(r->plane, s->bind.at.worker, &p, &losses);
}

/* Takes the next step towards where the client wants to be; nothing while a step is in flight. */
static void step(struct relay *r, struct relay_session *s)
{
	if (!s->bind.wanted)
		return;
	switch (s->bind.place) {
	case BIND_NOWHERE:
		install(r, s);
		return;
	case BIND_BOUND:
		if (same_place(&s->bind.at, &s->bind.wish)) {
			s->bind.at = s->bind.wish;
			s->bind.wanted = false;
			tell(r, s, &s->bind.at, MESSAGE_BOUND, NULL);
			return;
		}
		s->bind.place = BIND_RETIRING;
		r->count.moves++;
		s->bind.moves++;
		plane_retire(r->plane, s->bind.at.worker, s->handle);
		return;
	case BIND_INSTALLING:
	case BIND_RETIRING:
		return;
	}
}

/* BOUND was lost on its way: only the address that is bound by this counter hears it again. */
static bool repeats(const struct relay_session *s, const struct bind_point *from)
{
	return s->bind.place == BIND_BOUND && from->counter == s->bind.at.counter &&
	       same_place(&s->bind.at, from);
}

static void handle_bind(struct relay *r, struct relay_session *s, const struct bind_point *from,
			const struct message_bind *msg)
{
	uint8_t token[NONCE_LEN];

	if (!crypto_is_zero(msg->token, NONCE_LEN)) {
		r->count.bad_binds++;
		return;
	}
	bind_token(&r->challenger, token, msg, &from->addr, clock_ms());
	tell(r, s, from, MESSAGE_CHALLENGE, token);
}

static void handle_answer(struct relay *r, struct relay_session *s, const struct bind_point *from,
			  const struct message_bind *msg)
{
	if (!bind_token_valid(&r->challenger, msg, &from->addr, clock_ms())) {
		r->count.bad_binds++;
		return;
	}
	r->count.binds++;
	s->bind.counter = from->counter;
	s->bind.wish = *from;
	s->bind.wanted = true;
	s->active_ms = clock_ms();
	step(r, s);
}

void rebind_input(struct relay *r, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		  size_t len)
{
	enum message_type type = message_type_of(msg, len);
	struct bind_point point = {.addr = *from, .worker = (uint16_t)worker};
	struct relay_session *s = NULL;
	struct message_bind bind;

	if (type == MESSAGE_BIND || type == MESSAGE_ANSWER) {
		memcpy(&bind, msg, sizeof(bind));
		s = registry_by_id(r->registry, bind.session);
	}
	if (!s || s->phase != PHASE_LIVE || !bind_valid(&bind, s->bind.key)) {
		r->count.bad_binds++;
		return;
	}
	point.counter = le64_get(bind.counter);
	if (repeats(s, &point))
		tell(r, s, &s->bind.at, MESSAGE_BOUND, NULL);
	else if (point.counter <= s->bind.counter)
		r->count.replayed_binds++;
	else if (type == MESSAGE_BIND)
		handle_bind(r, s, &point, &bind);
	else
		handle_answer(r, s, &point, &bind);
}

void rebind_installed(struct relay *r, struct relay_session *s, bool ok)
{
	if (s->bind.place != BIND_INSTALLING)
		return;
	s->bind.place = ok ? BIND_BOUND : BIND_NOWHERE;
	if (!ok)
		share_retired(&s->share, s->share.limit, session_total(s));
	if (s->phase == PHASE_ENDING) {
		if (rebind_unbind(r, s))
			ending_off_worker(r, s);
		return;
	}
	if (s->bind.wanted)
		step(r, s);
	else if (ok)
		tell(r, s, &s->bind.at, MESSAGE_BOUND, NULL);
}

void rebind_retired(struct relay *r, struct relay_session *s, const struct plane_session *last)
{
	s->up = last->up;
	s->down = last->down;
	s->packets_up = last->packets_up;
	s->packets_down = last->packets_down;
	s->client_indices = last->client_indices;
	s->exit_indices = last->exit_indices;
	s->bind.place = BIND_NOWHERE;
	relay_metered(r, s);
	share_retired(&s->share, last->limit, session_total(s));
	if (s->phase == PHASE_ENDING)
		ending_off_worker(r, s);
	else
		step(r, s);
}

bool rebind_unbind(struct relay *r, struct relay_session *s)
{
	s->bind.wanted = false;
	if (s->bind.place == BIND_BOUND) {
		s->bind.place = BIND_RETIRING;
		plane_retire(r->plane, s->bind.at.worker, s->handle);
	}
	return s->bind.place == BIND_NOWHERE;
}
