#include "relay/patience.h"
#include "tests/lib/unit.h"

/* Batches of one period, of which every `every`th finds another one by looking (0: none). How many
 * were looked behind. */
static unsigned period(struct patience *p, unsigned every)
{
	unsigned looked = 0;

	for (unsigned i = 0; i < PATIENCE_PERIOD; i++) {
		unsigned looks = patience_looks(p);

		assert_true(looks == 0 || looks == PATIENCE_LOOKS);
		looked += looks > 0;
		if (looks && every && i % every == 0)
			patience_paid(p);
	}
	return looked;
}

static void test_pays(void **state)
{
	struct patience p = {0};

	(void)state;
	assert_int_equal(period(&p, 1), PATIENCE_PERIOD);
	assert_int_equal(period(&p, PATIENCE_PAYS), PATIENCE_PERIOD);
}

static void test_does_not_pay(void **state)
{
	struct patience p = {0};

	(void)state;
	assert_int_equal(period(&p, 0), PATIENCE_TRIAL);
	assert_int_equal(period(&p, 2 * PATIENCE_PAYS), PATIENCE_TRIAL);
}

/* Each trial stands for itself: what paid before, or outside trials, is not counted. */
static void test_changes(void **state)
{
	struct patience p = {0};

	(void)state;
	assert_int_equal(period(&p, 1), PATIENCE_PERIOD);
	/* The old verdict holds until the trial is over. */
	assert_int_equal(period(&p, 0), PATIENCE_TRIAL);
	assert_int_equal(period(&p, 0), PATIENCE_TRIAL);
	assert_int_equal(period(&p, 1), PATIENCE_PERIOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pays),
		cmocka_unit_test(test_does_not_pay),
		cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
