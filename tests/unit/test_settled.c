/*
 * Real books, settled epoch after epoch, against the verifier that knows nothing of them: every
 * file holds behind the one before it, and its totals are those of the books.
 */
#include "tests/lib/store.h"

#include <stdio.h>

#include "accounting/batch_verify.h"
#include "base/log.h"
#include "tests/lib/settling.h"

enum {
	WORLDS = 5,
	EPOCHS_EACH = 5,
	SESSIONS = 6,
	EVENTS = 40,
};

static uint32_t x = 1;

static uint32_t below(uint32_t n)
{
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % n;
}

static struct {
	uint8_t id[SESSION_ID_LEN];
	enum role role;
	const struct identity *payer;
	uint64_t up, down;
	bool open;
} session[SESSIONS];

static void open_store(const char *dir, uint32_t fee_ppm)
{
	static char database[256], settlement[256];
	struct store_config config = {
		.network = 7,
		.window = {.start = MIB, .cap = 8 * MIB},
		.free_allowance = 3000,
		.fee_ppm = fee_ppm,
		.settlement = settlement,
	};

	snprintf(database, sizeof(database), "%s/ledger.db", dir);
	snprintf(settlement, sizeof(settlement), "%s/settlement", dir);
	memcpy(config.fee_account, carol.id, KEY_LEN);
	assert_int_equal(store_open(&store, database, &config, &node, start_of_test), 0);
	use_terms(ROLE_RELAY, 5000000, 8 * MIB);
	use_terms(ROLE_EXIT, 7000001, 8 * MIB);
}

static void open_sessions(void)
{
	const struct identity *const payers[] = {&alice, &bob, &carol};
	struct ledger_payer out;

	for (unsigned i = 0; i < SESSIONS; i++) {
		for (unsigned k = 0; k < SESSION_ID_LEN; k++)
			session[i].id[k] = (uint8_t)below(256);
		session[i].role = i % 2 ? ROLE_EXIT : ROLE_RELAY;
		session[i].payer = payers[i % ARRAY_SIZE(payers)];
		session[i].up = session[i].down = 0;
		session[i].open =
			do_open(session[i].role, session[i].id, session[i].payer->id, &out) == 0;
	}
}

static void one_event(void)
{
	unsigned i = below(SESSIONS);
	struct receipt_offer offer;
	struct ledger_payer out;

	if (below(8) == 0)
		(void)do_grant(session[i].payer->id, 1 + below(4000), 0, (uint8_t)below(256));
	if (!session[i].open)
		return;
	session[i].up += below(MIB / 4);
	session[i].down += below(MIB / 4);
	if (do_issue(session[i].id, session[i].up, session[i].down, &offer) == 0)
		(void)do_cosign(&offer, session[i].payer, &out);
}

static bool verify(struct batch_chain *c, const char *dir, uint64_t epoch)
{
	struct batch_fault fault;
	struct batch_head head;
	char text[BATCH_FAULT_TEXT];
	FILE *in = fopen(settling_path(dir, epoch), "re");
	int err;

	assert_non_null(in);
	err = batch_chain_next(c, in, &head, &fault);
	fclose(in);
	if (err == -EBADMSG)
		fail_msg("epoch %u: %s", (unsigned)epoch, batch_fault_text(text, &fault));
	assert_int_equal(err, 0);
	assert_int_equal(le64_get(head.body.epoch), epoch);
	assert_int_equal(le64_get(head.body.earned),
			 count_of("SELECT coalesce(sum(paid), 0) FROM session"));
	return le64_get(head.body.earned) > 0;
}

static bool one_world(uint32_t fee_ppm)
{
	const struct batch_rules rules = {.node = node.id};
	struct batch_chain *c = batch_chain_create(&rules);
	char dir[TEST_DIR];
	bool paid = false;

	test_dir_make(dir);
	open_store(dir, fee_ppm);
	open_sessions();
	for (uint64_t epoch = 1; epoch <= EPOCHS_EACH; epoch++) {
		if (epoch == 3)
			open_sessions();
		for (int i = 0; i < EVENTS; i++)
			one_event();
		assert_int_equal(settling_settle(store), epoch);
		check_invariants();
		paid = verify(c, dir, epoch);
	}
	batch_chain_free(c);
	store_close(store);
	test_dir_remove(dir);
	return paid;
}

static void books_and_batches_agree(void **state)
{
	static const uint32_t fees[] = {0, 50000, 333333, 1000000, 1};
	int paid = 0;

	(void)state;
	test_identity(&node, 1);
	test_identity(&alice, 2);
	test_identity(&bob, 3);
	test_identity(&carol, 4);
	for (int i = 0; i < WORLDS; i++)
		paid += one_world(fees[(size_t)i % ARRAY_SIZE(fees)]);
	assert_int_equal(paid, WORLDS); /* or nothing was tested */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_and_batches_agree),
	};

	crypto_start();
	log_init("test_settled", LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
