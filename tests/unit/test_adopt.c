/* Receipts shown to books that lost them: any order, any repetition, and no number for two bodies.
 */
#include "tests/lib/store.h"

enum {
	WORLDS = 120,
	SESSIONS = 4,
	RECEIPTS = 5,
};

/* What a payer holds: every receipt of a few sessions. */
static struct body_held held[SESSIONS][RECEIPTS + 1];
static uint8_t ids[SESSIONS][SESSION_ID_LEN] = {{1}, {2}, {3}, {4}};
static struct receipt_session about(const struct terms *t, const uint8_t *id,
				    const struct identity *payer)
{
	struct receipt_session s = {
		.role = (enum role)t->body.role,
		.network = le64_get(t->body.network),
		.price = le64_get(t->body.price),
	};

	memcpy(s.session, id, SESSION_ID_LEN);
	memcpy(s.payer, payer->id, KEY_LEN);
	terms_hash(s.terms, t);
	return s;
}

/* The receipt after `previous` (NULL: the first), both signatures on it. */
static struct body_held next_of(const struct terms *t, const uint8_t *id,
				const struct body_held *previous, uint64_t up, uint64_t down)
{
	struct receipt_session s = about(t, id, &alice);
	struct body_held h = {.terms = *t};
	struct receipt_offer offer;

	assert_true(receipt_make(&offer, &s, previous ? &previous->receipt.offer : NULL, up, down,
				 start_of_test / 3600, &node));
	receipt_cosign(&h.receipt, &offer, &alice);
	return h;
}

static void make_history(void)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		const struct terms *t = &store->terms[i % 2 ? ROLE_EXIT : ROLE_RELAY];
		uint64_t up = 0, down = 0;

		for (unsigned n = 1; n <= RECEIPTS; n++) {
			up += draw(300000);
			down += 1 + draw(300000);
			held[i][n] = next_of(t, ids[i], n > 1 ? &held[i][n - 1] : NULL, up, down);
		}
	}
}

static int show(const struct body_held *h, struct ledger_adopted *out)
{
	begin();
	return finish(store_adopt(store, h, out));
}

static struct ledger_adopted shown(const struct body_held *h)
{
	struct ledger_adopted out;

	assert_int_equal(show(h, &out), 0);
	return out;
}

static int setup_history(void **state)
{
	setup(state);
	seed = 1;
	make_history();
	return 0;
}

/* ---- one by one ---- */

/* All that always holds, but that every number has its row: of a session that was taken over there
 * is the newest receipt only. */
static void adopted_invariants(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (!strstr(never[i], "seq <> (SELECT count(*)") && count_of(never[i]) != 0)
			fail_msg("%s", never[i]);
	assert_int_equal(count_of("SELECT count(*) FROM session s WHERE seq <> (SELECT "
				  "max(seq) FROM receipt WHERE session = s.id)"),
			 0);
}

static void test_unknown_session(void **state)
{
	const struct receipt_body *b = &held[0][3].receipt.offer.body;
	struct ledger_adopted out = shown(&held[0][3]);
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_true(out.news && !out.frozen);
	assert_int_equal(out.seq, 3);
	p = payer_now(alice.id);
	assert_int_equal(p.credit, 1000000 - le64_get(b->amount));
	assert_int_equal(p.debt, 0);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_CLOSED);
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	/* It is over: nothing is issued or carried in it, and its id is taken. */
	assert_int_equal(do_issue(ids[0], UINT32_MAX, 0, &offer), -EACCES);
	assert_int_equal(do_open(ROLE_RELAY, ids[0], alice.id, &p), -EEXIST);
	assert_false(shown(&held[0][3]).news);
	assert_false(shown(&held[0][1]).news);
	assert_int_equal(shown(&held[0][1]).seq, 3);
	assert_true(shown(&held[0][5]).news);
	assert_int_equal(payer_now(alice.id).credit,
			 1000000 - le64_get(held[0][5].receipt.offer.body.amount));
	adopted_invariants();
}

/* The state a restored copy is in: a session left open, its next receipt waiting. What the payer
 * signed since makes that offer's number used. */
static void test_known_with_lower_head(void **state)
{
	const struct receipt_body *b = &held[0][2].receipt.offer.body;
	struct receipt_offer offer, waiting;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, ids[0], alice.id, &p), 0);
	assert_int_equal(do_issue(ids[0], 1000, 1000, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_issue(ids[0], 2000, 2000, &waiting), 0);
	held[0][1] = next_of(&store->terms[ROLE_RELAY], ids[0], NULL, 1000, 1000);
	held[0][2] = next_of(&store->terms[ROLE_RELAY], ids[0], &held[0][1], 500000, 500000);
	held[0][3] = next_of(&store->terms[ROLE_RELAY], ids[0], &held[0][2], 600000, 600000);
	restart();
	assert_true(shown(&held[0][3]).news);
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	/* The waiting offer has a number that is used: its signature is good for nothing. */
	assert_int_equal(do_cosign(&waiting, &alice, &p), -EBADMSG);
	assert_int_equal(payer_now(alice.id).debt, 0);
	assert_int_equal(count_of("SELECT seq FROM session"), 3);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_CLOSED);
	assert_true(le64_get(b->bytes_up) == 500000);
	adopted_invariants();
}

/* More was carried, as far as the copy knows, than the payer shows: the rest stays a debt, asked
 * for under the next number. */
static void test_rest_is_asked_for_behind_it(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, ids[0], alice.id, &p), 0);
	assert_int_equal(do_issue(ids[0], 1000, 0, &offer), 0);
	assert_int_equal(do_issue(ids[0], 5000, 0, &offer), 0); /* the same, but it has seen more */
	restart();
	held[0][1] = next_of(&store->terms[ROLE_RELAY], ids[0], NULL, 1000, 0);
	held[0][2] = next_of(&store->terms[ROLE_RELAY], ids[0], &held[0][1], 3000, 0);
	assert_true(shown(&held[0][2]).news);
	assert_int_equal(payer_now(alice.id).debt, 2000);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(le64_get(offer.body.seq), 3);
	assert_int_equal(receipt_check_chain(&held[0][2].receipt.offer, &offer), RECEIPT_OK);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(p.debt, 0);
	adopted_invariants();
}

/* What was in flight when the session ended is no news of a lost book: the same as a signature. */
static void test_outstanding_offer_itself(void **state)
{
	struct body_held h = {.terms = store->terms[ROLE_RELAY]};
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, ids[0], alice.id, &p), 0);
	assert_int_equal(do_issue(ids[0], 1000, 0, &offer), 0);
	receipt_cosign(&h.receipt, &offer, &alice);
	assert_true(shown(&h).news);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_OPEN);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_issue(ids[0], 1000, 0, &offer), -EALREADY);
	assert_int_equal(do_issue(ids[0], 2000, 0, &offer), 0);
	assert_int_equal(receipt_check_chain(&h.receipt.offer, &offer), RECEIPT_OK);
	check_invariants();
}

/* No offer is written at start or when a session ends: only when its payer is about to be asked. */
static void test_no_offer_before_it_is_asked_for(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, ids[0], alice.id, &p), 0);
	pay(ids[0], 1000, &p);
	assert_int_equal(do_issue(ids[0], 3000, 0, &offer), 0);
	assert_int_equal(do_issue(ids[0], 4000, 0, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	restart();
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE offer NOT NULL"), 0);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE offer NOT NULL"), 1);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	check_invariants();
}

static void test_contradiction(void **state)
{
	struct body_held other;
	struct ledger_adopted out;
	struct receipt_offer offer;

	(void)state;
	/* seq 2 of another story of the session, whose totals may be anything */
	other = next_of(&store->terms[ROLE_RELAY], ids[0], &held[0][1], 4000000, 4000000);
	assert_true(shown(&held[0][2]).news);
	out = shown(&other);
	assert_true(out.frozen && !out.news);
	assert_true(shown(&other).frozen);
	assert_true(shown(&other).frozen);
	assert_int_equal(count_of("SELECT count(*) FROM evidence WHERE kind = 1"), 1);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_FROZEN);
	assert_int_equal(payer_now(alice.id).credit,
			 1000000 - le64_get(held[0][2].receipt.offer.body.amount));
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	assert_false(shown(&held[0][2]).frozen);
	adopted_invariants();
}

/* A later number with less in it contradicts the earlier one. */
static void test_totals_never_fall(void **state)
{
	const struct terms *t = &store->terms[ROLE_RELAY];
	struct body_held low1 = next_of(t, ids[0], NULL, 1, 1);
	struct body_held low2 = next_of(t, ids[0], &low1, 2, 2);
	struct body_held low3 = next_of(t, ids[0], &low2, 3, 3);

	(void)state;
	assert_true(shown(&held[0][2]).news);
	assert_true(shown(&low3).frozen);
	assert_int_equal(count_of("SELECT seq FROM session"), 2);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_FROZEN);
	adopted_invariants();
}

/* The very next number must hold the hash of the one in the books: no batch could list both. */
static void test_next_of_another_story(void **state)
{
	const struct terms *t = &store->terms[ROLE_RELAY];
	struct body_held other2 = next_of(t, ids[0], &held[0][1], 4000000, 4000000);
	struct body_held other3 = next_of(t, ids[0], &other2, 5000000, 5000000);

	(void)state;
	assert_true(shown(&held[0][2]).news);
	assert_true(shown(&other3).frozen);
	assert_true(shown(&other3).frozen);
	assert_int_equal(count_of("SELECT count(*) FROM evidence WHERE kind = 4"), 1);
	assert_int_equal(count_of("SELECT seq FROM session"), 2);
	assert_int_equal(count_of("SELECT state FROM session"), SESSION_FROZEN);
	/* Behind a gap nothing can be said against it. */
	assert_true(shown(&held[2][1]).news);
	assert_true(shown(&held[2][3]).news);
	adopted_invariants();
}

static void test_unknown_terms(void **state)
{
	struct terms_values v;
	struct terms old;
	struct body_held h;

	(void)state;
	terms_values(&v, &store->terms[ROLE_RELAY]);
	v.price = 1 << 30;
	v.expires = 5; /* long over: so is the session */
	terms_make(&old, &v, &node);
	h = next_of(&old, ids[0], NULL, 100, 100);
	assert_true(shown(&h).news);
	assert_int_equal(payer_now(alice.id).credit, 1000000 - 200);
	assert_int_equal(count_of("SELECT count(*) FROM terms"), 3);
	adopted_invariants();
}

/* ---- hostile ---- */

static void refused(const struct body_held *h)
{
	struct ledger_adopted out;

	assert_int_equal(show(h, &out), -EBADMSG);
	assert_int_equal(count_of("SELECT count(*) FROM session"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM txn"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM terms"), 2);
	assert_int_equal(count_of("SELECT count(*) FROM payer"), 0);
}

static void test_every_bit_counts(void **state)
{
	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(held[0][0]); bit++) {
		struct body_held h = held[0][2];

		((uint8_t *)&h)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		refused(&h);
	}
	assert_true(shown(&held[0][2]).news);
}

/* The same against a session that is known: its head stays, bit for bit. */
static void test_every_bit_counts_for_a_known_session(void **state)
{
	struct ledger_adopted out;

	(void)state;
	assert_true(shown(&held[0][1]).news);
	for (size_t bit = 0; bit < 8 * sizeof(held[0][0]); bit += 3) {
		struct body_held h = held[0][2];

		((uint8_t *)&h)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(show(&h, &out), -EBADMSG);
	}
	assert_int_equal(count_of("SELECT seq FROM session"), 1);
	assert_int_equal(count_of("SELECT count(*) FROM evidence"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM session"), 1);
}

static void test_others_receipts(void **state)
{
	struct receipt_session s = about(&store->terms[ROLE_RELAY], ids[0], &alice);
	struct body_held h = {.terms = store->terms[ROLE_RELAY]};
	struct terms_values v;
	struct receipt_offer offer;

	(void)state;
	/* Another node's, whole and valid. */
	terms_values(&v, &store->terms[ROLE_RELAY]);
	terms_make(&h.terms, &v, &bob);
	terms_hash(s.terms, &h.terms);
	assert_true(receipt_make(&offer, &s, NULL, 1, 1, 1, &bob));
	receipt_cosign(&h.receipt, &offer, &alice);
	refused(&h);
	/* Our signature on the receipt, under terms that somebody else made up. */
	memcpy(h.terms.body.provider, node.id, KEY_LEN);
	identity_sign(h.terms.signature, &h.terms.body, sizeof(h.terms.body), &bob);
	terms_hash(s.terms, &h.terms);
	assert_true(receipt_make(&offer, &s, NULL, 1, 1, 1, &node));
	receipt_cosign(&h.receipt, &offer, &alice);
	refused(&h);
	/* Ours, and signed by somebody who is not its payer. */
	h = held[0][1];
	receipt_cosign(&h.receipt, &h.receipt.offer, &bob);
	refused(&h);
	/* Another network's. */
	terms_values(&v, &store->terms[ROLE_RELAY]);
	v.network = 8;
	terms_make(&h.terms, &v, &node);
	h = next_of(&h.terms, ids[0], NULL, 1, 1);
	refused(&h);
	/* Numbers beyond what the books hold. */
	h = next_of(&store->terms[ROLE_RELAY], ids[0], NULL, BYTES_MAX + 1, 1);
	refused(&h);
}

/* A session id of one payer, shown by another under its own name: our signature twice over one id,
 * which was never made. */
static void test_session_of_another(void **state)
{
	struct receipt_session s = about(&store->terms[ROLE_RELAY], ids[0], &bob);
	struct body_held h = {.terms = store->terms[ROLE_RELAY]};
	struct ledger_adopted out;
	struct receipt_offer offer;

	(void)state;
	assert_true(shown(&held[0][1]).news);
	assert_true(receipt_make(&offer, &s, NULL, 1, 1, 1, &node));
	receipt_cosign(&h.receipt, &offer, &bob);
	assert_int_equal(show(&h, &out), -EBADMSG);
	assert_int_equal(count_of("SELECT count(*) FROM session"), 1);
}

/* ---- any order, any repetition ---- */

struct end {
	int64_t seq, bytes, amount, posted, debt, credit, window, earned, accounts, sessions;
};

static struct end end_of_world(void)
{
	struct ledger_payer p = payer_now(alice.id);

	adopted_invariants();
	return (struct end){
		.seq = count_of("SELECT sum(seq) FROM session"),
		.bytes = count_of("SELECT sum(up + down) FROM session"),
		.amount = count_of("SELECT sum(amount) FROM session"),
		.posted = count_of("SELECT sum(posted) FROM session"),
		.debt = (int64_t)p.debt,
		.credit = (int64_t)p.credit,
		.window = (int64_t)p.window,
		.earned = count_of("SELECT earned FROM payer"),
		.accounts = count_of("SELECT max(balance) FROM account"),
		.sessions = count_of("SELECT sum(state) FROM session"),
	};
}

/* The same copy every time: some sessions known, with a few of their receipts. */
static void restored_copy(const struct test_world *world, unsigned knows)
{
	teardown(NULL);
	store_new(world);
	for (unsigned i = 0; i < SESSIONS; i += 2)
		if (knows % RECEIPTS)
			assert_true(shown(&held[i][knows % RECEIPTS]).news);
	restart();
}

static void show_some(const unsigned *top)
{
	bool left[SESSIONS][RECEIPTS + 1] = {0};
	unsigned rest = 0;

	for (unsigned i = 0; i < SESSIONS; i++)
		for (unsigned n = 1; n <= top[i]; n++, rest++)
			left[i][n] = true;
	while (rest) {
		unsigned i = draw(SESSIONS), n = 1 + draw(RECEIPTS);

		if (n > top[i])
			continue;
		/* Again and again: only the first showing can be news. */
		if (!left[i][n]) {
			assert_false(shown(&held[i][n]).news);
			continue;
		}
		assert_false(shown(&held[i][n]).frozen);
		left[i][n] = false;
		rest--;
		if (draw(8) == 0)
			restart();
	}
}

static void test_any_order(void **state)
{
	const struct test_world worlds[] = {{1000, 2000, 8 * MIB, 1000000, 0},
					    {0, 0, 8 * MIB, 0, 0}};
	/* A purse too small: who is paid first is a matter of order, how much is not. */
	const struct test_world poor = {1 << 30, 1 << 30, 8 * MIB, 500000, 0};

	(void)state;
	for (uint32_t w = 0; w < WORLDS; w++) {
		const struct test_world *world = w % 3 == 2 ? &poor : &worlds[w % 3];
		unsigned top[SESSIONS], knows = w / 3;
		struct end first, again;

		teardown(NULL);
		store_new(world);
		seed = w + 1;
		make_history();
		for (unsigned i = 0; i < SESSIONS; i++)
			top[i] = 1 + draw(RECEIPTS);
		restored_copy(world, knows);
		show_some(top);
		first = end_of_world();
		for (int i = 0; i < 3; i++) {
			restored_copy(world, knows);
			show_some(top);
			again = end_of_world();
			assert_memory_equal(&first, &again, sizeof(first));
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_history, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unknown_session),
		TEST(test_known_with_lower_head),
		TEST(test_rest_is_asked_for_behind_it),
		TEST(test_outstanding_offer_itself),
		TEST(test_no_offer_before_it_is_asked_for),
		TEST(test_contradiction),
		TEST(test_totals_never_fall),
		TEST(test_next_of_another_story),
		TEST(test_unknown_terms),
		TEST(test_every_bit_counts),
		TEST(test_every_bit_counts_for_a_known_session),
		TEST(test_others_receipts),
		TEST(test_session_of_another),
		TEST(test_any_order),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
