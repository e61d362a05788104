/*
 * Settling is done between requests: while the ledger process settles, prunes and makes again what
 * takes it seconds, whoever asks it something is answered as ever, and a receipt is signed as ever.
 *
 * Runs alone: it holds shares of time.
 */
#include "tests/lib/unit.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "accounting/ledger.h"
#include "base/clock.h"
#include "tests/lib/books.h"
#include "tests/lib/settling.h"

enum {
	SESSIONS = 250,
	RECEIPTS = 400,
	SHARE = 4, /* of all the time it takes: the longest wait is a slice of it, and no piece */
	DEADLINE_MS = 120 * 1000,
};

static char dir[TEST_DIR];
static struct ledger_config config;
static struct ledger *ledger;
static struct identity node, alice;
static uint8_t session[SESSION_ID_LEN] = {0xfe};

static unsigned answers;
static int answer;
static struct receipt_offer offer;
static struct query_epoch epoch;
static struct ledger_settled settled;

static void on_payer(void *arg, int err, const struct ledger_payer *p)
{
	(void)arg;
	(void)p;
	answers++;
	answer = err;
}

static void on_issued(void *arg, int err, const struct receipt_offer *o)
{
	(void)arg;
	answers++;
	answer = err;
	if (o)
		offer = *o;
}

static void on_settled(void *arg, int err, const struct ledger_settled *s)
{
	(void)arg;
	answers++;
	answer = err;
	if (s)
		settled = *s;
}

static void on_rows(void *arg, int err, const struct query_rows *rows)
{
	(void)arg;
	answers++;
	answer = err;
	if (rows && rows->count)
		epoch = rows->epoch[0];
}

/* Until the one answer that is awaited is there: how long that took, in ms. */
static uint64_t await(void)
{
	uint64_t begun = clock_ms();

	while (!answers) {
		struct pollfd wait = {.fd = ledger_fd(ledger), .events = POLLIN};

		assert_true(clock_ms() - begun < DEADLINE_MS);
		poll(&wait, 1, 1000);
		assert_int_equal(ledger_dispatch(ledger), 0);
	}
	assert_int_equal(answers, 1);
	assert_int_equal(answer, 0);
	answers = 0;
	return clock_ms() - begun;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A receipt issued and signed: the longer of the two waits. */
static uint64_t sign(uint64_t bytes)
{
	struct receipt r;
	uint64_t took;

	ledger_issue(ledger, session, bytes, 0, on_issued, NULL);
	took = await();
	receipt_cosign(&r, &offer, &alice);
	ledger_cosign(ledger, session, le64_get(offer.body.seq), r.payer_signature, on_payer, NULL);
	return longer(took, await());
}

static uint64_t look(void)
{
	const struct query q = {.kind = QUERY_EPOCHS};

	ledger_query(ledger, &q, on_rows, NULL);
	return await();
}

/* Signs receipts until the epoch's file is there, and its state is at least this. */
static void work_until(uint8_t state, const char *what)
{
	static uint64_t bytes; /* more in each session than in the one before does no harm */
	uint64_t begun = clock_ms(), longest = 0;
	unsigned receipts = 0;

	do {
		longest = longer(longest, sign(bytes += 1000));
		longest = longer(longest, look());
		receipts++;
		assert_true(clock_ms() - begun < DEADLINE_MS);
	} while (epoch.busy || epoch.state < state);
	print_message("%s: %" PRIu64 " ms, %u receipts meanwhile, the longest wait %" PRIu64
		      " ms\n",
		      what, clock_ms() - begun, receipts, longest);
	assert_int_equal(epoch.err, 0);
	assert_true(receipts > 10);
	assert_true(longest * SHARE < clock_ms() - begun);
}

static void settle(uint64_t which)
{
	ledger_settle(ledger, which, on_settled, NULL);
	await();
	assert_int_equal(settled.epoch, 1);
	assert_true(settled.fresh);
}

static void start(uint64_t retention_days)
{
	struct ledger_identity id;

	config.retention_days = retention_days;
	assert_int_equal(ledger_start(&ledger, &config, &id), 0);
}

/* What is too old from now on. */
static void age(void)
{
	struct store *s = settling_open(dir, &node, 0);

	assert_int_equal(db_exec(s->db, "UPDATE epoch SET hour = hour - 480"), 0);
	store_close(s);
}

static void open_session(uint8_t n)
{
	session[1] = n;
	ledger_open(ledger, ROLE_RELAY, session, alice.id, on_payer, NULL);
	await();
}

static void test_requests_do_not_wait_for_settling(void **state)
{
	(void)state;
	start(0);
	open_session(1);
	settle(0);
	work_until(EPOCH_WRITTEN, "settling");
	settle(1);
	work_until(EPOCH_WRITTEN, "making it again");
	ledger_stop(ledger);
	age();
	start(1);
	open_session(2);
	work_until(EPOCH_PRUNED, "pruning");
	ledger_stop(ledger);
}

static int setup(void **state)
{
	struct store *s;

	(void)state;
	test_identity(&node, 1);
	test_identity(&alice, 2);
	test_dir_make(dir);
	test_ledger_config(&config, dir);
	snprintf(config.settlement, sizeof(config.settlement), "%s/settlement", dir);
	s = settling_open(dir, &node, 0);
	settling_fill(s, &(struct settling_plan){SESSIONS, RECEIPTS, 1, true});
	store_close(s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_dir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests_do_not_wait_for_settling, setup,
						teardown),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
