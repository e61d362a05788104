/* Exports: written, shuffled, damaged, forged, and judged without any books. */
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "accounting/verify.h"
#include "base/log.h"
#include "tests/lib/books.h"

enum {
	CHAIN = 5,
	LINES = CHAIN + 1, /* terms first */
};

static struct identity node, payer;
static struct terms terms;
static struct receipt chain[CHAIN];
static char *lines[LINES];

static char *line_of(const struct terms *t, const struct receipt *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(t ? export_terms(out, t) : export_receipt(out, r), 0);
	fclose(out);
	return text;
}

static struct receipt receipt_of(const struct receipt *previous, uint64_t up, uint8_t session)
{
	struct receipt_session about = {
		.role = ROLE_RELAY,
		.network = 7,
		.session = {session},
		.price = 1 << 30,
	};
	struct receipt_offer offer;
	struct receipt r;

	memcpy(about.payer, payer.id, KEY_LEN);
	terms_hash(about.terms, &terms);
	assert_true(receipt_make(&offer, &about, previous ? &previous->offer : NULL, up, up / 2,
				 490000, &node));
	receipt_cosign(&r, &offer, &payer);
	return r;
}

static int setup(void **state)
{
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = 7,
		.price = 1 << 30,
		.window_start = 1 << 20,
		.window_cap = 1 << 26,
		.receipt_seconds = 60,
		.expires = UINT64_C(1) << 40,
	};

	(void)state;
	test_identity(&node, 1);
	test_identity(&payer, 9);
	terms_make(&terms, &v, &node);
	lines[0] = line_of(&terms, NULL);
	for (uint64_t i = 0; i < CHAIN; i++) {
		chain[i] = receipt_of(i ? &chain[i - 1] : NULL, 1000 * (i + 1), 1);
		lines[i + 1] = line_of(NULL, &chain[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < LINES; i++)
		free(lines[i]);
	return 0;
}

/* ---- reading ---- */

static struct verify_result result;
static struct verify_options options;
static uint64_t bad_lines[64];
static size_t bad_count;
static char last_why[128];

static void on_bad(void *arg, uint64_t line, const char *why)
{
	(void)arg;
	assert_true(strlen(why) > 10);
	snprintf(last_why, sizeof(last_why), "%s", why);
	if (bad_count < ARRAY_SIZE(bad_lines))
		bad_lines[bad_count] = line;
	bad_count++;
}

static void verify_bytes(const char *text, size_t len)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");

	bad_count = 0;
	options.refused = on_bad;
	assert_int_equal(verify_stream(in, &options, &result), 0);
	assert_int_equal(result.bad, bad_count);
	fclose(in);
}

static void verify_text(const char *text)
{
	verify_bytes(text, strlen(text));
}

/* The lines of order, -1 at its end. */
static void verify_order(const int *order)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (; *order >= 0; order++)
		fputs(lines[*order], out);
	fclose(out);
	verify_bytes(text, len);
	free(text);
}

static void assert_all_good(void)
{
	assert_int_equal(result.bad, 0);
	assert_int_equal(result.receipts, CHAIN);
	assert_int_equal(result.sessions, 1);
	assert_int_equal(result.bytes, 7500);
	assert_int_equal(result.amount, 7500);
}

/* ---- tests ---- */

static void test_any_order(void **state)
{
	(void)state;
	verify_order((const int[]){0, 1, 2, 3, 4, 5, -1});
	assert_all_good();
	verify_order((const int[]){5, 3, 4, 1, 2, 0, -1});
	assert_all_good();
	verify_order((const int[]){1, 1, 5, 0, 3, 2, 0, 4, 5, 5, -1}); /* duplicates say nothing */
	assert_all_good();
}

static void test_gaps(void **state)
{
	(void)state;
	verify_order((const int[]){0, 1, 2, 4, 5, -1});
	assert_int_equal(result.bad, 2);
	assert_int_equal(bad_lines[0], 4);
	assert_int_equal(result.receipts, 2);
	assert_int_equal(result.amount, 3000); /* what the unbroken chain proves, no more */
	verify_order((const int[]){0, 2, -1});
	assert_int_equal(result.bad, 1);
	assert_int_equal(result.sessions, 0);
	verify_order((const int[]){1, 2, -1}); /* no terms */
	assert_int_equal(result.bad, 2);
}

/* Pruned to heads, or adopted: what is there is good, as long as it does not contradict itself. */
static void test_gaps_taken(void **state)
{
	struct receipt behind = receipt_of(NULL, 500, 2), lower = receipt_of(&behind, 1000, 2);
	char *saved = lines[4];

	(void)state;
	options.gaps = true;
	verify_order((const int[]){0, 1, 2, 4, 5, -1});
	assert_int_equal(result.bad, 0);
	assert_int_equal(result.gaps, 1);
	assert_int_equal(result.receipts, 4);
	assert_int_equal(result.amount, 7500);
	verify_order((const int[]){0, 5, -1});
	assert_int_equal(result.bad, 0);
	assert_int_equal(result.sessions, 1);
	assert_int_equal(result.amount, 7500);
	verify_order((const int[]){0, 1, 2, 3, 4, 5, -1});
	assert_all_good();
	assert_int_equal(result.gaps, 0);
	/* Later by number, lower by totals: no gap explains that. */
	lower.offer.body.seq = le64_of(4);
	memcpy(lower.offer.body.session, chain[0].offer.body.session, SESSION_ID_LEN);
	identity_sign(lower.offer.provider_signature, &lower.offer.body, sizeof(lower.offer.body),
		      &node);
	identity_sign(lower.payer_signature, &lower.offer, sizeof(lower.offer), &payer);
	lines[4] = line_of(NULL, &lower);
	verify_order((const int[]){0, 2, 4, -1});
	assert_int_equal(result.bad, 1);
	assert_int_equal(result.amount, 3000);
	free(lines[4]);
	lines[4] = saved;
	options.gaps = false;
	verify_order((const int[]){0, 5, -1});
	assert_int_equal(result.bad, 1);
	assert_non_null(strstr(last_why, "--gaps"));
}

static void verify_forged(const struct receipt *r, bool good)
{
	char *text = NULL, *line = line_of(NULL, r);
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "%s%s", lines[0], line);
	fclose(out);
	verify_bytes(text, len);
	assert_int_equal(result.bad, !good);
	free(text);
	free(line);
}

static void test_forgeries(void **state)
{
	struct receipt r;

	(void)state;
	verify_forged(&chain[0], true);
	for (size_t i = 0; i < sizeof(r); i++) {
		r = chain[0];
		((uint8_t *)&r)[i] ^= 0x80;
		verify_forged(&r, false);
	}
	/* Both signatures right, the amount not what the terms say. */
	r = chain[0];
	r.offer.body.amount = le64_of(1501);
	identity_sign(r.offer.provider_signature, &r.offer.body, sizeof(r.offer.body), &node);
	identity_sign(r.payer_signature, &r.offer, sizeof(r.offer), &payer);
	verify_forged(&r, false);
}

/* Two signed receipts with one number: both are in the file, and it is said. */
static void test_contradiction(void **state)
{
	struct receipt other = receipt_of(&chain[0], 9999, 1);
	char *text = NULL, *line = line_of(NULL, &other);
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (int i = 0; i < LINES; i++)
		fputs(lines[i], out);
	fputs(line, out);
	fclose(out);
	verify_bytes(text, len);
	assert_int_equal(result.bad, 1);
	assert_int_equal(bad_lines[0], LINES + 1);
	assert_int_equal(result.receipts, CHAIN);
	free(text);
	free(line);
}

/* Replaces the first occurrence of from in the whole export. */
static void verify_edited(const char *from, const char *to)
{
	char *text = NULL;
	bool edited = false;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; i < LINES; i++) {
		const char *at = edited ? NULL : strstr(lines[i], from);

		if (at)
			fprintf(out, "%.*s%s%s", (int)(at - lines[i]), lines[i], to,
				at + strlen(from));
		else
			fputs(lines[i], out);
		edited = edited || at;
	}
	fclose(out);
	assert_true(edited);
	verify_bytes(text, len);
	free(text);
}

static void test_readable_fields(void **state)
{
	static const char *const edits[][2] = {
		{"\"seq\":5", "\"seq\":6"},
		{"\"seq\":5", "\"seq\":\"5\""},
		{"\"seq\":5", "\"seq\":5.0"},
		{"\"seq\":5", "\"seq\":-5"},
		{"\"bytes_up\":5000", "\"bytes_up\":5001"},
		{"\"bytes_down\":2500", "\"bytes_down\":0"},
		{"\"amount\":7500", "\"amount\":1"},
		{"\"role\":\"relay\"", "\"role\":\"exit\""},
		{"\"payer\":\"", "\"payer\":\"x"},
		{"\"provider\":\"", "\"provider\":\"x"},
		{"\"session\":\"01", "\"session\":\"02"},
		{"\"price\":1073741824", "\"price\":1"},
		{"\"schema\":1", "\"schema\":2"},
		{"\"schema\":1", "\"schema\":\"1\""},
		{"\"receipt\":", "\"Receipt\":"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		verify_edited(edits[i][0], edits[i][1]);
		assert_true(result.bad > 0);
	}
	/* Left out, or more of them: no contradiction. */
	verify_edited(",\"seq\":5", "");
	assert_all_good();
	verify_edited(",\"seq\":5", ",\"seq\":5,\"note\":\"mine\"");
	assert_all_good();
}

static void test_rubbish(void **state)
{
	char *long_line = malloc(1 << 20);

	(void)state;
	verify_text("\n\n   \n\t\r\n");
	assert_int_equal(result.bad, 0);
	verify_text("rubbish\n{}\n[]\n\"x\"\n{\"schema\":1}\nnull");
	assert_int_equal(result.bad, 6);
	assert_int_equal(bad_lines[5], 6);
	verify_text("{\"schema\":1,\"receipt\":\"AAAA\"}\n{\"schema\":1,\"terms\":\"!\"}\n"
		    "{\"schema\":1,\"receipt\":\"\",\"terms\":\"\"}\n"
		    "{\"schema\":1,\"receipt\":7}\n{\"schema\":1,\"schema\":1,\"terms\":\"\"}");
	assert_int_equal(result.bad, 5);
	verify_bytes("{\"schema\"\0:1}\n\0\n", 16);
	assert_int_equal(result.bad, 2);
	memset(long_line, '[', (1 << 20) - 1);
	long_line[(1 << 20) - 1] = '\0';
	verify_text(long_line);
	assert_int_equal(result.bad, 1);
	free(long_line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_any_order), TEST(test_gaps),          TEST(test_gaps_taken),
		TEST(test_forgeries), TEST(test_contradiction), TEST(test_readable_fields),
		TEST(test_rubbish),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
