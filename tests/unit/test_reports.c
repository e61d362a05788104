/*
 * The books read back: what a session is explained by, what was earned, and that nothing of it
 * needs a look at every row.
 */
#include "accounting/db.c"
#include "base/text.h"
#include "tests/lib/store.h"

static const struct test_world dear = {MIB << 10, MIB << 10, 8 * MIB, 3 * MIB / 2, 50000};
static struct query_rows rows;

static int setup_dear(void **state)
{
	int err = setup(state);

	store_close(store);
	store_new(&dear); /* a micro-credit a byte, and a fee of 5 % */
	return err;
}

static const struct query_rows *ask(enum query_kind kind, const uint8_t *session, uint64_t after)
{
	struct query q = {.kind = kind, .after = after, .until = UINT64_C(1) << 22};

	q.has_session = session != NULL;
	if (session)
		memcpy(q.session, session, SESSION_ID_LEN);
	begin();
	assert_int_equal(finish(store_query(store, &q, &rows)), 0);
	return &rows;
}

static const struct query_explain *explained(const uint8_t *session)
{
	return &ask(QUERY_EXPLAIN, session, 0)->explain[0];
}

/* ---- one session's bookings ---- */

struct legs {
	int64_t held, returned, posted; /* by kind of booking: what the hold's legs sum to */
	int64_t all;                    /* of all legs: 0 */
	int64_t given, fee, node;
	size_t count;
};

static void add_leg(struct legs *sum, const struct query_booking *b)
{
	bool hold = strncmp(b->account, "hold:", 5) == 0;

	sum->all += b->amount;
	sum->count++;
	if (hold && strncmp(b->key, "hold:", 5) == 0)
		sum->held += b->amount;
	if (hold && strncmp(b->key, "release:", 8) == 0)
		sum->returned -= b->amount;
	if (hold && strncmp(b->key, "pay:", 4) == 0)
		sum->posted -= b->amount;
	assert_int_equal(hold, b->source[0] != '\0');
	if (hold)
		assert_true(strncmp(b->source, "free:", 5) == 0 ||
			    strncmp(b->source, "user:", 5) == 0);
	if (strcmp(b->account, "sys:given") == 0)
		sum->given += b->amount;
}

static struct legs legs_of(const uint8_t *session)
{
	char fee[QUERY_ACCOUNT_TEXT] = "user:", earner[QUERY_ACCOUNT_TEXT] = "user:";
	struct legs sum = {0};
	uint64_t after = 0, last = 0;

	text_hex(fee + 5, carol.id, KEY_LEN);
	text_hex(earner + 5, node.id, KEY_LEN);
	do {
		ask(QUERY_BOOKINGS, session, after);
		for (uint32_t i = 0; i < rows.count; i++) {
			const struct query_booking *b = &rows.booking[i];

			assert_true(b->txn >= last);
			last = b->txn;
			add_leg(&sum, b);
			sum.fee += strcmp(b->account, fee) == 0 ? b->amount : 0;
			sum.node += strcmp(b->account, earner) == 0 ? b->amount : 0;
		}
		assert_true(rows.next == 0 || rows.next > after);
		after = rows.next;
	} while (after);
	return sum;
}

/* What the bookings of a session come to is what its row says, whatever has happened to it. */
static void check_explained(const uint8_t *session)
{
	struct query_explain x = *explained(session);
	uint64_t fee = x.paid / 1000000 * x.fee_ppm + x.paid % 1000000 * x.fee_ppm / 1000000;
	struct legs sum = legs_of(session);

	assert_int_equal(sum.all, 0);
	assert_int_equal(sum.held - sum.returned, x.hold);
	assert_int_equal(sum.posted, x.posted);
	assert_int_equal(sum.given, x.posted - x.paid);
	assert_int_equal(sum.fee, fee);
	assert_int_equal(sum.node, x.paid - fee);
	if (x.has_receipt)
		assert_int_equal(receipt_check(&x.receipt, &x.terms), RECEIPT_OK);
}

/* Out of the allowance first, then out of a grant; what is left of the hold goes back. */
static void test_explain(void **state)
{
	static const uint8_t session[SESSION_ID_LEN] = {1}, other[SESSION_ID_LEN] = {1, 1};
	const struct query q = {.kind = QUERY_EXPLAIN, .has_session = true, .session = {9}};
	struct receipt_offer offer;
	struct ledger_payer out;
	const struct query_explain *x;
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(do_grant(alice.id, 300 * MIB, 0, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, session, alice.id, &out), 0);
	assert_int_equal(do_open(ROLE_EXIT, other, alice.id, &out), 0);
	x = explained(session);
	assert_false(x->has_receipt || x->has_offer);
	assert_int_equal(x->hold, 0);
	pay(other, 1000, &out);
	for (int i = 0; i < 40; i++) {
		bytes += 7 * MIB / 2;
		store->now_s += 3600;
		pay(session, bytes, &out);
		check_explained(session);
	}
	assert_true(legs_of(session).count > QUERY_PAGE);
	assert_int_equal(do_issue(session, bytes + 77, 3, &offer), 0);
	x = explained(session);
	assert_true(x->has_offer);
	assert_memory_equal(&x->offer, &offer, sizeof(offer));
	assert_int_equal(x->counted_up, bytes + 77);
	assert_int_equal(x->fee_ppm, 50000);
	assert_memory_equal(x->fee_account, carol.id, KEY_LEN);
	assert_int_equal(do_cosign(&offer, &alice, &out), 0);
	assert_int_equal(do_close(session, bytes + 77, 3), 0);
	x = explained(session);
	assert_int_equal(x->state, SESSION_CLOSED);
	assert_int_equal(x->posted, bytes + 80);
	assert_true(x->paid > 0 && x->paid < x->posted); /* the rest was an allowance */
	check_explained(session);
	assert_true(legs_of(session).returned > 0);
	check_explained(other); /* the keys of one session's bookings are not another's */
	begin();
	assert_int_equal(finish(store_query(store, &q, &rows)), -ENOENT);
	check_invariants();
}

/* ---- earnings ---- */

enum {
	PAYERS = 90, /* more than a page */
	DAYS = 9,
};

static struct identity payers[PAYERS];

/* Sums over all pages of since..until, by payer if one is given. */
static struct query_earning earned(uint64_t since, uint64_t until, const uint8_t *payer)
{
	struct query q = {.kind = QUERY_EARNINGS, .since = since, .until = until};
	struct query_earning sum = {0};

	do {
		begin();
		assert_int_equal(finish(store_query(store, &q, &rows)), 0);
		for (uint32_t i = 0; i < rows.count; i++) {
			const struct query_earning *e = &rows.earning[i];

			assert_int_equal(e->amount, e->allowance + e->fee + e->earned);
			assert_true(e->day >= since / 24 && e->day * 24 < until && e->postings);
			if (payer && memcmp(payer, e->payer, KEY_LEN) != 0)
				continue;
			sum.postings += e->postings;
			sum.bytes += e->bytes;
			sum.amount += e->amount;
			sum.allowance += e->allowance;
			sum.fee += e->fee;
			sum.earned += e->earned;
		}
		assert_true(rows.next == 0 || rows.next > q.after);
		q.after = rows.next;
	} while (q.after);
	return sum;
}

static void session_key(uint8_t key[static SESSION_ID_LEN], uint8_t day, uint8_t n)
{
	memset(key, 0, SESSION_ID_LEN);
	key[0] = (uint8_t)(day + 1);
	key[1] = n;
}

/* Sessions of many payers over days, some with a grant, some out of credit, some unsigned. */
static void live_a_day(uint8_t day)
{
	uint8_t key[SESSION_ID_LEN];
	struct receipt_offer offer;
	struct ledger_payer out;

	for (uint8_t n = 0; n < PAYERS; n++) {
		session_key(key, day, n);
		if ((n + day) % 7 == 0) {
			begin();
			assert_int_equal(finish(store_grant(store, payers[n].id, MIB, 0, key)), 0);
		}
		assert_int_equal(do_open(n % 2 ? ROLE_RELAY : ROLE_EXIT, key, payers[n].id, &out),
				 0);
		for (uint64_t hour = 1; hour < 3; hour++) {
			store->now_s += n % 3 ? 0 : 3600;
			assert_int_equal(
				do_issue(key, hour * (uint64_t)(1000 + n * 4001u), hour, &offer),
				0);
			assert_int_equal(do_cosign(&offer, &payers[n], &out), 0);
		}
		if (n % 5)
			assert_int_equal(do_close(key, le64_get(offer.body.bytes_up) + (n % 4 == 0),
						  le64_get(offer.body.bytes_down)),
					 0);
	}
	store->now_s += 24 * 3600;
}

static void test_earnings(void **state)
{
	uint64_t first = start_of_test / 3600, last;
	struct query_earning all, part = {0};

	(void)state;
	for (uint8_t n = 0; n < PAYERS; n++)
		test_identity(&payers[n], (uint8_t)(n + 10));
	for (uint8_t day = 0; day < DAYS; day++)
		live_a_day(day);
	post_all();
	check_invariants();
	last = store->now_s / 3600 + 1;
	all = earned(0, UINT64_C(1) << 22, NULL);
	assert_true(all.postings > 1000); /* more than one page looks at */
	assert_int_equal(all.allowance,
			 count_of("SELECT balance FROM account WHERE name = 'sys:given'"));
	assert_int_equal(all.fee + all.earned, count_of("SELECT sum(paid) FROM session"));
	assert_int_equal(all.amount, count_of("SELECT sum(posted) FROM session"));
	assert_int_equal(all.bytes, count_of("SELECT sum(posted_bytes) FROM session"));
	assert_true(all.fee > 0 && all.allowance > 0);
	for (uint8_t n = 0; n < PAYERS; n += 13) {
		struct query_earning of = earned(0, UINT64_C(1) << 22, payers[n].id);
		struct payer p;

		assert_int_equal(payer_known(store, payers[n].id, &p), 0);
		assert_int_equal(of.amount, p.earned);
	}
	for (uint64_t hour = first; hour < last; hour += 5) {
		struct query_earning some = earned(hour, hour + 5, NULL);

		part.amount += some.amount;
		part.bytes += some.bytes;
		part.postings += some.postings;
	}
	assert_int_equal(part.amount, all.amount);
	assert_int_equal(part.bytes, all.bytes);
	assert_int_equal(part.postings, all.postings);
	assert_int_equal(earned(last, last + 1000, NULL).postings, 0);
	assert_int_equal(earned(10, 10, NULL).postings, 0);
	for (uint8_t day = 0; day < DAYS; day++)
		for (uint8_t n = 0; n < PAYERS; n += 7) {
			uint8_t key[SESSION_ID_LEN];

			session_key(key, day, n);
			check_explained(key);
		}
}

static void test_earnings_refuses(void **state)
{
	struct query q = {.kind = QUERY_EARNINGS, .since = 100, .until = 200, .after = 1};

	(void)state;
	begin();
	assert_int_equal(finish(store_query(store, &q, &rows)),
			 -EINVAL); /* a page of no such question */
	q.after = UINT64_C(250) << 40;
	begin();
	assert_int_equal(finish(store_query(store, &q, &rows)), -EINVAL);
	q = (struct query){.kind = QUERY_EARNINGS, .until = UINT64_MAX};
	begin();
	assert_int_equal(finish(store_query(store, &q, &rows)), -EINVAL);
}

/* ---- by index ---- */

/* The plan of one statement of ours, line by line: none looks at a whole table, or index. */
static void check_plan(const char *sql)
{
	char explain[2048];
	sqlite3_stmt *s;

	snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
	assert_int_equal(sqlite3_prepare_v2(store->db->handle, explain, -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(s, 3);

		if (strncmp(line, "SCAN", 4) == 0 && strcmp(line, "SCAN CONSTANT ROW") != 0)
			fail_msg("%s: %s", line, sql);
	}
	sqlite3_finalize(s);
}

/* Every statement that a question prepares, or a dispute. */
static void test_by_index(void **state)
{
	static const uint8_t session[SESSION_ID_LEN] = {1};
	struct receipt_offer offer;
	struct ledger_payer out;
	size_t asked = 0;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, session, alice.id, &out), 0);
	pay(session, MIB / 2, &out);
	/* Forget what other calls have prepared. */
	for (size_t i = 0; i < store->db->count; i++)
		sqlite3_finalize(store->db->stmts[i].stmt);
	memset(store->db->stmts, 0, sizeof(store->db->stmts));
	store->db->count = 0;
	ask(QUERY_CREDITS, NULL, 0);
	assert_int_equal(rows.count, 1);
	ask(QUERY_EXPLAIN, session, 0);
	ask(QUERY_BOOKINGS, session, 0);
	assert_true(rows.count > 0);
	post_all();
	ask(QUERY_EARNINGS, NULL, 0);
	assert_int_equal(rows.count, 1);
	begin();
	assert_int_equal(store_issue(store, session, MIB, 0, &offer), 0);
	assert_int_equal(finish(store_dispute(store, session, le64_get(offer.body.seq), 0, 0)), 0);
	for (size_t i = 0; i < store->db->count; i++)
		if (strncmp(store->db->stmts[i].sql, "SELECT", 6) == 0) {
			check_plan(store->db->stmts[i].sql);
			asked++;
		}
	assert_true(asked >= 15);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_dear, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_explain),
		TEST(test_earnings),
		TEST(test_earnings_refuses),
		TEST(test_by_index),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
