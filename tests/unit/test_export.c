/* `culvert receipts export --database`: a client's wallet, read without its agent, verifies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accounting/verify.h"
#include "accounting/wallet.h"
#include "base/spawn.h"
#include "client/verbs.h"

enum {
	SESSIONS = 3,
	RECEIPTS = 40, /* of each: more than one page in all */
};

static char dir[] = "/tmp/culvert-export.XXXXXX", database[64], output[64];
static char hex[2 * SESSION_ID_LEN + 1];

static void fill_session(struct wallet *w, uint8_t number, const struct terms *terms,
			 const struct identity *provider, const struct identity *payer)
{
	struct receipt_session s = {.role = ROLE_RELAY, .network = 1, .price = 1000};
	const struct wallet_count none = {0};
	struct receipt_offer offer, previous;
	uint8_t signature[SIGNATURE_LEN];

	memset(s.session, number, sizeof(s.session));
	memcpy(s.payer, payer->id, KEY_LEN);
	terms_hash(s.terms, terms);
	assert_int_equal(wallet_session(w, s.session, terms, payer->id), 0);
	for (uint64_t i = 0; i < RECEIPTS; i++) {
		assert_true(receipt_make(&offer, &s, i ? &previous : NULL, (i + 1) << 20, i << 21,
					 490000, provider));
		assert_int_equal(wallet_cosign(w, &offer, &none, payer, signature), 0);
		previous = offer;
	}
}

static int set_up(void **state)
{
	const struct terms_values v = {.role = ROLE_RELAY,
				       .network = 1,
				       .price = 1000,
				       .window_start = 1 << 20,
				       .window_cap = 1 << 26,
				       .receipt_seconds = 30,
				       .expires = 4000000000};
	struct identity provider, payer;
	uint8_t seed[KEY_LEN] = {1};
	struct terms terms;
	struct wallet *w;

	(void)state;
	crypto_start();
	if (!mkdtemp(dir))
		return -1;
	snprintf(database, sizeof(database), "%s/wallet.db", dir);
	snprintf(output, sizeof(output), "%s/out.jsonl", dir);
	identity_from_seed(&provider, seed);
	seed[0] = 2;
	identity_from_seed(&payer, seed);
	terms_make(&terms, &v, &provider);
	assert_int_equal(wallet_open(&w, database, false), 0);
	for (uint8_t i = 1; i <= SESSIONS; i++)
		fill_session(w, i, &terms, &provider, &payer);
	wallet_close(w);
	memset(hex, '0', sizeof(hex) - 1);
	for (size_t i = 1; i < sizeof(hex) - 1; i += 2)
		hex[i] = '2';
	return 0;
}

static int tear_down(void **state)
{
	const char *const argv[] = {"rm", "-r", "--", dir, NULL};
	char out[256];

	(void)state;
	return spawn_run(argv, NULL, out, sizeof(out));
}

static void expect(struct verify_result *result)
{
	const struct verify_options strict = {.gaps = false};
	FILE *in = fopen(output, "re");

	assert_non_null(in);
	assert_int_equal(verify_stream(in, &strict, result), 0);
	fclose(in);
	assert_int_equal(result->bad, 0);
	assert_int_equal(unlink(output), 0);
}

static void test_all(void **state)
{
	char *argv[] = {"receipts", "export", "--database", database, "-o", output, NULL};
	struct verify_result result = {0};

	(void)state;
	assert_int_equal(verb_receipts(6, argv), STATUS_OK);
	expect(&result);
	assert_int_equal(result.receipts, SESSIONS * RECEIPTS);
	assert_int_equal(result.sessions, SESSIONS);
}

static void test_one(void **state)
{
	char *argv[] = {"receipts", "export",    "--database", database, "-o",
			output,     "--session", hex,          NULL};
	struct verify_result result = {0};

	(void)state;
	assert_int_equal(verb_receipts(8, argv), STATUS_OK);
	expect(&result);
	assert_int_equal(result.receipts, RECEIPTS);
	assert_int_equal(result.sessions, 1);
}

/* While an agent has it open, and without making one where there is none. */
static void test_beside_agent(void **state)
{
	char nowhere[80];
	char *argv[] = {"receipts", "export", "--database", database, "-o", output, NULL};
	struct verify_result result = {0};
	struct wallet *w;

	(void)state;
	assert_int_equal(wallet_open(&w, database, false), 0);
	assert_int_equal(verb_receipts(6, argv), STATUS_OK);
	wallet_close(w);
	expect(&result);
	assert_int_equal(result.receipts, SESSIONS * RECEIPTS);
	snprintf(nowhere, sizeof(nowhere), "%s/no.db", dir);
	argv[3] = nowhere;
	assert_int_equal(verb_receipts(6, argv), STATUS_NOT_FOUND);
	assert_int_equal(access(nowhere, F_OK), -1);
	assert_int_equal(access(output, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_beside_agent),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
