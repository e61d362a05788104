/* The same receipts, in any order and any number of times, come to the same books. */
#include "tests/lib/store.h"

enum {
	ORDERS = 200,
	SESSIONS = 9,
	EVENTS = 4 * SESSIONS,
};

static struct receipt_offer offered[SESSIONS];

static const struct identity *payer_of(unsigned i)
{
	const struct identity *const payers[] = {&alice, &bob, &carol};

	return payers[i % 3];
}

/* Always the same: sessions of three payers, each with a receipt that waits. */
static void begin_world(void)
{
	const struct test_world world = {1u << 20, 123456789, 8 * MIB, 5000, 77777};
	struct ledger_payer said;

	teardown(NULL);
	store_new(&world);
	for (uint8_t i = 0; i < SESSIONS; i++) {
		const uint8_t id[SESSION_ID_LEN] = {i, 5};

		if (i < 3)
			assert_int_equal(do_grant(payer_of(i)->id, 3000000, 0, i), 0);
		assert_int_equal(
			do_open(i % 2 ? ROLE_RELAY : ROLE_EXIT, id, payer_of(i)->id, &said), 0);
		assert_int_equal(do_issue(id, 40000u * i + 1, 777, &offered[i]), 0);
	}
}

/* Every receipt at least once, some more often, with epochs and hours between them. */
static void play(void)
{
	uint8_t events[EVENTS];
	struct ledger_payer said;

	for (unsigned i = 0; i < EVENTS; i++)
		events[i] = (uint8_t)i;
	for (unsigned i = EVENTS - 1; i > 0; i--) {
		unsigned j = draw(i + 1);
		uint8_t swap = events[i];

		events[i] = events[j];
		events[j] = swap;
	}
	for (unsigned i = 0; i < EVENTS; i++) {
		unsigned which = events[i] % SESSIONS;

		if (events[i] < 2 * SESSIONS)
			assert_int_equal(do_cosign(&offered[which], payer_of(which), &said), 0);
		else if (which == 0)
			post_all();
		else if (which == 1)
			store->now_s += 3600;
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		assert_int_equal(do_close(offered[(i + draw(2)) % SESSIONS].body.session, 0, 0), 0);
	for (unsigned i = 0; i < SESSIONS; i++)
		assert_int_equal(do_close(offered[i].body.session, 0, 0), 0);
	check_invariants();
}

static void test_any_order(void **state)
{
	uint8_t first[KEY_LEN], again[KEY_LEN];

	(void)state;
	for (unsigned i = 0; i < ORDERS; i++) {
		seed = i + 1;
		begin_world();
		play();
		books_digest(i ? again : first);
		if (i)
			assert_memory_equal(again, first, KEY_LEN);
	}
	assert_true(count_of("SELECT sum(paid) FROM session") > 1000);
	assert_true(count_of("SELECT sum(posted - paid) FROM session") > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
