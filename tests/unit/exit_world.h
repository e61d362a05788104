/*
 * The exit role over a fake device, with the ledger, the control channel, the rules and the clock
 * played by this file: for the test programs of exit/, each of which includes it once.
 */
#ifndef TESTS_UNIT_EXIT_WORLD_H
#define TESTS_UNIT_EXIT_WORLD_H

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exit/role.h"
#include "proto/statement.h"
#include "tunnel/fake.h"
#include "tunnel/route.h"

enum {
	MIB = 1 << 20,
	WAITING_MAX = 16,
	SENT_MAX = 64,
	IDLE_MS = 60000,
};

/* ---- the clock ---- */

static uint64_t now_ms = 1000000, wall = 1700000000;

uint64_t clock_ms(void)
{
	return now_ms;
}

uint64_t clock_ns(void)
{
	return now_ms * 1000000;
}

uint64_t clock_wall(void)
{
	return wall;
}

uint64_t clock_wall_ns(void)
{
	return wall * 1000000000;
}

/* ---- the ledger: calls wait here until the test answers them ---- */

enum call_kind {
	CALL_OPEN = 1,
	CALL_ISSUE,
	CALL_COSIGN,
	CALL_DISPUTE,
	CALL_CLOSE,
	CALL_UNPAID,
	CALL_NOW,
};

struct call {
	enum call_kind kind;
	uint8_t session[SESSION_ID_LEN], payer[KEY_LEN];
	uint64_t up, down, seq;
	void (*done)(void);
	void *arg;
};

static struct call waiting[WAITING_MAX];
static unsigned waiting_count;

static inline struct call *wait_call(enum call_kind kind, void (*done)(void), void *arg)
{
	struct call *c = &waiting[waiting_count++];

	assert_true(waiting_count <= WAITING_MAX);
	*c = (struct call){.kind = kind, .done = done, .arg = arg};
	return c;
}

void ledger_open(struct ledger *l, enum role role, const uint8_t session[static SESSION_ID_LEN],
		 const uint8_t payer[static KEY_LEN], ledger_opened done, void *arg)
{
	struct call *c = wait_call(CALL_OPEN, (void (*)(void))done, arg);

	(void)l;
	assert_int_equal(role, ROLE_EXIT);
	memcpy(c->session, session, SESSION_ID_LEN);
	memcpy(c->payer, payer, KEY_LEN);
}

void ledger_issue(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_issued done, void *arg)
{
	struct call *c = wait_call(CALL_ISSUE, (void (*)(void))done, arg);

	(void)l;
	memcpy(c->session, session, SESSION_ID_LEN);
	c->up = up;
	c->down = down;
}

void ledger_cosign(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		   const uint8_t signature[static SIGNATURE_LEN], ledger_signed done, void *arg)
{
	struct call *c = wait_call(CALL_COSIGN, (void (*)(void))done, arg);

	(void)l;
	(void)signature;
	memcpy(c->session, session, SESSION_ID_LEN);
	c->seq = seq;
}

void ledger_dispute(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		    uint64_t up, uint64_t down, ledger_done done, void *arg)
{
	struct call *c = wait_call(CALL_DISPUTE, (void (*)(void))done, arg);

	(void)l;
	memcpy(c->session, session, SESSION_ID_LEN);
	c->seq = seq;
	c->up = up;
	c->down = down;
}

void ledger_close(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_done done, void *arg)
{
	struct call *c = wait_call(CALL_CLOSE, (void (*)(void))done, arg);

	(void)l;
	memcpy(c->session, session, SESSION_ID_LEN);
	c->up = up;
	c->down = down;
}

void ledger_unpaid(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_issued done,
		   void *arg)
{
	struct call *c = wait_call(CALL_UNPAID, (void (*)(void))done, arg);

	(void)l;
	memcpy(c->payer, payer, KEY_LEN);
}

void ledger_payer_now(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_opened done,
		      void *arg)
{
	struct call *c = wait_call(CALL_NOW, (void (*)(void))done, arg);

	(void)l;
	memcpy(c->payer, payer, KEY_LEN);
}

/* The oldest waiting call, which must be of this kind. */
static inline struct call take_call(enum call_kind kind)
{
	struct call c = waiting[0];

	assert_true(waiting_count > 0);
	assert_int_equal(c.kind, kind);
	memmove(&waiting[0], &waiting[1], --waiting_count * sizeof(c));
	return c;
}

static inline struct call answer_payer(enum call_kind kind, int err, uint64_t window, uint64_t debt)
{
	struct ledger_payer payer = {.window = window, .credit = 77, .debt = debt};
	struct call c = take_call(kind);

	((ledger_opened)c.done)(c.arg, err, &payer);
	return c;
}

static inline struct call answer_issue(enum call_kind kind, int err, const uint8_t *session,
				       uint64_t seq, uint64_t up, uint64_t down)
{
	struct call c = take_call(kind);
	struct receipt_offer offer = {.body.seq = le64_of(seq),
				      .body.bytes_up = le64_of(up),
				      .body.bytes_down = le64_of(down)};

	memcpy(offer.body.session, session ? session : c.session, SESSION_ID_LEN);
	((ledger_issued)c.done)(c.arg, err, &offer);
	return c;
}

/* A receipt over what was asked for. */
static inline struct call issue(uint64_t seq)
{
	return answer_issue(CALL_ISSUE, 0, NULL, seq, waiting[0].up, waiting[0].down);
}

static inline struct call answer_done(enum call_kind kind, int err)
{
	struct call c = take_call(kind);

	((ledger_done)c.done)(c.arg, err);
	return c;
}

/* ---- the control channel ---- */

struct sent {
	bool push;
	uint8_t client[KEY_LEN], verb;
	uint32_t id;
	uint8_t body[512];
};

static struct sent sent[SENT_MAX];
static unsigned sent_count, sent_read;

static inline void note(bool push, const uint8_t *client, uint8_t verb, uint32_t id,
			const void *body, size_t len)
{
	struct sent *s = &sent[sent_count++];

	assert_true(sent_count <= SENT_MAX && len <= sizeof(s->body));
	*s = (struct sent){.push = push, .verb = verb, .id = id};
	memcpy(s->client, client, KEY_LEN);
	memcpy(s->body, body, len);
}

void control_server_reply(struct control_server *s, const struct control_caller *to, uint8_t verb,
			  uint32_t id, const void *body, size_t len)
{
	(void)s;
	note(false, to->client, verb, id, body, len);
}

bool control_server_push(struct control_server *s, const uint8_t client[static KEY_LEN],
			 uint8_t verb, const void *body, size_t len)
{
	(void)s;
	note(true, client, verb, 0, body, len);
	return true;
}

static inline const struct sent *next_sent(bool push, uint8_t verb)
{
	const struct sent *s = &sent[sent_read++];

	assert_true(sent_read <= sent_count);
	assert_int_equal(s->verb, verb);
	assert_int_equal(s->push, push);
	return s;
}

static inline void assert_refused(uint32_t code)
{
	const struct body_refused *r = (const void *)next_sent(false, VERB_REFUSED)->body;

	assert_int_equal(le32_get(r->code), code);
}

static inline void assert_quiet(void)
{
	assert_int_equal(sent_read, sent_count);
	assert_int_equal(waiting_count, 0);
}

/* ---- the rules ---- */

struct world;
static inline void flow(struct world *w, uint8_t n, uint64_t up, uint64_t down);

static unsigned held_count, applies, hold_calls;
/* What client 1 gets through while nft is at work on a hold. */
static struct {
	struct world *w;
	uint64_t up, down;
} meanwhile;
static bool table_present, hold_fails;

int nat_apply(const struct nat_config *c)
{
	(void)c;
	applies++;
	held_count = 0;
	table_present = true;
	return 0;
}

bool nat_present(const char *interface)
{
	(void)interface;
	return table_present;
}

void nat_remove(const char *interface)
{
	(void)interface;
	table_present = false;
}

int nat_hold(const char *interface, const struct nat_pair *pairs, size_t count, bool hold)
{
	(void)interface;
	(void)pairs;
	if (count && (hold_fails || !table_present))
		return -EIO;
	if (hold && meanwhile.w)
		flow(meanwhile.w, 1, meanwhile.up, meanwhile.down);
	meanwhile.w = NULL;
	hold_calls += count > 0;
	held_count += hold ? (unsigned)count : -(unsigned)count;
	return 0;
}

int nat_forwarding(bool v4, bool v6)
{
	(void)v4;
	(void)v6;
	return 0;
}

static unsigned addresses;

int route_address(const char *interface, const struct net_addr *ip, uint8_t bits)
{
	(void)interface;
	(void)ip;
	(void)bits;
	addresses++;
	return 0;
}

/* ---- the exit under test ---- */

struct world {
	struct event_base *base;
	struct descriptor self;
	struct identity payer;
	uint8_t terms[KEY_LEN];
	struct exit_role *e;
};

static inline int set_up_sized(void **state, uint32_t max_peers)
{
	static const uint8_t seed[KEY_LEN] = {1}, payer_seed[KEY_LEN] = {2};
	struct world *w = xcalloc(1, sizeof(*w));
	struct terms_values values = {.role = ROLE_EXIT,
				      .network = 9,
				      .price = 1000,
				      .window_start = MIB,
				      .window_cap = MIB,
				      .receipt_seconds = 30,
				      .expires = wall + 86400};
	struct exit_config c = {.tunnel = {.name = "fake0", .backend = TUNNEL_FAKE},
				.max_peers = max_peers,
				.network = 9,
				.idle_ms = IDLE_MS};
	struct identity node;

	assert_true(net_prefix_parse(&c.pool4.net, &c.pool4.bits, "10.64.0.0/24"));
	assert_true(net_prefix_parse(&c.pool6.net, &c.pool6.bits, "fd64::/64"));
	c.dns4 = c.pool4.net;
	c.dns4.ip[15] = 1;
	memset(c.tunnel.private_key, 5, KEY_LEN);
	identity_from_seed(&node, seed);
	identity_from_seed(&w->payer, payer_seed);
	memcpy(w->self.body.node, node.id, KEY_LEN);
	terms_make(&w->self.body.exit_terms, &values, &node);
	terms_hash(w->terms, &w->self.body.exit_terms);
	w->base = event_base_new();
	waiting_count = sent_count = sent_read = held_count = applies = hold_calls = 0;
	addresses = 0;
	hold_fails = false;
	assert_int_equal(exit_create(&w->e, &c, w->base, NULL, &w->self), 0);
	exit_set_control(w->e, (struct control_server *)w);
	assert_int_equal(addresses, 2);
	assert_int_equal(applies, 1);
	*state = w;
	return 0;
}

static inline int set_up(void **state)
{
	return set_up_sized(state, 8);
}

static inline int set_up_small(void **state)
{
	return set_up_sized(state, 1);
}

static inline int tear_down(void **state)
{
	struct world *w = *state;

	exit_destroy(w->e);
	assert_false(table_present);
	event_base_free(w->base);
	free(w);
	return 0;
}

static inline struct control_caller caller(uint8_t n)
{
	struct control_caller c = {.channel = n};

	memset(c.client, n, KEY_LEN);
	return c;
}

static inline struct body_add_peer add_peer_body(const struct world *w,
						 const struct control_caller *c, uint8_t wg,
						 uint8_t nonce)
{
	struct open_statement s;
	struct body_add_peer b;
	const struct statement_values v = {
		.network = 9,
		.provider = w->self.body.node,
		.client_control = c->client,
		.subject = b.wg_key,
		.terms = b.terms,
		.payer = b.payer,
		.nonce = b.nonce,
	};

	memset(b.wg_key, wg, KEY_LEN);
	memcpy(b.terms, w->terms, KEY_LEN);
	memcpy(b.payer, w->payer.id, KEY_LEN);
	memset(b.nonce, nonce, NONCE_LEN);
	statement_make(&s, &v);
	identity_sign(b.signature, &s, sizeof(s), &w->payer);
	return b;
}

static inline void add_peer(struct world *w, uint8_t client, uint8_t wg, uint8_t nonce, uint32_t id)
{
	struct control_caller c = caller(client);
	struct body_add_peer b = add_peer_body(w, &c, wg, nonce);

	assert_true(exit_handle(w->e, &c, VERB_ADD_PEER, id, (const void *)&b, sizeof(b)));
}

/* A live session of client n with key n. */
static inline struct body_peer live(struct world *w, uint8_t n, uint64_t window)
{
	struct body_peer b;

	add_peer(w, n, n, n, 100u + n);
	answer_payer(CALL_OPEN, 0, window, 0);
	memcpy(&b, next_sent(false, VERB_PEER)->body, sizeof(b));
	return b;
}

static inline bool ask(struct world *w, uint8_t client, uint8_t verb, uint32_t id, const void *body,
		       size_t len)
{
	struct control_caller c = caller(client);

	return exit_handle(w->e, &c, verb, id, body, len);
}

static inline bool cosign(struct world *w, uint8_t client, const uint8_t *session, uint64_t seq,
			  uint32_t id)
{
	struct body_cosign b = {.seq = le64_of(seq)};

	memcpy(b.session, session, SESSION_ID_LEN);
	return ask(w, client, VERB_COSIGN, id, &b, sizeof(b));
}

static inline bool ask_close(struct world *w, uint8_t client, const uint8_t *session, uint32_t id)
{
	struct body_close b = {0};

	memcpy(b.session, session, SESSION_ID_LEN);
	return ask(w, client, VERB_CLOSE, id, &b, sizeof(b));
}

static inline void flow(struct world *w, uint8_t n, uint64_t up, uint64_t down)
{
	uint8_t key[KEY_LEN];

	memset(key, n, KEY_LEN);
	assert_true(fake_count(w->e->tunnel, key, up, down));
}

static inline bool on_device(struct world *w, uint8_t n)
{
	uint8_t key[KEY_LEN];

	memset(key, n, KEY_LEN);
	return fake_has_peer(w->e->tunnel, key, NULL);
}

static inline void poll_after(struct world *w, uint64_t ms)
{
	now_ms += ms;
	metering_poll(w->e);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
