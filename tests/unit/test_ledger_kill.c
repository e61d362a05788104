/*
 * kill -9 of the ledger process, each at a random moment under a stream of receipts, on a real
 * disk: no acknowledged co-signature is missing, no (session, seq) ever has two bodies, the books
 * balance. LEDGER_KILLS=COUNT in the environment runs more than the usual 50, two at a time.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "accounting/ledger.h"
#include "accounting/migrations.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/lib/books.h"

enum {
	STREAMS = 8, /* sessions in flight at once, so that commits are shared */
	BYTES = 1000,
	WORKERS = 2,
	ROUNDS = 250, /* with one database: every start reads all of it */
};

/* One session's stream of receipts, as far as this side knows it. */
struct stream {
	uint8_t id[SESSION_ID_LEN];
	uint64_t bytes;
	uint64_t acked; /* seq of the newest acknowledged co-signature */
	bool offered;
	struct receipt_offer offer; /* the newest seen */
};

static uint64_t kills = 50;
static char dir[TEST_DIR];
static struct ledger_config config;
static struct identity payer;
static struct stream streams[STREAMS];
static struct ledger *ledger;
static uint64_t acked_total;
static bool streaming;

/* ---- the streams: issue, sign, and so on for ever ---- */

static void next(struct stream *s);

static void on_signed(void *arg, int err, const struct ledger_payer *now)
{
	struct stream *s = arg;

	(void)now;
	assert_int_equal(err, 0);
	s->acked = le64_get(s->offer.body.seq);
	acked_total++;
	next(s);
}

static void on_issued(void *arg, int err, const struct receipt_offer *offer)
{
	struct stream *s = arg;
	struct receipt r;

	assert_int_equal(err, 0);
	s->offer = *offer;
	s->offered = true;
	receipt_cosign(&r, offer, &payer);
	ledger_cosign(ledger, s->id, le64_get(offer->body.seq), r.payer_signature, on_signed, s);
}

static void next(struct stream *s)
{
	if (!streaming)
		return;
	s->bytes += BYTES;
	ledger_issue(ledger, s->id, s->bytes, 0, on_issued, s);
}

static void on_opened(void *arg, int err, const struct ledger_payer *now)
{
	(void)now;
	assert_int_equal(err, 0);
	next(arg);
}

static int turn(int timeout_ms)
{
	struct pollfd wait = {.fd = ledger_fd(ledger), .events = POLLIN};

	if (ledger_wants_write(ledger))
		wait.events |= POLLOUT;
	poll(&wait, 1, timeout_ms);
	return ledger_dispatch(ledger);
}

/* ---- after a restart ---- */

static struct query_rows rows;
static struct receipt_offer unpaid;
static int answer, answers;

static void on_rows(void *arg, int err, const struct query_rows *got)
{
	(void)arg;
	answers++;
	answer = err;
	if (got)
		rows = *got;
}

static void on_unpaid(void *arg, int err, const struct receipt_offer *offer)
{
	(void)arg;
	answers++;
	answer = err;
	if (offer)
		unpaid = *offer;
}

static void on_paid(void *arg, int err, const struct ledger_payer *now)
{
	(void)arg;
	(void)now;
	answers++;
	answer = err;
}

static int await(void)
{
	uint64_t deadline = clock_ms() + 10000;

	while (answers == 0 && clock_ms() < deadline)
		assert_int_equal(turn(1000), 0);
	assert_int_equal(answers, 1);
	answers = 0;
	return answer;
}

static void check_stream(const struct stream *s)
{
	struct query q = {.kind = QUERY_SESSIONS, .has_session = true};

	memcpy(q.session, s->id, SESSION_ID_LEN);
	ledger_query(ledger, &q, on_rows, NULL);
	assert_int_equal(await(), 0);
	if (s->offered)
		assert_int_equal(rows.count, 1);
	if (rows.count == 0)
		return;
	/* At most the one in flight is durable without our having heard of it. */
	assert_true(rows.session[0].seq >= s->acked);
	assert_true(rows.session[0].seq <= s->acked + 1);
	assert_int_not_equal(rows.session[0].state, SESSION_OPEN);
}

/* What a crash left is asked for, the very bytes if we saw it before, and signed. */
static void pay_debts(void)
{
	struct receipt r;

	for (;;) {
		ledger_unpaid(ledger, payer.id, on_unpaid, NULL);
		if (await() == -ENOENT)
			return;
		assert_int_equal(answer, 0);
		for (size_t i = 0; i < STREAMS; i++) {
			const struct receipt_offer *seen = &streams[i].offer;

			if (streams[i].offered &&
			    memcmp(seen->body.session, unpaid.body.session, SESSION_ID_LEN) == 0 &&
			    le64_get(seen->body.seq) == le64_get(unpaid.body.seq))
				assert_memory_equal(seen, &unpaid, sizeof(unpaid));
		}
		receipt_cosign(&r, &unpaid, &payer);
		ledger_cosign(ledger, unpaid.body.session, le64_get(unpaid.body.seq),
			      r.payer_signature, on_paid, NULL);
		assert_int_equal(await(), 0);
	}
}

static void start(void)
{
	struct ledger_identity id;

	assert_int_equal(ledger_start(&ledger, &config, &id), 0);
}

static void open_streams(uint64_t round)
{
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &streams[i];

		*s = (struct stream){0};
		memcpy(s->id, &round, sizeof(round));
		s->id[SESSION_ID_LEN - 1] = (uint8_t)(i + 1);
		ledger_open(ledger, ROLE_RELAY, s->id, payer.id, on_opened, s);
	}
}

static void run_round(uint64_t round)
{
	uint64_t deadline = clock_wall_ns() + crypto_random_u32() % 20000000;

	streaming = true;
	open_streams(round);
	while (clock_wall_ns() < deadline)
		assert_int_equal(turn(1), 0);
	assert_int_equal(kill(ledger_pid(ledger), SIGKILL), 0);
	/* What it had answered before it died still arrives, and counts. */
	streaming = false;
	while (turn(1000) == 0)
		continue;
	ledger_stop(ledger);
	start();
	for (size_t i = 0; i < STREAMS; i++)
		check_stream(&streams[i]);
	pay_debts();
}

/* ---- the whole file, once nobody writes it ---- */

static int64_t number(struct db *db, const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_i64(db, sql, &n), 0);
	return n;
}

static void check_chains(struct db *db)
{
	struct db_stmt *s = db_prepare(db, "SELECT seq, body FROM receipt ORDER BY session, seq");
	struct receipt last = {0}, r;

	while (db_step(s) == 1) {
		bool first = db_col_u64(s) == 1;

		assert_true(db_col_blob(s, &r, sizeof(r)));
		assert_int_equal(receipt_check_chain(first ? NULL : &last.offer, &r.offer),
				 RECEIPT_OK);
		last = r;
	}
}

static void check_file(void)
{
	struct db_stmt *s;
	struct db *db;

	assert_int_equal(schema_open(&db, config.database, 0, &schema_ledger), 0);
	s = db_prepare(db, "PRAGMA integrity_check");
	assert_int_equal(db_step(s), 1);
	assert_string_equal(db_col_text(s), "ok");
	db_done(s);
	assert_true(number(db, "SELECT count(*) FROM receipt") >= (int64_t)acked_total);
	assert_int_equal(number(db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	assert_int_equal(number(db, "SELECT sum(balance) FROM account"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY txn "
				    "HAVING sum(amount) <> 0)"),
			 0);
	/* No byte twice: what is set aside or booked is what the heads say. */
	assert_int_equal(number(db, "SELECT count(*) FROM session WHERE hold < amount"), 0);
	assert_int_equal(number(db, "SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 4"),
			 number(db, "SELECT sum(hold - posted) FROM session"));
	assert_int_equal(number(db, "SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 5"),
			 number(db, "SELECT sum(posted) FROM session"));
	assert_int_equal(number(db, "SELECT sum(bytes) FROM payer"),
			 number(db, "SELECT sum(up + down) FROM session"));
	check_chains(db);
	db_close(db);
}

static void run_rounds(uint64_t rounds)
{
	test_dir_make(dir);
	test_ledger_config(&config, dir);
	config.free_allowance = UINT64_C(1) << 50;
	config.price[ROLE_RELAY] = 1 << 30; /* one micro-credit a byte */
	acked_total = 0;
	start();
	for (uint64_t round = 1; round <= rounds; round++)
		run_round(round);
	ledger_stop(ledger);
	check_file();
	print_message("%lu kills, %lu co-signatures acknowledged, none lost\n",
		      (unsigned long)rounds, (unsigned long)acked_total);
	assert_true(acked_total > rounds);
	test_dir_remove(dir);
}

static void work(uint64_t rounds)
{
	while (rounds) {
		uint64_t n = rounds < ROUNDS ? rounds : ROUNDS;

		run_rounds(n);
		rounds -= n;
	}
	_exit(0);
}

static void test_kills(void **state)
{
	uint64_t workers = kills > ROUNDS ? WORKERS : 1;
	pid_t pids[WORKERS];
	int status;

	(void)state;
	test_identity(&payer, 9);
	fflush(NULL);
	for (uint64_t i = 0; i < workers; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			work(kills / workers + (i < kills % workers));
	}
	for (uint64_t i = 0; i < workers; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
	};
	const char *count = getenv("LEDGER_KILLS");

	log_init("test", LOG_LEVEL_WARN);
	if (count && !text_u64(count, 1, 1000000, &kills))
		fatalx("LEDGER_KILLS: not a number");
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
