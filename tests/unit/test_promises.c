/* Promises of issuers in the provider's books: once, here, for whom they name, and nothing else. */
#include "tests/lib/store.h"

#include "tests/lib/order.h"

static struct identity issuer, stranger;

static int setup_issuer(void **state)
{
	setup(state);
	test_identity(&issuer, 20);
	test_identity(&stranger, 21);
	memcpy(store->config.issuers[0], issuer.id, KEY_LEN);
	store->config.issuer_count = 1;
	store->config.free_allowance = 0;
	return 0;
}

struct promise {
	uint64_t network, limit, expires;
	const struct identity *payer, *relay, *issuer;
	uint8_t serial;
};

static struct promise usual(void)
{
	return (struct promise){7, 1000, start_of_test + 3600, &alice, &node, &issuer, 1};
}

static struct grant sign(const struct promise *p)
{
	const uint8_t serial[NONCE_LEN] = {p->serial};
	const struct grant_values v = {
		.network = p->network,
		.payer = p->payer->id,
		.node = p->relay->id,
		.limit = p->limit,
		.expires = p->expires,
		.serial = serial,
	};
	struct grant g;

	grant_make(&g, &v, p->issuer);
	return g;
}

static int take(const struct grant *g, struct ledger_promised *out)
{
	begin();
	return finish(store_promise(store, g, out));
}

static int take_signed(const struct promise *p)
{
	struct grant g = sign(p);
	struct ledger_promised out;

	return take(&g, &out);
}

static void nothing_moved(void)
{
	assert_int_equal(count_of("SELECT count(*) FROM promise"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM txn"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM account"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM payer"), 0);
}

static void test_taken_once(void **state)
{
	struct promise p = usual();
	struct grant g = sign(&p);
	struct ledger_promised out;

	(void)state;
	assert_int_equal(take(&g, &out), 0);
	assert_false(out.known);
	assert_int_equal(out.payer.credit, 1000);
	assert_int_equal(payer_now(bob.id).credit, 0);
	for (int i = 0; i < 3; i++) {
		restart();
		assert_int_equal(take(&g, &out), 0);
		assert_true(out.known);
		assert_int_equal(out.payer.credit, 1000);
	}
	/* The same serial with any other content, or another signature over the same. */
	p.limit = 1001;
	assert_int_equal(take_signed(&p), -EEXIST);
	p = usual();
	p.payer = &bob;
	assert_int_equal(take_signed(&p), -EEXIST);
	p.payer = &alice;
	p.expires = 0;
	assert_int_equal(take_signed(&p), -EEXIST);
	assert_int_equal(payer_now(alice.id).credit, 1000);
	assert_int_equal(payer_now(bob.id).credit, 0);
	assert_int_equal(count_of("SELECT count(*) FROM promise"), 1);
	/* A serial is the issuer's own: another issuer's is another promise. */
	memcpy(store->config.issuers[1], stranger.id, KEY_LEN);
	store->config.issuer_count = 2;
	p = usual();
	p.issuer = &stranger;
	assert_int_equal(take_signed(&p), 0);
	assert_int_equal(payer_now(alice.id).credit, 2000);
	check_invariants();
}

/* Known bytes stay what they are, though they could not be taken any more. */
static void test_known_for_good(void **state)
{
	struct promise p = usual();
	struct grant g = sign(&p);
	struct ledger_promised out;

	(void)state;
	assert_int_equal(take(&g, &out), 0);
	store->config.issuer_count = 0;
	store->now_s = p.expires + 10;
	assert_int_equal(take(&g, &out), 0);
	assert_true(out.known);
	assert_int_equal(out.payer.credit, 0);
	check_invariants();
}

static void test_not_here_not_now_not_theirs(void **state)
{
	struct promise p = usual();

	(void)state;
	p.relay = &bob;
	assert_int_equal(take_signed(&p), -EPERM);
	p = usual();
	p.issuer = &stranger;
	assert_int_equal(take_signed(&p), -EPERM);
	p = usual();
	p.issuer = &node; /* the operator's own key is no issuer unless it is named */
	assert_int_equal(take_signed(&p), -EPERM);
	p = usual();
	p.network = 8;
	assert_int_equal(take_signed(&p), -EBADMSG);
	p = usual();
	p.expires = start_of_test;
	assert_int_equal(take_signed(&p), -ETIME);
	p = usual();
	p.limit = UINT64_C(1) << 63;
	assert_int_equal(take_signed(&p), -EBADMSG);
	nothing_moved();
}

/* One flipped bit anywhere, and nothing is booked, kept or left behind. */
static void test_altered(void **state)
{
	struct promise p = usual();
	struct grant good = sign(&p), g;
	struct ledger_promised out;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		g = good;
		((uint8_t *)&g)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_true(take(&g, &out) < 0);
	}
	g = good;
	add_group_order(g.signature + 32);
	assert_int_equal(take(&g, &out), -EBADMSG);
	nothing_moved();
	assert_int_equal(take(&good, &out), 0);
	g = good;
	add_group_order(g.signature + 32);
	assert_int_equal(take(&g, &out), -EBADMSG);
	assert_int_equal(payer_now(alice.id).credit, 1000);
}

/* It pays for traffic, soonest to expire first, and what is left goes back to whom it came from. */
static void test_spent_and_expired(void **state)
{
	const uint8_t session[SESSION_ID_LEN] = {1};
	struct promise p = usual();
	struct ledger_payer said;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1 << 30, 1 << 30, 8 * MIB, 0, 0});
	memcpy(store->config.issuers[0], issuer.id, KEY_LEN);
	store->config.issuer_count = 1;
	assert_int_equal(take_signed(&p), 0);
	p.serial = 2;
	p.expires += 3600;
	assert_int_equal(take_signed(&p), 0);
	p.serial = 3;
	p.expires = 0;
	assert_int_equal(take_signed(&p), 0);
	assert_int_equal(do_open(ROLE_RELAY, session, alice.id, &said), 0);
	assert_int_equal(said.window, 3000);
	pay(session, 400, &said);
	assert_int_equal(said.credit, 2600);
	check_invariants();
	store->now_s = start_of_test + 3601;
	assert_int_equal(payer_now(alice.id).credit, 2000);
	assert_int_equal(count_of("SELECT -balance FROM account WHERE name LIKE 'sys:issuer:%'"),
			 2400);
	store->now_s = start_of_test + 7201;
	assert_int_equal(payer_now(alice.id).credit, 1000);
	assert_int_equal(count_of("SELECT count(*) FROM account WHERE name = 'sys:grant'"), 0);
	check_invariants();
}

static void test_no_sum_overflows(void **state)
{
	struct promise p = usual();

	(void)state;
	p.limit = ISSUER_MAX + 1;
	assert_int_equal(take_signed(&p), -ERANGE); /* more than an issuer can owe */
	p.limit = ISSUER_MAX;
	assert_int_equal(take_signed(&p), 0);
	p.limit = 1;
	p.serial = 2;
	assert_int_equal(take_signed(&p), -ERANGE);
	p.payer = &bob;
	assert_int_equal(take_signed(&p), -ERANGE);
	memcpy(store->config.issuers[1], stranger.id, KEY_LEN);
	store->config.issuer_count = 2;
	p = usual();
	p.limit = ISSUER_MAX;
	p.issuer = &stranger;
	assert_int_equal(take_signed(&p), 0);
	assert_int_equal(payer_now(alice.id).credit, 2 * ISSUER_MAX);
	assert_int_equal(count_of("SELECT count(*) FROM promise"), 2);
	/* What came back may be promised again. */
	store->now_s = p.expires;
	assert_int_equal(payer_now(alice.id).credit, 0);
	p.expires = 0;
	p.serial = 3;
	assert_int_equal(take_signed(&p), 0);
	check_invariants();
}

/* No issuer fills the accounts that everybody's payments go to: they would not be taken any more.
 */
static void test_the_node_earns_whatever_it_was_promised(void **state)
{
	const uint8_t session[SESSION_ID_LEN] = {1};
	struct promise p = usual();
	struct ledger_payer said;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1 << 30, 1 << 30, 8 * MIB, 0, 0});
	memcpy(store->config.issuers[0], issuer.id, KEY_LEN);
	store->config.issuer_count = 1;
	p.payer = &node;
	p.expires = 0;
	p.limit = INT64_MAX;
	assert_int_equal(take_signed(&p), -ERANGE);
	p.limit = ISSUER_MAX;
	assert_int_equal(take_signed(&p), 0);
	assert_int_equal(do_grant(alice.id, 1000, 0, 1), 0);
	assert_int_equal(do_open(ROLE_RELAY, session, alice.id, &said), 0);
	pay(session, 400, &said);
	assert_int_equal(do_close(session, 400, 0), 0);
	assert_int_equal(count_of("SELECT posted FROM session"), 400);
	check_invariants();
}

/* Every promise that expires is an account of its own, and all of a payer's are looked at with each
 * of its receipts: thousands of tiny ones would hold up everybody. */
static void test_so_many_at_once(void **state)
{
	struct promise p = usual();
	struct ledger_promised out;
	struct grant g;

	(void)state;
	p.limit = 1;
	for (unsigned i = 0; i <= GRANTS_MAX; i++) {
		const unsigned serial = 1000 + i;

		g = sign(&p);
		memcpy(g.body.serial, &serial, sizeof(serial));
		g.body.expires = le64_of(p.expires + i);
		identity_sign(g.signature, &g.body, sizeof(g.body), &issuer);
		assert_int_equal(take(&g, &out), i < GRANTS_MAX ? 0 : -EAGAIN);
	}
	p.serial = 200;
	p.expires = 0; /* in one account with all that stay */
	assert_int_equal(take_signed(&p), 0);
	p.serial = 201;
	p.expires = start_of_test + 7200;
	p.payer = &bob;
	assert_int_equal(take_signed(&p), 0);
	/* When one has run out there is room again. */
	store->now_s = start_of_test + 3600;
	assert_int_equal(take(&g, &out), 0);
	assert_int_equal(out.payer.credit, GRANTS_MAX + 1);
	check_invariants();
}

static void test_listed(void **state)
{
	struct query q = {.kind = QUERY_PROMISES};
	struct query_rows *rows = calloc(1, sizeof(*rows));
	struct promise p = usual();
	unsigned seen = 0;

	(void)state;
	p.expires = 0;
	for (unsigned i = 0; i < QUERY_PAGE + 5; i++) {
		p.serial = (uint8_t)i;
		assert_int_equal(take_signed(&p), 0);
	}
	do {
		assert_int_equal(store_query(store, &q, rows), 0);
		for (uint32_t i = 0; i < rows->count; i++) {
			p.serial = (uint8_t)seen++;
			assert_memory_equal(&rows->promise[i].grant, &(struct grant[]){sign(&p)}[0],
					    sizeof(struct grant));
			assert_int_equal(rows->promise[i].hour, start_of_test / 3600);
		}
		q.after = rows->next;
	} while (rows->next);
	assert_int_equal(seen, QUERY_PAGE + 5);
	free(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_issuer, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_taken_once),
		TEST(test_known_for_good),
		TEST(test_not_here_not_now_not_theirs),
		TEST(test_altered),
		TEST(test_spent_and_expired),
		TEST(test_no_sum_overflows),
		TEST(test_the_node_earns_whatever_it_was_promised),
		TEST(test_so_many_at_once),
		TEST(test_listed),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
