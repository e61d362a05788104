/*
 * Receipts through the real ledger process, as a node drives it: issued, co-signed by a payer's
 * identity here, verified and durable there, one after the other in each of so many hands at once.
 * Beside it the two bounds of that in the same units: libsodium's verification alone, and SQLite
 * alone storing blobs of a receipt's size as durably. One JSON object a line.
 *
 *   receipts ledger DIR MS HANDS...    hands: receipts under way at the same time
 *   receipts verify MS
 *   receipts sqlite DIR MS ROWS...     rows a commit
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "proto/receipt.h"
#include "tests/lib/books.h"
#include "tests/lib/measure.h"

enum {
	SESSIONS = 1000, /* each of a payer of its own */
	HANDS_MAX = SESSIONS,
	TIMES_MAX = 1 << 20,
	UP = 300 << 10,
	DOWN = 4 << 20,
	PRICE = 3000000, /* so that every receipt comes to some 12,000 micro-credits */
	STALLED_MS = 20000,
};

#define GRANT (UINT64_C(1) << 50)

static uint64_t number_of(const char *text, uint64_t most)
{
	uint64_t n;

	if (!text || !text_u64(text, 1, most, &n))
		fatalx("receipts: a number from 1 to %" PRIu64 " is missing", most);
	return n;
}

/* ---- the ledger ---- */

struct session {
	struct bench *bench;
	struct identity payer;
	uint8_t key[SESSION_ID_LEN];
	uint64_t up, down, started;
};

struct bench {
	struct ledger *ledger;
	struct session sessions[SESSIONS];
	uint32_t next; /* sessions take turns */
	uint64_t until;
	uint32_t busy;  /* hands with a receipt under way */
	uint64_t count; /* co-signed since the trial began */
	uint64_t *times;
};

static void bench_wait(struct bench *b)
{
	while (b->busy) {
		struct pollfd wait = {.fd = ledger_fd(b->ledger), .events = POLLIN};

		if (ledger_wants_write(b->ledger))
			wait.events |= POLLOUT;
		if (poll(&wait, 1, STALLED_MS) == 0)
			fatalx("receipts: the ledger does not answer");
		if (ledger_dispatch(b->ledger) < 0)
			fatalx("receipts: the ledger is gone");
	}
}

static void bench_next(struct bench *b);

static void on_signed(void *arg, int err, const struct ledger_payer *payer)
{
	struct session *s = arg;
	struct bench *b = s->bench;

	if (err || !payer->window)
		fatalx("receipts: a signature was refused: %s", strerror(-err));
	if (b->count < TIMES_MAX)
		b->times[b->count] = measure_now(CLOCK_MONOTONIC) - s->started;
	b->count++;
	b->busy--;
	bench_next(b);
}

static void on_issued(void *arg, int err, const struct receipt_offer *offer)
{
	struct session *s = arg;
	struct receipt r;

	if (err)
		fatalx("receipts: none was issued: %s", strerror(-err));
	receipt_cosign(&r, offer, &s->payer);
	ledger_cosign(s->bench->ledger, s->key, le64_get(offer->body.seq), r.payer_signature,
		      on_signed, s);
}

static void bench_next(struct bench *b)
{
	struct session *s = &b->sessions[b->next];

	if (measure_now(CLOCK_MONOTONIC) >= b->until)
		return;
	b->next = (b->next + 1) % SESSIONS;
	b->busy++;
	s->up += UP;
	s->down += DOWN;
	s->started = measure_now(CLOCK_MONOTONIC);
	ledger_issue(b->ledger, s->key, s->up, s->down, on_issued, s);
}

static void on_done(void *arg, int err)
{
	struct bench *b = arg;

	if (err)
		fatalx("receipts: no grant: %s", strerror(-err));
	b->busy--;
}

static void on_opened(void *arg, int err, const struct ledger_payer *payer)
{
	struct bench *b = arg;

	(void)payer;
	if (err)
		fatalx("receipts: no session: %s", strerror(-err));
	b->busy--;
}

static void bench_sessions(struct bench *b)
{
	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct session *s = &b->sessions[i];
		uint8_t seed[KEY_LEN], nonce[NONCE_LEN];

		s->bench = b;
		crypto_random(seed, sizeof(seed));
		crypto_random(nonce, sizeof(nonce));
		crypto_random(s->key, sizeof(s->key));
		identity_from_seed(&s->payer, seed);
		b->busy += 2;
		ledger_grant(b->ledger, s->payer.id, GRANT, 0, nonce, on_done, b);
		ledger_open(b->ledger, ROLE_RELAY, s->key, s->payer.id, on_opened, b);
	}
	bench_wait(b);
}

static void bench_trial(struct bench *b, uint64_t ms, uint64_t hands)
{
	struct measure_cpu before = measure_cpu(ledger_pid(b->ledger)), after;
	uint64_t start = measure_now(CLOCK_MONOTONIC), timed;

	b->count = 0;
	b->until = start + ms * 1000000;
	for (uint64_t i = 0; i < hands; i++)
		bench_next(b);
	bench_wait(b);
	after = measure_cpu(ledger_pid(b->ledger));
	timed = b->count < TIMES_MAX ? b->count : TIMES_MAX;
	measure_sort(b->times, timed);
	printf("{\"hands\":%" PRIu64 ",\"receipts\":%" PRIu64 ",\"ns\":%" PRIu64
	       ",\"cpu_ns\":%" PRIu64 ",\"queued_ns\":%" PRIu64 ",\"p50_ns\":%" PRIu64
	       ",\"p99_ns\":%" PRIu64 "}\n",
	       hands, b->count, measure_now(CLOCK_MONOTONIC) - start, after.ran - before.ran,
	       after.queued - before.queued, b->times[timed / 2], b->times[timed * 99 / 100]);
	fflush(stdout);
}

static void bench_ledger(const char *dir, uint64_t ms, char **hands)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct ledger_config config;
	struct ledger_identity id;
	uint64_t peak, total = 0;
	int err;

	test_ledger_config(&config, dir);
	config.price[ROLE_RELAY] = PRICE;
	/* Before anything else is in memory, or it would count as the ledger's. */
	err = ledger_start(&b->ledger, &config, &id);
	if (err)
		fatalx("receipts: no ledger: %s", strerror(-err));
	b->times = xcalloc(TIMES_MAX, sizeof(*b->times));
	bench_sessions(b);
	printf("{\"pid\":%d}\n", (int)ledger_pid(b->ledger));
	fflush(stdout);
	for (; *hands; hands++) {
		bench_trial(b, ms, number_of(*hands, HANDS_MAX));
		total += b->count;
	}
	peak = measure_peak_kib(ledger_pid(b->ledger));
	ledger_stop(b->ledger); /* which takes the WAL into the database */
	printf("{\"total\":%" PRIu64 ",\"sessions\":%d,\"disk\":%" PRIu64 ",\"peak_kib\":%" PRIu64
	       "}\n",
	       total, SESSIONS, measure_file(config.database), peak);
	free(b->times);
	free(b);
}

/* ---- the bounds ---- */

static void bench_verify(uint64_t ms)
{
	uint64_t start = measure_now(CLOCK_THREAD_CPUTIME_ID), count = 0, took;
	struct receipt_offer offer = {.body = {.version = 1}};
	struct receipt r;
	struct identity payer;

	test_identity(&payer, 2);
	receipt_cosign(&r, &offer, &payer);
	do {
		if (!identity_verify(r.payer_signature, &r.offer, sizeof(r.offer), payer.id))
			fatalx("receipts: it does not verify");
		count++;
		took = measure_now(CLOCK_THREAD_CPUTIME_ID) - start;
	} while (took < ms * 1000000);
	printf("{\"receipts\":%" PRIu64 ",\"ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 "}\n", count,
	       took, took);
}

static void sqlite(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fatalx("receipts: %s: %s", sql, sqlite3_errmsg(db));
}

static void sqlite_trial(sqlite3 *db, uint64_t ms, uint64_t rows)
{
	uint64_t start = measure_now(CLOCK_MONOTONIC), count = 0, took;
	uint64_t cpu = measure_now(CLOCK_PROCESS_CPUTIME_ID);
	struct receipt r;
	sqlite3_stmt *s;

	crypto_random(&r, sizeof(r));
	sqlite3_prepare_v2(db, "INSERT INTO receipt(body) VALUES(?)", -1, &s, NULL);
	sqlite3_bind_blob(s, 1, &r, sizeof(r), SQLITE_STATIC);
	do {
		sqlite(db, "BEGIN IMMEDIATE");
		for (uint64_t i = 0; i < rows; i++) {
			if (sqlite3_step(s) != SQLITE_DONE)
				fatalx("receipts: %s", sqlite3_errmsg(db));
			sqlite3_reset(s);
		}
		sqlite(db, "COMMIT");
		count += rows;
		took = measure_now(CLOCK_MONOTONIC) - start;
	} while (took < ms * 1000000);
	sqlite3_finalize(s);
	printf("{\"hands\":%" PRIu64 ",\"receipts\":%" PRIu64 ",\"ns\":%" PRIu64
	       ",\"cpu_ns\":%" PRIu64 "}\n",
	       rows, count, took, measure_now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

static void bench_sqlite(const char *dir, uint64_t ms, char **rows)
{
	char path[256];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/plain.db", dir);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		fatalx("%s: %s", path, sqlite3_errmsg(db));
	sqlite(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		   "CREATE TABLE receipt(id INTEGER PRIMARY KEY, body BLOB NOT NULL)");
	for (; *rows; rows++)
		sqlite_trial(db, ms, number_of(*rows, 1000000));
	sqlite3_close(db);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	log_init("receipts", LOG_LEVEL_WARN);
	crypto_start();
	if (strcmp(what, "verify") == 0)
		bench_verify(number_of(argc > 2 ? argv[2] : NULL, 1000000));
	else if (strcmp(what, "ledger") == 0 && argc > 4)
		bench_ledger(argv[2], number_of(argv[3], 1000000), argv + 4);
	else if (strcmp(what, "sqlite") == 0 && argc > 4)
		bench_sqlite(argv[2], number_of(argv[3], 1000000), argv + 4);
	else
		fatalx("receipts: ledger DIR MS HANDS... | verify MS | sqlite DIR MS ROWS...");
	return 0;
}
