/*
 * A session with one provider, against a provider played by this file: the control client is a fake
 * that records what is sent, the wallet is the real one. For the test programs of
 * client/provider.c, each of which includes it once.
 */
#ifndef TESTS_UNIT_PROVIDER_WORLD_H
#define TESTS_UNIT_PROVIDER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/spawn.h"
#include "client/provider.h"
#undef PROVIDER_JUDGE_MS
#undef PROVIDER_PATIENCE_MS
#undef PROVIDER_CLOSE_MS
#undef PROVIDER_KEEPALIVE_MS
#undef PROVIDER_NOTE_MS
#define PROVIDER_JUDGE_MS     10
#define PROVIDER_PATIENCE_MS  500
#define PROVIDER_CLOSE_MS     150
#define PROVIDER_KEEPALIVE_MS 50
#define PROVIDER_NOTE_MS      30
#include "client/provider.c"

#define NETWORK    7
#define PRICE      1000000
#define LOSS_BYTES 1000

/* ---- the fake control channel ---------------------------------------------------------------- */

struct asked {
	uint8_t verb, body[CONTROL_BODY_MAX];
	size_t len;
	control_answer answer;
	void *arg;
};

struct control_client {
	struct control_client_ops ops;
	void *arg;
};

static struct {
	struct event_base *base;
	struct control_client *control;
	struct asked asked[16]; /* outstanding requests */
	size_t asked_count;
	struct asked posted; /* the last one */
	unsigned posts, restarts, requests;

	struct identity node, payer, stranger;
	struct descriptor descriptor;
	struct wallet *wallet;
	char dir[64], grants[80];
	enum role role; /* the provider's */
	struct provider *p;
	struct wallet_count device;
	unsigned events[8];
	uint8_t session[SESSION_ID_LEN];
	struct receipt_offer head;
	bool has_head;
} t;

struct control_client *control_client_create(struct event_base *base,
					     const struct noise_keypair *keys,
					     const uint8_t remote[static KEY_LEN], uint64_t network,
					     const struct control_client_ops *ops, void *arg)
{
	(void)base;
	(void)keys;
	(void)remote;
	assert_int_equal(network, NETWORK);
	t.control = xcalloc(1, sizeof(*t.control));
	t.control->ops = *ops;
	t.control->arg = arg;
	return t.control;
}

void control_client_destroy(struct control_client *c)
{
	free(c);
}

void control_client_input(struct control_client *c, const uint8_t *msg, size_t len)
{
	(void)c;
	(void)msg;
	(void)len;
}

bool control_client_request(struct control_client *c, uint8_t verb, const void *body, size_t len,
			    uint64_t timeout_ms, control_answer answer, void *arg)
{
	struct asked *a = &t.asked[t.asked_count++];

	(void)c;
	(void)timeout_ms;
	assert_in_range(t.asked_count, 1, ARRAY_SIZE(t.asked));
	assert_true(verb_length_ok(verb, len));
	*a = (struct asked){.verb = verb, .len = len, .answer = answer, .arg = arg};
	memcpy(a->body, body, len);
	t.requests++;
	return true;
}

void control_client_post(struct control_client *c, uint8_t verb, const void *body, size_t len)
{
	(void)c;
	t.posted = (struct asked){.verb = verb, .len = len};
	memcpy(t.posted.body, body, len);
	t.posts++;
}

void control_client_restart(struct control_client *c)
{
	(void)c;
	t.restarts++;
}

/* ---- what the provider under test sees ------------------------------------------------------- */

static inline void op_send(void *arg, struct provider *p, const void *msg, size_t len)
{
	(void)arg;
	(void)p;
	(void)msg;
	(void)len;
}

static inline void op_count(void *arg, struct wallet_count *out)
{
	(void)arg;
	*out = t.device;
}

static inline void op_changed(void *arg, struct provider *p, enum provider_event event)
{
	(void)arg;
	(void)p;
	t.events[event]++;
}

static const struct provider_ops ops = {.send = op_send, .count = op_count, .changed = op_changed};

static inline void run_for(unsigned ms)
{
	struct timeval tv = {.tv_usec = (suseconds_t)ms * 1000};

	event_base_loopexit(t.base, &tv);
	event_base_dispatch(t.base);
}

/* The oldest outstanding request of this verb, taken out; the test fails if there is none. */
static inline struct asked take(uint8_t verb)
{
	for (size_t i = 0; i < t.asked_count; i++) {
		struct asked a = t.asked[i];

		if (a.verb != verb)
			continue;
		memmove(&t.asked[i], &t.asked[i + 1], (--t.asked_count - i) * sizeof(a));
		return a;
	}
	fail_msg("no %s is outstanding", verb_name(verb));
	return (struct asked){0};
}

static inline bool outstanding(uint8_t verb)
{
	for (size_t i = 0; i < t.asked_count; i++)
		if (t.asked[i].verb == verb)
			return true;
	return false;
}

static inline void answer(const struct asked *a, uint8_t verb, const void *body, size_t len)
{
	a->answer(a->arg, verb, body, len);
}

static inline void refuse_with(const struct asked *a, enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	answer(a, VERB_REFUSED, &body, sizeof(body));
}

static inline void hear(uint8_t verb, const void *body, size_t len)
{
	t.control->ops.handle(t.control->arg, verb, 0, body, len);
}

static inline void make_descriptor(uint64_t price, uint64_t expires)
{
	struct terms_values v = {.role = ROLE_RELAY,
				 .network = NETWORK,
				 .price = price,
				 .window_start = 1 << 20,
				 .window_cap = 1 << 26,
				 .receipt_seconds = 10,
				 .loss_ppm = 0,
				 .loss_bytes = LOSS_BYTES,
				 .expires = expires};
	struct descriptor *d = &t.descriptor;

	descriptor_begin(d, NETWORK, ROLE_RELAY | ROLE_EXIT, "kestrel", clock_wall(),
			 clock_wall() + 1000);
	memset(d->body.control, 5, KEY_LEN);
	memcpy(d->body.ip4, (uint8_t[]){192, 0, 2, 1}, 4);
	d->body.port = le16_of(51820);
	memcpy(d->body.node, t.node.id, KEY_LEN);
	memset(d->body.wg_key, 7, KEY_LEN);
	d->body.wg_port = le16_of(51821);
	terms_make(&d->body.relay_terms, &v, &t.node);
	v.role = ROLE_EXIT;
	terms_make(&d->body.exit_terms, &v, &t.node);
	descriptor_sign(d, &t.node);
	assert_int_equal(descriptor_check(d, NETWORK, clock_wall()), DESCRIPTOR_OK);
}

/* Receipts it is shown are all known to this provider. */
static inline void know_held(void)
{
	while (outstanding(VERB_HELD)) {
		struct asked a = take(VERB_HELD);
		struct body_head head = {.seq = le64_of(1)};

		answer(&a, VERB_HEAD, &head, sizeof(head));
	}
}

static inline void grant(void)
{
	struct body_granted relay = {.window = le64_of(1 << 20), .credit = le64_of(5)};
	struct body_peer exit = {.window = le64_of(1 << 20)};
	struct asked a;

	know_held();
	a = take(t.role == ROLE_RELAY ? VERB_OPEN : VERB_ADD_PEER);
	crypto_random(t.session, SESSION_ID_LEN);
	memcpy(relay.session, t.session, SESSION_ID_LEN);
	memcpy(exit.session, t.session, SESSION_ID_LEN);
	memset(exit.wg_key, 7, KEY_LEN);
	t.has_head = false;
	if (t.role == ROLE_EXIT)
		answer(&a, VERB_PEER, &exit, sizeof(exit));
	else
		answer(&a, VERB_GRANTED, &relay, sizeof(relay));
}

static inline const struct terms *agreed(void)
{
	return t.role == ROLE_EXIT ? &t.descriptor.body.exit_terms : &t.descriptor.body.relay_terms;
}

static inline void start(void)
{
	struct provider_config config = {.role = t.role,
					 .payer = &t.payer,
					 .network = NETWORK,
					 .max_price = PRICE,
					 .wallet = t.wallet,
					 .grants = t.grants};

	config.descriptor = t.descriptor;
	memset(config.control.pub, 3, KEY_LEN);
	t.p = provider_create(t.base, &config, &ops, NULL);
}

static inline void create(uint64_t terms_expire)
{
	make_descriptor(PRICE, terms_expire);
	start();
}

static inline bool open_wallet(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/wallet.db", t.dir);
	snprintf(t.grants, sizeof(t.grants), "%s/grants", t.dir);
	return wallet_open(&t.wallet, path, false) == 0;
}

/* The agent is killed and started again: its device counts from 0. */
static inline void crash(void)
{
	provider_destroy(t.p);
	wallet_close(t.wallet);
	assert_true(open_wallet());
	t.device = (struct wallet_count){0};
	t.asked_count = 0;
	start();
}

static inline void open_session(void)
{
	provider_open(t.p);
	run_for(1);
	grant();
	assert_non_null(provider_granted(t.p));
	assert_int_equal(t.events[PROVIDER_OPENED], 1);
}

/* The next receipt of the session, as an honest provider makes it for these totals. */
static inline struct receipt_offer offer_of(uint64_t up, uint64_t down)
{
	struct receipt_session s = {.role = t.role, .network = NETWORK, .price = PRICE};
	struct receipt_offer offer;

	memcpy(s.session, t.session, SESSION_ID_LEN);
	memcpy(s.payer, t.payer.id, KEY_LEN);
	terms_hash(s.terms, agreed());
	assert_true(
		receipt_make(&offer, &s, t.has_head ? &t.head : NULL, up, down, 500000, &t.node));
	return offer;
}

static inline void hear_offer(const struct receipt_offer *offer)
{
	hear(VERB_RECEIPT, offer, sizeof(*offer));
}

/* A COSIGN is outstanding and right; the provider takes it and opens the window. */
static inline void expect_signed(const struct receipt_offer *offer)
{
	struct asked a = take(VERB_COSIGN);
	const struct body_cosign *c = (const void *)a.body;
	struct body_window w = {.seq = c->seq, .window = le64_of(2 << 20)};
	struct receipt r = {.offer = *offer};

	memcpy(w.session, c->session, SESSION_ID_LEN);
	memcpy(r.payer_signature, c->signature, SIGNATURE_LEN);
	assert_int_equal(receipt_check(&r, agreed()), RECEIPT_OK);
	t.head = *offer;
	t.has_head = true;
	answer(&a, VERB_WINDOW, &w, sizeof(w));
}

static inline enum provider_state now(void)
{
	struct provider_view v;

	provider_view(t.p, &v);
	return v.state;
}

static inline void expect_disputed(uint64_t up, uint64_t down)
{
	const struct body_dispute *d = (const void *)t.posted.body;

	assert_int_equal(now(), PROVIDER_DISPUTED);
	assert_int_equal(t.events[PROVIDER_LEFT], 1);
	assert_false(outstanding(VERB_COSIGN));
	assert_int_equal(t.posted.verb, VERB_DISPUTE);
	assert_int_equal(le64_get(d->bytes_up), up);
	assert_int_equal(le64_get(d->bytes_down), down);
	provider_open(t.p);
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
}

static inline void expect_untouched(void)
{
	assert_int_equal(now(), PROVIDER_OPEN);
	assert_false(outstanding(VERB_COSIGN));
	assert_int_equal(t.posts, 0);
}

static inline int setup(void **state)
{
	static const uint8_t seeds[3][KEY_LEN] = {{1}, {2}, {3}};

	(void)state;
	memset(&t, 0, sizeof(t));
	t.role = ROLE_RELAY;
	identity_from_seed(&t.node, seeds[0]);
	identity_from_seed(&t.payer, seeds[1]);
	identity_from_seed(&t.stranger, seeds[2]);
	snprintf(t.dir, sizeof(t.dir), "/tmp/cli-provider-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	if (!open_wallet())
		return -1;
	t.base = event_base_new();
	create(clock_wall() + 1000);
	return 0;
}

static inline int teardown(void **state)
{
	const char *const remove[] = {"rm", "-r", t.dir, NULL};
	char out[64];

	(void)state;
	provider_destroy(t.p);
	wallet_close(t.wallet);
	event_base_free(t.base);
	return spawn_run(remove, NULL, out, sizeof(out));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
