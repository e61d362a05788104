#include "tests/lib/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/terms.h"

static const struct terms_values usual = {
	.role = ROLE_EXIT,
	.network = 42,
	.price = 1000000,
	.window_start = 1 << 20,
	.window_cap = 64 << 20,
	.receipt_seconds = 60,
	.loss_ppm = 20000,
	.loss_bytes = 65536,
	.expires = 1800000000,
};

static struct identity provider;

static void make(struct terms *t, const struct terms_values *v)
{
	terms_make(t, v, &provider);
}

static void sign_again(struct terms *t)
{
	identity_sign(t->signature, &t->body, sizeof(t->body), &provider);
}

static void values_come_back(void **state)
{
	struct terms_values v;
	struct terms t;

	(void)state;
	make(&t, &usual);
	assert_true(terms_valid(&t));
	terms_values(&v, &t);
	assert_int_equal(v.role, usual.role);
	assert_int_equal(v.network, usual.network);
	assert_int_equal(v.price, usual.price);
	assert_int_equal(v.window_start, usual.window_start);
	assert_int_equal(v.window_cap, usual.window_cap);
	assert_int_equal(v.receipt_seconds, usual.receipt_seconds);
	assert_int_equal(v.loss_ppm, usual.loss_ppm);
	assert_int_equal(v.loss_bytes, usual.loss_bytes);
	assert_int_equal(v.expires, usual.expires);
	assert_memory_equal(t.body.provider, provider.id, KEY_LEN);
}

static void every_bit_is_signed(void **state)
{
	uint8_t hash[KEY_LEN], other[KEY_LEN];
	struct terms t;
	uint8_t *p = (uint8_t *)&t;

	(void)state;
	make(&t, &usual);
	terms_hash(hash, &t);
	for (size_t i = 0; i < sizeof(t); i++) {
		p[i] ^= (uint8_t)(1U << (i % 8));
		assert_false(terms_valid(&t));
		terms_hash(other, &t);
		assert_memory_not_equal(hash, other, KEY_LEN);
		p[i] ^= (uint8_t)(1U << (i % 8));
	}
	assert_true(terms_valid(&t));
}

/* A signature does not make a bad form good. */
static void form_counts_even_when_signed(void **state)
{
	struct terms t;

	(void)state;
	for (size_t i = 0; i < 24; i++) { /* domain, version, role, zero */
		make(&t, &usual);
		((uint8_t *)&t)[i] ^= 0x40;
		sign_again(&t);
		assert_false(terms_valid(&t));
	}
	make(&t, &usual);
	t.body.role = ROLE_RELAY | ROLE_EXIT;
	sign_again(&t);
	assert_false(terms_valid(&t));
	t.body.role = 0;
	sign_again(&t);
	assert_false(terms_valid(&t));
}

static bool valid_with(uint64_t start, uint64_t cap, uint32_t ppm)
{
	struct terms_values v = usual;
	struct terms t;

	v.window_start = start;
	v.window_cap = cap;
	v.loss_ppm = ppm;
	make(&t, &v);
	return terms_valid(&t);
}

static void numbers_are_sane(void **state)
{
	const uint64_t most = UINT64_C(1) << 40;

	(void)state;
	assert_true(valid_with(1, 1, 0));
	assert_true(valid_with(1, most, 1000000));
	assert_true(valid_with(most, most, 0));
	assert_false(valid_with(0, 1, 0));
	assert_false(valid_with(0, 0, 0));
	assert_false(valid_with(2, 1, 0));
	assert_false(valid_with(1, most + 1, 0));
	assert_false(valid_with(1, UINT64_MAX, 0));
	assert_false(valid_with(1, 1, 1000001));
}

static void another_provider_did_not_sign(void **state)
{
	static const uint8_t seed[KEY_LEN] = {9};
	struct identity other;
	struct terms t;

	(void)state;
	identity_from_seed(&other, seed);
	make(&t, &usual);
	memcpy(t.body.provider, other.id, KEY_LEN);
	assert_false(terms_valid(&t));
	identity_sign(t.signature, &t.body, sizeof(t.body), &other);
	assert_true(terms_valid(&t));
}

/* The most bytes that amount pays for: one more would cost more, if that can be counted at all. */
static void assert_inverse(uint64_t price, uint64_t amount)
{
	uint64_t bytes = terms_bytes_for(price, amount), cost;

	if (price == 0) {
		assert_int_equal(bytes, UINT64_MAX);
		return;
	}
	assert_true(terms_amount(price, bytes, &cost));
	assert_true(cost <= amount);
	if (bytes < UINT64_MAX)
		assert_true(!terms_amount(price, bytes + 1, &cost) || cost > amount);
}

static void amounts_as_big_integers_have_them(void **state)
{
	char line[128], expected[32];
	uint64_t price, bytes, amount;
	unsigned lines = 0;
	FILE *f = fopen("tests/vectors/amounts.txt", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_int_equal(
			sscanf(line, "%" SCNu64 " %" SCNu64 " %31s", &price, &bytes, expected), 3);
		if (strcmp(expected, "overflow") == 0) {
			assert_false(terms_amount(price, bytes, &amount));
		} else {
			assert_true(terms_amount(price, bytes, &amount));
			assert_true(amount == strtoull(expected, NULL, 10));
			assert_inverse(price, amount);
		}
		assert_inverse(price, bytes); /* any number will do for an amount */
		lines++;
	}
	fclose(f);
	assert_int_equal(lines, 2000);
}

/* Paying in parts never costs less than at once: rounding is upward, and cumulative totals round
 * once. */
static void rounding_is_upward(void **state)
{
	uint64_t amount;

	(void)state;
	assert_true(terms_amount(1, 0, &amount) && amount == 0);
	assert_true(terms_amount(1, 1, &amount) && amount == 1);
	assert_true(terms_amount(1, 1 << 30, &amount) && amount == 1);
	assert_true(terms_amount(1, (1 << 30) + 1, &amount) && amount == 2);
	assert_true(terms_amount(0, UINT64_MAX, &amount) && amount == 0);
}

int main(void)
{
	static const uint8_t seed[KEY_LEN] = {1};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_back),
		cmocka_unit_test(every_bit_is_signed),
		cmocka_unit_test(form_counts_even_when_signed),
		cmocka_unit_test(numbers_are_sane),
		cmocka_unit_test(another_provider_did_not_sign),
		cmocka_unit_test(amounts_as_big_integers_have_them),
		cmocka_unit_test(rounding_is_upward),
	};

	crypto_start();
	identity_from_seed(&provider, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
