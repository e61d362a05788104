/* The provider's books in a dispute: evidence, its pages, and the operator's way out of it. */
#include "tests/lib/store.h"

#include <stdio.h>

static const uint8_t first[SESSION_ID_LEN] = {1}, second[SESSION_ID_LEN] = {2};

static int do_forgive(const uint8_t *session)
{
	uint8_t payer[KEY_LEN];
	int err;

	begin();
	err = finish(store_forgive(store, session, payer));
	if (!err)
		assert_memory_equal(payer, alice.id, KEY_LEN);
	return err;
}

/* As an adopted receipt does that contradicts one of ours. */
static int do_keep(const uint8_t *session, enum evidence_kind kind,
		   const struct receipt_offer *offer, const struct receipt_offer *shown)
{
	struct session x;

	begin();
	assert_int_equal(session_row_find(store, session, &x), 0);
	return finish(evidence_keep(store, &x, kind, offer, shown, 0, 0));
}

static struct query_rows disputes(void)
{
	struct query q = {.kind = QUERY_DISPUTES};
	struct query_rows rows;

	assert_int_equal(store_query(store, &q, &rows), 0);
	return rows;
}

/* The node's own word against itself. */
static struct receipt_offer contradiction(const struct receipt_offer *offer)
{
	struct receipt_offer twin = *offer;

	twin.body.bytes_up = le64_of(le64_get(twin.body.bytes_up) + 1);
	identity_sign(twin.provider_signature, &twin.body, sizeof(twin.body), &node);
	return twin;
}

static void test_contradiction_is_kept_once(void **state)
{
	struct receipt_offer offer, twin;
	struct query_rows rows;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, 1000, 0, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	twin = contradiction(&offer);
	assert_int_equal(do_keep(first, EVIDENCE_EQUIVOCATION, &offer, &twin), 0);
	assert_int_equal(do_keep(first, EVIDENCE_EQUIVOCATION, &offer, &twin), 0);
	rows = disputes();
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.dispute[0].evidence.kind, EVIDENCE_EQUIVOCATION);
	assert_int_equal(rows.dispute[0].state, SESSION_FROZEN);
	assert_int_equal(rows.dispute[0].hour, start_of_test / HOUR);
	assert_memory_equal(&rows.dispute[0].evidence.first, &offer, sizeof(offer));
	assert_memory_equal(&rows.dispute[0].evidence.second, &twin, sizeof(twin));
	assert_int_equal(evidence_check(&rows.dispute[0].evidence, &rows.dispute[0].terms),
			 EVIDENCE_PROOF);
	assert_int_equal(do_issue(first, 2000, 0, &offer), -EACCES);
	/* Of another kind: one more. */
	assert_int_equal(do_keep(first, EVIDENCE_OVERCHARGE, &offer, NULL), 0);
	assert_int_equal(disputes().count, 2);
	check_invariants();
}

static void test_client_word(void **state)
{
	struct receipt_offer offer;
	struct query_rows rows;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, 1000, 500, &offer), 0);
	begin();
	assert_int_equal(finish(store_dispute(store, first, 1, 7, UINT64_MAX)), 0);
	rows = disputes();
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.dispute[0].evidence.kind, EVIDENCE_OVERCHARGE);
	assert_false(rows.dispute[0].evidence.has_second);
	assert_int_equal(rows.dispute[0].evidence.counted_up, 7);
	assert_int_equal(rows.dispute[0].evidence.counted_down, INT64_MAX);
	assert_int_equal(evidence_check(&rows.dispute[0].evidence, &rows.dispute[0].terms),
			 EVIDENCE_CLAIM);
}

static void test_forgiven(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;
	uint64_t window;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	assert_int_equal(do_forgive(first), -EALREADY); /* nothing is wrong with it */
	assert_int_equal(do_issue(first, MIB + 3000, 0, &offer), 0);
	assert_int_equal(do_dispute(first, 2), 0);
	assert_int_equal(payer_now(alice.id).debt, 3000);
	assert_int_equal(do_forgive(second), -EACCES);
	assert_int_equal(do_forgive(first), 0);
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 0);
	assert_int_equal(p.window, MIB); /* as a default set it: only the debt is gone */
	window = p.window;
	check_invariants();
	/* What it carried, and what it signed, stays as it was; the evidence, too. */
	assert_int_equal(disputes().count, 1);
	assert_int_equal(disputes().dispute[0].state, SESSION_CLOSED);
	assert_int_equal(do_forgive(first), -EALREADY);
	assert_int_equal(do_cosign(&offer, &alice, &p), -EBADMSG);
	assert_int_equal(do_close(first, MIB + 9000, 0), 0); /* a late last word changes nothing */
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	assert_int_equal(do_keep(first, EVIDENCE_OVERCHARGE, &offer, NULL), 0);
	assert_int_equal(disputes().dispute[0].state,
			 SESSION_CLOSED); /* nor does saying it again */
	restart();
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 0);
	assert_int_equal(p.window, window);
	check_invariants();
}

/* What was worked off of a debt goes with the debt: it is no advance on the next one. */
static void test_forgiven_after_work(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, MIB, 0, &offer), 0);
	assert_int_equal(do_dispute(first, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	pay(second, MIB / 2, &p);
	assert_int_equal(do_forgive(first), 0);
	assert_int_equal(count_of("SELECT worked FROM payer"), 0);
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 0);
	assert_int_equal(p.window, MIB);
	check_invariants();
}

/* More than a page of them, and those of one session. */
static void test_pages(void **state)
{
	struct query q = {.kind = QUERY_DISPUTES};
	struct query_rows rows;
	struct receipt_offer offer;
	struct ledger_payer p;
	uint8_t session[SESSION_ID_LEN] = {0};
	uint32_t seen = 0;

	(void)state;
	for (uint8_t i = 1; i <= 2 * QUERY_PAGE_DISPUTES + 1; i++) {
		session[0] = i;
		assert_int_equal(do_open(ROLE_EXIT, session, bob.id, &p), 0);
		assert_int_equal(do_issue(session, 100, 100, &offer), 0);
		assert_int_equal(do_dispute(session, 1), 0);
	}
	do {
		assert_int_equal(store_query(store, &q, &rows), 0);
		for (uint32_t i = 0; i < rows.count; i++)
			assert_int_equal(rows.dispute[i].evidence.first.body.session[0], ++seen);
		q.after = rows.next;
	} while (q.after);
	assert_int_equal(seen, 2 * QUERY_PAGE_DISPUTES + 1);
	q.has_session = true;
	memcpy(q.session, session, sizeof(session));
	assert_int_equal(store_query(store, &q, &rows), 0);
	assert_int_equal(rows.count, 1);
	check_invariants();
}

/* All that a payer left unsigned is looked at with each of its requests: who only ever leaves more
 * is carried no further, and goes on as soon as it signs. */
static void test_so_many_debts(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;
	uint8_t id[SESSION_ID_LEN] = {0};

	(void)state;
	for (uint32_t i = 0; i < ENDED_MAX; i++) {
		memcpy(id + 8, &i, sizeof(i));
		assert_int_equal(do_open(ROLE_RELAY, id, alice.id, &p), 0);
		assert_true(p.window > 0);
		assert_int_equal(do_close(id, 1, 0), 0);
	}
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, 0);
	assert_int_equal(p.debt, ENDED_MAX);
	assert_true(p.credit > 0);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_true(p.window > 0);
	check_invariants();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_contradiction_is_kept_once),
		TEST(test_client_word),
		TEST(test_forgiven),
		TEST(test_forgiven_after_work),
		TEST(test_pages),
		TEST(test_so_many_debts),
	};

	log_init("test", LOG_LEVEL_ERROR);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
