/* The ledger process from inside: renewal, and answers of exactly their length. */
#include "tests/lib/unit.h"

#include "accounting/ledger.c"
#define store_commit commit_or_fail
static int commit_or_fail(struct store *s);
#include "accounting/ledger_process.c"
#undef store_commit
#include "tests/lib/books.h"

static char dir[TEST_DIR];
static struct ledger_config config;
static struct process process;
static struct ledger node_end;

static bool disk_full;
static int conflicts;

static int commit_or_fail(struct store *s)
{
	if (conflicts > 0) {
		conflicts--;
		store_rollback(s);
		return -EAGAIN;
	}
	if (!disk_full)
		return store_commit(s);
	store_rollback(s);
	return -ENOSPC;
}

static int setup(void **state)
{
	int pair[2];

	(void)state;
	test_dir_make(dir);
	test_ledger_config(&config, dir);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	memset(&process, 0, sizeof(process));
	process.config = &config;
	process.socket = pair[1];
	process_start(&process);
	memset(&node_end, 0, sizeof(node_end));
	node_end.fd = pair[0];
	node_end.last = &node_end.first;
	assert_int_equal(ledger_wait_ready(&node_end), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_close(process.store);
	crypto_secret_free(process.by);
	close(process.socket);
	close(node_end.fd);
	free(node_end.waiters);
	test_dir_remove(dir);
	return 0;
}

/* As if it had been started so many days ago: does it renew, and does the node hear of it? */
static bool renews_after(uint64_t days)
{
	struct ledger_identity old;
	char text[DESCRIPTOR_TEXT_MAX + 1];
	struct descriptor read;
	uint64_t now = clock_wall();

	ledger_describe(&old, &config, process.by, now - days * DAY);
	process.identity = node_end.identity = old;
	unlink(config.descriptor_file);
	process_renew(&process);
	assert_int_equal(ledger_dispatch(&node_end), 0);
	if (memcmp(ledger_identity_now(&node_end), &old, sizeof(old)) == 0)
		return false;
	assert_int_equal(descriptor_check(&node_end.identity.descriptor, 7, now), DESCRIPTOR_OK);
	assert_true(file_read(config.descriptor_file, text, DESCRIPTOR_TEXT_MAX) > 0);
	assert_true(descriptor_from_text(&read, text));
	assert_memory_equal(&read, &node_end.identity.descriptor, sizeof(read));
	return true;
}

static void test_renewal(void **state)
{
	(void)state;
	assert_false(renews_after(0));
	assert_false(renews_after(14)); /* more than half of 30 days are left */
	assert_true(renews_after(15));
	assert_true(renews_after(29));
	assert_true(renews_after(100)); /* slept through its expiry */
}

/* What could not be stored is not offered, and is tried again at the next wake. */
static void test_renewal_on_a_full_disk(void **state)
{
	struct ledger_identity old;

	(void)state;
	ledger_describe(&old, &config, process.by, clock_wall() - UINT64_C(15) * DAY);
	process.identity = node_end.identity = old;
	disk_full = true;
	process_renew(&process);
	disk_full = false;
	assert_int_equal(ledger_dispatch(&node_end), 0);
	assert_memory_equal(ledger_identity_now(&node_end), &old, sizeof(old));
	process_renew(&process);
	assert_int_equal(ledger_dispatch(&node_end), 0);
	assert_memory_not_equal(ledger_identity_now(&node_end), &old, sizeof(old));
}

static void test_roles(void **state)
{
	const struct descriptor_body *d = &process.identity.descriptor.body;

	(void)state;
	config.roles = ROLE_RELAY;
	ledger_describe(&process.identity, &config, process.by, clock_wall());
	assert_true(crypto_is_zero(&d->exit_terms, sizeof(d->exit_terms)));
	assert_true(crypto_is_zero(d->wg_key, sizeof(d->wg_key)));
	assert_int_equal(le16_get(d->wg_port), 0);
	assert_true(terms_valid(&d->relay_terms));
	assert_int_equal(descriptor_check(&process.identity.descriptor, 7, 0), DESCRIPTOR_OK);
	config.roles = ROLE_EXIT;
	ledger_describe(&process.identity, &config, process.by, clock_wall());
	assert_true(crypto_is_zero(&d->relay_terms, sizeof(d->relay_terms)));
	assert_int_equal(descriptor_check(&process.identity.descriptor, 7, 0), DESCRIPTOR_OK);
}

static int granted_err, granted_calls;

static void on_grant_answered(void *arg, int err)
{
	(void)arg;
	granted_calls++;
	granted_err = err;
}

static int grant_meeting(int others)
{
	const uint8_t payer[KEY_LEN] = {7};
	const uint8_t key[NONCE_LEN] = {(uint8_t)(others + 1)};

	conflicts = others;
	granted_calls = 0;
	ledger_grant(&node_end, payer, 5, 0, key, on_grant_answered, NULL);
	process_batch(&process, process_receive(&process));
	conflicts = 0;
	assert_int_equal(ledger_dispatch(&node_end), 0);
	assert_int_equal(granted_calls, 1);
	return granted_err;
}

/* An engine with several writers may undo a commit for another's sake: it is done again, answered
 * once. */
static void test_commit_again(void **state)
{
	(void)state;
	assert_int_equal(grant_meeting(0), 0);
	assert_int_equal(grant_meeting(4), 0);
	assert_int_equal(grant_meeting(5), -EAGAIN);
}

static void test_lengths(void **state)
{
	struct ledger_answer a = {.kind = LEDGER_QUERY};
	const size_t header = offsetof(struct ledger_answer, payer);

	(void)state;
	a.rows.kind = QUERY_RECEIPTS;
	a.rows.count = QUERY_PAGE;
	assert_true(ledger_answer_length(&a) <= sizeof(a));
	assert_true(ledger_answer_length(&a) * 4 < LEDGER_SOCKET_BUFFER);
	a.rows.count = 0;
	assert_true(ledger_answer_length(&a) >= header);
	for (uint32_t kind = 0; kind <= LEDGER_KINDS; kind++) {
		a.kind = kind;
		a.err = -EIO;
		assert_int_equal(ledger_answer_length(&a), header);
	}
}

/* ---- requests that share a commit ---- */

struct granted {
	int err;
	bool answered;
};

static void on_granted(void *arg, int err)
{
	struct granted *g = arg;

	g->err = err;
	g->answered = true;
}

static void on_payer(void *arg, int err, const struct ledger_payer *payer)
{
	struct ledger_payer *out = arg;

	assert_int_equal(err, 0);
	*out = *payer;
}

static void on_credits(void *arg, int err, const struct query_rows *rows)
{
	uint32_t *count = arg;

	assert_int_equal(err, 0);
	*count = rows->count;
}

static void serve(size_t requests)
{
	assert_int_equal(process_receive(&process), requests);
	process_batch(&process, requests);
	assert_int_equal(ledger_dispatch(&node_end), 0);
}

static void grant(uint8_t payer, uint8_t key, struct granted *out)
{
	const uint8_t id[KEY_LEN] = {payer}, nonce[NONCE_LEN] = {key};

	*out = (struct granted){0};
	ledger_grant(&node_end, id, 1000, 0, nonce, on_granted, out);
}

/* The second names a key that is taken, which shows only after its payer was written down. */
static void test_half_done_is_not_done(void **state)
{
	const uint8_t third[KEY_LEN] = {3};
	struct granted g[3];
	struct ledger_payer payer;
	uint32_t payers;

	(void)state;
	grant(1, 1, &g[0]);
	grant(2, 1, &g[1]);
	grant(3, 3, &g[2]);
	serve(3);
	assert_true(g[0].answered && g[1].answered && g[2].answered);
	assert_int_equal(g[0].err, 0);
	assert_int_equal(g[1].err, -EEXIST);
	assert_int_equal(g[2].err, 0);
	ledger_query(&node_end, &(struct query){.kind = QUERY_CREDITS}, on_credits, &payers);
	ledger_payer_now(&node_end, third, on_payer, &payer);
	serve(2);
	assert_int_equal(payers, 2);
	assert_int_equal(payer.credit, config.free_allowance + 1000); /* once */
}

static void on_answer(void *arg, int err, const struct ledger_payer *payer)
{
	int *answers = arg;

	(void)payer;
	assert_int_equal(err, 0);
	(*answers)++;
}

/* However many wait, each is answered once, in as many rounds as it takes, and makes room. */
static void test_many_wait(void **state)
{
	static int answers[2][700];
	const uint8_t id[KEY_LEN] = {1};

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(answers[round]); i++)
			ledger_payer_now(&node_end, id, on_answer, &answers[round][i]);
		for (size_t n; (n = process_receive(&process)) > 0;) {
			process_batch(&process, n);
			assert_int_equal(ledger_dispatch(&node_end), 0);
		}
		for (size_t i = 0; i < ARRAY_SIZE(answers[round]); i++)
			assert_int_equal(answers[round][i], 1);
		assert_int_equal(node_end.waiter_count, 1024);
	}
}

/* A relay asks again and again to end a session while the disk is broken: that takes no room from
 * others, who ask once. */
static void test_an_end_is_remembered_once(void **state)
{
	struct ledger_request r = {.kind = LEDGER_CLOSE, .session = {1}};

	(void)state;
	for (r.up = 1; r.up <= 2 * UNCLOSED_MAX; r.up++)
		process_remember(&process, &r);
	assert_int_equal(process.unclosed_count, 1);
	assert_int_equal(process.unclosed[0].up, 2 * UNCLOSED_MAX);
	r.session[0] = 2;
	r.up = 7;
	process_remember(&process, &r);
	assert_int_equal(process.unclosed_count, 2);
	assert_int_equal(process.unclosed[1].up, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_renewal),
		TEST(test_renewal_on_a_full_disk),
		TEST(test_half_done_is_not_done),
		TEST(test_many_wait),
		TEST(test_roles),
		TEST(test_commit_again),
		TEST(test_an_end_is_remembered_once),
		TEST(test_lengths),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
