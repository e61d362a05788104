/*
 * The exit role over a fake device, with the ledger, the control channel, the rules and the clock
 * played by this file.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "exit/role.h"
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

static struct call *wait_call(enum call_kind kind, void (*done)(void), void *arg)
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
static struct call take_call(enum call_kind kind)
{
	struct call c = waiting[0];

	assert_true(waiting_count > 0);
	assert_int_equal(c.kind, kind);
	memmove(&waiting[0], &waiting[1], --waiting_count * sizeof(c));
	return c;
}

static struct call answer_payer(enum call_kind kind, int err, uint64_t window, uint64_t debt)
{
	struct ledger_payer payer = {.window = window, .credit = 77, .debt = debt};
	struct call c = take_call(kind);

	((ledger_opened)c.done)(c.arg, err, &payer);
	return c;
}

static struct call answer_issue(enum call_kind kind, int err, const uint8_t *session, uint64_t seq,
				uint64_t up, uint64_t down)
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
static struct call issue(uint64_t seq)
{
	return answer_issue(CALL_ISSUE, 0, NULL, seq, waiting[0].up, waiting[0].down);
}

static struct call answer_done(enum call_kind kind, int err)
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

static void note(bool push, const uint8_t *client, uint8_t verb, uint32_t id, const void *body,
		 size_t len)
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

static const struct sent *next_sent(bool push, uint8_t verb)
{
	const struct sent *s = &sent[sent_read++];

	assert_true(sent_read <= sent_count);
	assert_int_equal(s->verb, verb);
	assert_int_equal(s->push, push);
	return s;
}

static void assert_refused(uint32_t code)
{
	const struct body_refused *r = (const void *)next_sent(false, VERB_REFUSED)->body;

	assert_int_equal(le32_get(r->code), code);
}

static void assert_quiet(void)
{
	assert_int_equal(sent_read, sent_count);
	assert_int_equal(waiting_count, 0);
}

/* ---- the rules ---- */

static unsigned held_count, applies, hold_calls;
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

static int set_up_sized(void **state, uint32_t max_peers)
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

static int set_up(void **state)
{
	return set_up_sized(state, 8);
}

static int set_up_small(void **state)
{
	return set_up_sized(state, 1);
}

static int tear_down(void **state)
{
	struct world *w = *state;

	exit_destroy(w->e);
	assert_false(table_present);
	event_base_free(w->base);
	free(w);
	return 0;
}

static struct control_caller caller(uint8_t n)
{
	struct control_caller c = {.channel = n};

	memset(c.client, n, KEY_LEN);
	return c;
}

static struct body_add_peer add_peer_body(const struct world *w, const struct control_caller *c,
					  uint8_t wg, uint8_t nonce)
{
	struct body_add_peer b;
	struct open_statement s = {.network = le64_of(9)};

	memset(b.wg_key, wg, KEY_LEN);
	memcpy(b.terms, w->terms, KEY_LEN);
	memcpy(b.payer, w->payer.id, KEY_LEN);
	memset(b.nonce, nonce, NONCE_LEN);
	memcpy(s.domain, DOMAIN_OPEN, DOMAIN_LEN);
	memcpy(s.provider, w->self.body.node, KEY_LEN);
	memcpy(s.client_control, c->client, KEY_LEN);
	memcpy(s.subject, b.wg_key, KEY_LEN);
	memcpy(s.terms, b.terms, KEY_LEN);
	memcpy(s.payer, b.payer, KEY_LEN);
	memcpy(s.nonce, b.nonce, NONCE_LEN);
	identity_sign(b.signature, &s, sizeof(s), &w->payer);
	return b;
}

static void add_peer(struct world *w, uint8_t client, uint8_t wg, uint8_t nonce, uint32_t id)
{
	struct control_caller c = caller(client);
	struct body_add_peer b = add_peer_body(w, &c, wg, nonce);

	assert_true(exit_handle(w->e, &c, VERB_ADD_PEER, id, (const void *)&b, sizeof(b)));
}

/* A live session of client n with key n. */
static struct body_peer live(struct world *w, uint8_t n, uint64_t window)
{
	struct body_peer b;

	add_peer(w, n, n, n, 100u + n);
	answer_payer(CALL_OPEN, 0, window, 0);
	memcpy(&b, next_sent(false, VERB_PEER)->body, sizeof(b));
	return b;
}

static bool ask(struct world *w, uint8_t client, uint8_t verb, uint32_t id, const void *body,
		size_t len)
{
	struct control_caller c = caller(client);

	return exit_handle(w->e, &c, verb, id, body, len);
}

static bool cosign(struct world *w, uint8_t client, const uint8_t *session, uint64_t seq,
		   uint32_t id)
{
	struct body_cosign b = {.seq = le64_of(seq)};

	memcpy(b.session, session, SESSION_ID_LEN);
	return ask(w, client, VERB_COSIGN, id, &b, sizeof(b));
}

static bool ask_close(struct world *w, uint8_t client, const uint8_t *session, uint32_t id)
{
	struct body_close b = {0};

	memcpy(b.session, session, SESSION_ID_LEN);
	return ask(w, client, VERB_CLOSE, id, &b, sizeof(b));
}

static void flow(struct world *w, uint8_t n, uint64_t up, uint64_t down)
{
	uint8_t key[KEY_LEN];

	memset(key, n, KEY_LEN);
	assert_true(fake_count(w->e->tunnel, key, up, down));
}

static bool on_device(struct world *w, uint8_t n)
{
	uint8_t key[KEY_LEN];

	memset(key, n, KEY_LEN);
	return fake_has_peer(w->e->tunnel, key, NULL);
}

static void poll_after(struct world *w, uint64_t ms)
{
	now_ms += ms;
	metering_poll(w->e);
}

/* ---- ADD_PEER ---- */

static void opens_and_repeats(void **state)
{
	struct world *w = *state;
	const struct sent *s;
	struct body_peer first, again;
	uint8_t wg[KEY_LEN], priv[KEY_LEN];

	add_peer(w, 1, 1, 1, 50);
	add_peer(w, 1, 1, 1, 51); /* again, while the ledger works */
	assert_int_equal(waiting_count, 1);
	assert_false(on_device(w, 1)); /* not a byte before the ledger has it */
	answer_payer(CALL_OPEN, 0, MIB, 0);
	assert_true(on_device(w, 1));
	s = next_sent(false, VERB_PEER);
	assert_int_equal(s->id, 51);
	memcpy(&first, s->body, sizeof(first));
	add_peer(w, 1, 1, 1, 52);
	memcpy(&again, next_sent(false, VERB_PEER)->body, sizeof(again));
	assert_memory_equal(&first, &again, sizeof(first));
	assert_quiet();

	memset(priv, 5, sizeof(priv));
	x25519_public(wg, priv);
	assert_memory_equal(first.wg_key, wg, KEY_LEN);
	assert_memory_equal(first.address4, "\x0a\x40\x00\x02", 4);
	assert_int_equal(first.address6[15], 2);
	assert_memory_equal(first.dns4, "\x0a\x40\x00\x01", 4);
	assert_int_equal(first.dns6[0], 0);
	assert_int_equal(le64_get(first.window), MIB);
	assert_int_equal(le64_get(first.credit), 77);
}

static void refuses(void **state)
{
	struct world *w = *state;
	struct control_caller c = caller(1), other = caller(2);
	struct body_add_peer good = add_peer_body(w, &c, 1, 1), b = good;

	b.terms[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_TERMS);
	b = good;
	b.signature[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	/* the statement names the caller: nobody else can use it */
	exit_handle(w->e, &other, VERB_ADD_PEER, 1, (const void *)&good, sizeof(good));
	assert_refused(REFUSED_SIGNATURE);
	b = good;
	b.wg_key[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	b = add_peer_body(w, &c, 0, 1); /* a key of zeros */
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	wall += 86400;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&good, sizeof(good));
	assert_refused(REFUSED_TERMS);
	wall -= 86400;
	assert_quiet();
}

static void what_the_ledger_refuses(void **state)
{
	struct world *w = *state;
	uint8_t old[SESSION_ID_LEN] = {9};

	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, -EACCES, 0, 0);
	assert_refused(REFUSED_FROZEN);
	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, 0, 0, 0);
	assert_refused(REFUSED_CREDIT);
	answer_done(CALL_CLOSE, 0);
	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, 0, 0, 500);
	answer_issue(CALL_UNPAID, 0, old, 3, 400, 100);
	next_sent(true, VERB_RECEIPT);
	assert_refused(REFUSED_UNPAID);
	answer_done(CALL_CLOSE, 0);
	assert_false(on_device(w, 1));
	/* the old receipt can be signed, by whom it was shown to */
	assert_false(cosign(w, 2, old, 3, 7));
	assert_true(cosign(w, 1, old, 3, 7));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	assert_int_equal(next_sent(false, VERB_WINDOW)->id, 7);
	live(w, 1, MIB);
	assert_quiet();
}

static void full(void **state)
{
	struct world *w = *state; /* room for one */
	struct body_peer b = live(w, 1, MIB);

	add_peer(w, 2, 2, 2, 1);
	assert_refused(REFUSED_FULL);
	/* the one that is there may begin anew */
	add_peer(w, 1, 1, 9, 2);
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	memcpy(&b, next_sent(false, VERB_PEER)->body, sizeof(b));
	assert_true(ask_close(w, 1, b.session, 3));
	answer_done(CALL_CLOSE, 0);
	next_sent(false, VERB_CLOSED);
	live(w, 2, MIB);
	assert_quiet();
}

static void key_of_another(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	add_peer(w, 2, 1, 2, 1);
	assert_refused(REFUSED_BUSY);
	assert_quiet();
}

/* Same key, same owner, new session: the old one is closed with its bytes, the new begins at 0 and
 * keeps the addresses. */
static void same_key_again(void **state)
{
	struct world *w = *state;
	struct body_peer first = live(w, 1, MIB), second;
	struct call c;

	flow(w, 1, 1000, 2000);
	add_peer(w, 1, 1, 77, 5);
	c = issue(1);
	assert_int_equal(c.up, 1000);
	assert_int_equal(c.down, 2000);
	next_sent(true, VERB_RECEIPT);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	memcpy(&second, next_sent(false, VERB_PEER)->body, sizeof(second));
	assert_memory_not_equal(first.session, second.session, SESSION_ID_LEN);
	assert_memory_equal(first.address4, second.address4, 4);
	assert_true(on_device(w, 1));
	flow(w, 1, 10, 20);
	poll_after(w, 250);
	assert_true(cosign(w, 1, first.session, 1, 6)); /* late, but in time */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	c = answer_done(CALL_CLOSE, 0);
	assert_memory_equal(c.session, first.session, SESSION_ID_LEN);
	assert_int_equal(c.up, 1000);
	next_sent(true, VERB_CLOSED);
	assert_true(on_device(w, 1));
	assert_true(ask_close(w, 1, second.session, 8));
	c = issue(1);
	assert_int_equal(c.up, 10);
	assert_int_equal(c.down, 20);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

/* ---- metering ---- */

static void receipt_at_a_quarter(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	const struct sent *s;
	struct call c;

	flow(w, 1, MIB / 8, MIB / 8 - 1);
	poll_after(w, 250);
	assert_quiet();
	flow(w, 1, 1, 0);
	poll_after(w, 250);
	c = issue(1);
	assert_int_equal(c.up, MIB / 8 + 1); /* what the device received is the client's up */
	assert_int_equal(c.down, MIB / 8 - 1);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 999);
	assert_quiet();
	poll_after(w, 1);
	next_sent(true, VERB_RECEIPT); /* again, each second */
	assert_true(cosign(w, 1, b.session, 1, 9));
	assert_true(cosign(w, 1, b.session, 1, 10)); /* a repetition meanwhile */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	s = next_sent(false, VERB_WINDOW);
	assert_int_equal(s->id, 10);
	assert_true(cosign(w, 1, b.session, 1, 11)); /* and afterwards */
	assert_int_equal(next_sent(false, VERB_WINDOW)->id, 11);
	poll_after(w, 2000);
	assert_quiet();
}

static void receipt_by_time(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, 10, 0);
	poll_after(w, 29999);
	assert_quiet();
	poll_after(w, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

static void wrong_signatures(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	assert_true(cosign(w, 1, b.session, 1, 5)); /* nothing to sign */
	assert_refused(REFUSED_SIGNATURE);
	flow(w, 1, MIB / 2, 0);
	poll_after(w, 250);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 2, 5));
	assert_refused(REFUSED_SIGNATURE);
	assert_false(cosign(w, 2, b.session, 1, 5)); /* not the owner: not known here */
	assert_true(cosign(w, 1, b.session, 1, 5));
	answer_payer(CALL_COSIGN, -EBADMSG, 0, 0);
	assert_refused(REFUSED_SIGNATURE);
	assert_true(cosign(w, 1, b.session, 1, 6)); /* still open for the right one */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	assert_quiet();
}

static void held_and_released(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct call c;

	flow(w, 1, MIB - 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 0);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	flow(w, 1, 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	assert_true(on_device(w, 1));
	flow(w, 1, 5000, 5000); /* dropped behind the device: nobody pays for it */
	poll_after(w, 250);
	assert_int_equal(hold_calls, 1);
	assert_true(cosign(w, 1, b.session, 1, 5));
	assert_int_equal(held_count, 1); /* not before the ledger has it */
	flow(w, 1, 700, 0);
	answer_payer(CALL_COSIGN, 0, 2 * MIB, 0);
	assert_int_equal(held_count, 0);
	next_sent(false, VERB_WINDOW);
	flow(w, 1, 100, 11);
	poll_after(w, 30000);
	c = issue(2);
	assert_int_equal(c.up, MIB + 100);
	assert_int_equal(c.down, 11);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

/* Credit ran out: all is signed, there is no window, until a top-up is found in the books. */
static void top_up(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, MIB, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 5));
	answer_payer(CALL_COSIGN, 0, 0, 0);
	next_sent(false, VERB_WINDOW);
	assert_int_equal(held_count, 1);
	poll_after(w, 1000);
	answer_payer(CALL_NOW, 0, 0, 0);
	assert_int_equal(held_count, 1);
	poll_after(w, 1000);
	answer_payer(CALL_NOW, 0, MIB, 0);
	assert_int_equal(held_count, 0);
	next_sent(true, VERB_WINDOW);
	assert_quiet();
}

/* Two sessions of one payer have half its window each. */
static void shared_window(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	live(w, 2, MIB);
	flow(w, 1, MIB / 2, 0);
	flow(w, 2, MIB / 2 - 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	take_call(CALL_ISSUE);
	take_call(CALL_ISSUE);
}

static void firewall_reload(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, MIB, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	issue(1);
	table_present = false;
	held_count = 0;
	poll_after(w, 6000);
	assert_int_equal(applies, 2);
	assert_int_equal(held_count, 1); /* those held stay held */
}

/* A hold the kernel did not take is tried again with the table made anew. */
static void hold_fails_once(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, MIB, 0);
	hold_fails = true;
	poll_after(w, 250);
	assert_int_equal(held_count, 0);
	take_call(CALL_ISSUE);
	hold_fails = false;
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	poll_after(w, 250);
	assert_int_equal(applies, 2);
}

/* ---- endings ---- */

static void asked_to_close(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	const struct body_close *closed;
	struct call c;

	flow(w, 1, 300, 40);
	assert_false(ask_close(w, 2, b.session, 4)); /* not its owner */
	assert_true(ask_close(w, 1, b.session, 5));
	assert_false(on_device(w, 1));
	issue(1); /* read before the removal */
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	c = answer_done(CALL_CLOSE, 0);
	assert_int_equal(c.up, 300);
	assert_int_equal(c.down, 40);
	closed = (const void *)next_sent(false, VERB_CLOSED)->body;
	assert_int_equal(le64_get(closed->bytes_up), 300);
	assert_int_equal(le32_get(closed->reason), CLOSE_ASKED);
	assert_false(ask_close(w, 1, b.session, 7));
	assert_quiet();
}

static void close_without_signature(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, 300, 40);
	assert_true(ask_close(w, 1, b.session, 5));
	issue(1);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 1000);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 999);
	assert_int_equal(waiting_count, 0);
	poll_after(w, 1);
	answer_done(CALL_CLOSE, 0);
	sent_read = sent_count - 1;
	next_sent(false, VERB_CLOSED);
	assert_quiet();
}

static void store_fails_at_close(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, 300, 40);
	assert_true(ask_close(w, 1, b.session, 5));
	answer_issue(CALL_ISSUE, -ENOSPC, NULL, 0, 0, 0);
	answer_done(CALL_CLOSE, -ENOSPC);
	next_sent(false, VERB_CLOSED);
	assert_quiet();
}

static void dispute(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct body_dispute d = {.seq = le64_of(1), .bytes_up = le64_of(5)};
	const struct body_close *closed;
	struct call c;

	memcpy(d.session, b.session, SESSION_ID_LEN);
	assert_true(ask(w, 1, VERB_DISPUTE, 4, &d, sizeof(d)));
	assert_refused(REFUSED_SIGNATURE); /* of nothing */
	flow(w, 1, MIB / 2, 0);
	poll_after(w, 250);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(ask(w, 1, VERB_DISPUTE, 4, &d, sizeof(d)));
	assert_false(on_device(w, 1));
	c = answer_done(CALL_DISPUTE, 0);
	assert_int_equal(c.up, 5);
	answer_done(CALL_CLOSE, -EACCES);
	closed = (const void *)next_sent(false, VERB_CLOSED)->body;
	assert_int_equal(le32_get(closed->reason), CLOSE_DISPUTE);
	assert_quiet();
}

static void idle(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct body_session k;

	memcpy(k.session, b.session, SESSION_ID_LEN);
	poll_after(w, IDLE_MS - 1);
	assert_true(ask(w, 1, VERB_KEEPALIVE, 3, &k, sizeof(k)));
	next_sent(false, VERB_ALIVE);
	poll_after(w, IDLE_MS - 1);
	flow(w, 1, 0, 1);
	poll_after(w, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	poll_after(w, IDLE_MS - 1);
	assert_quiet();
	poll_after(w, 1);
	assert_false(on_device(w, 1));
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	assert_quiet();
}

static void terms_run_out(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	wall += 86400;
	poll_after(w, 250);
	wall -= 86400;
	answer_done(CALL_CLOSE, 0);
	assert_int_equal(
		le32_get(((const struct body_close *)(const void *)next_sent(true, VERB_CLOSED)
				  ->body)
				 ->reason),
		CLOSE_EXPIRED);
	assert_quiet();
}

/* ---- the device dies ---- */

static void device_dies(void **state)
{
	struct world *w = *state;
	struct exit_status s;
	struct call c;

	live(w, 1, MIB);
	flow(w, 1, 1000, 0);
	poll_after(w, 250);
	fake_die(w->e->tunnel);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	event_base_loop(w->base, EVLOOP_ONCE);
	exit_status(w->e, &s);
	assert_int_equal(s.repairs, 1);
	assert_int_equal(addresses, 4);
	assert_true(on_device(w, 1));
	flow(w, 1, 5, 6);
	poll_after(w, 30000);
	c = issue(1);
	assert_int_equal(c.up, 1005);
	assert_int_equal(c.down, 6);
}

static void device_down(void **state)
{
	struct world *w = *state;

	fake_fail_open(1);
	fake_die(w->e->tunnel);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	add_peer(w, 1, 1, 1, 1);
	assert_refused(REFUSED_BUSY);
	metering_poll(w->e);
	now_ms += 1000;
	while (w->e->device_down)
		event_base_loop(w->base, EVLOOP_ONCE); /* a second of real time */
	live(w, 1, MIB);
}

/* ---- the end ---- */

static void on_done(void *arg)
{
	*(bool *)arg = true;
}

static void stop(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	bool done = false;

	live(w, 2, MIB);
	flow(w, 1, 10, 20);
	add_peer(w, 3, 3, 3, 1);
	exit_stop(w->e, on_done, &done);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	assert_refused(REFUSED_BUSY);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	answer_done(CALL_CLOSE, 0); /* of 2: nothing to sign */
	next_sent(true, VERB_CLOSED);
	answer_done(CALL_CLOSE, 0); /* of 3 */
	add_peer(w, 4, 4, 4, 1);
	assert_refused(REFUSED_BUSY);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_false(done);
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_true(done);
	assert_quiet();
}

static void count_views(void *arg, const struct exit_session_view *view)
{
	unsigned *n = arg;

	(*n)++;
	assert_int_equal(view->up, 5);
	assert_int_equal(view->window, MIB);
}

static void views(void **state)
{
	struct world *w = *state;
	struct exit_status s;
	unsigned n = 0;

	live(w, 1, MIB);
	flow(w, 1, 5, 6); /* shown without waiting for a poll */
	exit_sessions(w->e, count_views, &n);
	assert_int_equal(n, 1);
	exit_status(w->e, &s);
	assert_int_equal(s.peers, 1);
	assert_int_equal(s.up, 5);
	assert_int_equal(s.down, 6);
	assert_string_equal(s.backend, "fake");
	assert_false(exit_handle(w->e, &(struct control_caller){0}, VERB_OPEN, 1, NULL, 0));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(opens_and_repeats),
		T(refuses),
		T(what_the_ledger_refuses),
		cmocka_unit_test_setup_teardown(full, set_up_small, tear_down),
		T(key_of_another),
		T(same_key_again),
		T(receipt_at_a_quarter),
		T(receipt_by_time),
		T(wrong_signatures),
		T(held_and_released),
		T(top_up),
		T(shared_window),
		T(firewall_reload),
		T(hold_fails_once),
		T(asked_to_close),
		T(close_without_signature),
		T(store_fails_at_close),
		T(dispute),
		T(idle),
		T(terms_run_out),
		T(device_dies),
		T(device_down),
		T(stop),
		T(views),
	};

	log_init("test_exit", LOG_LEVEL_ERROR);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
