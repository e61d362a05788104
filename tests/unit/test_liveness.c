#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/liveness.h"

/* Steps every half second from `from` to `to` and returns how often `action` came. */
static unsigned steps(struct liveness *l, uint64_t from, uint64_t to, uint64_t tx_per_step,
		      enum liveness_action action)
{
	unsigned n = 0;
	uint64_t tx = l->tx;

	for (uint64_t t = from; t <= to; t += 500) {
		tx += tx_per_step;
		n += liveness_step(l, t, tx, l->rx) == action;
	}
	return n;
}

static void idle_with_keepalives_is_fine(void **state)
{
	struct liveness l;

	(void)state;
	liveness_start(&l, 1000, 148, 92);
	assert_int_equal(steps(&l, 1500, 30000, 0, LIVENESS_FINE), 58);
	/* one keepalive, never answered */
	assert_int_equal(liveness_step(&l, 30500, 180, 92), LIVENESS_FINE);
	assert_int_equal(steps(&l, 31000, 50000, 0, LIVENESS_FINE), 39);
}

static void sending_into_silence_asks_then_rebinds(void **state)
{
	struct liveness l;

	(void)state;
	liveness_start(&l, 0, 0, 0);
	assert_int_equal(liveness_step(&l, 500, 200, 0), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 1000, 400, 0), LIVENESS_PROBE);
	assert_int_equal(liveness_step(&l, 1500, 600, 0), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 2900, 800, 0), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 3000, 900, 0), LIVENESS_REBIND);
	/* anything heard ends it */
	assert_int_equal(liveness_step(&l, 3500, 1000, 100), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 4000, 1000, 100), LIVENESS_FINE);
}

static void rebinds_back_off(void **state)
{
	struct liveness l;

	(void)state;
	liveness_start(&l, 0, 0, 0);
	/* at 3, 6, 12, 24, 48, 78, 108 s: never a storm */
	assert_int_equal(steps(&l, 500, 120000, 200, LIVENESS_REBIND), 7);
}

static void a_transfer_cut_short_rebinds_once(void **state)
{
	struct liveness l;

	(void)state;
	liveness_start(&l, 0, 0, 0);
	assert_int_equal(liveness_step(&l, 500, 100, 1000000), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 1000, 100, 1000000), LIVENESS_FINE);
	assert_int_equal(liveness_step(&l, 1500, 100, 1000000), LIVENESS_PROBE);
	assert_int_equal(steps(&l, 2000, 60000, 0, LIVENESS_REBIND), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_with_keepalives_is_fine),
		cmocka_unit_test(sending_into_silence_asks_then_rebinds),
		cmocka_unit_test(rebinds_back_off),
		cmocka_unit_test(a_transfer_cut_short_rebinds_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
