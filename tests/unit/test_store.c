/* The provider's books: the rules, one by one. */
#include "tests/lib/store.h"

/* ---- the rules ---- */

static const uint8_t first[SESSION_ID_LEN] = {1}, second[SESSION_ID_LEN] = {2},
		     third[SESSION_ID_LEN] = {3};

static void test_slow_start(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	pay(first, MIB - 1, &p);
	assert_int_equal(p.window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.window, 2 * MIB);
	pay(first, 3 * MIB, &p);
	assert_int_equal(p.window, 4 * MIB);
	pay(first, 7 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB);
	pay(first, 100 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB); /* the cap */
	restart();
	assert_int_equal(payer_now(alice.id).window, 8 * MIB);
	check_invariants();
}

static void test_default_and_debt(void **state)
{
	struct receipt_offer offer, again;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 7 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB);
	assert_int_equal(do_issue(first, 8 * MIB, 0, &offer), 0);
	/* Ends with more carried than the outstanding receipt says. */
	assert_int_equal(do_close(first, 9 * MIB, MIB), 0);
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 3 * MIB);
	/* Back to 1 MiB, less 3 MiB of debt, but never less than a sixteenth. */
	assert_int_equal(p.window, MIB / 16);
	restart();
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 3 * MIB);

	assert_int_equal(do_unpaid(alice.id, &again), 0);
	assert_memory_equal(&again, &offer, sizeof(offer));
	assert_int_equal(do_cosign(&again, &alice, &p), 0);
	assert_int_equal(p.debt, 2 * MIB);
	assert_int_equal(do_unpaid(alice.id, &again), 0);
	assert_int_equal(le64_get(again.body.bytes_up), 9 * MIB);
	assert_int_equal(le64_get(again.body.bytes_down), MIB);
	assert_int_equal(do_cosign(&again, &alice, &p), 0);
	assert_int_equal(p.debt, 0);
	assert_int_equal(p.window, 4 * MIB); /* 3 MiB signed since the default */
	assert_int_equal(do_unpaid(alice.id, &again), -ENOENT);
	check_invariants();
}

/* Who cannot sign for the counters it lost pays its way back; what it owes stays known. */
static void test_debt_is_worked_off(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_close(first, MIB, 0), 0);
	assert_int_equal(payer_now(alice.id).window, MIB / 16);
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	assert_int_equal(p.window, MIB / 16);
	pay(second, MIB / 16, &p);
	assert_int_equal(p.window, MIB / 16);
	pay(second, MIB / 2, &p);
	assert_int_equal(p.window, MIB / 2); /* half of the debt is left */
	restart();
	assert_int_equal(payer_now(alice.id).window, MIB / 2);
	assert_int_equal(do_open(ROLE_RELAY, third, alice.id, &p), 0);
	pay(third, MIB / 2, &p);
	assert_int_equal(p.window, 2 * MIB); /* as anybody who signed 1 MiB */
	assert_int_equal(p.debt, MIB);
	pay(third, 2 * MIB, &p);
	assert_int_equal(p.window, 2 * MIB);
	/* Nothing is worked off in advance. */
	assert_int_equal(do_close(third, 3 * MIB, 0), 0);
	assert_int_equal(payer_now(alice.id).debt, 2 * MIB);
	assert_int_equal(payer_now(alice.id).window, MIB / 16);
	/* The old receipt itself may be signed late: what worked it off now counts for the other
	 * debt. */
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(p.debt, MIB);
	assert_int_equal(p.window, 2 * MIB); /* doubled by it */
	check_invariants();
}

static void test_dispute_is_worked_off(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, MIB, 0, &offer), 0);
	assert_int_equal(do_dispute(first, 1), 0);
	assert_int_equal(payer_now(alice.id).window, MIB / 16);
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	pay(second, MIB - 1, &p);
	assert_int_equal(p.window, MIB - 1);
	check_invariants();
}

static void test_crash_leaves_debt(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_RELAY, second, bob.id, &p), 0);
	assert_int_equal(do_issue(first, 300000, 0, &offer), 0);
	restart();
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 300000);
	assert_int_equal(p.window, MIB - 300000);
	assert_int_equal(payer_now(bob.id).window, MIB);
	assert_int_equal(do_issue(first, 400000, 0, &offer), -EACCES);
	assert_int_equal(do_issue(second, 1, 0, &offer), -EACCES);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(p.debt, 0);
	check_invariants();
}

static void test_one_body_a_number(void **state)
{
	struct receipt_offer offer, other;
	struct ledger_payer p;
	uint8_t garbage[SIGNATURE_LEN] = {0};

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, 0, 0, &offer), -EALREADY);
	assert_int_equal(do_issue(first, 1000, 2000, &offer), 0);
	store->now_s += 7200; /* another hour would be another body */
	assert_int_equal(do_issue(first, 9000, 9000, &other), 0);
	assert_memory_equal(&offer, &other, sizeof(offer));
	restart();
	assert_int_equal(do_unpaid(alice.id, &other), 0);
	assert_memory_equal(&offer, &other, sizeof(offer));

	assert_int_equal(do_cosign(&offer, &bob, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 1, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 2, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 0, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(second, 1, garbage, &p), -EACCES);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_signature(first, 1, garbage, &p), -EBADMSG);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 1);
	check_invariants();
}

static void test_dispute_freezes(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	assert_int_equal(do_issue(first, MIB + 1000, 0, &offer), 0);
	assert_int_equal(do_dispute(first, 1), -EBADMSG);
	assert_int_equal(do_dispute(first, 2), 0);
	assert_int_equal(do_dispute(first, 2), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), -EACCES);
	assert_int_equal(do_issue(first, MIB + 2000, 0, &offer), -EACCES);
	assert_int_equal(do_close(first, MIB + 3000, 0), 0);
	p = payer_now(alice.id);
	/* Disputing is no way to a fresh window: the bytes stay a debt. */
	assert_int_equal(p.debt, 3000);
	assert_int_equal(p.window, MIB - 3000);
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	assert_int_equal(count_of("SELECT count(*) FROM evidence"), 1);
	check_invariants();
}

static void test_credit_limits_window(void **state)
{
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1024, 1024, 8 * MIB, 0, 0}); /* 1 micro-credit a MiB */
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.credit, 0);
	assert_int_equal(p.window, 0);
	assert_int_equal(do_grant(alice.id, 3, 0, 1), 0);
	assert_int_equal(payer_now(alice.id).window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.credit, 2);
	assert_int_equal(p.window, 2 * MIB);
	pay(first, 2 * MIB, &p);
	assert_int_equal(p.credit, 1);
	assert_int_equal(p.window, MIB);
	/* A second session rounds its amount up on its own: one micro-credit is kept for that. */
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	assert_int_equal(p.window, 0);
	check_invariants();
}

static void test_two_roles_share(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	assert_int_equal(do_open(ROLE_EXIT, second, alice.id, &p), 0);
	assert_int_equal(p.window, MIB / 2);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(payer_now(alice.id).window, MIB);
}

static void test_free_node(void **state)
{
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){0, 1000, 8 * MIB, 0, 0});
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.window, 2 * MIB);
	assert_int_equal(count_of("SELECT count(*) FROM txn"), 0);
}

static void test_allowance_by_month(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 2 * MIB, &p);
	assert_int_equal(p.credit, 999998);
	store->now_s = start_of_test + UINT64_C(31) * 86400 - 1;
	assert_int_equal(payer_now(alice.id).credit, 999998);
	store->now_s++; /* February: the rest of January's is gone, not added up */
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	pay(first, 3 * MIB, &p);
	assert_int_equal(p.credit, 999999);
	store->now_s--; /* a clock set back books nothing twice */
	assert_int_equal(payer_now(alice.id).credit, 999999);
	pay(first, 4 * MIB, &p);
	assert_int_equal(p.credit, 999998);
	check_invariants();
}

/* Identities are free: one that only asks must not make the books grow. */
static void test_strangers_leave_nothing(void **state)
{
	static const char *const tables[] = {
		"SELECT count(*) FROM session", "SELECT count(*) FROM payer",
		"SELECT count(*) FROM account", "SELECT count(*) FROM txn"};
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.credit, 1000000);
	assert_int_equal(p.window, MIB);
	assert_int_equal(do_issue(first, 0, 0, &offer), -EALREADY);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(do_close(first, 0, 0), 0); /* again */
	assert_int_equal(do_issue(first, 0, 0, &offer), -EACCES);
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	assert_int_equal(do_open(ROLE_RELAY, second, bob.id, &p), 0);
	restart();
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		assert_int_equal(count_of(tables[i]), 0);
	/* One byte that nobody signed stays, with who owes it; and so does what was signed. */
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_close(first, 1, 0), 0);
	assert_int_equal(payer_now(alice.id).debt, 1);
	assert_int_equal(count_of("SELECT count(*) FROM payer"), 1);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(count_of("SELECT count(*) FROM session"), 1);
	assert_int_equal(payer_now(alice.id).credit, 999999);
	check_invariants();
}

/* A session that cost so much, at the price of the plain world. */
static void spend(const uint8_t *session, uint64_t micro)
{
	struct ledger_payer p;

	assert_int_equal(do_open(ROLE_RELAY, session, alice.id, &p), 0);
	pay(session, terms_bytes_for(1000, micro), &p);
	assert_int_equal(do_close(session, 0, 0), 0);
}

static struct books_purse purse_of(const uint8_t *payer)
{
	struct books_purse purse;

	assert_int_equal(payer_purse(store, payer, &purse), 0);
	return purse;
}

static void test_grants(void **state)
{
	uint64_t month = start_of_test + 86400;

	(void)state;
	assert_int_equal(do_grant(alice.id, 500, 0, 1), 0);
	assert_int_equal(do_grant(alice.id, 500, 0, 1), 0);
	assert_int_equal(do_grant(alice.id, 501, 0, 1), -EEXIST);
	assert_int_equal(do_grant(alice.id, 500, month, 1), -EEXIST);
	assert_int_equal(do_grant(bob.id, 500, 0, 1), -EEXIST);
	assert_int_equal(do_grant(alice.id, 0, 0, 2), -ERANGE);
	assert_int_equal(do_grant(alice.id, UINT64_MAX, 0, 2), -ERANGE);
	assert_int_equal(do_grant(alice.id, 40, month, 3), 0);
	assert_int_equal(do_grant(alice.id, 40, month, 3), 0);
	assert_int_equal(do_grant(bob.id, 40, month, 3), -EEXIST);
	assert_int_equal(do_grant(alice.id, 7, 0, 4), 0);
	assert_int_equal(purse_of(alice.id).free_left, 1000000);
	assert_int_equal(purse_of(alice.id).granted, 547);

	/* Allowance first, then what expires soonest. */
	spend(first, 1000010);
	assert_int_equal(purse_of(alice.id).free_left, 0);
	assert_int_equal(purse_of(alice.id).granted, 537);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 507); /* 30 of the 40 expired */
	/* More than there is: what there is. */
	spend(second, 1000);
	assert_int_equal(payer_now(alice.id).credit, 0);
	assert_int_equal(count_of("SELECT sum(posted) FROM session"), 1000517);
	check_invariants();
}

/* However many accounts a purse has, a payment draws on all, and all run out in time. */
static void test_many_grants(void **state)
{
	uint64_t month = start_of_test + 86400;

	(void)state;
	store->config.free_allowance = 0;
	for (uint8_t n = 1; n <= 200; n++)
		assert_int_equal(do_grant(alice.id, 10, month, n), 0);
	assert_int_equal(payer_now(alice.id).credit, 2000);
	spend(first, 665);
	assert_int_equal(payer_now(alice.id).credit, 1335);
	assert_int_equal(count_of("SELECT balance FROM account WHERE payer = (SELECT provider "
				  "FROM session)"),
			 665);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 0);
	check_invariants();
}

static void test_pages(void **state)
{
	struct query q = {.kind = QUERY_SESSIONS};
	struct query_rows *rows = xcalloc(1, sizeof(*rows));
	struct ledger_payer p;
	unsigned seen = 0;

	(void)state;
	for (uint8_t i = 1; i <= 150; i++) {
		uint8_t id[SESSION_ID_LEN] = {[3] = i};

		assert_int_equal(do_open(ROLE_RELAY, id, alice.id, &p), 0);
		pay(id, 1000, &p);
	}
	do {
		assert_int_equal(store_query(store, &q, rows), 0);
		for (uint32_t i = 0; i < rows->count; i++)
			assert_int_equal(rows->session[i].session[3], ++seen);
		q.after = rows->next;
	} while (q.after);
	assert_int_equal(seen, 150);

	q = (struct query){.kind = QUERY_RECEIPTS, .has_session = true, .session = {[3] = 77}};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1);
	assert_int_equal(rows->next, 0);
	assert_int_equal(rows->receipt[0].receipt.offer.body.session[3], 77);
	q = (struct query){.kind = QUERY_TERMS};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1); /* the exit's terms carry no receipt */
	assert_true(terms_valid(&rows->terms[0]));
	q = (struct query){.kind = QUERY_CREDITS};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1);
	assert_memory_equal(rows->credit[0].peer, alice.id, KEY_LEN);
	assert_int_equal(rows->credit[0].bytes, 150000);
	assert_int_equal(rows->credit[0].earned, 150);
	assert_int_equal(rows->credit[0].balance, 1000000 - 150);
	q.kind = (enum query_kind)9;
	assert_int_equal(store_query(store, &q, rows), -EINVAL);
	free(rows);
}

/* Any order and number of the same co-signatures ends in the same books. */
static void test_order_does_not_matter(void **state)
{
	struct ledger_payer p;
	struct receipt_offer offer[2];

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_EXIT, second, alice.id, &p), 0);
	assert_int_equal(do_issue(first, MIB, 0, &offer[0]), 0);
	assert_int_equal(do_issue(second, 2 * MIB, 0, &offer[1]), 0);
	for (int i = 5; i >= 0; i--)
		assert_int_equal(do_cosign(&offer[i % 2], &alice, &p), 0);
	assert_int_equal(p.credit, 1000000 - 1 - 2);
	assert_int_equal(count_of("SELECT count(*) FROM txn WHERE key LIKE 'pay:%'"), 0);
	post_all();
	post_all();
	assert_int_equal(count_of("SELECT count(*) FROM txn WHERE key LIKE 'pay:%'"), 2);
	check_invariants();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slow_start),
		TEST(test_default_and_debt),
		TEST(test_debt_is_worked_off),
		TEST(test_dispute_is_worked_off),
		TEST(test_crash_leaves_debt),
		TEST(test_one_body_a_number),
		TEST(test_dispute_freezes),
		TEST(test_credit_limits_window),
		TEST(test_two_roles_share),
		TEST(test_free_node),
		TEST(test_allowance_by_month),
		TEST(test_strangers_leave_nothing),
		TEST(test_grants),
		TEST(test_many_grants),
		TEST(test_pages),
		TEST(test_order_does_not_matter),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
