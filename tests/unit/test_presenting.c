/* What a client shows a provider before it asks for a session. */
#include "base/file.h"
#include "client/grants.h"
#include "tests/unit/provider_world.h"

#include <errno.h>

/* A session of its own with one signed receipt; it ends. Its id. */
static void lived(uint8_t id[static SESSION_ID_LEN], uint64_t bytes)
{
	struct receipt_offer offer;
	struct body_close closed = {.reason = le32_of(CLOSE_IDLE)};

	t.device = (struct wallet_count){0};
	provider_open(t.p);
	run_for(1);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
	memcpy(id, t.session, SESSION_ID_LEN);
	t.device = (struct wallet_count){bytes, bytes};
	offer = offer_of(bytes, bytes);
	hear_offer(&offer);
	expect_signed(&offer);
	memcpy(closed.session, id, SESSION_ID_LEN);
	hear(VERB_CLOSED, &closed, sizeof(closed));
	assert_int_equal(now(), PROVIDER_IDLE);
}

static void expect_held(const uint8_t *id, bool news)
{
	struct asked a = take(VERB_HELD);
	const struct body_held *h = (const void *)a.body;
	struct body_head head = {.seq = le64_of(1), .news = le32_of(news)};

	assert_memory_equal(h->receipt.offer.body.session, id, SESSION_ID_LEN);
	assert_int_equal(receipt_check(&h->receipt, &h->terms), RECEIPT_OK);
	assert_false(outstanding(VERB_OPEN));
	answer(&a, VERB_HEAD, &head, sizeof(head));
}

static void make_sessions(uint8_t id[static 5][SESSION_ID_LEN])
{
	for (int i = 0; i < 5; i++)
		lived(id[i], 100 + (uint64_t)i);
	provider_open(t.p);
	run_for(1);
}

static void the_newest_first_until_two_are_known(void **state)
{
	uint8_t id[5][SESSION_ID_LEN];

	(void)state;
	make_sessions(id);
	expect_held(id[4], false);
	expect_held(id[3], false);
	assert_false(outstanding(VERB_HELD));
	assert_true(outstanding(VERB_OPEN));
}

static void on_while_there_is_news(void **state)
{
	uint8_t id[5][SESSION_ID_LEN];

	(void)state;
	make_sessions(id);
	expect_held(id[4], true);
	expect_held(id[3], false);
	expect_held(id[2], true);
	expect_held(id[1], false);
	expect_held(id[0], false);
	assert_true(outstanding(VERB_OPEN));
}

/* By when its newest receipt was signed, not by when it was opened. */
static void an_old_session_that_signed_last_is_first(void **state)
{
	uint8_t first[SESSION_ID_LEN], second[SESSION_ID_LEN];
	struct receipt_offer head, late;

	(void)state;
	lived(first, 100);
	head = t.head;
	lived(second, 100);
	memcpy(t.session, first, SESSION_ID_LEN);
	t.head = head;
	t.device = (struct wallet_count){0};
	late = offer_of(100, 101);
	hear_offer(&late); /* within the loss allowance */
	expect_signed(&late);
	provider_open(t.p);
	run_for(1);
	expect_held(first, true);
	expect_held(second, true);
	assert_true(outstanding(VERB_OPEN));
}

/* Nothing is asked for before the node has said what it knows. */
static void not_opened_before_it_answers(void **state)
{
	uint8_t id[5][SESSION_ID_LEN];
	struct asked a;

	(void)state;
	make_sessions(id);
	a = take(VERB_HELD);
	answer(&a, 0, NULL, 0); /* it did not come through */
	assert_int_equal(t.restarts, 1);
	assert_false(outstanding(VERB_OPEN));
	run_for(1);
	expect_held(id[4], false);
	expect_held(id[3], false);
	assert_true(outstanding(VERB_OPEN));
}

/* Refused or nonsense is no news, and no reason to stay away. */
static void a_refusal_is_no_news(void **state)
{
	uint8_t id[5][SESSION_ID_LEN];
	struct asked a;

	(void)state;
	make_sessions(id);
	a = take(VERB_HELD);
	refuse_with(&a, REFUSED_FROZEN);
	a = take(VERB_HELD);
	answer(&a, VERB_HEAD, "x", 1);
	assert_true(outstanding(VERB_OPEN));
}

/* A node that asks for a number it was given is shown what it has lost. */
static void an_offer_below_what_was_signed(void **state)
{
	uint8_t id[SESSION_ID_LEN], next[SESSION_ID_LEN];
	struct receipt_offer old;

	(void)state;
	lived(id, 100);
	old = t.head;
	memcpy(t.session, id, SESSION_ID_LEN);
	t.has_head = true;
	t.device = (struct wallet_count){0};
	{
		struct receipt_offer later = offer_of(100, 101);

		hear_offer(&later);
		expect_signed(&later);
	}
	crash();
	provider_open(t.p);
	run_for(1);
	grant();
	memcpy(next, t.session, SESSION_ID_LEN);
	hear_offer(&old);
	expect_held(id, true);
	assert_false(outstanding(VERB_COSIGN));
	assert_int_equal(t.posts, 0);
}

static void open_session_again(void)
{
	provider_open(t.p);
	run_for(1);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
}

/* A session with another provider, or of another payer, is nothing to show to this one. */
static void nobody_else_s_receipts_are_shown(void **state)
{
	const struct identity node = t.node, payer = t.payer;
	uint8_t id[SESSION_ID_LEN], signature[SIGNATURE_LEN];
	struct wallet_count count = {100, 100};
	struct receipt_offer first, second;

	(void)state;
	for (int i = 0; i < 2; i++) {
		memset(id, 0x50 + i, sizeof(id));
		if (i == 0)
			t.node = t.stranger;
		else
			t.payer = t.stranger;
		make_descriptor(PRICE, clock_wall() + 1000);
		assert_int_equal(wallet_session(t.wallet, id, agreed(), t.payer.id), 0);
		memcpy(t.session, id, sizeof(id));
		t.has_head = false;
		first = offer_of(50, 50);
		assert_int_equal(wallet_cosign(t.wallet, &first, &count, &t.payer, signature), 0);
		t.head = first;
		t.has_head = true;
		second = offer_of(60, 60);
		assert_int_equal(wallet_cosign(t.wallet, &second, &count, &t.payer, signature), 0);
		t.node = node;
		t.payer = payer;
		make_descriptor(PRICE, clock_wall() + 1000);
		open_session_again();
		hear_offer(&first);
		if (i == 0)
			hear_offer(&second);
		assert_false(outstanding(VERB_HELD));
		assert_false(outstanding(VERB_COSIGN));
		assert_int_equal(t.posts, 0);
		crash();
	}
}

/* ---- grants ---- */

struct wish {
	const struct identity *issuer, *payer, *node;
	uint64_t expires;
	uint8_t serial;
};

static struct grant keep(const struct wish *w)
{
	const uint8_t serial[NONCE_LEN] = {w->serial};
	const struct grant_values v = {
		.network = NETWORK,
		.payer = w->payer->id,
		.node = w->node->id,
		.limit = 1000,
		.expires = w->expires,
		.serial = serial,
	};
	char name[GRANTS_NAME];
	struct grant g;

	grant_make(&g, &v, w->issuer);
	assert_int_equal(grants_add(name, t.grants, &g), 0);
	assert_int_equal(grants_add(name, t.grants, &g), 0); /* again is nothing new */
	return g;
}

static struct wish usual(uint8_t serial)
{
	return (struct wish){&t.stranger, &t.payer, &t.node, 0, serial};
}

static void expect_grant(const struct grant *g, enum credit_status status)
{
	struct asked a = take(VERB_GRANT);
	struct body_credit credit = {.credit = le64_of(1000), .status = le32_of(status)};

	if (g)
		assert_memory_equal(a.body, g, sizeof(*g));
	answer(&a, VERB_CREDIT, &credit, sizeof(credit));
}

static void a_grant_is_shown_once_a_channel(void **state)
{
	struct wish w = usual(1);
	struct grant g = keep(&w);
	struct provider_view v;

	(void)state;
	assert_int_equal(provider_said(t.p, &g), PRESENTING_NOTHING);
	provider_open(t.p);
	run_for(1);
	assert_false(outstanding(VERB_OPEN));
	expect_grant(&g, CREDIT_TAKEN);
	assert_int_equal(provider_said(t.p, &g), PRESENTING_TAKEN);
	provider_view(t.p, &v);
	assert_int_equal(v.credit, 1000);
	{
		struct asked a = take(VERB_OPEN);

		refuse_with(&a, REFUSED_BUSY);
	}
	provider_restart(t.p);
	run_for(5);
	assert_false(outstanding(VERB_GRANT));
	assert_true(outstanding(VERB_OPEN));
	/* another channel */
	t.asked_count = 0;
	t.control->ops.state(t.control->arg, true);
	provider_close(t.p);
	run_for(1);
	t.p->state = PROVIDER_IDLE;
	provider_open(t.p);
	run_for(1);
	expect_grant(&g, CREDIT_KNOWN);
	assert_int_equal(provider_said(t.p, &g), PRESENTING_KNOWN);
}

static void others_are_not_shown(void **state)
{
	struct wish w = usual(1);
	char path[200];
	FILE *f;

	(void)state;
	w.payer = &t.stranger;
	keep(&w);
	w = usual(2);
	w.node = &t.stranger;
	keep(&w);
	w = usual(3);
	w.expires = 1000;
	keep(&w);
	snprintf(path, sizeof(path), "%s/broken.grant", t.grants);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("culvert-grant-1 AAAA\n", f);
	fclose(f);
	provider_open(t.p);
	run_for(1);
	assert_false(outstanding(VERB_GRANT));
	assert_true(outstanding(VERB_OPEN));
}

static void a_refused_one_is_not_shown_again(void **state)
{
	struct wish w = usual(1);
	struct grant g = keep(&w);
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_GRANT);
	refuse_with(&a, REFUSED_GRANT);
	assert_int_equal(provider_said(t.p, &g), PRESENTING_REFUSED);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_CREDIT);
	provider_restart(t.p);
	run_for(5);
	assert_false(outstanding(VERB_GRANT));
	assert_true(outstanding(VERB_OPEN));
}

/* Only so many files are looked at, in no order: one more would be kept and perhaps never shown. */
static void one_too_many_is_not_kept(void **state)
{
	struct wish w = usual(1);
	struct grant_file *files;
	struct grant g = keep(&w);
	char name[GRANTS_NAME];

	(void)state;
	for (int i = 1; i < GRANTS_MAX; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%03d.grant", t.grants, i);
		assert_int_equal(file_create(path, "junk", 4, 0600), 0);
	}
	assert_int_equal(grants_add(name, t.grants, &g), 0);
	assert_int_equal(grants_load(&files, t.grants), GRANTS_MAX);
	free(files);
	g.body.serial[0]++;
	assert_int_equal(grants_add(name, t.grants, &g), -EMFILE);
}

/* A file that comes while the window is dry is shown in the open session. */
static void one_that_comes_when_credit_is_out(void **state)
{
	struct body_window dry = {.window = le64_of(0)};
	struct grant g;
	struct wish w = usual(7);

	(void)state;
	open_session();
	memcpy(dry.session, t.session, SESSION_ID_LEN);
	hear(VERB_WINDOW, &dry, sizeof(dry));
	run_for(40);
	assert_false(outstanding(VERB_GRANT));
	g = keep(&w);
	run_for(80);
	expect_grant(&g, CREDIT_TAKEN);
	run_for(80);
	assert_false(outstanding(VERB_GRANT));
	assert_false(outstanding(VERB_HELD));
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void receipts_come_behind_grants(void **state)
{
	uint8_t id[SESSION_ID_LEN];
	struct wish w = usual(1);

	(void)state;
	lived(id, 100);
	keep(&w);
	w.serial = 2;
	keep(&w);
	provider_open(t.p);
	run_for(1);
	expect_grant(NULL, CREDIT_TAKEN);
	assert_false(outstanding(VERB_HELD));
	expect_grant(NULL, CREDIT_TAKEN);
	expect_held(id, false);
	assert_true(outstanding(VERB_OPEN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_newest_first_until_two_are_known),
		TEST(on_while_there_is_news),
		TEST(an_old_session_that_signed_last_is_first),
		TEST(not_opened_before_it_answers),
		TEST(a_refusal_is_no_news),
		TEST(an_offer_below_what_was_signed),
		TEST(nobody_else_s_receipts_are_shown),
		TEST(a_grant_is_shown_once_a_channel),
		TEST(others_are_not_shown),
		TEST(a_refused_one_is_not_shown_again),
		TEST(one_too_many_is_not_kept),
		TEST(one_that_comes_when_credit_is_out),
		TEST(receipts_come_behind_grants),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
