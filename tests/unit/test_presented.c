/* What clients show a node: nothing is allocated or asked of the ledger for what is not ours or not
 * valid, and who forges is not listened to for a while. */
#include "tests/lib/unit.h"

#include <errno.h>

#include "base/log.h"
#include "node/presented.c"
#include "tests/lib/books.h"

#define NETWORK 7

static struct node *n;
static struct identity own, issuer, payer, stranger;
static struct control_caller caller;
static uint64_t now_ms;

static struct {
	unsigned promises, adoptions, replies, changed;
	uint8_t verb;
	uint32_t code; /* of REFUSED, or status, or news */
	ledger_took_promise promised;
	ledger_took_receipt adopted;
	void *arg;
} t;

uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return now_ms;
}

void __wrap_ledger_promise(struct ledger *l, const struct grant *g, ledger_took_promise done,
			   void *arg);
void __wrap_ledger_promise(struct ledger *l, const struct grant *g, ledger_took_promise done,
			   void *arg)
{
	(void)l;
	(void)g;
	t.promises++;
	t.promised = done;
	t.arg = arg;
}

void __wrap_ledger_adopt(struct ledger *l, const struct body_held *held, ledger_took_receipt done,
			 void *arg);
void __wrap_ledger_adopt(struct ledger *l, const struct body_held *held, ledger_took_receipt done,
			 void *arg)
{
	(void)l;
	(void)held;
	t.adoptions++;
	t.adopted = done;
	t.arg = arg;
}

void __wrap_control_server_reply(struct control_server *s, const struct control_caller *to,
				 uint8_t verb, uint32_t id, const void *body, size_t len);
void __wrap_control_server_reply(struct control_server *s, const struct control_caller *to,
				 uint8_t verb, uint32_t id, const void *body, size_t len)
{
	(void)s;
	(void)len;
	assert_memory_equal(to->client, caller.client, KEY_LEN);
	assert_int_equal(id, 5);
	t.replies++;
	t.verb = verb;
	if (verb == VERB_REFUSED)
		t.code = le32_get(((const struct body_refused *)body)->code);
	else if (verb == VERB_CREDIT)
		t.code = le32_get(((const struct body_credit *)body)->status);
	else
		t.code = le32_get(((const struct body_head *)body)->news);
}

void __wrap_relay_payer_changed(struct relay *r, const uint8_t id[static KEY_LEN]);
void __wrap_relay_payer_changed(struct relay *r, const uint8_t id[static KEY_LEN])
{
	(void)r;
	assert_memory_equal(id, payer.id, KEY_LEN);
	t.changed++;
}

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	n = xcalloc(1, sizeof(*n));
	test_identity(&own, 1);
	test_identity(&issuer, 2);
	test_identity(&payer, 3);
	test_identity(&stranger, 4);
	memcpy(n->identity.descriptor.body.node, own.id, KEY_LEN);
	memcpy(n->config.issuers[0], issuer.id, KEY_LEN);
	n->config.issuer_count = 1;
	n->config.network = NETWORK;
	n->relay = (struct relay *)&t; /* there is one; nothing looks into it here */
	now_ms += 100000;
	caller.client[0] = 9;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	presented_end(n);
	free(n);
	return 0;
}

static struct grant a_grant(const struct identity *by, const uint8_t *node, uint64_t network)
{
	static const uint8_t serial[NONCE_LEN] = {1};
	const struct grant_values v = {
		.network = network, .payer = payer.id, .node = node, .limit = 5, .serial = serial};
	struct grant g;

	grant_make(&g, &v, by);
	return g;
}

static struct body_held a_receipt_under(const struct terms *terms, const struct identity *by)
{
	struct receipt_session s = {.role = ROLE_RELAY, .price = 1000};
	struct body_held h = {.terms = *terms};
	struct receipt_offer offer;

	s.network = le64_get(terms->body.network);
	terms_hash(s.terms, terms);
	memcpy(s.payer, payer.id, KEY_LEN);
	assert_true(receipt_make(&offer, &s, NULL, 1, 2, 3, by));
	receipt_cosign(&h.receipt, &offer, &payer);
	return h;
}

static struct body_held a_receipt(const struct identity *by, uint64_t network)
{
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = network,
		.price = 1000,
		.window_start = 1,
		.window_cap = 1,
	};
	struct terms terms;

	terms_make(&terms, &v, by);
	return a_receipt_under(&terms, by);
}

static void show(uint8_t verb, const void *body)
{
	t.verb = 0;
	presented_handle(n, &caller, verb, 5, body);
}

static void refused(uint8_t verb, const void *body, enum refusal code)
{
	show(verb, body);
	assert_int_equal(t.verb, VERB_REFUSED);
	assert_int_equal(t.code, code);
	assert_null(n->presented); /* nothing is kept for it */
	assert_int_equal(t.promises + t.adoptions, 0);
}

static void test_a_grant_is_taken(void **state)
{
	struct grant g = a_grant(&issuer, own.id, NETWORK);
	struct ledger_promised p = {.payer = {.credit = 77}};

	(void)state;
	show(VERB_GRANT, &g);
	assert_int_equal(t.promises, 1);
	assert_int_equal(t.replies, 0);
	t.promised(t.arg, 0, &p);
	assert_true(t.verb == VERB_CREDIT && t.code == CREDIT_TAKEN && t.changed == 1);
	show(VERB_GRANT, &g);
	p.known = true;
	t.promised(t.arg, 0, &p);
	assert_true(t.verb == VERB_CREDIT && t.code == CREDIT_KNOWN && t.changed == 1);
	show(VERB_GRANT, &g);
	t.promised(t.arg, -EEXIST, NULL);
	assert_true(t.verb == VERB_REFUSED && t.code == REFUSED_GRANT);
	show(VERB_GRANT, &g);
	t.promised(t.arg, -ENOSPC, NULL);
	assert_true(t.verb == VERB_REFUSED && t.code == REFUSED_BUSY);
	assert_null(n->presented);
}

static void test_a_receipt_is_taken(void **state)
{
	struct body_held h = a_receipt(&own, NETWORK);
	struct ledger_adopted a = {.seq = 1, .news = true};

	(void)state;
	show(VERB_HELD, &h);
	t.adopted(t.arg, 0, &a);
	assert_true(t.verb == VERB_HEAD && t.code == 1 && t.changed == 1);
	a.news = false;
	show(VERB_HELD, &h);
	t.adopted(t.arg, 0, &a);
	assert_true(t.verb == VERB_HEAD && t.code == 0 && t.changed == 1);
	a.frozen = true;
	show(VERB_HELD, &h);
	t.adopted(t.arg, 0, &a);
	assert_true(t.verb == VERB_REFUSED && t.code == REFUSED_FROZEN);
	show(VERB_HELD, &h);
	presented_end(n); /* the node ends first: the answer finds nobody, and nothing leaks */
	assert_null(n->presented);
}

/* An error that passes is not an answer for good: a client shows no grant again that was refused.
 */
static void test_what_passes_is_asked_again(void **state)
{
	static const int passes[] = {-ENOSPC, -EROFS, -EIO, -ENOMEM, -ENOLCK, -EAGAIN};
	struct grant g = a_grant(&issuer, own.id, NETWORK);
	struct body_held h = a_receipt(&own, NETWORK);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(passes); i++) {
		show(VERB_GRANT, &g);
		t.promised(t.arg, passes[i], NULL);
		assert_true(t.verb == VERB_REFUSED && t.code == REFUSED_BUSY);
		show(VERB_HELD, &h);
		t.adopted(t.arg, passes[i], NULL);
		assert_true(t.verb == VERB_REFUSED && t.code == REFUSED_BUSY);
	}
}

/* Foreign things cost no look at a signature, and their owner is heard on. */
static void test_foreign_is_refused(void **state)
{
	struct grant g[] = {
		a_grant(&stranger, own.id, NETWORK),
		a_grant(&issuer, stranger.id, NETWORK),
		a_grant(&issuer, own.id, NETWORK + 1),
	};
	struct body_held h[] = {a_receipt(&stranger, NETWORK), a_receipt(&own, NETWORK + 1)};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(g); i++)
		refused(VERB_GRANT, &g[i], REFUSED_GRANT);
	for (size_t i = 0; i < ARRAY_SIZE(h); i++)
		refused(VERB_HELD, &h[i], REFUSED_SIGNATURE);
	g[0] = a_grant(&issuer, own.id, NETWORK);
	show(VERB_GRANT, &g[0]);
	assert_int_equal(t.promises, 1);
}

/* Every flipped bit of either body is refused before anything is kept or asked. */
static void test_every_bit(void **state)
{
	struct grant good = a_grant(&issuer, own.id, NETWORK);
	struct body_held held = a_receipt(&own, NETWORK);

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		struct grant g = good;

		now_ms += SHARE_MS;
		((uint8_t *)&g)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		refused(VERB_GRANT, &g, REFUSED_GRANT);
	}
	for (size_t bit = 0; bit < 8 * sizeof(held); bit++) {
		struct body_held h = held;

		now_ms += SHARE_MS;
		((uint8_t *)&h)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		refused(VERB_HELD, &h, REFUSED_SIGNATURE);
	}
}

/* Our receipt, under terms that we never signed. */
static void test_forged_terms(void **state)
{
	struct body_held h = a_receipt(&own, NETWORK);
	struct terms terms = h.terms;

	(void)state;
	terms.signature[0] ^= 1;
	h = a_receipt_under(&terms, &own);
	refused(VERB_HELD, &h, REFUSED_SIGNATURE);
}

/* One that does not happen to share with the one before. */
static void another_client(void)
{
	const void *before = share_of(n, caller.client);

	while (share_of(n, caller.client) == before)
		caller.client[1]++;
}

/* Taking turns on two channels gains no more than the second one. */
static void test_forgers_in_turns_are_not_heard(void **state)
{
	struct grant bad = a_grant(&issuer, own.id, NETWORK);

	(void)state;
	bad.signature[3] ^= 1;
	for (int i = 0; i < 1000; i++) {
		caller.client[1] = (uint8_t)(i % 2);
		show(VERB_GRANT, &bad);
	}
	assert_in_range(t.replies, 1, 2);
}

static void test_a_forger_is_not_heard(void **state)
{
	struct grant good = a_grant(&issuer, own.id, NETWORK), bad = good;
	unsigned replies;

	(void)state;
	bad.signature[3] ^= 1;
	refused(VERB_GRANT, &bad, REFUSED_GRANT);
	replies = t.replies;
	show(VERB_GRANT, &bad);
	show(VERB_GRANT, &good);
	assert_int_equal(t.replies, replies);
	assert_int_equal(t.promises, 0);
	another_client(); /* ... is */
	show(VERB_GRANT, &good);
	assert_int_equal(t.promises, 1);
	caller.client[1] = 0;
	now_ms += SHARE_MS;
	show(VERB_GRANT, &good);
	assert_int_equal(t.promises, 2);
}

static void test_shares(void **state)
{
	struct grant good = a_grant(&issuer, own.id, NETWORK);

	(void)state;
	for (int i = 0; i < 3 * SHARE_MAX; i++)
		show(VERB_GRANT, &good);
	assert_int_equal(t.promises, SHARE_MAX);
	now_ms += SHARE_MS;
	show(VERB_GRANT, &good);
	assert_int_equal(t.promises, SHARE_MAX + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_grant_is_taken),
		TEST(test_a_receipt_is_taken),
		TEST(test_foreign_is_refused),
		TEST(test_every_bit),
		TEST(test_a_forger_is_not_heard),
		TEST(test_shares),
		TEST(test_forged_terms),
		TEST(test_what_passes_is_asked_again),
		TEST(test_forgers_in_turns_are_not_heard),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
