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

/* What a node earned it can spend: give away, or use as a client of its own. */
static void test_earned_is_spent(void **state)
{
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	store->config.fee_ppm = 100000; /* a tenth */
	assert_int_equal(do_give(bob.id, 1, 9), -EDQUOT);
	assert_int_equal(do_grant(alice.id, 1000, 0, 1), 0);
	spend(first, 777);
	assert_int_equal(purse_of(node.id).granted, 700); /* 777 - 77 */
	assert_int_equal(purse_of(carol.id).granted, 77);
	assert_int_equal(do_give(bob.id, 701, 2), -EDQUOT);
	assert_int_equal(do_give(node.id, 1, 2), -EINVAL);
	assert_int_equal(do_give(bob.id, 0, 2), -ERANGE);
	assert_int_equal(do_give(bob.id, 600, 2), 0);
	assert_int_equal(do_give(bob.id, 600, 2), 0); /* the same grant */
	assert_int_equal(do_give(bob.id, 50, 2), -EEXIST);
	assert_int_equal(do_grant(bob.id, 600, 0, 2), -EEXIST); /* not out of the same pocket */
	assert_int_equal(do_give(alice.id, 1000, 1), -EEXIST);
	assert_int_equal(payer_now(bob.id).credit, 600);
	assert_int_equal(purse_of(node.id).granted, 100);
	check_invariants();
	/* Its own client: nobody is richer for it, but the fee is due. */
	assert_int_equal(do_open(ROLE_RELAY, second, node.id, &p), 0);
	assert_int_equal(p.credit, 100);
	struct receipt_offer offer;
	assert_int_equal(do_issue(second, terms_bytes_for(1000, 50), 0, &offer), 0);
	assert_int_equal(do_cosign(&offer, &node, &p), 0);
	assert_int_equal(do_close(second, 0, 0), 0);
	assert_int_equal(purse_of(node.id).granted, 95);
	assert_int_equal(do_give(bob.id, 96, 3), -EDQUOT);
	assert_int_equal(do_give(bob.id, 95, 3), 0);
	check_invariants();
}

/* However often it is posted, a fee is that of the whole. */
static void test_fee_telescopes(void **state)
{
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	store->config.fee_ppm = 333333;
	assert_int_equal(do_grant(alice.id, 1000, 0, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	store->config.fee_ppm = 0; /* as it was when the session opened */
	for (uint64_t micro = 1; micro <= 100; micro++) {
		pay(first, terms_bytes_for(1000, micro), &p);
		post_all();
		check_invariants();
		assert_int_equal(purse_of(carol.id).granted, micro * 333333 / 1000000);
		assert_int_equal(p.credit, 1000 - micro);
	}
}

/* Posted once an hour while it lives, and when it ends; never twice. */
static void test_posted_by_the_hour(void **state)
{
	static const char posted[] = "SELECT coalesce(sum(posted), 0) FROM session",
			  postings[] = "SELECT count(*) FROM txn WHERE key LIKE 'pay:%'",
			  bytes[] = "SELECT coalesce(sum(bytes), 0) FROM txn";
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	pay(first, 2 * MIB, &p);
	assert_int_equal(count_of(posted), 0);
	store->now_s += 3600;
	pay(first, 3 * MIB, &p);
	assert_int_equal(count_of(posted), 3);
	assert_int_equal(count_of(bytes), 3 * MIB);
	pay(first, 4 * MIB, &p);
	assert_int_equal(count_of(postings), 1);
	post_all();
	post_all();
	assert_int_equal(count_of(postings), 2);
	assert_int_equal(do_close(first, 4 * MIB, 0), 0);
	assert_int_equal(do_close(first, 4 * MIB, 0), 0);
	assert_int_equal(count_of(postings), 2);
	assert_int_equal(count_of(bytes), 4 * MIB);
	assert_int_equal(count_of("SELECT sum(amount) FROM entry e JOIN account a ON a.id = "
				  "e.account WHERE a.kind = 4"),
			 0);
	check_invariants();
}

/* What a receipt was offered for is set aside: neither time nor another session takes it. */
static void test_hold_stands(void **state)
{
	uint64_t month = start_of_test + 86400;
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	assert_int_equal(do_grant(alice.id, 100, month, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	assert_int_equal(do_issue(first, terms_bytes_for(1000, 70), 0, &offer), 0);
	check_invariants();
	pay(second, terms_bytes_for(1000, 90), &p); /* more than is left: 30 */
	assert_int_equal(count_of("SELECT hold FROM session WHERE id = 2"), 30);
	store->now_s = month;
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(do_close(second, 0, 0), 0);
	assert_int_equal(purse_of(node.id).granted, 100);
	assert_int_equal(payer_now(alice.id).credit, 0);
	check_invariants();
}

/* What comes back to an account that ran out goes where the rest of it went, also while the clock
 * says that it did not run out yet: it runs out once. */
static void test_run_out_once(void **state)
{
	uint64_t month = start_of_test + 86400;
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	assert_int_equal(do_grant(alice.id, 100, month, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	assert_int_equal(do_issue(first, terms_bytes_for(1000, 30), 0, &offer), 0);
	assert_int_equal(do_issue(second, terms_bytes_for(1000, 50), 0, &offer), 0);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 80);
	assert_int_equal(do_dispute(first, 1), 0);
	assert_int_equal(payer_now(alice.id).credit, 50);
	assert_int_equal(count_of("SELECT -balance FROM account WHERE name = 'sys:grant'"), 50);
	store->now_s = start_of_test;
	assert_int_equal(do_dispute(second, 1), 0);
	assert_int_equal(payer_now(alice.id).credit, 0);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 0);
	assert_int_equal(count_of("SELECT balance FROM account WHERE name = 'sys:grant'"), 0);
	check_invariants();
}

/* What is given back is what would be spent last. */
static void test_given_back_last_first(void **state)
{
	static const char held[] = "SELECT sum(h.balance) FROM account h JOIN account f "
				   "ON f.id = h.source WHERE h.kind = 4 AND f.kind = 1",
			  other[] = "SELECT sum(h.balance) FROM account h JOIN account f "
				    "ON f.id = h.source WHERE h.kind = 4 AND f.kind = 2";
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1u << 30, 1000, 8 * MIB, 1000, 0}); /* a byte, a credit */
	assert_int_equal(do_grant(alice.id, 4 * MIB, 0, 2), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 100, &p);
	assert_int_equal(count_of(held), 1000);
	assert_int_equal(count_of(other), MIB - 900);
	assert_int_equal(do_close(first, 1500, 0), 0); /* 100 are posted, 1400 are owed */
	assert_int_equal(count_of(held), 900);
	assert_int_equal(count_of(other), 500);
	check_invariants();
}

/* What was only set aside ahead runs out with what it was taken from. */
static void test_hold_ahead_expires(void **state)
{
	uint64_t month = start_of_test + 86400;
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1u << 30, 1000, 8 * MIB, 0, 0}); /* a byte, a credit */
	assert_int_equal(do_grant(alice.id, 2 * MIB, month, 1), 0);
	assert_int_equal(do_grant(alice.id, 2 * MIB, 0, 2), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 1000, &p);
	assert_true(count_of("SELECT hold FROM session") > 1000);
	assert_int_equal(p.credit, 4 * MIB - 1000);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 2 * MIB);
	assert_int_equal(count_of("SELECT hold FROM session"), 1000);
	check_invariants();
	/* A clock that is set back does not bring it back, nor stop the books. */
	store->now_s = start_of_test;
	pay(first, 2000, &p);
	assert_int_equal(do_close(first, 0, 0), 0);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 2 * MIB - 1000);
	check_invariants();
}

/* The bill of who never came back is not held for ever; it stays a bill. */
static void test_unpaid_hold_ends(void **state)
{
	const uint64_t days30 = UINT64_C(30) * 86400;
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	assert_int_equal(do_grant(alice.id, 100, 0, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, terms_bytes_for(1000, 10), &p);
	assert_int_equal(do_close(first, terms_bytes_for(1000, 70), 0), 0);
	assert_int_equal(count_of("SELECT hold FROM session"), 70);
	assert_int_equal(count_of("SELECT posted FROM session"), 10);
	assert_int_equal(payer_now(alice.id).credit, 30);
	store->now_s += days30 - 1;
	assert_int_equal(payer_now(alice.id).credit, 30);
	assert_int_equal(count_of("SELECT hold FROM session"), 70);
	store->now_s++;
	assert_int_equal(payer_now(alice.id).credit, 30);
	assert_int_equal(count_of("SELECT hold FROM session"), 10);
	check_invariants();
	/* Asked again, it is set aside again, and for as long. */
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(count_of("SELECT hold FROM session"), 70);
	store->now_s += days30;
	assert_int_equal(payer_now(alice.id).credit, 30);
	assert_int_equal(count_of("SELECT hold FROM session"), 10);
	check_invariants();
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(p.credit, 30);
	assert_int_equal(purse_of(node.id).granted, 70);
	check_invariants();
}

/* When a session ended is nowhere said closer than to the hour. */
static void test_no_time_below_an_hour(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	store->now_s += 1234;
	assert_int_equal(do_grant(alice.id, 100, 0, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	assert_int_equal(do_close(first, terms_bytes_for(1000, 70), 0), 0);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(count_of("SELECT count(*) FROM account WHERE kind = 4"), 1);
	assert_int_equal(count_of("SELECT count(*) FROM account WHERE expires % 3600 <> 0"), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	check_invariants();
}

/* A booking's key works once, whoever comes with it. */
static void test_key_works_once(void **state)
{
	struct account from, to;
	struct booking b = {0};

	(void)state;
	assert_int_equal(do_grant(alice.id, 100, 0, 1), 0);
	begin();
	assert_int_equal(account_of_key(store->db, alice.id, &from), 0);
	assert_int_equal(account_of_key(store->db, bob.id, &to), 0);
	assert_int_equal(booking_move(&b, &from, &to, 10), 0);
	assert_int_equal(booking_write(store->db, &b, "x", 0), 0);
	assert_int_equal(finish(0), 0);
	begin();
	assert_int_equal(finish(booking_write(store->db, &b, "x", 0)), -EEXIST);
	/* No account but the system's is overdrawn, whatever is booked. */
	b = (struct booking){0};
	from.balance.micro = 1000; /* what it is not */
	assert_int_equal(booking_move(&b, &from, &to, 500), 0);
	from.balance.micro = 0;
	b.account[0].balance.micro = 0;
	begin();
	assert_int_equal(finish(booking_write(store->db, &b, "y", 0)), -ERANGE);
	check_invariants();
}

/* A posting that is done again, as from an older copy of a row, is refused by its key. */
static void test_posting_is_not_repeated(void **state)
{
	struct session before, x;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	begin();
	assert_int_equal(session_row_find(store, first, &before), 0);
	x = before;
	assert_int_equal(session_post(store, &x), 0);
	assert_int_equal(session_row_save(store, &x), 0);
	assert_int_equal(finish(0), 0);
	begin();
	x = before;
	assert_int_equal(finish(session_post(store, &x)), -EEXIST);
	begin();
	x = before;
	x.hold = x.posted;
	x.moves--;
	assert_int_equal(finish(session_hold(store, &x, 10)), -EEXIST);
	check_invariants();
}

/* Sums beyond what the books hold are errors, never other sums. */
static void test_sums_that_do_not_fit(void **state)
{
	uint64_t month = start_of_test + 86400;
	struct ledger_payer p;

	(void)state;
	store->config.free_allowance = 0;
	assert_int_equal(do_grant(alice.id, INT64_MAX - 2000, 0, 1), 0);
	assert_int_equal(do_grant(alice.id, 2001, 0, 2), -ERANGE); /* more than an account holds */
	assert_int_equal(do_grant(alice.id, 1, month, 3), 0);
	assert_int_equal(do_grant(bob.id, 2001, 0, 4), -ERANGE); /* or than sys:grant may owe */
	assert_int_equal(payer_now(alice.id).credit, INT64_MAX - 1999);
	store->config.free_allowance = 1000;
	assert_int_equal(payer_now(alice.id).credit, INT64_MAX - 999);
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(purse_of(alice.id).free_left, 999);
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
	q.kind = (enum query_kind)99;
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
		TEST(test_earned_is_spent),
		TEST(test_fee_telescopes),
		TEST(test_posted_by_the_hour),
		TEST(test_hold_stands),
		TEST(test_run_out_once),
		TEST(test_given_back_last_first),
		TEST(test_hold_ahead_expires),
		TEST(test_unpaid_hold_ends),
		TEST(test_no_time_below_an_hour),
		TEST(test_key_works_once),
		TEST(test_posting_is_not_repeated),
		TEST(test_sums_that_do_not_fit),
		TEST(test_pages),
		TEST(test_order_does_not_matter),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
