/* Evidence: what each kind proves, on its own and as a line of an export; and what proves nothing.
 */
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "accounting/verify.h"
#include "base/log.h"
#include "tests/lib/books.h"

enum {
	PRICE = 1 << 30, /* a micro-credit a byte */
};

static struct identity node, other, payer;
static struct terms terms;
static struct receipt_offer one, two; /* of one session, honest */

static struct terms terms_of(const struct identity *by, uint64_t price)
{
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = 7,
		.price = price,
		.window_start = 1 << 20,
		.window_cap = 1 << 26,
		.receipt_seconds = 60,
		.loss_ppm = 20000,
		.loss_bytes = 5000,
		.expires = UINT64_C(1) << 40,
	};
	struct terms t;

	terms_make(&t, &v, by);
	return t;
}

static struct receipt_offer offer_of(const struct receipt_offer *previous, uint64_t up,
				     uint64_t down)
{
	struct receipt_session about = {
		.role = ROLE_RELAY, .network = 7, .session = {1}, .price = PRICE};
	struct receipt_offer offer;

	memcpy(about.payer, payer.id, KEY_LEN);
	terms_hash(about.terms, &terms);
	assert_true(receipt_make(&offer, &about, previous, up, down, 490000, &node));
	return offer;
}

static void sign(struct receipt_offer *offer, const struct identity *by)
{
	identity_sign(offer->provider_signature, &offer->body, sizeof(offer->body), by);
}

static int setup(void **state)
{
	(void)state;
	test_identity(&node, 1);
	test_identity(&other, 2);
	test_identity(&payer, 9);
	terms = terms_of(&node, PRICE);
	one = offer_of(NULL, 1000, 100000);
	two = offer_of(&one, 2000, 200000);
	return 0;
}

/* One true example of each kind. */
static struct query_dispute example(enum evidence_kind kind)
{
	struct query_dispute d = {
		.evidence = {.kind = kind, .has_second = true, .first = one, .second = two},
		.terms = terms,
		.state = SESSION_FROZEN,
		.hour = 490001,
	};
	struct evidence *e = &d.evidence;

	switch (kind) {
	case EVIDENCE_EQUIVOCATION:
		e->second = offer_of(NULL, 1000, 100001);
		break;
	case EVIDENCE_DECREASE:
		e->second.body.bytes_up = le64_of(999);
		break;
	case EVIDENCE_FORK:
		e->second.body.previous[0] ^= 1;
		break;
	case EVIDENCE_AMOUNT:
		e->has_second = false;
		e->first.body.amount = le64_of(101001);
		break;
	default:
		e->has_second = false;
		e->counted_up = 1000;
		e->counted_down = 92999;
		break;
	}
	sign(&e->first, &node);
	sign(&e->second, &node);
	return d;
}

static enum evidence_verdict check(const struct query_dispute *d)
{
	return evidence_check(&d->evidence, &d->terms);
}

/* ---- the rule ---- */

static void test_each_kind(void **state)
{
	struct query_dispute d;

	(void)state;
	for (enum evidence_kind kind = 0; kind < EVIDENCE_KINDS; kind++) {
		enum evidence_kind parsed;

		d = example(kind);
		assert_int_equal(check(&d), kind == EVIDENCE_OVERCHARGE ? EVIDENCE_CLAIM
					    : kind == EVIDENCE_REFUSED  ? EVIDENCE_NOTHING
									: EVIDENCE_PROOF);
		assert_true(evidence_kind_parse(&parsed, evidence_kind_name(kind)));
		assert_int_equal(parsed, kind);
	}
	d.evidence.kind = (enum evidence_kind)77;
	assert_int_equal(check(&d), EVIDENCE_NOTHING);
}

static void expect(const struct query_dispute *d, enum evidence_verdict verdict)
{
	assert_int_equal(check(d), verdict);
	assert_true(strlen(evidence_verdict_text(verdict)) > 10);
}

/* Honest receipts under any accusation. */
static void test_honest(void **state)
{
	struct query_dispute d;

	(void)state;
	d = example(EVIDENCE_EQUIVOCATION);
	d.evidence.second = one;
	expect(&d, EVIDENCE_CONSISTENT);
	d.evidence.second = two;
	expect(&d, EVIDENCE_OTHER_NUMBER);
	for (enum evidence_kind kind = EVIDENCE_DECREASE; kind <= EVIDENCE_FORK; kind++) {
		d = example(kind);
		if (!d.evidence.has_second)
			continue;
		d.evidence.second = two;
		expect(&d, EVIDENCE_CONSISTENT);
		d.evidence.first = two;
		expect(&d, EVIDENCE_OTHER_NUMBER);
		d.evidence.second = one; /* the earlier one does say less */
		expect(&d, EVIDENCE_OTHER_NUMBER);
	}
	/* A number left out between the two: that the chain broke cannot be seen. */
	d = example(EVIDENCE_FORK);
	d.evidence.second = offer_of(&two, 3000, 300000);
	expect(&d, EVIDENCE_CONSISTENT);
	d = example(EVIDENCE_AMOUNT);
	d.evidence.first = one;
	expect(&d, EVIDENCE_CONSISTENT);
}

/* Down: 2 % of 100000 and 5000 may be lost behind the meter; up: nothing. */
static void test_counts(void **state)
{
	struct query_dispute d = example(EVIDENCE_OVERCHARGE);

	(void)state;
	d.evidence.counted_down = 93000;
	expect(&d, EVIDENCE_COVERED);
	d.evidence.counted_up = 999;
	expect(&d, EVIDENCE_CLAIM);
	d.evidence.counted_up = UINT64_MAX;
	d.evidence.counted_down = 92999;
	expect(&d, EVIDENCE_CLAIM);
}

static void test_amounts_that_do_not_fit(void **state)
{
	struct query_dispute d = example(EVIDENCE_AMOUNT);

	(void)state;
	d.evidence.first.body.bytes_up = le64_of(UINT64_MAX);
	d.evidence.first.body.bytes_down = le64_of(UINT64_MAX);
	sign(&d.evidence.first, &node);
	expect(&d, EVIDENCE_PROOF);
}

static void test_not_of_this(void **state)
{
	struct query_dispute d = example(EVIDENCE_EQUIVOCATION);

	(void)state;
	d.evidence.has_second = false;
	expect(&d, EVIDENCE_BAD_OFFERS);
	d = example(EVIDENCE_AMOUNT);
	d.evidence.has_second = true;
	expect(&d, EVIDENCE_BAD_OFFERS);
	d = example(EVIDENCE_AMOUNT);
	d.terms = terms_of(&node, PRICE + 1);
	expect(&d, EVIDENCE_BAD_TERMS);
	/* Somebody else's signature, and terms and receipts that are all somebody else's: no proof
	 * against the node, but as good as any against that other. */
	d = example(EVIDENCE_EQUIVOCATION);
	sign(&d.evidence.second, &other);
	expect(&d, EVIDENCE_BAD_SIGNATURE);
	d = example(EVIDENCE_EQUIVOCATION);
	memcpy(d.evidence.second.body.provider, other.id, KEY_LEN);
	sign(&d.evidence.second, &other);
	expect(&d, EVIDENCE_OTHER_SESSION);
	d = example(EVIDENCE_EQUIVOCATION);
	d.evidence.second.body.session[15] ^= 1;
	sign(&d.evidence.second, &node);
	expect(&d, EVIDENCE_OTHER_SESSION);
	d = example(EVIDENCE_EQUIVOCATION);
	d.evidence.second.body.network = le64_of(8);
	sign(&d.evidence.second, &node);
	expect(&d, EVIDENCE_OTHER_SESSION);
	/* What another document of the node's says is no receipt. */
	d = example(EVIDENCE_EQUIVOCATION);
	memcpy(d.evidence.second.body.domain, DOMAIN_OPEN, DOMAIN_LEN);
	sign(&d.evidence.second, &node);
	expect(&d, EVIDENCE_BAD_FORM);
}

/* ---- lines ---- */

static struct verify_result result;
static char said[2 * EVIDENCE_TEXT];

static void on_line(void *arg, uint64_t line, const char *what)
{
	(void)arg;
	assert_int_equal(line, 1);
	snprintf(said, sizeof(said), "%s", what);
}

static void verify(const char *text)
{
	const struct verify_options options = {.refused = on_line, .proven = on_line};
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	said[0] = '\0';
	assert_int_equal(verify_stream(in, &options, &result), 0);
	fclose(in);
	assert_true(strlen(said) > 10);
}

static char *line_of(const struct query_dispute *d)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(export_evidence(out, d), 0);
	fclose(out);
	return text;
}

static void expect_line(const struct query_dispute *d, bool proof, bool claim)
{
	char *line = line_of(d);

	verify(line);
	assert_int_equal(result.proofs, proof);
	assert_int_equal(result.claims, claim);
	assert_int_equal(result.bad, !proof && !claim);
	assert_int_equal(result.receipts, 0);
	free(line);
}

static void test_lines(void **state)
{
	static const char *const says[EVIDENCE_KINDS] = {
		[EVIDENCE_OVERCHARGE] = "a claim, not a proof",
		[EVIDENCE_EQUIVOCATION] = "contradicted itself: two receipts number 1 of session "
					  "01000000000000000000000000000000, both signed by it",
		[EVIDENCE_DECREASE] = "receipt 2 of session 01000000000000000000000000000000 says "
				      "less than receipt 1",
		[EVIDENCE_AMOUNT] = "says 101001 micro-credits for 1000 bytes up and 100000 down",
		[EVIDENCE_FORK] = "does not continue receipt 1",
		[EVIDENCE_REFUSED] = "the payer's word alone",
	};
	char provider[KEY_TEXT];

	(void)state;
	key_to_base64(provider, node.id);
	for (enum evidence_kind kind = 0; kind < EVIDENCE_KINDS; kind++) {
		struct query_dispute d = example(kind);
		bool claim = kind == EVIDENCE_OVERCHARGE,
		     proof = !claim && kind != EVIDENCE_REFUSED;

		expect_line(&d, proof, claim);
		assert_non_null(strstr(said, says[kind]));
		assert_true(!proof == !strstr(said, provider) || claim);
	}
}

/* Whatever bit of the signed bytes is another, the line proves nothing, and it is said why. */
static void test_flips(void **state)
{
	(void)state;
	for (enum evidence_kind kind = 0; kind < EVIDENCE_REFUSED; kind++) {
		const struct query_dispute good = example(kind);

		for (size_t i = 0; i < sizeof(good.evidence.first) * 8; i += 3) {
			struct query_dispute d = good;

			((uint8_t *)&d.evidence.first)[i / 8] ^= (uint8_t)(1 << i % 8);
			expect_line(&d, false, false);
			if (!good.evidence.has_second)
				continue;
			d = good;
			((uint8_t *)&d.evidence.second)[i / 8] ^= (uint8_t)(1 << i % 8);
			expect_line(&d, false, false);
		}
		for (size_t i = 0; i < sizeof(good.terms) * 8; i += 3) {
			struct query_dispute d = good;

			((uint8_t *)&d.terms)[i / 8] ^= (uint8_t)(1 << i % 8);
			expect_line(&d, false, false);
		}
	}
}

/* The line with one part of it replaced. */
static void verify_edited(const char *line, const char *from, const char *to)
{
	const char *at = strstr(line, from);
	size_t size = strlen(line) + strlen(to) + 1;
	char *text = malloc(size);

	assert_non_null(at);
	snprintf(text, size, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
	verify(text);
	free(text);
}

static void test_edited_lines(void **state)
{
	static const char *const edits[][2] = {
		{"\"seq\":1", "\"seq\":2"},
		{"\"second_seq\":1", "\"second_seq\":9"},
		{"\"session\":\"01", "\"session\":\"02"},
		{"\"role\":\"relay\"", "\"role\":\"exit\""},
		{"\"provider\":\"", "\"provider\":\"x"},
		{"\"payer\":\"", "\"payer\":\"x"},
		{"\"proves\":\"proof\"", "\"proves\":\"claim\""},
		{"\"equivocation\"", "\"fork\""},
		{"\"equivocation\"", "\"overcharge\""},
		{"\"equivocation\"", "\"treason\""},
		{"\"second\":", "\"third\":"},
		{"\"second\":\"", "\"second\":\"A"},
		{"\"first\":", "\"First\":"},
		{"\"terms\":", "\"Terms\":"},
		{"\"schema\":1", "\"schema\":2"},
		{"\"schema\":1", "\"schema\":1,\"receipt\":\"AAAA\""},
	};
	struct query_dispute d = example(EVIDENCE_EQUIVOCATION);
	char *line = line_of(&d);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		verify_edited(line, edits[i][0], edits[i][1]);
		assert_int_equal(result.bad, 1);
		assert_int_equal(result.proofs, 0);
	}
	verify_edited(line, "\"hour\":490001,", ""); /* the exporter's word: nobody needs it */
	assert_int_equal(result.proofs, 1);
	free(line);
	/* The accusation itself may not be left out, nor be a number JSON cannot hold. */
	d = example(EVIDENCE_OVERCHARGE);
	line = line_of(&d);
	verify_edited(line, "\"counted_up\":1000,", "");
	assert_int_equal(result.bad, 1);
	verify_edited(line, "\"counted_up\":1000", "\"counted_up\":-1");
	assert_int_equal(result.bad, 1);
	verify_edited(line, "\"counted_down\":92999", "\"counted_down\":93000");
	assert_int_equal(result.bad, 1);
	free(line);
}

/* Lines once exported are read by whoever was given them: their form never changes. */
static void test_golden_lines(void **state)
{
	FILE *golden = fopen("tests/vectors/evidence.jsonl", "re");
	char *line = NULL;
	size_t room = 0;

	(void)state;
	assert_non_null(golden);
	for (enum evidence_kind kind = 0; kind < EVIDENCE_REFUSED; kind++) {
		struct query_dispute d = example(kind);
		char *ours = line_of(&d);

		assert_true(getline(&line, &room, golden) > 0);
		assert_string_equal(line, ours);
		verify(line);
		assert_int_equal(result.proofs + result.claims, 1);
		free(ours);
	}
	assert_true(getline(&line, &room, golden) < 0);
	free(line);
	fclose(golden);
}

/* Numbers beyond what JSON readers hold are left to the bytes. */
static void test_huge_numbers(void **state)
{
	struct query_dispute d = example(EVIDENCE_EQUIVOCATION);

	(void)state;
	d.evidence.first.body.seq = d.evidence.second.body.seq = le64_of(UINT64_MAX);
	sign(&d.evidence.first, &node);
	sign(&d.evidence.second, &node);
	expect_line(&d, true, false);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_kind),    TEST(test_honest),
		TEST(test_counts),       TEST(test_amounts_that_do_not_fit),
		TEST(test_not_of_this),  TEST(test_lines),
		TEST(test_flips),        TEST(test_edited_lines),
		TEST(test_golden_lines), TEST(test_huge_numbers),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
