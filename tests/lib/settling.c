#include "tests/lib/settling.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/both_rows.h"
#include "accounting/epoch_file.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	BYTES = 1 << 20, /* each receipt is for so many more */
	PAYERS = 100,
	FEE_PPM = 50000,
};

#define PRICE UINT64_C(1000000)

static uint64_t now_s = UINT64_C(1767225600);

static void must(int err)
{
	if (err)
		fatalx("settling: %s", strerror(-err));
}

struct store *settling_open(const char *dir, const struct identity *by, uint64_t retention_days)
{
	static char database[512], settlement[512];
	const struct store_config config = {
		.network = 7,
		.window = {.start = 1 << 20, .cap = 1 << 26},
		.settlement = settlement,
		.retention_days = retention_days,
	};
	const struct terms_values v = {
		.role = ROLE_RELAY,
		.network = 7,
		.price = PRICE,
		.window_start = 1 << 20,
		.window_cap = 1 << 26,
		.receipt_seconds = 60,
		.expires = now_s + 1000000,
	};
	struct terms t;
	struct store *s;

	snprintf(database, sizeof(database), "%s/ledger.db", dir);
	snprintf(settlement, sizeof(settlement), "%s/settlement", dir);
	must(store_open(&s, database, &config, by, now_s));
	terms_make(&t, &v, by);
	must(store_begin(s, now_s));
	must(store_terms(s, &t));
	must(store_commit(s));
	return s;
}

/* Keys that look random and are the same every time. */
static void key_of(uint8_t *out, size_t len, const char *what, uint64_t n)
{
	char text[64];
	uint8_t hash[KEY_LEN];
	int text_len = snprintf(text, sizeof(text), "%s %" PRIu64, what, n);

	hash256(hash, text, (size_t)text_len);
	memcpy(out, hash, len);
}

static void body_of(struct receipt *r, const struct store *s, uint64_t session, uint64_t seq)
{
	struct receipt_body *b = &r->offer.body;
	uint64_t amount;

	memset(r, (int)(seq & 0xff), sizeof(*r));
	memset(b, 0, sizeof(*b));
	memcpy(b->domain, DOMAIN_RECEIPT, DOMAIN_LEN);
	b->version = 1;
	b->role = ROLE_RELAY;
	b->network = le64_of(s->config.network);
	key_of(b->session, SESSION_ID_LEN, "session", session);
	memcpy(b->provider, s->by->id, KEY_LEN);
	key_of(b->payer, KEY_LEN, "payer", session % PAYERS);
	memcpy(b->terms, s->terms_hash[ROLE_RELAY], KEY_LEN);
	b->seq = le64_of(seq);
	b->bytes_up = le64_of(seq * BYTES);
	if (!terms_amount(PRICE, seq * BYTES, &amount))
		fatalx("settling: amount");
	b->amount = le64_of(amount);
}

static struct session session_of(struct store *s, uint64_t n)
{
	uint8_t key[SESSION_ID_LEN], payer[KEY_LEN], fee[KEY_LEN];
	struct session x;
	struct db_stmt *q;

	key_of(key, sizeof(key), "session", n);
	if (session_row_find(s, key, &x) == 0)
		return x;
	key_of(payer, sizeof(payer), "payer", n % PAYERS);
	must(session_row_add(s, ROLE_RELAY, key, payer));
	key_of(fee, sizeof(fee), "fee", 0);
	if (n % 3 == 0) {
		q = db_prepare(s->db, "UPDATE session SET fee_ppm = ?, fee_account = ? "
				      "WHERE key = ?");
		db_bind_u64(q, FEE_PPM);
		db_bind_blob(q, fee, sizeof(fee));
		db_bind_blob(q, key, sizeof(key));
		must(db_run(q));
	}
	must(session_row_find(s, key, &x));
	return x;
}

/* The head, and as much as is paid: half of it was given. */
static void raise(struct store *s, const struct session *x, const struct receipt *r)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE session SET seq = ?, up = ?, final_up = ?, "
					      "amount = ?, hold = ?, posted = ?, paid = ? "
					      "WHERE id = ?");
	uint64_t amount = le64_get(r->offer.body.amount), up = le64_get(r->offer.body.bytes_up);

	db_bind_u64(q, le64_get(r->offer.body.seq));
	db_bind_u64(q, up);
	db_bind_u64(q, up);
	db_bind_u64(q, amount);
	db_bind_u64(q, amount);
	db_bind_u64(q, amount);
	db_bind_u64(q, amount / 2);
	db_bind_u64(q, x->id);
	must(db_run(q));
}

static void add(struct store *s, uint64_t n, uint64_t seq, bool last)
{
	struct session x = session_of(s, n);
	struct receipt r;

	body_of(&r, s, n, seq);
	must(both_receipt_add(s->db, x.id, &r));
	if (last)
		raise(s, &x, &r);
}

void settling_fill(struct store *s, const struct settling_plan *plan)
{
	uint64_t outer = plan->mixed ? plan->receipts : plan->sessions;
	uint64_t inner = plan->mixed ? plan->sessions : plan->receipts;

	for (uint64_t i = 0; i < outer; i++) {
		must(store_begin(s, now_s));
		for (uint64_t j = 0; j < inner; j++) {
			uint64_t r = plan->mixed ? i : j;

			add(s, plan->mixed ? j : i, plan->from + r, r + 1 == plan->receipts);
		}
		must(store_commit(s));
	}
}

uint64_t settling_work(struct store *s)
{
	uint64_t longest = 0;

	while (store_idle_ms(s) == 0) {
		uint64_t begun = clock_ms(), took;

		store_work(s, now_s);
		took = clock_ms() - begun;
		longest = took > longest ? took : longest;
	}
	return longest;
}

uint64_t settling_settle(struct store *s)
{
	struct ledger_settled out;

	must(store_begin(s, now_s));
	must(store_settle(s, 0, &out));
	must(store_commit(s));
	settling_work(s);
	return out.fresh ? out.epoch : 0;
}

const char *settling_path(const char *dir, uint64_t epoch)
{
	static char path[2][512];
	static unsigned turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/settlement/" EPOCH_FILE_NAME, dir, epoch);
	return path[turn];
}
