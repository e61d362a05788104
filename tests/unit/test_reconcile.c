/* Counts side by side: whatever they are, every byte of difference is on a line. */
#include "tests/lib/unit.h"

#include <string.h>

#include "accounting/reconcile.h"
#include "base/log.h"

static struct reconcile counts;

static const struct reconcile_row *row(const char *name)
{
	for (size_t i = 0; i < counts.rows; i++)
		if (strcmp(counts.row[i].name, name) == 0)
			return &counts.row[i];
	return NULL;
}

static void expect(const char *name, int64_t up, int64_t down)
{
	const struct reconcile_row *r = row(name);

	if (!r)
		fail_msg("no row %s", name);
	assert_int_equal(r->up, up);
	assert_int_equal(r->down, down);
}

/* A tunnel at rest: what is missing further on was lost on the way. */
static void test_at_rest(void **state)
{
	const struct reconcile_side relay = {.counted_up = 1000,
					     .counted_down = 8000,
					     .seen_up = 1000,
					     .seen_down = 8000,
					     .claimed_up = 980,
					     .claimed_down = 8100,
					     .signed_up = 980,
					     .signed_down = 8100};
	const struct reconcile_side exit = {.counted_up = 1000,
					    .counted_down = 8000,
					    .seen_up = 1000,
					    .seen_down = 8000,
					    .claimed_up = 950,
					    .claimed_down = 8300,
					    .signed_up = 950,
					    .signed_down = 8300};

	(void)state;
	reconcile_client(&counts, &relay, &exit);
	assert_true(reconcile_adds_up(&counts));
	assert_int_equal(counts.rows, 7);
	expect("device", 1000, 8000);
	expect("before_relay", -20, 0);
	expect("behind_relay", 0, 100);
	expect("relay", 980, 8100);
	expect("relay_to_exit", -30, 0);
	expect("exit_to_relay", 0, 200);
	expect("exit", 950, 8300);
}

/* Under way: bytes no bill has yet, receipts not signed, and an exit's session that is younger. */
static void test_under_way(void **state)
{
	const struct reconcile_side relay = {.counted_up = 1000,
					     .counted_down = 8000,
					     .seen_up = 900,
					     .seen_down = 7000,
					     .claimed_up = 990,
					     .claimed_down = 8100,
					     .signed_up = 890,
					     .signed_down = 6950};
	const struct reconcile_side exit = {.counted_up = 500,
					    .counted_down = 4000,
					    .seen_up = 400,
					    .seen_down = 3000,
					    .claimed_up = 548,
					    .claimed_down = 3100,
					    .signed_up = 548,
					    .signed_down = 2900};

	(void)state;
	reconcile_client(&counts, &relay, &exit);
	assert_true(reconcile_adds_up(&counts));
	expect("since_receipt", -100, -1000);
	expect("before_relay", -10, 0);
	expect("after_receipt", 0, -50);
	expect("claimed_unsigned", 100, 1150);
	expect("claimed_unsigned_before", -100, -1150);
	expect("other_times", -500, -4000);
	expect("only_exit_bills", 158, 0);
	expect("only_relay_bills", 0, -50);
	reconcile_client(&counts, NULL, &exit);
	assert_true(reconcile_adds_up(&counts));
	expect("beyond_sent", 148, 0);
	reconcile_client(&counts, &relay, NULL);
	assert_true(reconcile_adds_up(&counts));
	assert_null(row("exit"));
}

static struct receipt_offer offer_of(uint64_t up, uint64_t down)
{
	struct receipt_offer offer = {0};

	offer.body.bytes_up = le64_of(up);
	offer.body.bytes_down = le64_of(down);
	return offer;
}

static void test_books(void **state)
{
	struct query_explain x = {.counted_up = 700, .counted_down = 800, .has_receipt = true};
	const struct reconcile_carried carried = {900, 1000};

	(void)state;
	x.receipt.offer = offer_of(500, 600);
	counts.rows = 0;
	reconcile_books(&counts, &x, NULL);
	assert_true(reconcile_adds_up(&counts));
	expect("carried", 700, 800);
	expect("no_receipt_yet", -200, -200);
	expect("issued", 500, 600);
	expect("signed", 500, 600);
	x.has_offer = true;
	x.offer = offer_of(650, 601);
	counts.rows = 0;
	reconcile_count(&counts, "heard", 1000, 1000);
	reconcile_line(&counts, "window", -100, 0);
	reconcile_books(&counts, &x, &carried);
	assert_true(reconcile_adds_up(&counts));
	expect("carried", 900, 1000);
	expect("no_receipt_yet", -250, -399);
	expect("unsigned", -150, -1);
	counts.row[1].up++;
	assert_false(reconcile_adds_up(&counts));
}

/* Nothing anybody counts or claims can make a difference that is on no line. */
static void test_any_counts(void **state)
{
	uint64_t seed = 1, n[16];
	struct reconcile_side sides[2];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(n); j++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			n[j] = (seed >> 32) % ((uint64_t)1 << (1 + (seed >> 20) % 50));
		}
		memcpy(sides, n, sizeof(sides));
		reconcile_client(&counts, i % 3 ? &sides[0] : NULL, i % 5 ? &sides[1] : NULL);
		assert_true(reconcile_adds_up(&counts));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_rest),
		cmocka_unit_test(test_under_way),
		cmocka_unit_test(test_books),
		cmocka_unit_test(test_any_counts),
	};

	log_init("test", LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
