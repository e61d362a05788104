/*
 * Books with a long history, and what it costs to ask them. The history is made by the provider's
 * own code, only without its disk and its signatures, so that ten million receipts take minutes:
 * their signatures are not valid, all else is as it would have come to be. Questions then go
 * through the real ledger process. One JSON object a line.
 *
 *   history fill DIR RECEIPTS
 *   history ask DIR RECEIPTS QUESTIONS
 *   history settle DIR RECEIPTS         all of it as one epoch, and its file once more
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/rows.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/lib/books.h"
#include "tests/lib/measure.h"

enum {
	PAYERS = 1000,
	LIVE = 100,    /* sessions at the same time */
	LENGTH = 100,  /* receipts of a session */
	PACE_S = 60,   /* from one receipt of a session to the next */
	COMMIT = 5000, /* receipts */
	UP = 300 << 10,
	DOWN = 4 << 20,
	PRICE = 3000000,
	STALLED_MS = 600000,
};

#define GRANT (UINT64_C(1) << 50)

/* ---- signatures that are none, while the history is made ---- */

static bool unsigned_history;

void __real_identity_sign(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			  const struct identity *id);
bool __real_identity_verify(const uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			    const uint8_t id[static KEY_LEN]);
void __wrap_identity_sign(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			  const struct identity *id);
bool __wrap_identity_verify(const uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			    const uint8_t id[static KEY_LEN]);

/* As many different bytes as a signature has. */
static void signature_like(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len)
{
	hash256(sig, msg, len);
	hash256(sig + KEY_LEN, sig, KEY_LEN);
}

void __wrap_identity_sign(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			  const struct identity *id)
{
	if (unsigned_history)
		signature_like(sig, msg, len);
	else
		__real_identity_sign(sig, msg, len, id);
}

bool __wrap_identity_verify(const uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
			    const uint8_t id[static KEY_LEN])
{
	return unsigned_history || __real_identity_verify(sig, msg, len, id);
}

/* ---- what both halves know ---- */

static void must(int err, const char *what)
{
	if (err)
		fatalx("history: %s: %s", what, strerror(-err));
}

/* The n-th session's id or payer's key: found again without looking. */
static void name_of(uint8_t out[static KEY_LEN], char kind, uint64_t n)
{
	const struct {
		char kind[8];
		uint64_t n;
	} what = {.kind = {kind}, .n = n};

	hash256(out, &what, sizeof(what));
}

/* ---- filling ---- */

static void fill_open(struct store **out, const struct ledger_config *c, const struct identity *by,
		      uint64_t now_s)
{
	const struct store_config config = {
		.network = c->network,
		.window = {.start = c->window_start, .cap = c->window_cap},
		.free_allowance = c->free_allowance,
	};
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = c->network,
		.price = c->price[ROLE_RELAY],
		.window_start = c->window_start,
		.window_cap = c->window_cap,
		.receipt_seconds = c->receipt_seconds,
		.loss_ppm = c->loss_ppm,
		.loss_bytes = c->loss_bytes,
		.expires = now_s + 1000 * 86400,
	};
	struct terms t;

	must(store_open(out, c->database, &config, by, now_s), c->database);
	must(db_exec((*out)->db, "PRAGMA synchronous=OFF; PRAGMA cache_size=-262144"), "pragmas");
	terms_make(&t, &v, by);
	must(store_begin(*out, now_s), "begin");
	must(store_terms(*out, &t), "terms");
}

static void fill_payers(struct store *s)
{
	for (uint64_t i = 0; i < PAYERS; i++) {
		uint8_t key[KEY_LEN];

		name_of(key, 'p', i);
		must(store_grant(s, key, GRANT, 0, key), "grant");
	}
}

/* A session in the making. */
struct making {
	uint64_t session, seq;
};

/* So that not all of the first ones end at once. */
static uint64_t length_of(uint64_t session)
{
	return session < LIVE ? session + 1 : LENGTH;
}

/* One receipt: the first opens the session, the last ends it. */
static void fill_receipt(struct store *s, const struct making *m)
{
	uint8_t id[KEY_LEN], payer[KEY_LEN], signature[SIGNATURE_LEN];
	struct receipt_offer offer;
	struct ledger_payer view;

	name_of(id, 's', m->session);
	name_of(payer, 'p', m->session % PAYERS);
	if (m->seq == 1)
		must(store_session(s, ROLE_RELAY, id, payer, &view), "session");
	must(store_issue(s, id, m->seq * UP, m->seq * DOWN, &offer), "issue");
	signature_like(signature, &offer, sizeof(offer));
	must(store_cosign(s, id, m->seq, signature, &view), "cosign");
	if (m->seq == length_of(m->session))
		must(store_end(s, id, m->seq * UP, m->seq * DOWN), "end");
}

static void fill_rounds(struct store *s, uint64_t receipts)
{
	struct making making[LIVE];

	for (uint64_t i = 0; i < LIVE; i++)
		making[i] = (struct making){.session = i};
	for (uint64_t n = 0, next = LIVE; n < receipts; n++) {
		struct making *m = &making[n % LIVE];

		if (n % LIVE == 0)
			s->now_s += PACE_S;
		m->seq++;
		fill_receipt(s, m);
		if (m->seq == length_of(m->session))
			*m = (struct making){.session = next++};
		if (n % COMMIT == 0) {
			must(store_commit(s), "commit");
			must(store_begin(s, s->now_s), "begin");
		}
	}
	must(store_commit(s), "commit");
}

static void history_fill(const char *dir, uint64_t receipts)
{
	uint64_t now = clock_wall(), took = measure_now(CLOCK_MONOTONIC), start;
	struct ledger_config config;
	struct identity by;
	struct store *s;

	test_ledger_config(&config, dir);
	config.price[ROLE_RELAY] = PRICE;
	test_identity(&by, 1);
	start = now - receipts / LIVE * PACE_S;
	fill_open(&s, &config, &by, start);
	unsigned_history = true;
	fill_payers(s);
	fill_rounds(s, receipts);
	store_close(s);
	printf("{\"receipts\":%" PRIu64 ",\"disk\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n", receipts,
	       measure_file(config.database), measure_now(CLOCK_MONOTONIC) - took);
}

/* ---- asking ---- */

struct asking {
	struct ledger *ledger;
	bool answered;
	uint32_t rows;
	uint64_t next, sessions;
	struct query_epoch epoch;
};

static void on_rows(void *arg, int err, const struct query_rows *rows)
{
	struct asking *a = arg;

	must(err, "query");
	a->answered = true;
	a->rows = rows->count;
	a->next = rows->next;
	if (rows->kind == QUERY_EPOCHS && rows->count)
		a->epoch = rows->epoch[0];
}

static void await(struct asking *a)
{
	while (!a->answered) {
		struct pollfd wait = {.fd = ledger_fd(a->ledger), .events = POLLIN};

		if (poll(&wait, 1, STALLED_MS) == 0)
			fatalx("history: the ledger does not answer");
		if (ledger_dispatch(a->ledger) < 0)
			fatalx("history: the ledger is gone");
	}
}

static void ask(struct asking *a, const struct query *q)
{
	a->answered = false;
	ledger_query(a->ledger, q, on_rows, a);
	await(a);
}

/* A page of all payers, the next one each time. */
static void ask_credits(struct asking *a)
{
	const struct query q = {.kind = QUERY_CREDITS, .after = a->next};

	ask(a, &q);
}

static struct query query_of(enum query_kind kind, const struct asking *a)
{
	struct query q = {.kind = kind, .has_session = true};
	uint64_t n = LIVE + ((uint64_t)crypto_random_u32() << 16) % (a->sessions - LIVE);
	uint8_t id[KEY_LEN];

	name_of(id, 's', n);
	memcpy(q.session, id, sizeof(q.session));
	return q;
}

static void ask_session(struct asking *a)
{
	const struct query q = query_of(QUERY_SESSIONS, a);

	ask(a, &q);
}

/* All of a session's, page after page. */
static void ask_receipts(struct asking *a)
{
	struct query q = query_of(QUERY_RECEIPTS, a);

	do {
		ask(a, &q);
		q.after = a->next;
	} while (a->next);
}

/* As `culvert explain` does: the session's sums, then all that was booked for it. */
static void ask_explain(struct asking *a)
{
	struct query q = query_of(QUERY_EXPLAIN, a);

	ask(a, &q);
	q.kind = QUERY_BOOKINGS;
	do {
		ask(a, &q);
		q.after = a->next;
	} while (a->next);
}

static const struct {
	const char *what;
	void (*ask)(struct asking *a);
} questions[] = {
	{"credits, a page of 64 payers", ask_credits},
	{"a session", ask_session},
	{"a session's 100 receipts", ask_receipts},
	{"a session explained", ask_explain},
};

static void ask_often(struct asking *a, size_t question, uint64_t count)
{
	uint64_t *times = xcalloc(count, sizeof(*times));

	a->next = 0;
	for (uint64_t i = 0; i < count; i++) {
		times[i] = measure_now(CLOCK_MONOTONIC);
		questions[question].ask(a);
		times[i] = measure_now(CLOCK_MONOTONIC) - times[i];
		if (!a->rows)
			fatalx("history: %s: nothing was found", questions[question].what);
	}
	measure_sort(times, count);
	printf("{\"question\":\"%s\",\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
	       ",\"most_ns\":%" PRIu64 "}\n",
	       questions[question].what, times[count / 2], times[count * 99 / 100],
	       times[count - 1]);
	fflush(stdout);
	free(times);
}

static void start(struct asking *a, const char *dir)
{
	struct ledger_config config;
	struct ledger_identity id;

	test_ledger_config(&config, dir);
	config.price[ROLE_RELAY] = PRICE;
	snprintf(config.settlement, sizeof(config.settlement), "%s/settlement", dir);
	must(ledger_start(&a->ledger, &config, &id), "ledger");
}

static void history_ask(const char *dir, uint64_t receipts, uint64_t count)
{
	struct asking a = {.sessions = receipts / LENGTH};
	uint64_t took = measure_now(CLOCK_MONOTONIC);

	start(&a, dir);
	printf("{\"start_ns\":%" PRIu64 "}\n", measure_now(CLOCK_MONOTONIC) - took);
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		ask_often(&a, i, count);
	printf("{\"peak_kib\":%" PRIu64 "}\n", measure_peak_kib(ledger_pid(a.ledger)));
	ledger_stop(a.ledger);
}

/* ---- settling ---- */

static void on_settled(void *arg, int err, const struct ledger_settled *settled)
{
	struct asking *a = arg;

	(void)settled;
	must(err, "settle");
	a->answered = true;
}

/* epoch 0: a new one. Until its file is there. */
static void settle(struct asking *a, uint64_t epoch)
{
	const struct query q = {.kind = QUERY_EPOCHS};
	uint64_t took = measure_now(CLOCK_MONOTONIC);
	struct timespec pause = {.tv_nsec = 10000000};

	a->answered = false;
	ledger_settle(a->ledger, epoch, on_settled, a);
	await(a);
	do {
		nanosleep(&pause, NULL);
		ask(a, &q);
	} while (a->epoch.busy || a->epoch.state < EPOCH_WRITTEN);
	must(a->epoch.err, "the epoch's file");
	printf("{\"settle_ns\":%" PRIu64 ",\"receipts\":%" PRIu32 ",\"peak_kib\":%" PRIu64 "}\n",
	       measure_now(CLOCK_MONOTONIC) - took, le32_get(a->epoch.head.body.receipts),
	       measure_peak_kib(ledger_pid(a->ledger)));
}

static void history_settle(const char *dir)
{
	struct asking a = {0};

	start(&a, dir);
	settle(&a, 0);
	settle(&a, 1);
	ledger_stop(a.ledger);
}

int main(int argc, char **argv)
{
	uint64_t receipts, count;

	log_init("history", LOG_LEVEL_WARN);
	crypto_start();
	if (argc < 4 || !text_u64(argv[3], 2 * LIVE * LENGTH, UINT32_MAX, &receipts))
		fatalx("history: fill DIR RECEIPTS | ask DIR RECEIPTS QUESTIONS | settle DIR "
		       "RECEIPTS");
	if (strcmp(argv[1], "fill") == 0 && argc == 4)
		history_fill(argv[2], receipts);
	else if (strcmp(argv[1], "ask") == 0 && argc == 5 &&
		 text_u64(argv[4], 1, UINT32_MAX, &count))
		history_ask(argv[2], receipts, count);
	else if (strcmp(argv[1], "settle") == 0 && argc == 4)
		history_settle(argv[2]);
	else
		fatalx("history: fill DIR RECEIPTS | ask DIR RECEIPTS QUESTIONS | settle DIR "
		       "RECEIPTS");
	return 0;
}
