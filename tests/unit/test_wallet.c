/* The client's books: what it signs, what it refuses, and that a signature is never lost. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accounting/wallet_rows.h"
#include "base/log.h"
#include "tests/lib/books.h"

static char dir[TEST_DIR], path[TEST_DIR + 16];
static struct identity node, other, payer;
static struct terms terms;
static struct wallet *wallet;
static struct query_rows rows;

static const uint8_t session[SESSION_ID_LEN] = {1};
static const struct wallet_count plenty = {INT64_MAX, INT64_MAX}, none;

static struct terms terms_at(uint64_t price, const struct identity *by)
{
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = 7,
		.price = price,
		.window_start = 1 << 20,
		.window_cap = 1 << 26,
		.receipt_seconds = 60,
		.loss_ppm = 20000, /* 2 % */
		.loss_bytes = 5000,
		.expires = UINT64_C(1) << 40,
	};
	struct terms t;

	terms_make(&t, &v, by);
	return t;
}

static int setup(void **state)
{
	(void)state;
	test_dir_make(dir);
	snprintf(path, sizeof(path), "%s/wallet.db", dir);
	test_identity(&node, 1);
	test_identity(&other, 2);
	test_identity(&payer, 9);
	terms = terms_at(1 << 20, &node);
	assert_int_equal(wallet_open(&wallet, path, false), 0);
	assert_int_equal(wallet_session(wallet, session, &terms, payer.id), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wallet_close(wallet);
	test_dir_remove(dir);
	return 0;
}

static struct receipt_offer offer_of(const struct receipt_offer *previous, uint64_t up,
				     uint64_t down)
{
	struct receipt_session about = {.role = ROLE_RELAY, .network = 7, .price = 1 << 20};
	struct receipt_offer offer;

	memcpy(about.session, session, sizeof(session));
	memcpy(about.payer, payer.id, KEY_LEN);
	terms_hash(about.terms, &terms);
	assert_true(receipt_make(&offer, &about, previous, up, down, 490000, &node));
	return offer;
}

static int judge(const struct receipt_offer *offer, uint64_t up, uint64_t down)
{
	return wallet_judge(wallet, offer, &(struct wallet_count){up, down});
}

static int cosign(const struct receipt_offer *offer)
{
	uint8_t signature[SIGNATURE_LEN];
	int err = wallet_cosign(wallet, offer, &none, &payer, signature);

	if (!err)
		assert_true(identity_verify(signature, offer, sizeof(*offer), payer.id));
	return err;
}

static void test_counts(void **state)
{
	struct receipt_offer offer = offer_of(NULL, 10000, 100000);

	(void)state;
	assert_int_equal(judge(&offer, 10000, 100000), 0);
	assert_int_equal(judge(&offer, 9999, 100000), -EBADMSG); /* up: never more than was sent */
	assert_int_equal(judge(&offer, 20000, 200000), 0);
	/* Down: 2 % of 100000 and 5000 may have been lost on the way. */
	assert_int_equal(judge(&offer, 10000, 93000), 0);
	assert_int_equal(judge(&offer, 10000, 92999), -EAGAIN);
}

static void test_refuses(void **state)
{
	struct receipt_offer good = offer_of(NULL, 1000, 1000), bad;
	struct terms dearer = terms_at(1 << 21, &node);
	uint8_t signature[SIGNATURE_LEN];

	(void)state;
	/* Any byte of it changed. */
	for (size_t i = 0; i < sizeof(good); i++) {
		bad = good;
		((uint8_t *)&bad)[i] ^= 1;
		assert_int_equal(wallet_judge(wallet, &bad, &plenty), -EBADMSG);
		assert_int_equal(wallet_cosign(wallet, &bad, &plenty, &payer, signature), -EBADMSG);
	}
	/* Well signed, and still not what was agreed. */
	bad = good;
	bad.body.amount = le64_of(le64_get(good.body.amount) + 1);
	identity_sign(bad.provider_signature, &bad.body, sizeof(bad.body), &node);
	assert_int_equal(wallet_judge(wallet, &bad, &plenty), -EBADMSG);
	bad = good;
	terms_hash(bad.body.terms, &dearer);
	identity_sign(bad.provider_signature, &bad.body, sizeof(bad.body), &node);
	assert_int_equal(wallet_judge(wallet, &bad, &plenty), -EBADMSG);
	bad = good;
	memcpy(bad.body.payer, other.id, KEY_LEN);
	identity_sign(bad.provider_signature, &bad.body, sizeof(bad.body), &node);
	assert_int_equal(wallet_judge(wallet, &bad, &plenty), -EBADMSG);
	bad = offer_of(&good, 2000, 2000); /* the second before the first */
	assert_int_equal(wallet_judge(wallet, &bad, &plenty), -EBADMSG);
	assert_int_equal(wallet_cosign(wallet, &good, &none, &other, signature), -EBADMSG);
	assert_int_equal(wallet_judge(wallet, &good, &plenty), 0);
}

static void test_chain(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000), two = offer_of(&one, 2000, 3000);
	struct receipt_offer other_one = offer_of(NULL, 1001, 1000);
	uint8_t first[SIGNATURE_LEN], again[SIGNATURE_LEN];
	struct query q = {.kind = QUERY_RECEIPTS};

	(void)state;
	assert_int_equal(wallet_cosign(wallet, &one, &none, &payer, first), 0);
	assert_int_equal(wallet_cosign(wallet, &one, &none, &payer, again), 0);
	assert_memory_equal(first, again, sizeof(first));
	assert_int_equal(judge(&one, 0, 0), 0); /* signed already: it says nothing new */
	/* The same number with another body is never signed. */
	assert_int_equal(wallet_judge(wallet, &other_one, &plenty), -EBADMSG);
	assert_int_equal(cosign(&other_one), -EBADMSG);
	assert_int_equal(cosign(&two), 0);
	/* Out of order: signed long ago, nothing to say. */
	assert_int_equal(wallet_judge(wallet, &one, &plenty), -EALREADY);
	assert_int_equal(cosign(&one), -EBADMSG);

	assert_int_equal(wallet_query(wallet, &q, &rows), 0);
	assert_int_equal(rows.count, 2);
	assert_int_equal(receipt_check(&rows.receipt[0].receipt, &terms), RECEIPT_OK);
	assert_int_equal(receipt_check(&rows.receipt[1].receipt, &terms), RECEIPT_OK);
	q.kind = QUERY_CREDITS;
	assert_int_equal(wallet_query(wallet, &q, &rows), 0);
	assert_int_equal(rows.count, 1);
	assert_memory_equal(rows.credit[0].peer, node.id, KEY_LEN);
	assert_int_equal(rows.credit[0].spent, le64_get(two.body.amount));
	assert_int_equal(rows.credit[0].bytes, 5000);
}

static void test_survives_reopening(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000), other_one = offer_of(NULL, 1001, 1);

	(void)state;
	assert_int_equal(cosign(&one), 0);
	wallet_close(wallet);
	assert_int_equal(wallet_open(&wallet, path, false), 0);
	assert_int_equal(cosign(&one), 0);
	assert_int_equal(cosign(&other_one), -EBADMSG);
}

static void expect_count(uint64_t up, uint64_t down)
{
	struct wallet_count count;

	assert_int_equal(wallet_count_of(wallet, session, &count), 0);
	assert_int_equal(count.up, up);
	assert_int_equal(count.down, down);
}

/* What was counted outlives the process, and comes with a signature at no cost of its own. */
static void test_counts_are_kept(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000), bad = offer_of(NULL, 1001, 1000);
	struct wallet_count count;
	uint8_t signature[SIGNATURE_LEN];

	(void)state;
	expect_count(0, 0);
	assert_int_equal(wallet_counted(wallet, session, &(struct wallet_count){10, 20}), 0);
	assert_int_equal(wallet_counted(wallet, session, &(struct wallet_count){5, 30}), 0);
	expect_count(10, 30); /* never lowered */
	assert_int_equal(
		wallet_cosign(wallet, &one, &(struct wallet_count){1500, 1600}, &payer, signature),
		0);
	assert_int_equal(
		wallet_cosign(wallet, &bad, &(struct wallet_count){9000, 9000}, &payer, signature),
		-EBADMSG);
	wallet_close(wallet);
	assert_int_equal(wallet_open(&wallet, path, false), 0);
	expect_count(1500, 1600);
	assert_int_equal(wallet_count_of(wallet, (const uint8_t[SESSION_ID_LEN]){5}, &count),
			 -ENOENT);
}

static void test_dispute(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000);
	struct query q = {.kind = QUERY_SESSIONS};

	struct dispute d = {.offer = &one, .count = {1, 2}};
	struct evidence e;

	(void)state;
	assert_int_equal(wallet_accuse(wallet, &d, &e), 0);
	assert_int_equal(wallet_judge(wallet, &one, &plenty), 0); /* that stored nothing */
	assert_int_equal(wallet_dispute(wallet, &d, &e), 0);
	assert_int_equal(e.kind, EVIDENCE_OVERCHARGE);
	assert_int_equal(e.counted_up, 1);
	assert_int_equal(e.counted_down, 2);
	assert_int_equal(wallet_dispute(wallet, &d, &e), -EALREADY); /* once is enough */
	assert_int_equal(wallet_accuse(wallet, &d, &e), -EALREADY);
	assert_int_equal(wallet_judge(wallet, &one, &plenty), -EBADMSG);
	assert_int_equal(cosign(&one), -EBADMSG);
	assert_int_equal(wallet_ended(wallet, session), 0);
	assert_int_equal(wallet_query(wallet, &q, &rows), 0);
	assert_int_equal(rows.session[0].state, SESSION_FROZEN);
}

static void sign(struct receipt_offer *offer, const struct identity *by)
{
	identity_sign(offer->provider_signature, &offer->body, sizeof(offer->body), by);
}

static void expect_accused(const struct receipt_offer *offer, enum evidence_kind kind,
			   const struct receipt_offer *first)
{
	struct dispute d = {.offer = offer, .count = plenty};
	struct evidence e;

	assert_true(wallet_judge(wallet, offer, &plenty) == -EBADMSG);
	assert_int_equal(wallet_accuse(wallet, &d, &e), 0);
	assert_int_equal(e.kind, kind);
	assert_int_equal(e.has_second, first != NULL);
	assert_memory_equal(&e.first, first ? first : offer, sizeof(*offer));
	if (first)
		assert_memory_equal(&e.second, offer, sizeof(*offer));
	if (kind != EVIDENCE_REFUSED)
		assert_int_equal(evidence_check(&e, &terms), EVIDENCE_PROOF);
}

/* What a provider must not sign, each told by its name, the receipt it contradicts beside it. */
static void test_accusations(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000), two = offer_of(&one, 2000, 3000),
			     bad;

	(void)state;
	assert_int_equal(cosign(&one), 0);
	assert_int_equal(cosign(&two), 0);
	bad = offer_of(NULL, 1001, 1000); /* below the head */
	expect_accused(&bad, EVIDENCE_EQUIVOCATION, &one);
	bad = offer_of(&one, 2000, 2999); /* at the head */
	expect_accused(&bad, EVIDENCE_EQUIVOCATION, &two);
	bad = offer_of(&two, 2001, 3000);
	bad.body.bytes_up = le64_of(1999);
	sign(&bad, &node);
	expect_accused(&bad, EVIDENCE_DECREASE, &two);
	bad = offer_of(&two, 2000, 3001);
	bad.body.previous[31] ^= 1;
	sign(&bad, &node);
	expect_accused(&bad, EVIDENCE_FORK, &two);
	bad = offer_of(&two, 3000, 3000);
	bad.body.amount = le64_of(le64_get(bad.body.amount) + 1);
	sign(&bad, &node);
	expect_accused(&bad, EVIDENCE_AMOUNT, NULL);
	/* Not signed by the provider, or numbers left out: that proves nothing. */
	bad = offer_of(&one, 2000, 2999);
	sign(&bad, &other);
	expect_accused(&bad, EVIDENCE_REFUSED, NULL);
	bad = offer_of(&two, 3000, 3000);
	bad.body.seq = le64_of(7);
	sign(&bad, &node);
	expect_accused(&bad, EVIDENCE_REFUSED, NULL);
}

/* Neither is signed yet: the two contradict each other all the same. */
static void test_two_offers(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000), also = offer_of(NULL, 1000, 999);
	struct dispute d = {.offer = &also, .shown = &one, .count = plenty};
	struct evidence e;

	(void)state;
	assert_int_equal(wallet_dispute(wallet, &d, &e), 0);
	assert_int_equal(e.kind, EVIDENCE_EQUIVOCATION);
	assert_memory_equal(&e.first, &one, sizeof(one));
	assert_memory_equal(&e.second, &also, sizeof(also));
}

/* The last receipt of a session may come after its end. */
static void test_ended(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000);
	struct query q = {.kind = QUERY_SESSIONS};

	(void)state;
	assert_int_equal(wallet_ended(wallet, session), 0);
	assert_int_equal(wallet_query(wallet, &q, &rows), 0);
	assert_int_equal(rows.session[0].state, SESSION_CLOSED);
	assert_int_equal(cosign(&one), 0);
	assert_int_equal(wallet_ended(wallet, (const uint8_t[SESSION_ID_LEN]){5}), -ENOENT);
	assert_int_equal(wallet_session(wallet, session, &terms, payer.id), -EEXIST);
}

static const struct query_explain *explained(const uint8_t *of)
{
	struct query q = {.kind = QUERY_EXPLAIN, .has_session = true};

	memcpy(q.session, of, sizeof(q.session));
	assert_int_equal(wallet_query(wallet, &q, &rows), 0);
	return &rows.explain[0];
}

/* What a report needs of a session: its bill, what was counted then and since, and its other half.
 */
static void test_explain(void **state)
{
	static const uint8_t exit[SESSION_ID_LEN] = {2}, third[SESSION_ID_LEN] = {3};
	struct receipt_offer one = offer_of(NULL, 1000, 1000), two = offer_of(&one, 1900, 2000);
	const struct query q = {.kind = QUERY_EXPLAIN, .has_session = true, .session = {9}};
	const struct wallet_count at = {1500, 1600}, later = {9000, 8000};
	uint8_t signature[SIGNATURE_LEN];
	const struct query_explain *x;
	struct evidence e;

	(void)state;
	assert_int_equal(wallet_session(wallet, exit, &terms, payer.id), 0);
	assert_int_equal(wallet_session(wallet, third, &terms, payer.id), 0);
	x = explained(session);
	assert_false(x->has_receipt || x->has_offer || x->has_pair);
	assert_int_equal(wallet_cosign(wallet, &one, &at, &payer, signature), 0);
	assert_int_equal(wallet_counted(wallet, session, &later), 0);
	assert_int_equal(wallet_pair(wallet, session, exit), 0);
	assert_int_equal(wallet_pair(wallet, session, third), 0);
	x = explained(session);
	assert_true(x->has_receipt && x->has_pair);
	assert_memory_equal(&x->receipt.offer, &one, sizeof(one));
	assert_memory_equal(&x->terms, &terms, sizeof(terms));
	assert_memory_equal(x->pair, third, sizeof(third));
	assert_int_equal(x->seen_up, 1500);
	assert_int_equal(x->seen_down, 1600);
	assert_int_equal(x->counted_up, 9000);
	assert_int_equal(x->counted_down, 8000);
	assert_memory_equal(explained(exit)->pair, session, sizeof(session));
	/* A receipt that was refused is what the provider claims. */
	assert_int_equal(
		wallet_dispute(wallet, &(struct dispute){.offer = &two, .count = later}, &e), 0);
	x = explained(session);
	assert_true(x->has_offer);
	assert_memory_equal(&x->offer, &two, sizeof(two));
	assert_int_equal(wallet_query(wallet, &q, &rows), -ENOENT);
}

/* Queries while an agent runs, from another process as `culvert credits` does it. */
static void test_reader_beside_writer(void **state)
{
	struct receipt_offer one = offer_of(NULL, 1000, 1000);
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(cosign(&one), 0);
	pid = fork();
	if (pid == 0) {
		struct query q = {.kind = QUERY_RECEIPTS};
		struct wallet *reader;

		_exit(wallet_open(&reader, path, true) != 0 ||
		      wallet_query(reader, &q, &rows) != 0 || rows.count != 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static double processor_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Before every session with a provider: what is signed elsewhere must not count. */
static void test_a_long_history_does_not_hold_up_a_new_provider(void **state)
{
	struct wallet_held held;
	double best = 1e9;

	(void)state;
	assert_int_equal(
		db_exec(wallet->db,
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
			"WHERE i < 100000) INSERT INTO receipt(session, seq, body) "
			"SELECT 1, i, zeroblob(344) FROM n; UPDATE session SET seq = 100000"),
		0);
	assert_int_equal(wallet_held(wallet, node.id, payer.id, 0, &held), 0);
	assert_int_equal(wallet_held(wallet, node.id, payer.id, held.mark, &held), -ENOENT);
	for (int i = 0; i < 5; i++) {
		double begun = processor_ms();

		assert_int_equal(wallet_held(wallet, other.id, payer.id, 0, &held), -ENOENT);
		begun = processor_ms() - begun;
		best = begun < best ? begun : best;
	}
	if (best > 2)
		fail_msg("%.1f ms", best);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counts),
		TEST(test_refuses),
		TEST(test_chain),
		TEST(test_survives_reopening),
		TEST(test_counts_are_kept),
		TEST(test_dispute),
		TEST(test_accusations),
		TEST(test_two_offers),
		TEST(test_ended),
		TEST(test_reader_beside_writer),
		TEST(test_explain),
		TEST(test_a_long_history_does_not_hold_up_a_new_provider),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
