/* The ledger process, as the node sees it: forked, asked, stopped, killed, on a full disk. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "accounting/ledger.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "tests/lib/books.h"

static char dir[TEST_DIR];
static struct ledger_config config;
static struct identity node, payer;
static const uint8_t session[SESSION_ID_LEN] = {1, 2, 3};

/* ---- asking and waiting ---- */

static struct got {
	int calls, err;
	struct ledger_payer payer;
	struct receipt_offer offer;
	struct query_rows rows;
} got;

static void on_payer(void *arg, int err, const struct ledger_payer *p)
{
	(void)arg;
	got.calls++;
	got.err = err;
	if (p)
		got.payer = *p;
}

static void on_offer(void *arg, int err, const struct receipt_offer *offer)
{
	(void)arg;
	got.calls++;
	got.err = err;
	if (offer)
		got.offer = *offer;
}

static void on_done(void *arg, int err)
{
	(void)arg;
	got.calls++;
	got.err = err;
}

static void on_rows(void *arg, int err, const struct query_rows *rows)
{
	(void)arg;
	got.calls++;
	got.err = err;
	if (rows)
		got.rows = *rows;
}

/* Until calls callbacks ran; the last one's error, or -EPIPE. */
static int await(struct ledger *l, int calls)
{
	uint64_t deadline = clock_ms() + 10000;

	while (got.calls < calls && clock_ms() < deadline) {
		struct pollfd wait = {.fd = ledger_fd(l), .events = POLLIN};
		int err;

		if (ledger_wants_write(l))
			wait.events |= POLLOUT;
		poll(&wait, 1, 1000);
		err = ledger_dispatch(l);
		if (err)
			return err;
	}
	assert_int_equal(got.calls, calls);
	got.calls = 0;
	return got.err;
}

static int cosign_now(struct ledger *l, const struct receipt_offer *offer)
{
	struct receipt r;

	receipt_cosign(&r, offer, &payer);
	ledger_cosign(l, offer->body.session, le64_get(offer->body.seq), r.payer_signature,
		      on_payer, NULL);
	return await(l, 1);
}

static struct ledger *start(void)
{
	struct ledger_identity id;
	struct ledger *l;

	assert_int_equal(ledger_start(&l, &config, &id), 0);
	return l;
}

static int setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	test_dir_make(dir);
	test_ledger_config(&config, dir);
	test_identity(&node, 1);
	test_identity(&payer, 9);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_dir_remove(dir);
	return 0;
}

/* ---- tests ---- */

static void test_plain_flow(void **state)
{
	struct ledger *l = start();
	struct receipt_offer first;
	struct query q = {.kind = QUERY_RECEIPTS};

	(void)state;
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.payer.window, 1 << 20);
	assert_int_equal(got.payer.credit, 1000000);
	assert_int_equal(got.payer.debt, 0);

	ledger_issue(l, session, 0, 0, on_offer, NULL);
	assert_int_equal(await(l, 1), -EALREADY);
	ledger_issue(l, session, 1000, 1 << 20, on_offer, NULL);
	assert_int_equal(await(l, 1), 0);
	first = got.offer;
	assert_int_equal(
		receipt_check_offer(&first, &ledger_identity_now(l)->descriptor.body.relay_terms),
		RECEIPT_OK);
	/* More bytes, but the first is not signed: no second body with its number. */
	ledger_issue(l, session, 5000, 2 << 20, on_offer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_memory_equal(&got.offer, &first, sizeof(first));

	assert_int_equal(cosign_now(l, &first), 0);
	assert_int_equal(got.payer.window, 2 << 20);
	assert_int_equal(got.payer.credit, 1000000 - le64_get(first.body.amount));
	assert_int_equal(cosign_now(l, &first), 0);

	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.rows.count, 1);
	assert_memory_equal(&got.rows.receipt[0].receipt.offer, &first, sizeof(first));

	ledger_close(l, session, 5000, 2 << 20, on_done, NULL);
	assert_int_equal(await(l, 1), 0);
	ledger_unpaid(l, payer.id, on_offer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(cosign_now(l, &got.offer), 0);
	assert_int_equal(got.payer.debt, 0);
	ledger_unpaid(l, payer.id, on_offer, NULL);
	assert_int_equal(await(l, 1), -ENOENT);
	ledger_stop(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain_flow, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
