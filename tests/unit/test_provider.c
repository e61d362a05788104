/*
 * A session with one provider, against a provider played by the test: the control client is a fake
 * that records what is sent, the wallet is the real one.
 */
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
#define PROVIDER_PATIENCE_MS  100
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
	char dir[64];
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

static void op_send(void *arg, struct provider *p, const void *msg, size_t len)
{
	(void)arg;
	(void)p;
	(void)msg;
	(void)len;
}

static void op_count(void *arg, struct wallet_count *out)
{
	(void)arg;
	*out = t.device;
}

static void op_changed(void *arg, struct provider *p, enum provider_event event)
{
	(void)arg;
	(void)p;
	t.events[event]++;
}

static const struct provider_ops ops = {.send = op_send, .count = op_count, .changed = op_changed};

static void run_for(unsigned ms)
{
	struct timeval tv = {.tv_usec = (suseconds_t)ms * 1000};

	event_base_loopexit(t.base, &tv);
	event_base_dispatch(t.base);
}

/* The oldest outstanding request of this verb, taken out; the test fails if there is none. */
static struct asked take(uint8_t verb)
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

static bool outstanding(uint8_t verb)
{
	for (size_t i = 0; i < t.asked_count; i++)
		if (t.asked[i].verb == verb)
			return true;
	return false;
}

static void answer(const struct asked *a, uint8_t verb, const void *body, size_t len)
{
	a->answer(a->arg, verb, body, len);
}

static void refuse_with(const struct asked *a, enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	answer(a, VERB_REFUSED, &body, sizeof(body));
}

static void hear(uint8_t verb, const void *body, size_t len)
{
	t.control->ops.handle(t.control->arg, verb, 0, body, len);
}

static void make_descriptor(uint64_t price, uint64_t expires)
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

static void grant(void)
{
	struct body_granted relay = {.window = le64_of(1 << 20), .credit = le64_of(5)};
	struct body_peer exit = {.window = le64_of(1 << 20)};
	struct asked a = take(t.role == ROLE_RELAY ? VERB_OPEN : VERB_ADD_PEER);

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

static const struct terms *agreed(void)
{
	return t.role == ROLE_EXIT ? &t.descriptor.body.exit_terms : &t.descriptor.body.relay_terms;
}

static void start(void)
{
	struct provider_config config = {.role = t.role,
					 .payer = &t.payer,
					 .network = NETWORK,
					 .max_price = PRICE,
					 .wallet = t.wallet};

	config.descriptor = t.descriptor;
	memset(config.control.pub, 3, KEY_LEN);
	t.p = provider_create(t.base, &config, &ops, NULL);
}

static void create(uint64_t terms_expire)
{
	make_descriptor(PRICE, terms_expire);
	start();
}

static bool open_wallet(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/wallet.db", t.dir);
	return wallet_open(&t.wallet, path, false) == 0;
}

/* The agent is killed and started again: its device counts from 0. */
static void crash(void)
{
	provider_destroy(t.p);
	wallet_close(t.wallet);
	assert_true(open_wallet());
	t.device = (struct wallet_count){0};
	t.asked_count = 0;
	start();
}

static void open_session(void)
{
	provider_open(t.p);
	run_for(1);
	grant();
	assert_non_null(provider_granted(t.p));
	assert_int_equal(t.events[PROVIDER_OPENED], 1);
}

/* The next receipt of the session, as an honest provider makes it for these totals. */
static struct receipt_offer offer_of(uint64_t up, uint64_t down)
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

static void hear_offer(const struct receipt_offer *offer)
{
	hear(VERB_RECEIPT, offer, sizeof(*offer));
}

/* A COSIGN is outstanding and right; the provider takes it and opens the window. */
static void expect_signed(const struct receipt_offer *offer)
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

static enum provider_state now(void)
{
	struct provider_view v;

	provider_view(t.p, &v);
	return v.state;
}

static void expect_disputed(uint64_t up, uint64_t down)
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

static void expect_untouched(void)
{
	assert_int_equal(now(), PROVIDER_OPEN);
	assert_false(outstanding(VERB_COSIGN));
	assert_int_equal(t.posts, 0);
}

static int setup(void **state)
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

static int teardown(void **state)
{
	const char *const remove[] = {"rm", "-r", t.dir, NULL};
	char out[64];

	(void)state;
	provider_destroy(t.p);
	wallet_close(t.wallet);
	event_base_free(t.base);
	return spawn_run(remove, NULL, out, sizeof(out));
}

/* ---- opening --------------------------------------------------------------------------------- */

static void open_is_signed_by_the_payer(void **state)
{
	struct open_statement s = {.network = le64_of(NETWORK)};
	const struct body_open *b;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	b = (const void *)a.body;
	memcpy(s.domain, DOMAIN_OPEN, DOMAIN_LEN);
	memcpy(s.provider, t.node.id, KEY_LEN);
	memset(s.client_control, 3, KEY_LEN);
	memcpy(s.subject, b->exit, KEY_LEN);
	terms_hash(s.terms, agreed());
	memcpy(s.payer, t.payer.id, KEY_LEN);
	memcpy(s.nonce, b->nonce, NONCE_LEN);
	assert_true(identity_verify(b->signature, &s, sizeof(s), t.payer.id));
	assert_memory_equal(b->terms, s.terms, KEY_LEN);
}

static void open_is_tried_again_with_its_nonce(void **state)
{
	struct asked first, second;

	(void)state;
	provider_open(t.p);
	run_for(1);
	first = take(VERB_OPEN);
	answer(&first, 0, NULL, 0);
	assert_int_equal(t.restarts, 1);
	assert_int_equal(t.events[PROVIDER_SILENT], 1);
	run_for(5);
	second = take(VERB_OPEN);
	assert_memory_equal(first.body, second.body, first.len);
}

static void new_terms_are_asked_for_and_judged(void **state)
{
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	make_descriptor(PRICE - 1, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	run_for(5);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void a_higher_price_is_not_taken(void **state)
{
	struct provider_view v;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	make_descriptor(PRICE + 1, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
	provider_view(t.p, &v);
	assert_string_equal(v.trouble, "its price is above MaxPrice");
}

static void another_nodes_terms_are_not_taken(void **state)
{
	struct identity node = t.node;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	t.node = t.stranger;
	make_descriptor(PRICE, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	t.node = node;
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
}

static void expired_terms_are_not_signed(void **state)
{
	(void)state;
	provider_destroy(t.p);
	create(clock_wall() - 1);
	provider_open(t.p);
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
	take(VERB_DESCRIBE);
}

static void without_credit_is_said(void **state)
{
	struct provider_view v;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_CREDIT);
	provider_view(t.p, &v);
	assert_true(v.out_of_credit);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void honest_receipts_are_signed(void **state)
{
	struct provider_view v;
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){1000, 1000}; /* of earlier sessions */
	open_session();
	t.device = (struct wallet_count){1000 + 500, 1000 + 9000};
	offer = offer_of(500, 9000);
	hear_offer(&offer);
	expect_signed(&offer);
	offer = offer_of(500, 9000 + LOSS_BYTES); /* lost on the way, within the allowance */
	hear_offer(&offer);
	expect_signed(&offer);
	provider_view(t.p, &v);
	assert_int_equal(v.signed_bytes, 500 + 9000 + LOSS_BYTES);
	assert_int_equal(v.window, 2 << 20);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void duplicates_get_the_same_signature(void **state)
{
	struct receipt_offer offer;
	struct asked first;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(100, 200);
	hear_offer(&offer);
	hear_offer(&offer); /* while the first is under way */
	first = take(VERB_COSIGN);
	assert_int_equal(t.posted.verb, VERB_COSIGN);
	assert_memory_equal(t.posted.body, first.body, first.len);
	answer(&first, 0, NULL, 0);
	hear_offer(&offer); /* its answer was lost */
	expect_signed(&offer);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void packets_in_flight_are_waited_for(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(501, 501 + LOSS_BYTES);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
	t.device = (struct wallet_count){501, 501};
	run_for(30);
	expect_signed(&offer);
}

static void one_byte_too_many_down(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(500, 500 + LOSS_BYTES + 1);
	for (int i = 0; i < 3; i++) {
		hear_offer(&offer); /* saying it again buys no time */
		run_for(30);
		expect_untouched();
	}
	hear_offer(&offer);
	run_for(30);
	expect_disputed(500, 500);
}

static void one_byte_too_many_up(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(501, 500);
	hear_offer(&offer);
	run_for(150);
	expect_disputed(500, 500);
}

static void earlier_sessions_count_for_nothing(void **state)
{
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){1000, 5000};
	open_session();
	t.device = (struct wallet_count){1500, 5500};
	offer = offer_of(501, 500);
	hear_offer(&offer);
	run_for(150);
	expect_disputed(500, 500);
}

/* An exit counts from when it hears ADD_PEER: WireGuard may begin a handshake meanwhile. */
static void an_exit_counts_before_it_answers(void **state)
{
	struct receipt_offer offer;

	(void)state;
	provider_destroy(t.p);
	t.role = ROLE_EXIT;
	create(clock_wall() + 1000);
	t.device.up = 1000;
	provider_open(t.p);
	t.device.up += 148;
	run_for(1);
	grant();
	offer = offer_of(148, 0);
	hear_offer(&offer);
	expect_signed(&offer);
}

static void a_wrong_amount_is_disputed(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){1 << 20, 1 << 20};
	offer = offer_of(1000, 1000);
	offer.body.amount = le64_of(le64_get(offer.body.amount) + 1);
	identity_sign(offer.provider_signature, &offer.body, sizeof(offer.body), &t.node);
	hear_offer(&offer);
	expect_disputed(1 << 20, 1 << 20);
}

static void a_broken_chain_is_disputed(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){5000, 5000};
	offer = offer_of(100, 200);
	hear_offer(&offer);
	expect_signed(&offer);
	offer = offer_of(200, 300);
	offer.body.previous[0] ^= 1;
	identity_sign(offer.provider_signature, &offer.body, sizeof(offer.body), &t.node);
	hear_offer(&offer);
	expect_disputed(5000, 5000);
}

static void another_sequel_to_the_same_seq_is_disputed(void **state)
{
	struct receipt_offer offer, other;

	(void)state;
	open_session();
	t.device = (struct wallet_count){5000, 5000};
	offer = offer_of(100, 200);
	other = offer_of(100, 201);
	hear_offer(&offer);
	expect_signed(&offer);
	hear_offer(&other);
	expect_disputed(5000, 5000);
}

static void other_sessions_are_none_of_ours(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	t.session[0] ^= 1;
	offer = offer_of(1, 1);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
	memset(t.session, 0, sizeof(t.session)); /* the id of an empty slot */
	offer = offer_of(0, 0);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
}

static void the_last_receipt_of_a_lost_session_is_signed(void **state)
{
	struct receipt_offer offer, more;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(500, 500);
	t.has_head = true;
	t.head = offer;
	more = offer_of(501, 500 + LOSS_BYTES);
	provider_probe(t.p);
	refuse_with(&(struct asked){.answer = probe_answered, .arg = t.p}, REFUSED_UNKNOWN_SESSION);
	assert_int_equal(t.events[PROVIDER_GONE], 1);
	t.device = (struct wallet_count){900, 900}; /* the next session's bytes */
	provider_open(t.p);
	run_for(1);
	t.has_head = false;
	hear_offer(&offer); /* the provider asks before it opens another */
	expect_signed(&offer);
	hear_offer(&more); /* what came after the end is not its */
	assert_int_equal(now(), PROVIDER_DISPUTED);
}

/* ---- after a crash --------------------------------------------------------------------------- */

static void what_was_counted_before_a_crash_is_signed(void **state)
{
	uint8_t lost[SESSION_ID_LEN];
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){7000, 7000}; /* of earlier sessions */
	open_session();
	memcpy(lost, t.session, SESSION_ID_LEN);
	t.device = (struct wallet_count){7500, 7900};
	run_for(45);
	crash();
	provider_open(t.p);
	run_for(1);
	offer = offer_of(500, 900 + LOSS_BYTES);
	hear_offer(&offer); /* before it opens another */
	expect_signed(&offer);
	run_for(5);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
	/* The next one of the old session claims more: nobody knows, nobody quarrels. */
	t.device = (struct wallet_count){5000, 5000}; /* not its */
	memcpy(t.session, lost, SESSION_ID_LEN);
	t.head = offer;
	t.has_head = true;
	offer = offer_of(500, 900 + LOSS_BYTES + 1);
	hear_offer(&offer);
	run_for(150);
	expect_untouched();
	offer = offer_of(501, 900 + LOSS_BYTES);
	hear_offer(&offer);
	run_for(150);
	expect_untouched();
}

/* A receipt that was judged is a moment at which the count was known. */
static void a_signed_receipt_notes_the_count(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 900};
	offer = offer_of(100, 100);
	hear_offer(&offer);
	expect_signed(&offer);
	crash();
	hear_offer(&offer); /* its COSIGN was lost */
	expect_signed(&offer);
	offer = offer_of(500, 900 + LOSS_BYTES);
	hear_offer(&offer);
	expect_signed(&offer);
}

/* A receipt of old does not cut short the wait for one of now. */
static void an_old_receipt_leaves_the_waiting_one(void **state)
{
	struct receipt_offer old, offer;

	(void)state;
	open_session();
	old = offer_of(9, 9);
	crash();
	t.events[PROVIDER_OPENED] = 0;
	open_session();
	offer = offer_of(501, 500);
	hear_offer(&offer);
	hear_offer(&old);
	t.device = (struct wallet_count){501, 500};
	run_for(30);
	expect_signed(&offer);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void counts_are_written_only_when_they_change(void **state)
{
	struct wallet_count count;

	(void)state;
	open_session();
	t.device = (struct wallet_count){1, 2};
	run_for(45);
	assert_int_equal(wallet_count_of(t.wallet, t.session, &count), 0);
	assert_int_equal(count.up, 1);
	assert_int_equal(count.down, 2);
	wallet_close(t.wallet); /* a write now would be one too many */
	t.p->judge.wallet = NULL;
	run_for(100);
	assert_true(open_wallet());
	t.p->judge.wallet = t.wallet;
	t.device.up = 3;
	run_for(45);
	assert_int_equal(wallet_count_of(t.wallet, t.session, &count), 0);
	assert_int_equal(count.up, 3);
}

/* ---- staying and leaving --------------------------------------------------------------------- */

static void silence_starts_the_channel_over(void **state)
{
	struct asked a;

	(void)state;
	open_session();
	run_for(70);
	for (unsigned i = 1; i <= 3; i++) {
		a = take(VERB_KEEPALIVE);
		answer(&a, 0, NULL, 0);
		assert_int_equal(t.restarts, i);
		run_for(5);
	}
	assert_int_equal(t.events[PROVIDER_SILENT], 1);
	a = take(VERB_KEEPALIVE);
	answer(&a, VERB_ALIVE, t.session, SESSION_ID_LEN);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void closing_signs_the_final_receipt(void **state)
{
	struct body_close closed = {.bytes_up = le64_of(300), .bytes_down = le64_of(400)};
	struct receipt_offer offer;
	struct asked a;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	provider_close(t.p);
	a = take(VERB_CLOSE);
	memcpy(closed.session, t.session, SESSION_ID_LEN);
	answer(&a, VERB_CLOSED, &closed, sizeof(closed));
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 0);
	offer = offer_of(300, 400);
	hear_offer(&offer);
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 0);
	expect_signed(&offer);
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 1);
}

static void closing_waits_for_nobody(void **state)
{
	(void)state;
	open_session();
	provider_close(t.p);
	run_for(200);
	assert_int_equal(t.events[PROVIDER_ENDED], 1);
}

static void a_session_the_provider_ends_is_gone(void **state)
{
	struct body_close closed = {.reason = le32_of(CLOSE_IDLE)};

	(void)state;
	open_session();
	hear(VERB_CLOSED, &closed, sizeof(closed)); /* another one */
	assert_int_equal(t.events[PROVIDER_GONE], 0);
	memcpy(closed.session, t.session, SESSION_ID_LEN);
	hear(VERB_CLOSED, &closed, sizeof(closed));
	assert_int_equal(t.events[PROVIDER_GONE], 1);
	assert_int_equal(now(), PROVIDER_IDLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_is_signed_by_the_payer),
		TEST(open_is_tried_again_with_its_nonce),
		TEST(new_terms_are_asked_for_and_judged),
		TEST(a_higher_price_is_not_taken),
		TEST(another_nodes_terms_are_not_taken),
		TEST(expired_terms_are_not_signed),
		TEST(without_credit_is_said),
		TEST(honest_receipts_are_signed),
		TEST(duplicates_get_the_same_signature),
		TEST(packets_in_flight_are_waited_for),
		TEST(one_byte_too_many_down),
		TEST(one_byte_too_many_up),
		TEST(earlier_sessions_count_for_nothing),
		TEST(an_exit_counts_before_it_answers),
		TEST(a_wrong_amount_is_disputed),
		TEST(a_broken_chain_is_disputed),
		TEST(another_sequel_to_the_same_seq_is_disputed),
		TEST(other_sessions_are_none_of_ours),
		TEST(the_last_receipt_of_a_lost_session_is_signed),
		TEST(what_was_counted_before_a_crash_is_signed),
		TEST(a_signed_receipt_notes_the_count),
		TEST(an_old_receipt_leaves_the_waiting_one),
		TEST(counts_are_written_only_when_they_change),
		TEST(silence_starts_the_channel_over),
		TEST(closing_signs_the_final_receipt),
		TEST(closing_waits_for_nobody),
		TEST(a_session_the_provider_ends_is_gone),
	};

	crypto_start();
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
