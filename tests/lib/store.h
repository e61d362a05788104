/*
 * The provider's books under a test: the store with its insides in view, requests as the ledger
 * process runs them, and what must hold after every one.
 */
#ifndef TESTS_LIB_STORE_H
#define TESTS_LIB_STORE_H

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "accounting/rows.h"
#include "accounting/store.c"
#include "tests/lib/books.h"

#define MIB (UINT64_C(1) << 20)

static const uint64_t start_of_test = UINT64_C(1767225600); /* 2026-01-01 00:00 UTC */

static struct identity node, alice, bob, carol;
static struct store *store;
static uint64_t start_at = UINT64_C(1767225600); /* when the next store opens */

static uint32_t seed __attribute__((unused));

static inline uint32_t draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* ---- one request, as the ledger process runs it ---- */

static inline void begin(void)
{
	assert_int_equal(store_begin(store, store->now_s), 0);
	assert_int_equal(store_mark(store), 0);
}

static inline int finish(int err)
{
	assert_int_equal(store_unmark(store, err == 0), 0);
	assert_int_equal(store_commit(store), 0);
	return err;
}

static inline int do_open(enum role role, const uint8_t *session, const uint8_t *payer,
			  struct ledger_payer *out)
{
	begin();
	return finish(store_session(store, role, session, payer, out));
}

static inline int do_issue(const uint8_t *session, uint64_t up, uint64_t down,
			   struct receipt_offer *out)
{
	begin();
	return finish(store_issue(store, session, up, down, out));
}

static inline int do_signature(const uint8_t *session, uint64_t seq, const uint8_t *signature,
			       struct ledger_payer *out)
{
	begin();
	return finish(store_cosign(store, session, seq, signature, out));
}

static inline int do_cosign(const struct receipt_offer *offer, const struct identity *by,
			    struct ledger_payer *out)
{
	struct receipt r;

	receipt_cosign(&r, offer, by);
	return do_signature(offer->body.session, le64_get(offer->body.seq), r.payer_signature, out);
}

static inline int do_dispute(const uint8_t *session, uint64_t seq)
{
	begin();
	return finish(store_dispute(store, session, seq, 1, 2));
}

static inline int do_close(const uint8_t *session, uint64_t up, uint64_t down)
{
	begin();
	return finish(store_end(store, session, up, down));
}

static inline int do_unpaid(const uint8_t *payer, struct receipt_offer *out)
{
	begin();
	return finish(store_unpaid(store, payer, out));
}

static inline struct ledger_payer payer_now(const uint8_t *payer)
{
	struct ledger_payer out;

	begin();
	assert_int_equal(finish(store_payer(store, payer, &out)), 0);
	return out;
}

static inline int do_grant(const uint8_t *payer, uint64_t amount, uint64_t expires, uint8_t key)
{
	uint8_t nonce[NONCE_LEN] = {key};

	begin();
	return finish(store_grant(store, payer, amount, expires, nonce));
}

static inline int do_give(const uint8_t *payer, uint64_t amount, uint8_t key)
{
	uint8_t nonce[NONCE_LEN] = {key};

	begin();
	return finish(store_grant_earned(store, payer, amount, nonce));
}

/* What closing an epoch does to the books: everything signed is posted. */
static inline void post_all(void)
{
	struct session x = {0};
	struct db_stmt *q;

	begin();
	for (;;) {
		q = db_prepare(store->db, SESSION_SELECT "WHERE id > ? AND seq > settled_seq "
							 "ORDER BY id LIMIT 1");
		db_bind_u64(q, x.id);
		if (db_step(q) != 1)
			break;
		assert_int_equal(session_row_read(q, &x), 0);
		assert_int_equal(session_post(store, &x), 0);
		x.settled = x.paid;
		x.settled_seq = x.seq;
		assert_int_equal(session_row_save(store, &x), 0);
	}
	assert_int_equal(finish(0), 0);
}

/* Bytes signed in one go. */
static inline void pay(const uint8_t *session, uint64_t up, struct ledger_payer *out)
{
	struct receipt_offer offer;

	assert_int_equal(do_issue(session, up, 0, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, out), 0);
}

struct test_world {
	uint64_t relay_price, exit_price, cap, allowance;
	uint32_t fee_ppm; /* to carol */
};

static inline void use_terms(enum role role, uint64_t price, uint64_t cap)
{
	const struct terms_values v = {
		.role = role,
		.network = 7,
		.price = price,
		.window_start = MIB,
		.window_cap = cap,
		.receipt_seconds = 60,
		.expires = start_of_test + 1000000,
	};
	struct terms t;

	terms_make(&t, &v, &node);
	begin();
	assert_int_equal(finish(store_terms(store, &t)), 0);
}

static inline void store_new_at(const char *path, const struct test_world *world)
{
	struct store_config config = {
		.network = 7,
		.window = {.start = MIB, .cap = world->cap},
		.free_allowance = world->allowance,
		.fee_ppm = world->fee_ppm,
	};

	memcpy(config.fee_account, carol.id, KEY_LEN);
	assert_int_equal(store_open(&store, path, &config, &node, start_at), 0);
	use_terms(ROLE_RELAY, world->relay_price, world->cap);
	use_terms(ROLE_EXIT, world->exit_price, world->cap);
}

static inline void store_new(const struct test_world *world)
{
	store_new_at(DB_MEMORY, world);
}

static const struct test_world plain = {1000, 1000, 8 * MIB, 1000000, 0};

static inline int setup(void **state)
{
	(void)state;
	test_identity(&node, 1);
	test_identity(&alice, 2);
	test_identity(&bob, 3);
	test_identity(&carol, 4);
	store_new(&plain);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	store_close(store);
	return 0;
}

static inline void restart(void)
{
	assert_int_equal(store_recover(store, store->now_s), 0);
}

/* ---- two books that say the same ---- */

/* Over what the books come to: heads, and who has how much. How often, in which order and when it
 * was booked is left out. */
static inline void books_digest(uint8_t out[static KEY_LEN])
{
	static const char *const parts[] = {
		("SELECT hex(key) || ' ' || state || ' ' || seq || ' ' || up || ' ' || down || ' ' "
		 "|| amount || ' ' || final_up || ' ' || final_down || ' ' || hold || ' ' || "
		 "posted "
		 "|| ' ' || paid || ' ' || coalesce(hex(offer), '') FROM session ORDER BY key"),
		"SELECT name || ' ' || balance FROM account WHERE balance <> 0 ORDER BY name",
		("SELECT hex(key) || ' ' || window || ' ' || signed || ' ' || bytes || ' ' || "
		 "earned || ' ' || worked FROM payer ORDER BY key"),
		"SELECT hex(body) FROM receipt ORDER BY session, seq",
	};

	memset(out, 0, KEY_LEN);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct db_stmt *q = db_prepare(store->db, parts[i]);

		while (db_step(q) == 1) {
			const char *row = db_col_text(q);
			const struct bytes both[] = {{out, KEY_LEN}, {row, strlen(row)}};

			sha256(out, both, ARRAY_SIZE(both));
		}
	}
}

/* The same and every single booking: what a request that is undone leaves behind. */
static inline void rows_digest(uint8_t out[static KEY_LEN])
{
	struct db_stmt *q = db_prepare(
		store->db, "SELECT t.key || ' ' || t.hour || ' ' || t.bytes || ' ' || e.account || "
			   "' ' || e.amount FROM txn t JOIN entry e ON e.txn = t.id "
			   "ORDER BY t.id, e.account");

	books_digest(out);
	while (db_step(q) == 1) {
		const char *row = db_col_text(q);
		const struct bytes both[] = {{out, KEY_LEN}, {row, strlen(row)}};

		sha256(out, both, ARRAY_SIZE(both));
	}
}

/* ---- what must hold after every event ---- */

static inline int64_t count_of(const char *sql)
{
	int64_t n = 0;

	assert_int_equal(db_get_i64(store->db, sql, &n), 0);
	return n;
}

/* Nothing in the books contradicts this SQL. */
static const char *const never[] = {
	/* Double entry. */
	"SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY txn HAVING sum(amount) <> 0)",
	"SELECT count(*) FROM txn t WHERE NOT EXISTS (SELECT 1 FROM entry WHERE txn = t.id)",
	"SELECT count(*) FROM account a WHERE balance <> "
	"(SELECT coalesce(sum(amount), 0) FROM entry e WHERE e.account = a.id)",
	"SELECT count(*) FROM account WHERE balance < 0 AND kind <> 0",
	"SELECT abs(coalesce(sum(balance), 0)) FROM account",
	/* Holds and postings. */
	"SELECT count(*) FROM session WHERE posted > amount OR posted > hold OR paid > posted",
	"SELECT count(*) FROM session x WHERE hold - posted <> (SELECT coalesce(sum(balance), 0) "
	"FROM account WHERE kind = 4 AND session = x.id)",
	"SELECT count(*) FROM account h WHERE kind = 4 AND NOT EXISTS (SELECT 1 FROM session x "
	"JOIN account f ON f.id = h.source WHERE x.id = h.session AND x.payer = h.payer "
	"AND f.payer = h.payer AND h.name = 'hold:' || lower(hex(x.key)) || ':' || f.id)",
	"SELECT count(*) FROM session WHERE state IN (1, 3) AND hold <> posted",
	"SELECT count(*) FROM session WHERE posted_bytes > up + down",
	/* What payers paid is what was given, earned and taken as a fee: all of it, of every
	 * session, and with the fee rounded once. */
	"SELECT abs((SELECT coalesce(sum(posted - paid), 0) FROM session) - "
	"(SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 5))",
	"SELECT abs((SELECT coalesce(sum(paid), 0) FROM session) - (SELECT coalesce(sum(amount), 0)"
	" FROM entry e JOIN txn t ON t.id = e.txn JOIN account a ON a.id = e.account "
	"WHERE t.key LIKE 'pay:%' AND a.kind = 2))",
	"SELECT count(*) FROM session x WHERE fee_ppm > 0 AND fee_account <> provider AND "
	"(paid / 1000000 * fee_ppm + paid % 1000000 * fee_ppm / 1000000) <> (SELECT "
	"coalesce(sum(e.amount), 0) FROM txn t JOIN entry e ON e.txn = t.id "
	"JOIN account a ON a.id = e.account WHERE a.payer = x.fee_account AND a.kind = 2 "
	"AND t.key LIKE 'pay:' || lower(hex(x.key)) || ':%')",
	/* Payers are the sums of their sessions. */
	"SELECT count(*) FROM payer p WHERE earned <> (SELECT coalesce(sum(posted), 0) "
	"FROM session WHERE payer = p.key) OR bytes <> (SELECT coalesce(sum(up + down), 0) "
	"FROM session WHERE payer = p.key)",
	"SELECT count(*) FROM session s WHERE seq <> (SELECT count(*) FROM receipt "
	"WHERE session = s.id) OR seq <> (SELECT coalesce(max(seq), 0) FROM receipt "
	"WHERE session = s.id)",
	"SELECT count(*) FROM session WHERE state = 1 AND final_up + final_down <> up + down",
	"SELECT count(*) FROM session WHERE state = 2 AND final_up + final_down = up + down",
	/* Nobody works off more than there is to work off. */
	"SELECT count(*) FROM payer p WHERE worked > (SELECT "
	"coalesce(sum(final_up + final_down - up - down), 0) FROM session "
	"WHERE payer = p.key AND state >= 2)",
};

static inline void check_invariants(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (count_of(never[i]) != 0)
			fail_msg("%s", never[i]);
}

#endif
