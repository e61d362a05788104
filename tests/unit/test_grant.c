#include "tests/lib/unit.h"

#include <stdio.h>

#include "proto/grant.h"
#include "tests/lib/order.h"

#define NETWORK 42
#define EXPIRES 1760000000

static struct identity issuer, other;
static uint8_t payer[KEY_LEN] = {1}, node[KEY_LEN] = {2}, serial[NONCE_LEN] = {3};

static struct grant grant_of(uint64_t limit, uint64_t expires)
{
	const struct grant_values v = {
		.network = NETWORK,
		.payer = payer,
		.node = node,
		.limit = limit,
		.expires = expires,
		.serial = serial,
	};
	struct grant g;

	grant_make(&g, &v, &issuer);
	return g;
}

static void resign(struct grant *g)
{
	identity_sign(g->signature, &g->body, sizeof(g->body), &issuer);
}

static void verdicts(void **state)
{
	struct grant g = grant_of(1, EXPIRES);

	(void)state;
	assert_int_equal(grant_check(&g, NETWORK, EXPIRES - 1), GRANT_OK);
	assert_int_equal(grant_check(&g, 0, 0), GRANT_OK);
	assert_int_equal(grant_check(&g, NETWORK, EXPIRES), GRANT_EXPIRED);
	assert_int_equal(grant_check(&g, NETWORK + 1, 1), GRANT_OTHER_NETWORK);
	g = grant_of(INT64_MAX, 0);
	assert_int_equal(grant_check(&g, NETWORK, UINT64_MAX), GRANT_OK);
	g = grant_of(0, 0);
	assert_int_equal(grant_check(&g, NETWORK, 1), GRANT_BAD_FORM);
	g = grant_of(UINT64_C(1) << 63, 0);
	assert_int_equal(grant_check(&g, NETWORK, 1), GRANT_BAD_FORM);
	g = grant_of(1, UINT64_MAX);
	assert_int_equal(grant_check(&g, NETWORK, 1), GRANT_BAD_FORM);
	for (int v = GRANT_OK; v <= GRANT_BAD_SIGNATURE; v++)
		assert_string_not_equal(grant_verdict_text((enum grant_verdict)v),
					"unknown verdict");
}

/* One flipped bit, wherever it is, and the grant is worth nothing. */
static void every_bit_counts(void **state)
{
	struct grant good = grant_of(1000000, EXPIRES);

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		struct grant g = good;

		((uint8_t *)&g)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(grant_check(&g, NETWORK, EXPIRES - 1), GRANT_OK);
	}
}

/* The same with a right signature: form is form, whoever signed it. */
static void form_is_checked_behind_a_right_signature(void **state)
{
	struct grant good = grant_of(1, 0);

	(void)state;
	for (size_t at = 0; at < offsetof(struct grant_body, network); at++) {
		struct grant g = good;

		((uint8_t *)&g)[at] ^= 1;
		resign(&g);
		assert_int_equal(grant_check(&g, NETWORK, 1), GRANT_BAD_FORM);
	}
}

static void signature_is_the_issuers_and_canonical(void **state)
{
	struct grant g = grant_of(1, 0), plus = g;

	(void)state;
	identity_sign(g.signature, &g.body, sizeof(g.body), &other);
	assert_int_equal(grant_check(&g, NETWORK, 1), GRANT_BAD_SIGNATURE);
	/* The same S and the group order: the equation holds, the encoding does not. */
	add_group_order(plus.signature + 32);
	assert_int_equal(grant_check(&plus, NETWORK, 1), GRANT_BAD_SIGNATURE);
}

static void text_form(void **state)
{
	struct grant g = grant_of(7, EXPIRES), back;
	char text[GRANT_TEXT_MAX], with[2 * GRANT_TEXT_MAX];

	(void)state;
	grant_to_text(text, sizeof(text), &g);
	assert_int_equal(strlen(text), strlen("culvert-grant-1 ") + 300 + 1);
	assert_true(grant_from_text(&back, text));
	assert_memory_equal(&g, &back, sizeof(g));
	snprintf(with, sizeof(with), "# for alice\n\n%s  \n", text);
	assert_true(grant_from_text(&back, with));
	text[strlen(text) - 1] = '\0';
	for (size_t len = 0; len < strlen(text); len++) {
		snprintf(with, sizeof(with), "%.*s", (int)len, text);
		assert_false(grant_from_text(&back, with));
	}
	snprintf(with, sizeof(with), "x%s", text);
	assert_false(grant_from_text(&back, with));
	snprintf(with, sizeof(with), "%s x", text);
	assert_false(grant_from_text(&back, with));
	snprintf(with, sizeof(with), "culvert-node-1%s", strchr(text, ' '));
	assert_false(grant_from_text(&back, with));
}

int main(void)
{
	static const uint8_t seeds[2][KEY_LEN] = {{1}, {2}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(form_is_checked_behind_a_right_signature),
		cmocka_unit_test(signature_is_the_issuers_and_canonical),
		cmocka_unit_test(text_form),
	};

	crypto_start();
	identity_from_seed(&issuer, seeds[0]);
	identity_from_seed(&other, seeds[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
