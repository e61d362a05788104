/* The ledger process, as the node sees it: forked, asked, stopped, killed, on a full disk. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounting/ledger.h"
#include "accounting/ledger_message.h"
#include "accounting/verify.h"
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

static void test_same_bytes_all_day(void **state)
{
	struct ledger_identity a, b;
	struct descriptor read;
	struct ledger *l;
	char text[DESCRIPTOR_TEXT_MAX + 1];
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ledger_start(&l, &config, i ? &b : &a), 0);
		ledger_stop(l);
	}
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(descriptor_check(&a.descriptor, 7, clock_wall()), DESCRIPTOR_OK);
	assert_memory_equal(a.descriptor.body.node, node.id, KEY_LEN);
	assert_true(file_read(config.descriptor_file, text, DESCRIPTOR_TEXT_MAX) > 0);
	assert_true(descriptor_from_text(&read, text));
	assert_memory_equal(&read, &a.descriptor, sizeof(read));
	assert_int_equal(stat(config.descriptor_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(stat(config.database, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	/* Any second of one day, but not of the next. */
	ledger_describe(&a, &config, &node, UINT64_C(1767225600));
	ledger_describe(&b, &config, &node, UINT64_C(1767225600) + 86399);
	assert_memory_equal(&a, &b, sizeof(a));
	ledger_describe(&b, &config, &node, UINT64_C(1767225600) + 86400);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

static int start_error(void)
{
	struct ledger_identity id;
	struct ledger *l;
	int err = ledger_start(&l, &config, &id);

	if (!err)
		ledger_stop(l);
	return err;
}

static void test_refuses_to_start(void **state)
{
	struct ledger *l = start();
	char other[300];

	(void)state;
	assert_int_equal(start_error(), -ECHILD); /* one process a database */
	ledger_stop(l);
	assert_int_equal(start_error(), 0);

	assert_int_equal(chmod(config.identity_file, 0640), 0);
	assert_int_equal(start_error(), -ECHILD);
	assert_int_equal(chmod(config.identity_file, 0600), 0);
	assert_int_equal(chmod(config.database, 0640), 0);
	assert_int_equal(start_error(), -ECHILD);
	assert_int_equal(chmod(config.database, 0600), 0);
	assert_int_equal(start_error(), 0);

	snprintf(other, sizeof(other), "%s.moved", config.database);
	assert_int_equal(rename(config.database, other), 0);
	assert_int_equal(symlink("ledger.db.moved", config.database), 0);
	assert_int_equal(start_error(), -ECHILD);
	assert_int_equal(unlink(config.database), 0);
	assert_int_equal(rename(other, config.database), 0);
	assert_int_equal(file_replace(config.identity_file, "nonsense", 8, 0600), 0);
	assert_int_equal(start_error(), -ECHILD);
}

/* The child holds the key: it dumps no core and keeps nothing of ours open. */
static void test_child_is_closed_off(void **state)
{
	char path[64], limits[4096];
	struct ledger *l;
	struct stat st;
	int ours[20], fds = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		ours[i] = open("/dev/null", O_RDONLY); /* without CLOEXEC */
	l = start();
	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)ledger_pid(l), fd);
		fds += lstat(path, &st) == 0;
	}
	/* null twice, stderr, the socket, the lock, the database, its WAL and the WAL's index, and
	 * the first two again for the connection that only reads */
	assert_in_range(fds, 4, 10);
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)ledger_pid(l));
	assert_true(file_read(path, limits, sizeof(limits) - 1) > 0);
	assert_non_null(strstr(limits, "Max core file size        0 "));
	/* Signals to the whole group end the node; the ledger waits for the node's word. */
	assert_int_equal(kill(ledger_pid(l), SIGTERM), 0);
	assert_int_equal(kill(ledger_pid(l), SIGINT), 0);
	ledger_payer_now(l, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	ledger_stop(l);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		close(ours[i]);
}

static void test_one_bad_request_harms_no_other(void **state)
{
	struct ledger *l = start();
	const uint8_t junk[SIGNATURE_LEN] = {1}, unknown[SESSION_ID_LEN] = {9};

	(void)state;
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	ledger_cosign(l, session, 1, junk, on_payer, NULL);
	ledger_issue(l, unknown, 1, 1, on_offer, NULL);
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	ledger_close(l, unknown, 1, 1, on_done, NULL);
	ledger_dispute(l, session, 5, 1, 1, on_done, NULL);
	ledger_open(l, (enum role)77, unknown, payer.id, on_payer, NULL);
	ledger_issue(l, session, 100, 200, on_offer, NULL);
	assert_int_equal(await(l, 8), 0);
	assert_int_equal(le64_get(got.offer.body.bytes_down), 200);
	assert_int_equal(cosign_now(l, &got.offer), 0);
	ledger_stop(l);
}

/* More than the socket holds: the rest waits here, all is answered, commits are shared. */
static void test_many_at_once(void **state)
{
	struct ledger *l = start();
	const int count = 3000;
	struct query q = {.kind = QUERY_SESSIONS};

	(void)state;
	for (int i = 0; i < count; i++) {
		uint8_t id[SESSION_ID_LEN] = {7, (uint8_t)i, (uint8_t)(i >> 8)};

		ledger_open(l, ROLE_RELAY, id, payer.id, on_payer, NULL);
	}
	assert_true(ledger_wants_write(l));
	assert_int_equal(await(l, count), 0);
	assert_false(ledger_wants_write(l));
	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.rows.count, QUERY_PAGE);
	assert_int_equal(got.rows.next, QUERY_PAGE);
	ledger_stop(l);
}

/* What was asked for before the stop is done by it. */
static void test_stop_finishes(void **state)
{
	struct ledger *l = start();
	struct query q = {.kind = QUERY_SESSIONS, .after = 1990};

	(void)state;
	for (int i = 0; i < 2000; i++) {
		uint8_t id[SESSION_ID_LEN] = {8, (uint8_t)i, (uint8_t)(i >> 8)};

		ledger_open(l, ROLE_RELAY, id, payer.id, on_payer, NULL);
		ledger_issue(l, id, 1, 0, on_offer, NULL); /* or it would leave nothing */
	}
	ledger_stop(l);
	assert_int_equal(got.calls, 0);
	l = start();
	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.rows.count, 10);
	assert_int_equal(got.rows.session[0].state, SESSION_UNPAID);
	ledger_stop(l);
}

static void test_death_is_told(void **state)
{
	struct ledger *l = start();

	(void)state;
	assert_int_equal(kill(ledger_pid(l), SIGKILL), 0);
	ledger_payer_now(l, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), -EPIPE);
	assert_int_equal(got.calls, 0);
	ledger_stop(l);
}

/* A node that is killed leaves no ledger behind, and what it had asked for is done. */
static void test_node_killed(void **state)
{
	struct query q = {.kind = QUERY_SESSIONS};
	uint64_t deadline = clock_ms() + 5000;
	struct ledger *l;
	pid_t middle, child;
	char path[300];
	int pipes[2], lock, err;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	middle = fork();
	if (middle == 0) {
		l = start();
		child = ledger_pid(l);
		ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
		ledger_issue(l, session, 1, 0, on_offer, NULL);
		if (write(pipes[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		pause();
	}
	assert_int_equal(read(pipes[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(kill(middle, SIGKILL), 0);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	/* Its lock is free as soon as it is gone. */
	snprintf(path, sizeof(path), "%s.lock", config.database);
	lock = open(path, O_RDWR | O_CLOEXEC);
	assert_true(lock >= 0);
	while ((err = flock(lock, LOCK_EX | LOCK_NB)) < 0 && clock_ms() < deadline)
		usleep(20000);
	close(lock);
	assert_int_equal(err, 0);
	l = start();
	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.rows.count, 1);
	ledger_stop(l);
	close(pipes[0]);
	close(pipes[1]);
}

/* Signs receipts until err comes; how many were acknowledged. */
static uint64_t sign_until(struct ledger *l, int err, uint64_t from, uint64_t most)
{
	uint64_t n = from;

	while (n < from + most) {
		int r;

		ledger_issue(l, session, (n + 1) * 100, 0, on_offer, NULL);
		r = await(l, 1);
		if (r == 0)
			r = cosign_now(l, &got.offer);
		if (r == err)
			return n;
		assert_int_equal(r, 0);
		n++;
	}
	return n;
}

static uint64_t signed_so_far(struct ledger *l)
{
	struct query q = {.kind = QUERY_SESSIONS};

	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(got.rows.count, 1);
	return got.rows.session[0].seq;
}

static void fill_disk(const char *path)
{
	static const char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		continue;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void test_full_disk(void **state)
{
	char full[TEST_DIR + 8], filler[TEST_DIR + 24];
	struct ledger *l;
	uint64_t acked;

	(void)state;
	snprintf(full, sizeof(full), "%s/f", dir);
	snprintf(filler, sizeof(filler), "%s/filler", full);
	needs_root("a small file system is mounted");
	assert_int_equal(mkdir(full, 0700), 0);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("none", full, "tmpfs", 0, "size=20m"), 0);
	test_ledger_config(&config, full);
	l = start();
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(sign_until(l, -ENOSPC, 0, 5), 5);
	fill_disk(filler);
	acked = sign_until(l, -ENOSPC, 5, 5000);
	assert_true(acked < 5005);
	/* Answered and alive: nothing of the refused request is in the books, new ones wait. */
	assert_int_equal(signed_so_far(l), acked);
	ledger_open(l, ROLE_RELAY, (const uint8_t[SESSION_ID_LEN]){4}, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), -ENOSPC);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(sign_until(l, -ENOSPC, acked, 20), acked + 20);
	ledger_stop(l);
	l = start();
	assert_int_equal(signed_so_far(l), acked + 20);
	ledger_stop(l);
	assert_int_equal(umount2(full, MNT_DETACH), 0);
}

/* A write that fails is answered, questions too, and it all works again when writes do. */
static void test_write_error_passes(void **state)
{
	const struct rlimit small = {300000, RLIM_INFINITY}, tiny = {100, RLIM_INFINITY};
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct ledger *l = start();
	uint64_t acked;

	(void)state;
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(prlimit(ledger_pid(l), RLIMIT_FSIZE, &small, NULL), 0);
	acked = sign_until(l, -EIO, 0, 5000);
	assert_true(acked < 5000);
	assert_int_equal(signed_so_far(l), acked);
	assert_int_equal(prlimit(ledger_pid(l), RLIMIT_FSIZE, &tiny, NULL), 0);
	ledger_open(l, ROLE_RELAY, (const uint8_t[SESSION_ID_LEN]){4}, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), -EIO);
	assert_int_equal(sign_until(l, -EIO, acked, 1), acked);
	assert_int_equal(prlimit(ledger_pid(l), RLIMIT_FSIZE, &none, NULL), 0);
	assert_int_equal(sign_until(l, -EIO, acked, 20), acked + 20);
	assert_int_equal(signed_so_far(l), acked + 20);
	ledger_stop(l);
	l = start();
	assert_int_equal(signed_so_far(l), acked + 20);
	ledger_stop(l);
}

/* A session that ends while nothing can be written is a debt once it can. */
static void test_close_is_made_up_for(void **state)
{
	const struct rlimit small = {100, RLIM_INFINITY};
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct ledger *l = start();
	uint64_t deadline = clock_ms() + 8000;

	(void)state;
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(prlimit(ledger_pid(l), RLIMIT_FSIZE, &small, NULL), 0);
	ledger_close(l, session, 1000, 234, on_done, NULL);
	assert_int_equal(await(l, 1), -EIO);
	assert_int_equal(prlimit(ledger_pid(l), RLIMIT_FSIZE, &none, NULL), 0);
	do {
		usleep(100000);
		ledger_payer_now(l, payer.id, on_payer, NULL);
		assert_int_equal(await(l, 1), 0);
	} while (got.payer.debt == 0 && clock_ms() < deadline);
	assert_int_equal(got.payer.debt, 1234);
	ledger_stop(l);
}

static void on_bad(void *arg, uint64_t line, const char *why)
{
	(void)arg;
	print_message("line %lu: %s\n", (unsigned long)line, why);
}

/* From the books to a file to a verdict, without the books. */
static void test_export_verifies(void **state)
{
	struct ledger *l = start();
	struct query q = {.kind = QUERY_RECEIPTS};
	const struct verify_options options = {.refused = on_bad};
	struct verify_result result;
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	ledger_open(l, ROLE_RELAY, session, payer.id, on_payer, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(sign_until(l, -EIO, 0, 130), 130);
	do {
		ledger_query(l, &q, on_rows, NULL);
		assert_int_equal(await(l, 1), 0);
		for (uint32_t i = 0; i < got.rows.count; i++)
			assert_int_equal(export_receipt(file, &got.rows.receipt[i].receipt), 0);
		q.after = got.rows.next;
	} while (q.after);
	q.kind = QUERY_TERMS;
	ledger_query(l, &q, on_rows, NULL);
	assert_int_equal(await(l, 1), 0);
	assert_int_equal(export_terms(file, &got.rows.terms[0]), 0);
	rewind(file);
	assert_int_equal(verify_stream(file, &options, &result), 0);
	assert_int_equal(result.bad, 0);
	assert_int_equal(result.receipts, 130);
	assert_int_equal(result.bytes, 13000);
	fclose(file);
	ledger_stop(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain_flow),
		TEST(test_same_bytes_all_day),
		TEST(test_refuses_to_start),
		TEST(test_child_is_closed_off),
		TEST(test_one_bad_request_harms_no_other),
		TEST(test_many_at_once),
		TEST(test_stop_finishes),
		TEST(test_death_is_told),
		TEST(test_node_killed),
		TEST(test_write_error_passes),
		TEST(test_close_is_made_up_for),
		TEST(test_export_verifies),
		TEST(test_full_disk),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
