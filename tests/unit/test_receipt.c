#include "tests/lib/unit.h"

#include "proto/receipt.h"

static struct identity provider, payer, stranger;
static struct terms terms;
static struct receipt_session session;

static int set_up(void **state)
{
	static const uint8_t seeds[3][KEY_LEN] = {{1}, {2}, {3}};
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = 42,
		.price = 3000000,
		.window_start = 1,
		.window_cap = 1,
		.expires = 1,
	};

	(void)state;
	identity_from_seed(&provider, seeds[0]);
	identity_from_seed(&payer, seeds[1]);
	identity_from_seed(&stranger, seeds[2]);
	terms_make(&terms, &v, &provider);
	memset(&session, 0, sizeof(session));
	session.role = v.role;
	session.network = v.network;
	session.price = v.price;
	memset(session.session, 0x5e, SESSION_ID_LEN);
	memcpy(session.payer, payer.id, KEY_LEN);
	terms_hash(session.terms, &terms);
	return 0;
}

static struct receipt_offer offer_of(const struct receipt_offer *previous, uint64_t up,
				     uint64_t down)
{
	struct receipt_offer offer;

	assert_true(receipt_make(&offer, &session, previous, up, down, 7, &provider));
	return offer;
}

static void sign_again(struct receipt_offer *offer)
{
	identity_sign(offer->provider_signature, &offer->body, sizeof(offer->body), &provider);
}

static void a_chain_of_receipts(void **state)
{
	struct receipt_offer last = {0}, next;
	struct receipt r;

	(void)state;
	for (uint64_t i = 1; i <= 20; i++) {
		next = offer_of(i > 1 ? &last : NULL, i * 1000, i * i * 100000);
		assert_int_equal(le64_get(next.body.seq), i);
		assert_int_equal(receipt_check_offer(&next, &terms), RECEIPT_OK);
		assert_int_equal(receipt_check_chain(i > 1 ? &last : NULL, &next), RECEIPT_OK);
		receipt_cosign(&r, &next, &payer);
		assert_int_equal(receipt_check(&r, &terms), RECEIPT_OK);
		assert_memory_equal(&r.offer, &next, sizeof(next));
		last = next;
	}
}

/* Whatever bit of the body changes, the receipt fails even before its chain is looked at. */
static void every_bit_of_the_body(void **state)
{
	struct receipt_offer good = offer_of(NULL, 1 << 20, 5 << 20), bad;

	(void)state;
	for (size_t i = 0; i < sizeof(good.body) * 8; i++) {
		bad = good;
		((uint8_t *)&bad)[i / 8] ^= (uint8_t)(1U << (i % 8));
		assert_int_not_equal(receipt_check_offer(&bad, &terms), RECEIPT_OK);
	}
}

static void every_byte_of_the_signatures(void **state)
{
	struct receipt_offer offer = offer_of(NULL, 10, 20);
	struct receipt good, bad;

	(void)state;
	receipt_cosign(&good, &offer, &payer);
	for (size_t i = 0; i < SIGNATURE_LEN; i++) {
		bad = good;
		bad.offer.provider_signature[i] ^= 1;
		assert_int_equal(receipt_check(&bad, &terms), RECEIPT_BAD_PROVIDER_SIGNATURE);
		bad = good;
		bad.payer_signature[i] ^= 1;
		assert_int_equal(receipt_check(&bad, &terms), RECEIPT_BAD_PAYER_SIGNATURE);
	}
	receipt_cosign(&bad, &offer, &stranger);
	assert_int_equal(receipt_check(&bad, &terms), RECEIPT_BAD_PAYER_SIGNATURE);
	receipt_cosign(&bad, &offer, &provider);
	assert_int_equal(receipt_check(&bad, &terms), RECEIPT_BAD_PAYER_SIGNATURE);
}

/* The payer's signature stands for this provider signature, not for the body alone. */
static void payer_signs_the_offer(void **state)
{
	struct receipt_offer offer = offer_of(NULL, 10, 20);
	struct receipt r;

	(void)state;
	receipt_cosign(&r, &offer, &payer);
	identity_sign(r.payer_signature, &offer.body, sizeof(offer.body), &payer);
	assert_int_equal(receipt_check(&r, &terms), RECEIPT_BAD_PAYER_SIGNATURE);
}

static void form(void **state)
{
	struct receipt_offer good = offer_of(NULL, 10, 20), bad;

	(void)state;
	for (size_t i = 0; i < 24; i++) { /* domain, version, role, zero */
		bad = good;
		((uint8_t *)&bad)[i] ^= 0x80;
		sign_again(&bad);
		assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_FORM);
	}
	bad = good;
	bad.body.seq = le64_of(0);
	assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_FORM);
	bad = good;
	bad.body.previous[31] = 1;
	assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_FORM);
	bad = good;
	bad.body.seq = le64_of(2);
	assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_FORM);
	bad = good;
	bad.body.bytes_up = le64_of(UINT64_MAX);
	bad.body.bytes_down = le64_of(1);
	assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_FORM);
}

static enum receipt_verdict verdict_with(const struct terms_values *v, const struct identity *by)
{
	struct receipt_offer offer = offer_of(NULL, 10, 20);
	struct terms other;

	terms_make(&other, v, by);
	terms_hash(offer.body.terms, &other);
	sign_again(&offer);
	return receipt_check_offer(&offer, &other);
}

static void terms_belong(void **state)
{
	struct terms_values v, changed;
	struct terms other = terms;
	struct receipt_offer offer = offer_of(NULL, 10, 20);

	(void)state;
	terms_values(&v, &terms);
	assert_int_equal(verdict_with(&v, &provider), RECEIPT_OK);
	assert_int_equal(verdict_with(&v, &stranger), RECEIPT_BAD_TERMS);
	changed = v;
	changed.network = 43;
	assert_int_equal(verdict_with(&changed, &provider), RECEIPT_BAD_TERMS);
	changed = v;
	changed.role = ROLE_EXIT;
	assert_int_equal(verdict_with(&changed, &provider), RECEIPT_BAD_TERMS);
	other.body.expires = le64_of(2);
	assert_int_equal(receipt_check_offer(&offer, &other), RECEIPT_BAD_TERMS);
	other = terms;
	other.signature[0] ^= 1; /* the hash covers the signature too */
	assert_int_equal(receipt_check_offer(&offer, &other), RECEIPT_BAD_TERMS);
}

static void amount_is_exact(void **state)
{
	struct receipt_offer good = offer_of(NULL, 123456, 7654321), bad;
	uint64_t amount = le64_get(good.body.amount);
	const uint64_t wrong[] = {amount + 1, amount - 1, 0, UINT64_MAX,
				  amount + (UINT64_C(1) << 32)};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		bad = good;
		bad.body.amount = le64_of(wrong[i]);
		sign_again(&bad);
		assert_int_equal(receipt_check_offer(&bad, &terms), RECEIPT_BAD_AMOUNT);
	}
}

/* A total whose amount takes more than 64 bits has no right amount, not a wrapped one either. */
static void amount_overflows(void **state)
{
	struct receipt_offer bad = offer_of(NULL, 1, 1);
	struct terms_values v;
	struct terms dear;

	(void)state;
	terms_values(&v, &terms);
	v.price = UINT64_C(1) << 31;
	terms_make(&dear, &v, &provider);
	terms_hash(bad.body.terms, &dear);
	bad.body.bytes_up = le64_of(UINT64_C(1) << 63);
	bad.body.bytes_down = le64_of(0);
	bad.body.amount = le64_of(0); /* 2^64, cut to 64 bits */
	sign_again(&bad);
	assert_int_equal(receipt_check_offer(&bad, &dear), RECEIPT_BAD_AMOUNT);
	bad.body.bytes_up = le64_of((UINT64_C(1) << 63) - 1);
	bad.body.amount = le64_of(UINT64_MAX - 1);
	sign_again(&bad);
	assert_int_equal(receipt_check_offer(&bad, &dear), RECEIPT_OK);
}

static void chain_breaks(void **state)
{
	struct receipt_offer first = offer_of(NULL, 100, 200), second = offer_of(&first, 300, 400);
	struct receipt_offer third = offer_of(&second, 300, 400), bad;

	(void)state;
	assert_int_equal(receipt_check_chain(&second, &third), RECEIPT_OK); /* equal totals */
	assert_int_equal(receipt_check_chain(NULL, &first), RECEIPT_OK);
	assert_int_equal(receipt_check_chain(NULL, &second), RECEIPT_BAD_CHAIN);
	assert_int_equal(receipt_check_chain(&first, &first), RECEIPT_BAD_CHAIN);
	assert_int_equal(receipt_check_chain(&first, &third), RECEIPT_BAD_CHAIN);
	assert_int_equal(receipt_check_chain(&second, &first), RECEIPT_BAD_CHAIN);
	/* Session, parties, role, network and terms stay: everything before seq. */
	for (size_t i = 0; i < offsetof(struct receipt_body, seq); i++) {
		bad = second;
		((uint8_t *)&bad)[i] ^= 1;
		assert_int_equal(receipt_check_chain(&first, &bad), RECEIPT_BAD_CHAIN);
	}
	for (size_t i = 0; i < KEY_LEN; i++) {
		bad = second;
		bad.body.previous[i] ^= 1;
		assert_int_equal(receipt_check_chain(&first, &bad), RECEIPT_BAD_CHAIN);
	}
	/* The hash covers the provider's signature as well as the body. */
	bad = first;
	bad.provider_signature[5] ^= 1;
	assert_int_equal(receipt_check_chain(&bad, &second), RECEIPT_BAD_CHAIN);
	bad = second;
	bad.body.bytes_up = le64_of(99);
	assert_int_equal(receipt_check_chain(&first, &bad), RECEIPT_BAD_CHAIN);
	bad = second;
	bad.body.bytes_down = le64_of(199);
	assert_int_equal(receipt_check_chain(&first, &bad), RECEIPT_BAD_CHAIN);
	bad = second;
	bad.body.amount = le64_of(0);
	assert_int_equal(receipt_check_chain(&first, &bad), RECEIPT_BAD_CHAIN);
}

static void seq_does_not_wrap(void **state)
{
	struct receipt_offer last = offer_of(NULL, 1, 1), next = last;

	(void)state;
	last.body.seq = le64_of(UINT64_MAX);
	receipt_hash(next.body.previous, &last);
	next.body.seq = le64_of(0);
	assert_int_equal(receipt_check_chain(&last, &next), RECEIPT_BAD_CHAIN);
	assert_false(receipt_make(&next, &session, &last, 2, 2, 7, &provider));
}

static void make_refuses(void **state)
{
	struct receipt_offer first = offer_of(NULL, 100, 200), out, before;

	(void)state;
	memset(&out, 0xaa, sizeof(out));
	before = out;
	assert_false(receipt_make(&out, &session, &first, 99, 200, 7, &provider));
	assert_false(receipt_make(&out, &session, &first, 100, 199, 7, &provider));
	assert_false(receipt_make(&out, &session, NULL, UINT64_MAX, 1, 7, &provider));
	session.price = UINT64_C(1) << 31;
	assert_false(receipt_make(&out, &session, NULL, UINT64_MAX, 0, 7, &provider));
	set_up(NULL);
	session.session[0] ^= 1;
	assert_false(receipt_make(&out, &session, &first, 100, 200, 7, &provider));
	set_up(NULL);
	assert_false(receipt_make(&out, &session, &first, 100, 200, 7, &stranger));
	assert_memory_equal(&out, &before, sizeof(out));
}

/* 2^32, 2^53, 2^63: no width on the way is too small. */
static void large_totals(void **state)
{
	static const uint64_t totals[] = {UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 53) + 1,
					  INT64_MAX, UINT64_MAX - 1};
	struct receipt_offer offer;
	struct terms_values v;
	struct terms cheap;

	(void)state;
	terms_values(&v, &terms);
	v.price = 1;
	terms_make(&cheap, &v, &provider);
	session.price = 1;
	terms_hash(session.terms, &cheap);
	for (size_t i = 0; i < ARRAY_SIZE(totals); i++) {
		offer = offer_of(NULL, totals[i], 1);
		assert_int_equal(receipt_check_offer(&offer, &cheap), RECEIPT_OK);
		assert_true(le64_get(offer.body.amount) == totals[i] / (1 << 30) + 1);
	}
}

static void verdicts_have_sentences(void **state)
{
	(void)state;
	for (enum receipt_verdict a = RECEIPT_OK; a <= RECEIPT_BAD_CHAIN; a++) {
		for (enum receipt_verdict b = RECEIPT_OK; b < a; b++)
			assert_string_not_equal(receipt_verdict_text(a), receipt_verdict_text(b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_chain_of_receipts, set_up),
		cmocka_unit_test_setup(every_bit_of_the_body, set_up),
		cmocka_unit_test_setup(every_byte_of_the_signatures, set_up),
		cmocka_unit_test_setup(payer_signs_the_offer, set_up),
		cmocka_unit_test_setup(form, set_up),
		cmocka_unit_test_setup(terms_belong, set_up),
		cmocka_unit_test_setup(amount_is_exact, set_up),
		cmocka_unit_test_setup(amount_overflows, set_up),
		cmocka_unit_test_setup(chain_breaks, set_up),
		cmocka_unit_test_setup(seq_does_not_wrap, set_up),
		cmocka_unit_test_setup(make_refuses, set_up),
		cmocka_unit_test_setup(large_totals, set_up),
		cmocka_unit_test_setup(verdicts_have_sentences, set_up),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
