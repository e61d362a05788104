/*
 * A provider that cheats, from its receipt to a proof: the client refuses, keeps, exports, and
 * whoever gets the file can check it. One cheat after another.
 */
#include "tests/unit/provider_world.h"

#include "accounting/verify.h"
#include "client/verbs.h"

static char said[1024];

static void on_line(void *arg, uint64_t line, const char *what)
{
	(void)arg;
	(void)line;
	snprintf(said, sizeof(said), "%s", what);
}

static void sign(struct receipt_offer *offer)
{
	identity_sign(offer->provider_signature, &offer->body, sizeof(offer->body), &t.node);
}

/* What `culvert disputes --export` writes of the wallet, and what verify_stream makes of it. */
static struct verify_result exported(void)
{
	const struct verify_options options = {.refused = on_line, .proven = on_line};
	struct verify_result result;
	char database[96], file[96];
	char *disputes[] = {"disputes", "--database", database, "--export", file, NULL};
	char *verify[] = {"receipts", "verify", "--quiet", file, NULL};
	FILE *in;

	snprintf(database, sizeof(database), "%s/wallet.db", t.dir);
	snprintf(file, sizeof(file), "%s/proof.jsonl", t.dir);
	assert_int_equal(verb_disputes(5, disputes), STATUS_OK);
	in = fopen(file, "re");
	assert_non_null(in);
	assert_int_equal(verify_stream(in, &options, &result), 0);
	fclose(in);
	assert_int_equal(verb_receipts(4, verify),
			 result.proofs + result.claims == 1 ? STATUS_OK : STATUS_UNVERIFIED);
	assert_int_equal(verb_disputes(5, disputes), STATUS_FAILED); /* nothing is overwritten */
	assert_int_equal(unlink(file), 0);
	return result;
}

static void expect_kept(enum evidence_kind kind, bool proof)
{
	struct query q = {.kind = QUERY_DISPUTES};
	struct query_rows rows;
	struct verify_result result;

	assert_int_equal(wallet_query(t.wallet, &q, &rows), 0);
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.dispute[0].evidence.kind, kind);
	assert_int_equal(rows.dispute[0].state, SESSION_FROZEN);
	result = exported();
	assert_int_equal(result.proofs, proof);
	assert_int_equal(result.claims, !proof);
	assert_int_equal(result.bad, 0);
}

/* Two receipts signed and paid, then what the provider should not have sent. */
static struct receipt_offer signed_one(void)
{
	struct receipt_offer one, two;

	open_session();
	t.device = (struct wallet_count){5000, 5000};
	one = offer_of(100, 200);
	hear_offer(&one);
	expect_signed(&one);
	two = offer_of(1000, 2000);
	hear_offer(&two);
	expect_signed(&two);
	return one;
}

static void equivocation(void **state)
{
	struct receipt_offer cheat, one;

	(void)state;
	one = signed_one();
	t.head = one; /* as if number 2 had never been */
	cheat = offer_of(1000, 2001);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_EQUIVOCATION, true);
	assert_non_null(strstr(said, "two receipts number 2 of session"));
}

/* The number signed long ago, with another body. */
static void equivocation_below_the_head(void **state)
{
	struct receipt_offer cheat;

	(void)state;
	signed_one();
	t.has_head = false;
	cheat = offer_of(100, 201);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_EQUIVOCATION, true);
	assert_non_null(strstr(said, "two receipts number 1 of session"));
}

static void decrease(void **state)
{
	struct receipt_offer cheat;

	(void)state;
	signed_one();
	cheat = offer_of(2000, 3000);
	cheat.body.bytes_down = le64_of(1999);
	sign(&cheat);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_DECREASE, true);
	assert_non_null(strstr(said, "says less than receipt 2"));
}

static void wrong_amount(void **state)
{
	struct receipt_offer cheat;

	(void)state;
	signed_one();
	cheat = offer_of(2000, 3000);
	cheat.body.amount = le64_of(le64_get(cheat.body.amount) + 1);
	sign(&cheat);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_AMOUNT, true);
}

static void fork_of_the_chain(void **state)
{
	struct receipt_offer cheat;

	(void)state;
	signed_one();
	cheat = offer_of(2000, 3000);
	cheat.body.previous[7] ^= 1;
	sign(&cheat);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_FORK, true);
}

static void overcharge(void **state)
{
	struct receipt_offer cheat;

	(void)state;
	signed_one();
	cheat = offer_of(2000, 5000 + LOSS_BYTES + 1);
	hear_offer(&cheat);
	run_for(100);
	expect_untouched(); /* they may be in flight */
	run_for(500);
	expect_disputed(5000, 5000);
	expect_kept(EVIDENCE_OVERCHARGE, false);
	assert_non_null(strstr(said, "a claim"));
}

/* Refused for what nobody else can check: kept, told of, and not passed off as a proof. */
static void no_proof(void **state)
{
	struct receipt_offer cheat;
	struct query q = {.kind = QUERY_DISPUTES};
	struct query_rows rows;
	struct verify_result result;

	(void)state;
	signed_one();
	cheat = offer_of(2000, 3000);
	cheat.body.seq = le64_of(9);
	sign(&cheat);
	hear_offer(&cheat);
	expect_disputed(5000, 5000);
	assert_int_equal(wallet_query(t.wallet, &q, &rows), 0);
	assert_int_equal(rows.dispute[0].evidence.kind, EVIDENCE_REFUSED);
	result = exported();
	assert_int_equal(result.proofs + result.claims + result.bad, 0);
}

/* An honest session leaves nothing behind. */
static void no_dispute(void **state)
{
	struct verify_result result;

	(void)state;
	signed_one();
	result = exported();
	assert_int_equal(result.proofs + result.claims + result.bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equivocation), TEST(equivocation_below_the_head),
		TEST(decrease),     TEST(wrong_amount),
		TEST(overcharge),   TEST(fork_of_the_chain),
		TEST(no_proof),     TEST(no_dispute),
	};

	crypto_start();
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
