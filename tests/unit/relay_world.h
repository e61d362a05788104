/*
 * The relay role with its neighbours made up: a data plane that obeys when told to (world_run), a
 * ledger that answers then, and a control channel that remembers what went out. Included by the
 * programs that test the relay; stands in for relay/plane.c, accounting/ledger.c, control/server.c.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "proto/lengths.h"
#include "proto/statement.h"
#include "relay/core.h"

#ifndef WORLD_SESSIONS
#define WORLD_SESSIONS 16
#endif

enum {
	NETWORK = 7,
	SESSIONS = WORLD_SESSIONS,
	BOOKS = WORLD_SESSIONS + 48,
	EXITS = 8,
	DEEDS = 4096,
	PRICE = 1 << 20,
	WINDOW = 1 << 20,
};

/* ---- what is put off until world_run ---- */

struct deed {
	void (*run)(struct deed *d);
	unsigned worker;
	uint32_t handle;
	uint64_t limit, mark;
	struct plane_session session;
	struct plane_losses losses;
	struct ledger_payer payer;
	int err;
	union {
		ledger_opened opened;
		ledger_issued issued;
		ledger_done done;
	};
	struct receipt_offer offer;
	void *arg;
};

struct books {
	bool used, open, frozen, outstanding;
	uint8_t session[SESSION_ID_LEN], payer[KEY_LEN];
	uint64_t seq, up, down, carried_up, carried_down;
	struct receipt_offer offer;
};

static struct {
	struct deed deed[DEEDS];
	unsigned first, last;

	/* plane */
	const struct plane_ops *ops;
	void *ops_arg;
	struct plane_session at[2][SESSIONS];
	struct plane_losses lost[2][SESSIONS];
	bool live[2][SESSIONS];
	struct plane_exit exit[EXITS];
	struct net_addr self;
	struct message_bind sent; /* the last datagram from the public port */
	struct net_addr sent_to;
	unsigned sent_worker, sent_count, ticks;

	/* ledger */
	struct books books[BOOKS];
	uint64_t window, credit;
	uint8_t net;  /* where callers come from */
	bool holding; /* orders wait to be told of */
	uint32_t meters;
	unsigned opens, issues, closes, asks, cosigns, disputes;
	uint64_t closed_up, closed_down;
	bool full; /* the disk: nothing is closed */

	/* control */
	uint8_t reply_verb, reply[CONTROL_BODY_MAX], push_verb, push[CONTROL_BODY_MAX];
	uint32_t reply_id;
	unsigned replies, pushes, pushed[VERB_COUNT], replied[VERB_COUNT];
	uint8_t pushed_to[KEY_LEN];
	struct receipt_offer receipt; /* the last one pushed */
} world;

static struct deed *later(void (*run)(struct deed *))
{
	struct deed *d = &world.deed[world.last++ % DEEDS];

	assert_true(world.last - world.first < DEEDS);
	*d = (struct deed){.run = run};
	return d;
}

/* One put-off thing at a time; false if none is left. */
static inline bool world_step(void)
{
	struct deed d;

	if (world.first == world.last)
		return false;
	d = world.deed[world.first++ % DEEDS];
	d.run(&d);
	return true;
}

static inline void world_run(void)
{
	while (world_step())
		continue;
}

/* ---- plane ---- */

int plane_create(struct plane **out, const struct plane_config *config, struct event_base *base,
		 const struct plane_ops *ops, void *arg)
{
	(void)config, (void)base;
	world.ops = ops;
	world.ops_arg = arg;
	*out = (struct plane *)&world;
	return 0;
}

void plane_destroy(struct plane *p)
{
	(void)p;
}

void plane_set_exit(struct plane *p, uint32_t slot, const struct plane_exit *exit)
{
	(void)p;
	world.exit[slot] = *exit;
}

static uint64_t carried(const struct plane_session *s)
{
	return s->up + s->down;
}

static void do_install(struct deed *d)
{
	bool ok = true;

	for (uint32_t i = 0; i < SESSIONS; i++) {
		assert_false(i == d->session.handle && (world.live[0][i] || world.live[1][i]));
		ok = ok && !(world.live[d->worker][i] &&
			     net_addr_eq(&world.at[d->worker][i].client, &d->session.client));
	}
	if (ok) {
		world.at[d->worker][d->session.handle] = d->session;
		world.lost[d->worker][d->session.handle] = d->losses;
		world.live[d->worker][d->session.handle] = true;
	}
	world.ops->installed(world.ops_arg, d->session.handle, ok);
}

void plane_install(struct plane *p, unsigned worker, const struct plane_session *s,
		   const struct plane_losses *losses)
{
	struct deed *d = later(do_install);

	(void)p;
	d->worker = worker;
	d->session = *s;
	d->losses = losses ? *losses : (struct plane_losses){0};
}

static void do_retire(struct deed *d)
{
	assert_true(world.live[d->worker][d->handle]);
	world.live[d->worker][d->handle] = false;
	world.ops->losses(world.ops_arg, d->handle, &world.lost[d->worker][d->handle]);
	world.ops->retired(world.ops_arg, &world.at[d->worker][d->handle]);
}

void plane_retire(struct plane *p, unsigned worker, uint32_t handle)
{
	struct deed *d = later(do_retire);

	(void)p;
	d->worker = worker;
	d->handle = handle;
}

static void do_limit(struct deed *d)
{
	struct plane_session *s = &world.at[d->worker][d->handle];

	if (!world.live[d->worker][d->handle])
		return;
	s->limit = d->limit > carried(s) ? d->limit : carried(s);
	s->mark = d->mark;
	world.ops->limited(world.ops_arg, d->handle, s->limit, s->up, s->down);
}

void plane_limit(struct plane *p, unsigned worker, uint32_t handle, uint64_t limit, uint64_t mark)
{
	struct deed *d = later(do_limit);

	(void)p;
	d->worker = worker;
	d->handle = handle;
	d->limit = limit;
	d->mark = mark;
}

static void do_meter(struct deed *d)
{
	struct plane_session *s = &world.at[d->worker][d->handle];

	if (world.live[d->worker][d->handle])
		world.ops->marked(world.ops_arg, d->handle, s->up, s->down);
}

void plane_meter(struct plane *p, unsigned worker, uint32_t handle)
{
	struct deed *d = later(do_meter);

	(void)p;
	world.meters++;
	d->worker = worker;
	d->handle = handle;
}

void plane_hold(struct plane *p)
{
	(void)p;
	world.holding = true;
}

void plane_release(struct plane *p)
{
	(void)p;
	world.holding = false;
}

void plane_tick(struct plane *p)
{
	(void)p;
	world.ticks++;
}

void plane_send(struct plane *p, unsigned worker, const struct net_addr *to, const void *msg,
		size_t len)
{
	(void)p;
	assert_int_equal(len, sizeof(world.sent));
	memcpy(&world.sent, msg, len);
	world.sent_to = *to;
	world.sent_worker = worker;
	world.sent_count++;
}

int plane_set_rates(struct plane *p, uint64_t rate, uint64_t peer_rate)
{
	(void)p, (void)rate, (void)peer_rate;
	return 0;
}

struct rate *plane_rate(struct plane *p)
{
	(void)p;
	return NULL;
}

unsigned plane_workers(const struct plane *p)
{
	(void)p;
	return 2;
}

uint16_t plane_port(const struct plane *p)
{
	(void)p;
	return 51820;
}

void plane_counters(const struct plane *p, struct relay_counters *sum)
{
	(void)p;
	*sum = (struct relay_counters){0};
}

struct plane_part plane_part(const struct plane *p, unsigned worker)
{
	(void)p, (void)worker;
	return (struct plane_part){0};
}

struct plane_means plane_means(const struct plane *p)
{
	(void)p;
	return (struct plane_means){0};
}

bool plane_is_self(const struct plane *p, const struct net_addr *a)
{
	(void)p;
	return net_addr_eq(a, &world.self);
}

/* Where a session is: its worker, or -1. */
static inline int place_of(uint32_t handle)
{
	return world.live[0][handle] ? 0 : world.live[1][handle] ? 1 : -1;
}

/* The worker carries up to bytes more down, as its limit allows; returns how many. */
static inline uint64_t world_carry(uint32_t handle, uint64_t bytes)
{
	struct plane_session *s = &world.at[place_of(handle)][handle];
	uint64_t room = s->limit - carried(s);

	assert_true(s->limit >= carried(s));
	bytes = bytes < room ? bytes : room;
	s->down += bytes;
	if (carried(s) >= s->mark) {
		s->mark = UINT64_MAX;
		world.ops->marked(world.ops_arg, handle, s->up, s->down);
	}
	return bytes;
}

/* ---- ledger ---- */

static struct books *books_of(const uint8_t *session)
{
	for (size_t i = 0; i < ARRAY_SIZE(world.books); i++)
		if (world.books[i].used &&
		    memcmp(world.books[i].session, session, SESSION_ID_LEN) == 0)
			return &world.books[i];
	return NULL;
}

static bool unsigned_rest(const struct books *b)
{
	return b->carried_up > b->up || b->carried_down > b->down;
}

static struct ledger_payer payer_stands(void)
{
	struct ledger_payer p = {.window = world.window, .credit = world.credit};

	for (size_t i = 0; i < ARRAY_SIZE(world.books); i++) {
		const struct books *b = &world.books[i];

		if (b->used && !b->open)
			p.debt += b->carried_up + b->carried_down - b->up - b->down;
	}
	p.window -= p.debt < p.window ? p.debt : p.window;
	return p;
}

static void do_payer(struct deed *d)
{
	d->opened(d->arg, d->err, d->err ? NULL : &d->payer);
}

static void answer_payer(ledger_opened done, void *arg, int err)
{
	struct deed *d = later(do_payer);

	d->opened = done;
	d->arg = arg;
	d->err = err;
	d->payer = payer_stands();
}

void ledger_open(struct ledger *l, enum role role, const uint8_t session[static SESSION_ID_LEN],
		 const uint8_t payer[static KEY_LEN], ledger_opened done, void *arg)
{
	struct books *b = world.books;

	(void)l;
	assert_int_equal(role, ROLE_RELAY);
	while (b->used)
		b++;
	*b = (struct books){.used = true, .open = true};
	memcpy(b->session, session, SESSION_ID_LEN);
	memcpy(b->payer, payer, KEY_LEN);
	world.opens++;
	answer_payer(done, arg, 0);
}

static void do_issued(struct deed *d)
{
	d->issued(d->arg, d->err, d->err ? NULL : &d->offer);
}

static void answer_issued(ledger_issued done, void *arg, int err, const struct receipt_offer *offer)
{
	struct deed *d = later(do_issued);

	d->issued = done;
	d->arg = arg;
	d->err = err;
	if (offer)
		d->offer = *offer;
}

static void offer_next(struct books *b)
{
	memcpy(b->offer.body.session, b->session, SESSION_ID_LEN);
	b->offer.body.seq = le64_of(b->seq + 1);
	b->offer.body.bytes_up = le64_of(b->carried_up);
	b->offer.body.bytes_down = le64_of(b->carried_down);
	b->outstanding = true;
}

void ledger_issue(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_issued done, void *arg)
{
	struct books *b = books_of(session);

	(void)l;
	world.issues++;
	if (!b || !b->open || b->frozen) {
		answer_issued(done, arg, -EACCES, NULL);
		return;
	}
	b->carried_up = up > b->carried_up ? up : b->carried_up;
	b->carried_down = down > b->carried_down ? down : b->carried_down;
	if (!b->outstanding && !unsigned_rest(b)) {
		answer_issued(done, arg, -EALREADY, NULL);
		return;
	}
	if (!b->outstanding)
		offer_next(b);
	answer_issued(done, arg, 0, &b->offer);
}

/* A signature is good if its first byte is 1. */
void ledger_cosign(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		   const uint8_t signature[static SIGNATURE_LEN], ledger_signed done, void *arg)
{
	struct books *b = books_of(session);

	(void)l;
	if (!b || !b->outstanding || seq != b->seq + 1 || signature[0] != 1) {
		answer_payer(done, arg, -EBADMSG);
		return;
	}
	world.cosigns++;
	b->seq = seq;
	b->outstanding = false;
	b->up = le64_get(b->offer.body.bytes_up);
	b->down = le64_get(b->offer.body.bytes_down);
	if (!b->open && unsigned_rest(b))
		offer_next(b);
	answer_payer(done, arg, 0);
}

static void do_done(struct deed *d)
{
	d->done(d->arg, d->err);
}

static void answer_done(ledger_done done, void *arg, int err)
{
	struct deed *d = later(do_done);

	d->done = done;
	d->arg = arg;
	d->err = err;
}

void ledger_dispute(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		    uint64_t up, uint64_t down, ledger_done done, void *arg)
{
	(void)l, (void)seq, (void)up, (void)down;
	books_of(session)->frozen = true;
	world.disputes++;
	answer_done(done, arg, 0);
}

void ledger_close(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_done done, void *arg)
{
	struct books *b = books_of(session);

	(void)l;
	assert_true(b->open);
	if (world.full) {
		answer_done(done, arg, -ENOSPC);
		return;
	}
	b->open = false;
	b->carried_up = up;
	b->carried_down = down;
	if (!b->outstanding && unsigned_rest(b))
		offer_next(b);
	world.closes++;
	world.closed_up = up;
	world.closed_down = down;
	answer_done(done, arg, 0);
}

void ledger_unpaid(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_issued done,
		   void *arg)
{
	(void)l, (void)payer;
	for (size_t i = 0; i < ARRAY_SIZE(world.books); i++) {
		if (world.books[i].used && !world.books[i].open && world.books[i].outstanding) {
			answer_issued(done, arg, 0, &world.books[i].offer);
			return;
		}
	}
	answer_issued(done, arg, -ENOENT, NULL);
}

void ledger_payer_now(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_opened done,
		      void *arg)
{
	(void)l, (void)payer;
	world.asks++;
	answer_payer(done, arg, 0);
}

void ledger_carry(struct ledger *l, const struct ledger_carry *c, ledger_has_carried done,
		  void *arg)
{
	(void)l, (void)c, (void)done, (void)arg; /* no cap in this world */
}

/* ---- control channel ---- */

void control_server_reply(struct control_server *s, const struct control_caller *to, uint8_t verb,
			  uint32_t id, const void *body, size_t len)
{
	(void)s, (void)to;
	assert_true(verb_length_ok(verb, len));
	world.reply_verb = verb;
	world.reply_id = id;
	world.replies++;
	world.replied[verb]++;
	memcpy(world.reply, body, len);
}

bool control_server_push(struct control_server *s, const uint8_t client[static KEY_LEN],
			 uint8_t verb, const void *body, size_t len)
{
	(void)s;
	assert_true(verb_length_ok(verb, len));
	world.push_verb = verb;
	world.pushes++;
	world.pushed[verb]++;
	memcpy(world.push, body, len);
	memcpy(world.pushed_to, client, KEY_LEN);
	if (verb == VERB_RECEIPT)
		memcpy(&world.receipt, body, len);
	return true;
}

/* ---- a relay in this world ---- */

static struct relay *relay;
static struct event_base *base;
static struct identity relay_id, exit_id, payer_id;
static struct descriptor self, exit_descriptor;

static inline void describe(struct descriptor *d, const struct identity *who, uint8_t role,
			    const char *endpoint)
{
	const struct terms_values v = {
		.role = role,
		.network = NETWORK,
		.price = PRICE,
		.window_start = WINDOW,
		.window_cap = WINDOW,
		.receipt_seconds = 60,
		.expires = clock_wall() + 86400,
	};
	struct net_addr a;

	assert_true(net_addr_parse(&a, endpoint));
	descriptor_begin(d, NETWORK, role, "test", clock_wall() - 60, v.expires);
	memset(d->body.control, 9, KEY_LEN);
	if (net_addr_is_v4(&a))
		memcpy(d->body.ip4, a.ip + 12, 4);
	else
		memcpy(d->body.ip6, a.ip, 16);
	d->body.port = le16_of(a.port);
	if (role == ROLE_EXIT) {
		memset(d->body.wg_key, 8, KEY_LEN);
		d->body.wg_port = le16_of((uint16_t)(a.port + 1));
		terms_make(&d->body.exit_terms, &v, who);
	} else {
		terms_make(&d->body.relay_terms, &v, who);
	}
	descriptor_sign(d, who);
}

static inline void seed_identity(struct identity *out, uint8_t byte)
{
	uint8_t seed[KEY_LEN];

	memset(seed, byte, sizeof(seed));
	identity_from_seed(out, seed);
}

static inline int world_setup(void **state)
{
	struct relay_config config = {
		.plane = {.workers = 2, .max_exits = EXITS},
		.network = NETWORK,
		.max_sessions = SESSIONS,
		.sessions_per_payer = 4,
		.idle_ms = 60000,
	};

	(void)state;
	crypto_start();
	memset(&world, 0, sizeof(world));
	world.window = WINDOW;
	world.credit = 1000000;
	seed_identity(&relay_id, 1);
	seed_identity(&exit_id, 2);
	seed_identity(&payer_id, 3);
	describe(&self, &relay_id, ROLE_RELAY, "8.8.4.4:51820");
	describe(&exit_descriptor, &exit_id, ROLE_EXIT, "8.8.8.8:51820");
	base = event_base_new();
	assert_int_equal(relay_create(&relay, &config, base, NULL, &self), 0);
	relay_set_exits(relay, &exit_descriptor, 1, NULL, NULL);
	return 0;
}

static inline int world_teardown(void **state)
{
	(void)state;
	relay_destroy(relay);
	event_base_free(base);
	return 0;
}

static inline struct control_caller caller_of(uint8_t byte)
{
	struct control_caller c = {.channel = byte};

	memset(c.client, byte, KEY_LEN);
	c.net.ip[0] = world.net;
	return c;
}

static inline struct body_open open_of(uint8_t client, uint8_t nonce)
{
	struct control_caller caller = caller_of(client);
	struct open_statement statement;
	struct body_open open;
	const struct statement_values v = {
		.network = NETWORK,
		.provider = relay_id.id,
		.client_control = caller.client,
		.subject = open.exit,
		.terms = open.terms,
		.payer = open.payer,
		.nonce = open.nonce,
	};

	memcpy(open.exit, exit_id.id, KEY_LEN);
	terms_hash(open.terms, &self.body.relay_terms);
	memcpy(open.payer, payer_id.id, KEY_LEN);
	memset(open.nonce, nonce, NONCE_LEN);
	statement_make(&statement, &v);
	identity_sign(open.signature, &statement, sizeof(statement), &payer_id);
	return open;
}

static inline bool ask(uint8_t client, uint8_t verb, const void *body, size_t len)
{
	static uint32_t id;
	struct control_caller caller = caller_of(client);

	return relay_handle(relay, &caller, verb, ++id, body, len);
}

static inline uint32_t refusal(void)
{
	const struct body_refused *body = (const struct body_refused *)world.reply;

	assert_int_equal(world.reply_verb, VERB_REFUSED);
	return le32_get(body->code);
}

static inline struct body_granted open_session(uint8_t client, uint8_t nonce)
{
	struct body_open open = open_of(client, nonce);
	struct body_granted granted;

	assert_true(ask(client, VERB_OPEN, &open, sizeof(open)));
	world_run();
	assert_int_equal(world.reply_verb, VERB_GRANTED);
	memcpy(&granted, world.reply, sizeof(granted));
	return granted;
}

static inline struct relay_session *session_by(const struct body_granted *g)
{
	return registry_by_id(relay->registry, g->session);
}

static inline struct net_addr address(uint16_t port)
{
	struct net_addr a;

	assert_true(net_addr_parse(&a, "9.9.9.9:1"));
	a.port = port;
	return a;
}

static inline void say_bind(const struct message_bind *m, unsigned worker, struct net_addr from)
{
	world.ops->control(world.ops_arg, worker, &from, (const uint8_t *)m, sizeof(*m));
}

/* BIND and ANSWER from one address, without waiting for the data plane. */
static inline void start_bind(const struct body_granted *g, uint64_t counter, unsigned worker,
			      struct net_addr from)
{
	struct message_bind m;

	bind_make(&m, MESSAGE_BIND, g->session, counter, NULL, g->bind_key);
	say_bind(&m, worker, from);
	assert_int_equal(le32_get(world.sent.type), MESSAGE_CHALLENGE);
	assert_true(net_addr_eq(&world.sent_to, &from));
	bind_make(&m, MESSAGE_ANSWER, g->session, counter, world.sent.token, g->bind_key);
	say_bind(&m, worker, from);
}

static inline void bind_session(const struct body_granted *g, uint64_t counter, unsigned worker,
				struct net_addr from)
{
	start_bind(g, counter, worker, from);
	world_run();
	assert_int_equal(le32_get(world.sent.type), MESSAGE_BOUND);
	assert_true(net_addr_eq(&world.sent_to, &from));
	assert_int_equal(world.sent_worker, worker);
}

static inline void cosign(uint8_t client, const struct receipt_offer *offer)
{
	struct body_cosign body = {.seq = offer->body.seq, .signature = {1}};

	memcpy(body.session, offer->body.session, SESSION_ID_LEN);
	assert_true(ask(client, VERB_COSIGN, &body, sizeof(body)));
}
