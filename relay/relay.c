#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/lengths.h"
#include "relay/core.h"

enum {
	FRESH_MS = 100,    /* how long a question may wait for fresh counters */
	ASK_AT_ONCE = 256, /* sessions asked for them before others have their turn */
};

/* ---- questions to the ledger ---- */

struct relay_call *relay_call_begin(struct relay *r, const struct relay_session *s,
				    const struct asker *a)
{
	struct relay_call *c = xcalloc(1, sizeof(*c));

	c->relay = r;
	c->handle = s ? s->handle : UINT32_MAX;
	c->serial = s ? s->serial : 0;
	if (a)
		c->asker = *a;
	c->next = r->calls;
	if (c->next)
		c->next->prev = c;
	r->calls = c;
	return c;
}

struct relay_session *relay_call_session(const struct relay_call *c)
{
	struct relay_session *s = registry_by_handle(c->relay->registry, c->handle);

	return s && s->serial == c->serial ? s : NULL;
}

void relay_call_end(struct relay_call *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->relay->calls = c->next;
	if (c->next)
		c->next->prev = c->prev;
	stopping_check(c->relay);
	free(c);
}

struct question relay_question(const struct asker *a)
{
	return (struct question){a->caller.path, a->caller.channel, a->id};
}

struct asker relay_asker(const struct relay_session *s, const struct question *q)
{
	struct asker a = {.caller = {.channel = q->channel, .path = q->path}, .id = q->id};

	memcpy(a.caller.client, s->owner, KEY_LEN);
	return a;
}

uint32_t relay_refusal(int err)
{
	return err == -EACCES ? REFUSED_FROZEN : REFUSED_BUSY;
}

void relay_answer(struct relay *r, const struct asker *to, uint8_t verb, const void *body,
		  size_t len)
{
	control_server_reply(r->control, &to->caller, verb, to->id, body, len);
}

void relay_refuse(struct relay *r, const struct asker *to, enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	relay_answer(r, to, VERB_REFUSED, &body, sizeof(body));
}

/* ---- what the data path says ---- */

static void on_control(void *arg, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		       size_t len)
{
	struct relay *r = arg;
	struct control_path path = {.addr = *from, .via = worker};

	switch ((int)message_type_of(msg, len)) {
	case MESSAGE_INITIATION:
	case MESSAGE_RESPONSE:
	case MESSAGE_COOKIE:
	case MESSAGE_TRANSPORT:
		if (r->control_input)
			r->control_input(r->control_input_arg, &path, msg, len);
		return;
	default:
		rebind_input(r, worker, from, msg, len);
		return;
	}
}

static void on_installed(void *arg, uint32_t handle, bool ok)
{
	struct relay *r = arg;
	struct relay_session *s = registry_by_handle(r->registry, handle);

	if (s)
		rebind_installed(r, s, ok);
}

static void on_retired(void *arg, const struct plane_session *last)
{
	struct relay *r = arg;
	struct relay_session *s = registry_by_handle(r->registry, last->handle);

	if (s && s->bind.place == BIND_RETIRING)
		rebind_retired(r, s, last);
}

static void on_marked(void *arg, uint32_t handle, uint64_t up, uint64_t down)
{
	struct relay *r = arg;
	struct relay_session *s = registry_by_handle(r->registry, handle);

	if (!s)
		return;
	billing_counted(r, s, up, down);
	relay_metered(r, s);
}

static void on_limited(void *arg, uint32_t handle, uint64_t limit, uint64_t up, uint64_t down)
{
	struct relay *r = arg;
	struct relay_session *s = registry_by_handle(r->registry, handle);

	if (!s || !s->share.remote)
		return;
	share_limited(&s->share, limit, up + down);
	billing_share(r, registry_payer(r->registry, s));
	billing_counted(r, s, up, down);
}

static void on_losses(void *arg, uint32_t handle, const struct plane_losses *losses)
{
	struct relay *r = arg;
	struct relay_session *s = registry_by_handle(r->registry, handle);

	if (s)
		registry_lost(s, losses);
}

/* ---- time ---- */

static void tick_session(struct relay *r, struct relay_session *s, uint64_t now_ms)
{
	if (s->phase == PHASE_LIVE || s->phase == PHASE_ENDED)
		billing_tick(r, s, now_ms);
	ending_tick(r, s, now_ms);
}

/* Each session once a second, but not all at one moment, which others would have to wait out. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;
	uint64_t now_ms = clock_ms();
	uint32_t part = (uint32_t)(r->ticks++ % TICKS_PER_SECOND);

	(void)fd;
	(void)what;
	if (part == 0)
		plane_tick(r->plane);
	plane_hold(r->plane);
	for (uint32_t i = part; i < r->config.max_sessions; i += TICKS_PER_SECOND) {
		struct relay_session *s = registry_by_handle(r->registry, i);

		if (s)
			tick_session(r, s, now_ms);
	}
	plane_release(r->plane);
}

/* ---- fresh counters ---- */

void relay_metered(struct relay *r, struct relay_session *s)
{
	if (!s->metering)
		return;
	s->metering = false;
	if (--r->metering == 0 && !r->asking)
		event_active(r->fresh_event, EV_TIMEOUT, 0);
}

/* Asks the next few sessions for their counters. */
static void on_ask(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = {0};
	struct relay *r = arg;
	struct relay_session *s = NULL;

	(void)fd;
	(void)what;
	plane_hold(r->plane);
	for (int left = ASK_AT_ONCE; left && (s = registry_next(r->registry, r->asked)); left--) {
		r->asked = s;
		if (s->bind.place != BIND_BOUND)
			continue;
		r->metering += !s->metering;
		s->metering = true;
		plane_meter(r->plane, s->bind.at.worker, s->handle);
	}
	plane_release(r->plane);
	if (s) {
		event_add(r->ask_event, &soon);
		return;
	}
	r->asking = false;
	if (r->metering == 0)
		event_active(r->fresh_event, EV_TIMEOUT, 0);
}

/* All have answered, or it took too long: either way those who wait wait no more. */
static void on_fresh(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;
	struct relay_fresh *waiting = r->fresh;

	(void)fd;
	(void)what;
	event_del(r->fresh_event);
	r->fresh = NULL;
	while (waiting) {
		struct relay_fresh *next = waiting->next;

		waiting->done(waiting->arg);
		free(waiting);
		waiting = next;
	}
}

void relay_meter(struct relay *r, void (*done)(void *arg), void *arg)
{
	const struct timeval limit = {.tv_usec = FRESH_MS * 1000};
	struct relay_fresh *mine = xcalloc(1, sizeof(*mine));

	*mine = (struct relay_fresh){r->fresh, done, arg};
	r->fresh = mine;
	if (!mine->next) /* else it runs, for who asked first */
		event_add(r->fresh_event, &limit);
	r->asking = true;
	r->asked = NULL;
	on_ask(-1, 0, r);
}

/* ---- life ---- */

void relay_set_self(struct relay *r, const struct descriptor *self)
{
	r->self = *self;
	terms_hash(r->terms, &self->body.relay_terms);
}

static int start_events(struct relay *r)
{
	const struct timeval part = {.tv_usec = 1000000 / TICKS_PER_SECOND};

	r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
	r->fresh_event = event_new(r->base, -1, 0, on_fresh, r);
	r->ask_event = event_new(r->base, -1, 0, on_ask, r);
	if (!r->tick || !r->fresh_event || !r->ask_event || event_add(r->tick, &part) < 0)
		return -ENOMEM;
	return stopping_create(r);
}

static int start_cap(struct relay *r)
{
	const struct cap_config config = {
		.bytes = r->config.monthly_cap,
		.workers = plane_workers(r->plane),
	};

	if (!config.bytes)
		return 0;
	r->cap = cap_create(&config, plane_rate(r->plane), r->ledger, r->base);
	return r->cap ? 0 : -ENOMEM;
}

static void deliver(void *arg, uint32_t handle, const uint8_t *msg, size_t len)
{
	struct relay *r = arg;
	const struct relay_session *s = registry_by_handle(r->registry, handle);
	uint8_t body[PASS_MAX];

	if (!s || s->phase != PHASE_LIVE)
		return;
	memcpy(body, s->id, SESSION_ID_LEN);
	memcpy(body + SESSION_ID_LEN, msg, len);
	control_server_push(r->control, s->owner, VERB_PASSED, body, SESSION_ID_LEN + len);
}

int relay_create(struct relay **out, const struct relay_config *config, struct event_base *base,
		 struct ledger *ledger, const struct descriptor *self)
{
	static const struct plane_ops ops = {
		.control = on_control,
		.installed = on_installed,
		.retired = on_retired,
		.marked = on_marked,
		.limited = on_limited,
		.losses = on_losses,
	};
	struct relay *r = xcalloc(1, sizeof(*r));
	int err;

	r->config = *config;
	r->config.plane.max_sessions = config->max_sessions;
	r->base = base;
	r->ledger = ledger;
	relay_set_self(r, self);
	bind_challenger_init(&r->challenger);
	r->registry = registry_create(config->max_sessions);
	r->crowd = crowd_create(config->max_sessions, config->sessions_per_address);
	if (!r->crowd)
		fatalx("relay: no memory to count sessions by address; lower MaxSessions");
	err = plane_create(&r->plane, &r->config.plane, base, &ops, r);
	if (err)
		goto err_registry;
	exits_init(&r->exits, r->plane, &r->config.plane.allow, config->network, &r->self,
		   config->plane.max_exits);
	r->pass = pass_create(base, &r->exits, config->max_sessions, deliver, r);
	err = r->pass ? start_events(r) : -EIO;
	if (!err)
		err = start_cap(r);
	if (err) {
		relay_destroy(r);
		return err;
	}
	*out = r;
	return 0;

err_registry:
	crowd_destroy(r->crowd);
	registry_destroy(r->registry);
	free(r);
	return err;
}

void relay_destroy(struct relay *r)
{
	if (!r)
		return;
	if (r->tick)
		event_free(r->tick);
	stopping_destroy(r);
	if (r->fresh_event)
		event_free(r->fresh_event);
	if (r->ask_event)
		event_free(r->ask_event);
	while (r->fresh) {
		struct relay_fresh *next = r->fresh->next;

		free(r->fresh);
		r->fresh = next;
	}
	cap_destroy(r->cap);
	pass_destroy(r->pass);
	plane_destroy(r->plane);
	exits_wipe(&r->exits);
	while (r->calls)
		relay_call_end(r->calls);
	crowd_destroy(r->crowd);
	registry_destroy(r->registry);
	crypto_wipe(r, sizeof(*r));
	free(r);
}

void relay_set_control(struct relay *r, struct control_server *control)
{
	r->control = control;
}

void relay_set_control_input(struct relay *r,
			     void (*input)(void *arg, const struct control_path *from,
					   const uint8_t *msg, size_t len),
			     void *arg)
{
	r->control_input = input;
	r->control_input_arg = arg;
}

void relay_send_control(struct relay *r, const struct control_path *to, const void *msg, size_t len)
{
	plane_send(r->plane, to->via, &to->addr, msg, len);
}

void relay_set_exits(struct relay *r, const struct descriptor *exits, size_t count,
		     relay_exit_refused why, void *arg)
{
	exits_load(&r->exits, exits, count, clock_wall(), why, arg);
	for (struct relay_session *s = registry_next(r->registry, NULL); s;
	     s = registry_next(r->registry, s))
		if (!r->exits.slot[s->exit].present)
			ending_begin(r, s, CLOSE_EXIT_GONE, NULL);
}

int relay_set_rates(struct relay *r, uint64_t rate, uint64_t peer_rate)
{
	int err = plane_set_rates(r->plane, rate, peer_rate);

	if (!err) {
		r->config.plane.rate = rate;
		r->config.plane.peer_rate = peer_rate;
	}
	return err;
}

int relay_set_cap(struct relay *r, uint64_t bytes)
{
	if (bytes == r->config.monthly_cap)
		return 0;
	if (!r->cap || !bytes)
		return -EBUSY;
	r->config.monthly_cap = bytes;
	cap_set(r->cap, bytes);
	return 0;
}

void relay_payer_changed(struct relay *r, const uint8_t id[static KEY_LEN])
{
	struct relay_payer *payer = registry_payer_by_id(r->registry, id);

	if (!payer)
		return;
	billing_ask(r, payer, NULL);
	for (struct relay_session *s = registry_of_payer(r->registry, payer); s && r->showing;
	     s = registry_behind(r->registry, s, LIST_PAYER))
		if (s->bill.debt)
			billing_debt(r, s);
}

/* ---- verbs ---- */

static void pass_up(struct relay *r, struct relay_session *s, const uint8_t *body, size_t len)
{
	uint64_t now_ms = clock_ms();

	if (s->phase != PHASE_LIVE)
		return;
	s->active_ms = now_ms;
	pass_send(r->pass, s->handle, s->exit, body + SESSION_ID_LEN, len - SESSION_ID_LEN, now_ms);
}

static void keep_alive(struct relay *r, struct relay_session *s, const struct asker *a,
		       const uint8_t *body)
{
	if (s->phase != PHASE_LIVE) {
		relay_refuse(r, a, REFUSED_UNKNOWN_SESSION);
		return;
	}
	s->active_ms = clock_ms();
	relay_answer(r, a, VERB_ALIVE, body, sizeof(struct body_session));
}

/* The caller's own session that body names: its relay session, or one that shows it a debt. */
static struct relay_session *own_session(struct relay *r, const struct control_caller *caller,
					 uint8_t verb, const uint8_t *body)
{
	struct relay_session *s = registry_by_id(r->registry, body);

	if (s && memcmp(s->owner, caller->client, KEY_LEN) == 0)
		return s;
	if (verb != VERB_COSIGN && verb != VERB_DISPUTE)
		return NULL;
	return billing_debt_holder(r, caller->client, body);
}

static bool names_session(uint8_t verb)
{
	switch (verb) {
	case VERB_COSIGN:
	case VERB_DISPUTE:
	case VERB_CLOSE:
	case VERB_KEEPALIVE:
	case VERB_PASS:
		return true;
	default:
		return false;
	}
}

bool relay_handle(struct relay *r, const struct control_caller *caller, uint8_t verb, uint32_t id,
		  const uint8_t *body, size_t len)
{
	struct asker a = {.caller = *caller, .id = id};
	struct relay_session *s;

	if (verb == VERB_OPEN) {
		open_handle(r, &a, (const struct body_open *)body);
		return true;
	}
	if (!names_session(verb))
		return false;
	s = own_session(r, caller, verb, body);
	if (!s)
		return false;
	switch (verb) {
	case VERB_COSIGN:
		billing_cosign(r, s, &a, (const struct body_cosign *)body);
		break;
	case VERB_DISPUTE:
		billing_dispute(r, s, &a, (const struct body_dispute *)body);
		break;
	case VERB_CLOSE:
		ending_begin(r, s, CLOSE_ASKED, &a);
		break;
	case VERB_KEEPALIVE:
		keep_alive(r, s, &a, body);
		break;
	default:
		pass_up(r, s, body, len);
		break;
	}
	return true;
}

/* ---- status ---- */

static void view_of(struct relay *r, const struct relay_session *s, uint64_t now_ms,
		    struct relay_session_view *v)
{
	const struct share_member *m = &s->share;

	*v = (struct relay_session_view){
		.up = s->up,
		.down = s->down,
		.signed_bytes = m->signed_total,
		.window = m->limit > m->signed_total ? m->limit - m->signed_total : 0,
		.idle_ms = now_ms - s->active_ms,
		.age_ms = now_ms - s->born_ms,
		.worker = s->bind.at.worker,
		.bound = s->bind.place == BIND_BOUND,
		.held = billing_held(s),
		.moves = s->bind.moves,
		.losses = registry_losses(s),
	};
	memcpy(v->session, s->id, SESSION_ID_LEN);
	memcpy(v->payer, registry_payer(r->registry, s)->id, KEY_LEN);
	memcpy(v->exit, r->exits.slot[s->exit].id, KEY_LEN);
}

void relay_sessions(struct relay *r, relay_session_each each, void *arg)
{
	uint64_t now_ms = clock_ms();
	struct relay_session_view v;

	for (struct relay_session *s = registry_next(r->registry, NULL); s;
	     s = registry_next(r->registry, s)) {
		if (s->phase != PHASE_LIVE)
			continue;
		view_of(r, s, now_ms, &v);
		each(arg, &v);
	}
}

void relay_status(struct relay *r, struct relay_status *out)
{
	const struct pass_counters *pass = pass_counts(r->pass);

	*out = r->count;
	for (struct relay_session *s = registry_next(r->registry, NULL); s;
	     s = registry_next(r->registry, s))
		out->sessions += s->phase == PHASE_LIVE;
	out->exits = exits_count(&r->exits);
	plane_counters(r->plane, &out->counters);
	out->means = plane_means(r->plane);
	out->rate = r->config.plane.rate;
	out->peer_rate = r->config.plane.peer_rate;
	out->passed_up = pass->sent;
	out->passed_down = pass->received;
	out->pass_dropped = pass->malformed + pass->wrong_direction + pass->bad_mac1 +
			    pass->index_taken + pass->unknown_index + pass->rate +
			    pass->exit_refused + pass->unknown_exit + pass->send_failed;
}

bool relay_month(const struct relay *r, struct cap_status *out)
{
	if (r->cap)
		cap_status(r->cap, out);
	return r->cap != NULL;
}

uint16_t relay_port(const struct relay *r)
{
	return plane_port(r->plane);
}

unsigned relay_workers(const struct relay *r)
{
	return plane_workers(r->plane);
}

struct plane_part relay_part(const struct relay *r, unsigned worker)
{
	return plane_part(r->plane, worker);
}
