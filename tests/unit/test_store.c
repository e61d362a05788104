/* The provider's books: the rules one by one, then random worlds against a model of them. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "accounting/store.c"
#include "tests/lib/books.h"

#define MIB (UINT64_C(1) << 20)

static const uint64_t start_of_test = UINT64_C(1767225600); /* 2026-01-01 00:00 UTC */

static struct identity node, alice, bob;
static struct store *store;

/* ---- one request, as the ledger process runs it ---- */

static void begin(void)
{
	assert_int_equal(store_begin(store, store->now_s), 0);
	assert_int_equal(store_mark(store), 0);
}

static int finish(int err)
{
	assert_int_equal(store_unmark(store, err == 0), 0);
	assert_int_equal(store_commit(store), 0);
	return err;
}

static int do_open(enum role role, const uint8_t *session, const uint8_t *payer,
		   struct ledger_payer *out)
{
	begin();
	return finish(store_session(store, role, session, payer, out));
}

static int do_issue(const uint8_t *session, uint64_t up, uint64_t down, struct receipt_offer *out)
{
	begin();
	return finish(store_issue(store, session, up, down, out));
}

static int do_signature(const uint8_t *session, uint64_t seq, const uint8_t *signature,
			struct ledger_payer *out)
{
	begin();
	return finish(store_cosign(store, session, seq, signature, out));
}

static int do_cosign(const struct receipt_offer *offer, const struct identity *by,
		     struct ledger_payer *out)
{
	struct receipt r;

	receipt_cosign(&r, offer, by);
	return do_signature(offer->body.session, le64_get(offer->body.seq), r.payer_signature, out);
}

static int do_dispute(const uint8_t *session, uint64_t seq)
{
	begin();
	return finish(store_dispute(store, session, seq, 1, 2));
}

static int do_close(const uint8_t *session, uint64_t up, uint64_t down)
{
	begin();
	return finish(store_end(store, session, up, down));
}

static int do_unpaid(const uint8_t *payer, struct receipt_offer *out)
{
	begin();
	return finish(store_unpaid(store, payer, out));
}

static struct ledger_payer payer_now(const uint8_t *payer)
{
	struct ledger_payer out;

	begin();
	assert_int_equal(finish(store_payer(store, payer, &out)), 0);
	return out;
}

static int do_grant(const uint8_t *payer, uint64_t amount, uint64_t expires, uint8_t key)
{
	uint8_t nonce[NONCE_LEN] = {key};

	begin();
	return finish(store_grant(store, payer, amount, expires, nonce));
}

/* Bytes signed in one go. */
static void pay(const uint8_t *session, uint64_t up, struct ledger_payer *out)
{
	struct receipt_offer offer;

	assert_int_equal(do_issue(session, up, 0, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, out), 0);
}

struct test_world {
	uint64_t relay_price, exit_price, cap, allowance;
};

static void use_terms(enum role role, uint64_t price, uint64_t cap)
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

static void store_new(const struct test_world *world)
{
	const struct store_config config = {
		.network = 7,
		.window = {.start = MIB, .cap = world->cap},
		.free_allowance = world->allowance,
	};

	assert_int_equal(store_open(&store, DB_MEMORY, &config, &node, start_of_test), 0);
	use_terms(ROLE_RELAY, world->relay_price, world->cap);
	use_terms(ROLE_EXIT, world->exit_price, world->cap);
}

static const struct test_world plain = {1000, 1000, 8 * MIB, 1000000};

static int setup(void **state)
{
	(void)state;
	test_identity(&node, 1);
	test_identity(&alice, 2);
	test_identity(&bob, 3);
	store_new(&plain);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_close(store);
	return 0;
}

static void restart(void)
{
	assert_int_equal(store_recover(store, store->now_s), 0);
}

/* ---- what must hold after every event ---- */

static int64_t count_of(const char *sql)
{
	int64_t n;

	assert_int_equal(db_get_i64(store->db, sql, &n), 0);
	return n;
}

static void check_invariants(void)
{
	assert_int_equal(count_of("SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY txn "
				  "HAVING sum(amount) <> 0)"),
			 0);
	assert_int_equal(count_of("SELECT count(*) FROM account a WHERE balance <> "
				  "(SELECT coalesce(sum(amount), 0) FROM entry e "
				  "WHERE e.account = a.id)"),
			 0);
	assert_int_equal(count_of("SELECT count(*) FROM account WHERE balance < 0 AND kind <> 0"),
			 0);
	assert_int_equal(count_of("SELECT coalesce(sum(balance), 0) FROM account"), 0);
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE posted > amount"), 0);
	assert_int_equal(count_of("SELECT coalesce(sum(posted), 0) FROM session"),
			 count_of("SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 3"));
	assert_int_equal(count_of("SELECT count(*) FROM payer p WHERE earned <> (SELECT "
				  "coalesce(sum(posted), 0) FROM session WHERE payer = p.key) "
				  "OR bytes <> (SELECT coalesce(sum(up + down), 0) FROM session "
				  "WHERE payer = p.key)"),
			 0);
	assert_int_equal(count_of("SELECT count(*) FROM session s WHERE seq <> (SELECT count(*) "
				  "FROM receipt WHERE session = s.id) OR seq <> (SELECT "
				  "coalesce(max(seq), 0) FROM receipt WHERE session = s.id)"),
			 0);
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE state = 1 AND "
				  "final_up + final_down <> up + down"),
			 0);
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE state = 2 AND "
				  "(offer IS NULL OR final_up + final_down = up + down)"),
			 0);
}

/* ---- the rules ---- */

static const uint8_t first[SESSION_ID_LEN] = {1}, second[SESSION_ID_LEN] = {2};

static void test_slow_start(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	pay(first, MIB - 1, &p);
	assert_int_equal(p.window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.window, 2 * MIB);
	pay(first, 3 * MIB, &p);
	assert_int_equal(p.window, 4 * MIB);
	pay(first, 7 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB);
	pay(first, 100 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB); /* the cap */
	restart();
	assert_int_equal(payer_now(alice.id).window, 8 * MIB);
	check_invariants();
}

static void test_default_and_debt(void **state)
{
	struct receipt_offer offer, again;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 7 * MIB, &p);
	assert_int_equal(p.window, 8 * MIB);
	assert_int_equal(do_issue(first, 8 * MIB, 0, &offer), 0);
	/* Ends with more carried than the outstanding receipt says. */
	assert_int_equal(do_close(first, 9 * MIB, MIB), 0);
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 3 * MIB);
	assert_int_equal(p.window, 0); /* back to 1 MiB, less 3 MiB of debt */
	restart();
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 3 * MIB);

	assert_int_equal(do_unpaid(alice.id, &again), 0);
	assert_memory_equal(&again, &offer, sizeof(offer));
	assert_int_equal(do_cosign(&again, &alice, &p), 0);
	assert_int_equal(p.debt, 2 * MIB);
	assert_int_equal(do_unpaid(alice.id, &again), 0);
	assert_int_equal(le64_get(again.body.bytes_up), 9 * MIB);
	assert_int_equal(le64_get(again.body.bytes_down), MIB);
	assert_int_equal(do_cosign(&again, &alice, &p), 0);
	assert_int_equal(p.debt, 0);
	assert_int_equal(p.window, 4 * MIB); /* 3 MiB signed since the default */
	assert_int_equal(do_unpaid(alice.id, &again), -ENOENT);
	check_invariants();
}

static void test_crash_leaves_debt(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_RELAY, second, bob.id, &p), 0);
	assert_int_equal(do_issue(first, 300000, 0, &offer), 0);
	restart();
	p = payer_now(alice.id);
	assert_int_equal(p.debt, 300000);
	assert_int_equal(p.window, MIB - 300000);
	assert_int_equal(payer_now(bob.id).window, MIB);
	assert_int_equal(do_issue(first, 400000, 0, &offer), -EACCES);
	assert_int_equal(do_issue(second, 1, 0, &offer), -EACCES);
	assert_int_equal(do_unpaid(alice.id, &offer), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(p.debt, 0);
	check_invariants();
}

static void test_one_body_a_number(void **state)
{
	struct receipt_offer offer, other;
	struct ledger_payer p;
	uint8_t garbage[SIGNATURE_LEN] = {0};

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_issue(first, 0, 0, &offer), -EALREADY);
	assert_int_equal(do_issue(first, 1000, 2000, &offer), 0);
	store->now_s += 7200; /* another hour would be another body */
	assert_int_equal(do_issue(first, 9000, 9000, &other), 0);
	assert_memory_equal(&offer, &other, sizeof(offer));
	restart();
	assert_int_equal(do_unpaid(alice.id, &other), 0);
	assert_memory_equal(&offer, &other, sizeof(offer));

	assert_int_equal(do_cosign(&offer, &bob, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 1, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 2, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(first, 0, garbage, &p), -EBADMSG);
	assert_int_equal(do_signature(second, 1, garbage, &p), -EACCES);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), 0);
	assert_int_equal(do_signature(first, 1, garbage, &p), -EBADMSG);
	assert_int_equal(count_of("SELECT count(*) FROM receipt"), 1);
	check_invariants();
}

static void test_dispute_freezes(void **state)
{
	struct receipt_offer offer;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, MIB, &p);
	assert_int_equal(do_issue(first, MIB + 1000, 0, &offer), 0);
	assert_int_equal(do_dispute(first, 1), -EBADMSG);
	assert_int_equal(do_dispute(first, 2), 0);
	assert_int_equal(do_dispute(first, 2), 0);
	assert_int_equal(do_cosign(&offer, &alice, &p), -EACCES);
	assert_int_equal(do_issue(first, MIB + 2000, 0, &offer), -EACCES);
	assert_int_equal(do_close(first, MIB + 3000, 0), 0);
	p = payer_now(alice.id);
	/* Disputing is no way to a fresh window: the bytes stay a debt. */
	assert_int_equal(p.debt, 3000);
	assert_int_equal(p.window, MIB - 3000);
	assert_int_equal(do_unpaid(alice.id, &offer), -ENOENT);
	assert_int_equal(count_of("SELECT count(*) FROM evidence"), 1);
	check_invariants();
}

static void test_credit_limits_window(void **state)
{
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){1024, 1024, 8 * MIB, 0}); /* 1 micro-credit a MiB */
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.credit, 0);
	assert_int_equal(p.window, 0);
	assert_int_equal(do_grant(alice.id, 3, 0, 1), 0);
	assert_int_equal(payer_now(alice.id).window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.credit, 2);
	assert_int_equal(p.window, 2 * MIB);
	pay(first, 2 * MIB, &p);
	assert_int_equal(p.credit, 1);
	assert_int_equal(p.window, MIB);
	/* A second session rounds its amount up on its own: one micro-credit is kept for that. */
	assert_int_equal(do_open(ROLE_RELAY, second, alice.id, &p), 0);
	assert_int_equal(p.window, 0);
	check_invariants();
}

static void test_two_roles_share(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	assert_int_equal(do_open(ROLE_EXIT, second, alice.id, &p), 0);
	assert_int_equal(p.window, MIB / 2);
	assert_int_equal(do_close(first, 0, 0), 0);
	assert_int_equal(payer_now(alice.id).window, MIB);
}

static void test_free_node(void **state)
{
	struct ledger_payer p;

	(void)state;
	teardown(NULL);
	store_new(&(struct test_world){0, 1000, 8 * MIB, 0});
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(p.window, MIB);
	pay(first, MIB, &p);
	assert_int_equal(p.window, 2 * MIB);
	assert_int_equal(count_of("SELECT count(*) FROM txn"), 0);
}

static void test_allowance_by_month(void **state)
{
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	pay(first, 2 * MIB, &p);
	assert_int_equal(p.credit, 999998);
	store->now_s = start_of_test + UINT64_C(31) * 86400 - 1;
	assert_int_equal(payer_now(alice.id).credit, 999998);
	store->now_s++; /* February: the rest of January's is gone, not added up */
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	store->now_s--; /* a clock set back books nothing twice */
	assert_int_equal(payer_now(alice.id).credit, 1000000);
	check_invariants();
}

static void test_grants(void **state)
{
	struct books_purse purse;
	uint64_t month = start_of_test + 86400;
	struct ledger_payer p;

	(void)state;
	assert_int_equal(do_grant(alice.id, 500, 0, 1), 0);
	assert_int_equal(do_grant(alice.id, 500, 0, 1), 0);
	assert_int_equal(do_grant(alice.id, 501, 0, 1), -EEXIST);
	assert_int_equal(do_grant(bob.id, 500, 0, 1), -EEXIST);
	assert_int_equal(do_grant(alice.id, 0, 0, 2), -ERANGE);
	assert_int_equal(do_grant(alice.id, UINT64_MAX, 0, 2), -ERANGE);
	assert_int_equal(do_grant(alice.id, 40, month, 3), 0);
	assert_int_equal(do_grant(alice.id, 7, 0, 4), 0);
	assert_int_equal(books_purse(store->db, alice.id, &purse), 0);
	assert_int_equal(purse.free_left, 1000000);
	assert_int_equal(purse.granted, 547);

	/* Allowance first, then what expires soonest. */
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	begin();
	uint64_t paid;
	assert_int_equal(finish(books_pay(store->db, alice.id, 1000010, "pay:x", 0, &paid)), 0);
	assert_int_equal(paid, 1000010);
	assert_int_equal(books_purse(store->db, alice.id, &purse), 0);
	assert_int_equal(purse.free_left, 0);
	assert_int_equal(purse.granted, 537);
	store->now_s = month;
	assert_int_equal(payer_now(alice.id).credit, 507); /* 30 of the 40 expired */
	/* The same booking again moves nothing. */
	begin();
	assert_int_equal(finish(books_pay(store->db, alice.id, 5, "pay:x", 0, &paid)), -EEXIST);
	assert_int_equal(payer_now(alice.id).credit, 507);
	/* More than there is: what there is. */
	begin();
	assert_int_equal(finish(books_pay(store->db, alice.id, 1000, "pay:y", 0, &paid)), 0);
	assert_int_equal(paid, 507);
}

static void test_pages(void **state)
{
	struct query q = {.kind = QUERY_SESSIONS};
	struct query_rows *rows = xcalloc(1, sizeof(*rows));
	struct ledger_payer p;
	unsigned seen = 0;

	(void)state;
	for (uint8_t i = 1; i <= 150; i++) {
		uint8_t id[SESSION_ID_LEN] = {[3] = i};

		assert_int_equal(do_open(ROLE_RELAY, id, alice.id, &p), 0);
		pay(id, 1000, &p);
	}
	do {
		assert_int_equal(store_query(store, &q, rows), 0);
		for (uint32_t i = 0; i < rows->count; i++)
			assert_int_equal(rows->session[i].session[3], ++seen);
		q.after = rows->next;
	} while (q.after);
	assert_int_equal(seen, 150);

	q = (struct query){.kind = QUERY_RECEIPTS, .has_session = true, .session = {[3] = 77}};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1);
	assert_int_equal(rows->next, 0);
	assert_int_equal(rows->receipt[0].receipt.offer.body.session[3], 77);
	q = (struct query){.kind = QUERY_TERMS};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1); /* the exit's terms carry no receipt */
	assert_true(terms_valid(&rows->terms[0]));
	q = (struct query){.kind = QUERY_CREDITS};
	assert_int_equal(store_query(store, &q, rows), 0);
	assert_int_equal(rows->count, 1);
	assert_memory_equal(rows->credit[0].peer, alice.id, KEY_LEN);
	assert_int_equal(rows->credit[0].bytes, 150000);
	assert_int_equal(rows->credit[0].earned, 150);
	assert_int_equal(rows->credit[0].balance, 1000000 - 150);
	q.kind = (enum query_kind)9;
	assert_int_equal(store_query(store, &q, rows), -EINVAL);
	free(rows);
}

/* ---- random worlds ---- */

enum {
	WORLDS = 250,
	STEPS = 60,
	SESSIONS = 12,
	PAYERS = 3,
};

struct model_session {
	uint8_t id[SESSION_ID_LEN];
	unsigned payer;
	uint64_t price;
	enum session_state state;
	uint64_t signed_, known, carried; /* bytes: co-signed, seen by the store, carried */
	bool has_offer;
	struct receipt_offer offer, old; /* old: the newest co-signed */
	uint64_t seq;
};

struct model_payer {
	struct identity id;
	bool known;
	uint64_t window, progress, largest;
	uint64_t credit; /* booked in, less booked out */
};

static struct model {
	struct test_world world;
	struct model_payer payer[PAYERS];
	struct model_session session[SESSIONS];
	unsigned sessions;
	uint8_t grants;
} m;

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static uint64_t price_of(uint64_t price, uint64_t bytes)
{
	return (uint64_t)(((unsigned __int128)bytes * price + (1u << 30) - 1) >> 30);
}

static void model_meet(struct model_payer *p)
{
	if (p->known)
		return;
	p->known = true;
	p->credit += m.world.allowance;
	p->window = p->largest = MIB;
}

/* What the store must say of a payer; *unsigned_: what its open sessions carried and not signed. */
static struct ledger_payer model_view(unsigned payer, uint64_t *unsigned_)
{
	const struct model_payer *p = &m.payer[payer];
	struct ledger_payer out = {.credit = p->credit};
	uint64_t open = 0, price = 0, due = 0;
	unsigned roles = 0;

	*unsigned_ = 0;
	for (unsigned i = 0; i < m.sessions; i++) {
		const struct model_session *s = &m.session[i];

		if (s->payer != payer)
			continue;
		if (s->state == SESSION_OPEN) {
			open++;
			price = s->price > price ? s->price : price;
			roles |= s->id[1];
			*unsigned_ += s->carried - s->signed_;
		} else {
			out.debt += s->known - s->signed_;
		}
		if (s->state == SESSION_UNPAID)
			due += price_of(s->price, s->known) - price_of(s->price, s->signed_);
	}
	if (!open)
		price = m.world.relay_price > m.world.exit_price ? m.world.relay_price
								 : m.world.exit_price;
	out.window = p->window > out.debt ? p->window - out.debt : 0;
	assert_true(due <= out.credit);
	out.credit -= due;
	if (price) {
		uint64_t spare = open ? open - 1 : 0;
		uint64_t can = out.credit > spare ? terms_bytes_for(price, out.credit - spare) : 0;

		out.window = can < out.window ? can : out.window;
	}
	if (roles == 3)
		out.window /= 2;
	return out;
}

static void check_payer(unsigned payer, const struct ledger_payer *said)
{
	uint64_t unsigned_;
	struct ledger_payer want = model_view(payer, &unsigned_);

	assert_int_equal(said->window, want.window);
	assert_int_equal(said->credit, want.credit);
	assert_int_equal(said->debt, want.debt);
	/* The promise: what nobody signed never exceeds the largest window there was. */
	assert_true(unsigned_ + want.debt <= m.payer[payer].largest);
}

static void model_signed(struct model_session *s)
{
	struct model_payer *p = &m.payer[s->payer];
	uint64_t total = le64_get(s->offer.body.bytes_up) + le64_get(s->offer.body.bytes_down);
	uint64_t bytes = total - s->signed_;

	assert_int_equal(le64_get(s->offer.body.amount), price_of(s->price, total));
	p->credit -= price_of(s->price, total) - price_of(s->price, s->signed_);
	s->signed_ = total;
	s->seq++;
	assert_int_equal(le64_get(s->offer.body.seq), s->seq);
	s->old = s->offer;
	s->has_offer = false;
	for (p->progress += bytes; p->window < m.world.cap && p->progress >= p->window;) {
		p->progress -= p->window;
		p->window = p->window * 2 < m.world.cap ? p->window * 2 : m.world.cap;
	}
	if (p->window == m.world.cap)
		p->progress = 0;
	if (p->window > p->largest)
		p->largest = p->window;
	if (s->state == SESSION_UNPAID && s->known == s->signed_)
		s->state = SESSION_CLOSED;
}

static void model_default(struct model_session *s)
{
	m.payer[s->payer].window = MIB;
	m.payer[s->payer].progress = 0;
}

static void model_ended(struct model_session *s)
{
	s->state = s->known > s->signed_ ? SESSION_UNPAID : SESSION_CLOSED;
	if (s->state == SESSION_UNPAID)
		model_default(s);
}

static void step_open(void)
{
	struct model_session *s = &m.session[m.sessions];
	enum role role = draw(4) ? ROLE_RELAY : ROLE_EXIT;
	struct ledger_payer said;

	if (m.sessions == SESSIONS)
		return;
	*s = (struct model_session){.payer = draw(PAYERS)};
	s->id[0] = (uint8_t)(m.sessions++ + 1);
	s->id[1] = (uint8_t)role;
	s->price = role == ROLE_RELAY ? m.world.relay_price : m.world.exit_price;
	model_meet(&m.payer[s->payer]);
	assert_int_equal(do_open(role, s->id, m.payer[s->payer].id.id, &said), 0);
	check_payer(s->payer, &said);
	assert_int_equal(do_open(role, s->id, m.payer[s->payer].id.id, &said), -EEXIST);
}

/* The data path: never beyond what the window says. */
static void step_carry(struct model_session *s)
{
	uint64_t unsigned_, room;
	struct ledger_payer now = model_view(s->payer, &unsigned_);

	room = now.window > unsigned_ ? now.window - unsigned_ : 0;
	if (s->state == SESSION_OPEN && room)
		s->carried += draw(3) ? draw((uint32_t)room + 1) : room;
}

static void step_issue(struct model_session *s)
{
	struct receipt_offer offer;
	int err = do_issue(s->id, s->carried / 3, s->carried - s->carried / 3, &offer);

	if (s->state != SESSION_OPEN) {
		assert_int_equal(err, -EACCES);
		return;
	}
	s->known = s->carried;
	if (!s->has_offer && s->carried == s->signed_) {
		assert_int_equal(err, -EALREADY);
		return;
	}
	assert_int_equal(err, 0);
	if (s->has_offer)
		assert_memory_equal(&offer, &s->offer, sizeof(offer));
	s->has_offer = true;
	s->offer = offer;
	assert_int_equal(receipt_check_chain(s->seq ? &s->old : NULL, &offer), RECEIPT_OK);
}

static void step_cosign(struct model_session *s)
{
	struct ledger_payer said;

	if (!s->has_offer) {
		struct receipt_offer none;

		if (s->state == SESSION_UNPAID && !do_unpaid(m.payer[s->payer].id.id, &none) &&
		    none.body.session[0] == s->id[0]) {
			s->has_offer = true;
			s->offer = none;
		}
		return;
	}
	if (s->state == SESSION_FROZEN) {
		assert_int_equal(do_cosign(&s->offer, &m.payer[s->payer].id, &said), -EACCES);
		return;
	}
	assert_int_equal(do_cosign(&s->offer, &m.payer[(s->payer + 1) % PAYERS].id, &said),
			 -EBADMSG);
	assert_int_equal(do_cosign(&s->offer, &m.payer[s->payer].id, &said), 0);
	model_signed(s);
	check_payer(s->payer, &said);
}

static void step_duplicate(struct model_session *s)
{
	struct ledger_payer said;
	uint8_t junk[SIGNATURE_LEN] = {1};

	if (s->seq && s->state != SESSION_FROZEN) {
		assert_int_equal(do_cosign(&s->old, &m.payer[s->payer].id, &said), 0);
		check_payer(s->payer, &said);
	}
	assert_int_equal(do_signature(s->id, s->seq + 1 + draw(3), junk, &said),
			 s->state == SESSION_FROZEN ? -EACCES : -EBADMSG);
}

static void step_dispute(struct model_session *s)
{
	/* An unpaid session always has a receipt to dispute, if not one the model has seen. */
	bool frozen = s->state == SESSION_FROZEN;
	bool offered = s->has_offer || s->state == SESSION_UNPAID;
	int err;

	if (draw(3))
		return;
	err = do_dispute(s->id, s->seq + 1);
	assert_int_equal(err, frozen || offered ? 0 : -EBADMSG);
	if (frozen || !offered)
		return;
	s->state = SESSION_FROZEN;
	model_default(s);
}

static void step_close(struct model_session *s)
{
	assert_int_equal(do_close(s->id, s->carried / 3, s->carried - s->carried / 3), 0);
	if (s->state == SESSION_OPEN) {
		s->known = s->carried;
		model_ended(s);
	} else if (s->state == SESSION_FROZEN) {
		s->known = s->carried;
	}
}

static void step_crash(void)
{
	if (draw(4))
		return;
	restart();
	for (unsigned i = 0; i < m.sessions; i++) {
		struct model_session *s = &m.session[i];

		if (s->state == SESSION_OPEN) {
			model_ended(s);
			s->carried = s->known; /* the rest is the relay's loss */
		}
	}
}

static void step_grant(void)
{
	unsigned payer = draw(PAYERS);
	uint64_t amount = 1 + draw(1000);

	model_meet(&m.payer[payer]);
	assert_int_equal(do_grant(m.payer[payer].id.id, amount, 0, ++m.grants), 0);
	assert_int_equal(do_grant(m.payer[payer].id.id, amount, 0, m.grants), 0);
	m.payer[payer].credit += amount;
}

static void step(void)
{
	struct model_session *s = m.sessions ? &m.session[draw(m.sessions)] : NULL;
	uint32_t what = draw(20);

	if (what < 2 || !s)
		step_open();
	else if (what < 8)
		step_carry(s);
	else if (what < 12)
		step_issue(s);
	else if (what < 15)
		step_cosign(s);
	else if (what < 16)
		step_duplicate(s);
	else if (what < 17)
		step_dispute(s);
	else if (what < 18)
		step_close(s);
	else if (what < 19)
		step_crash();
	else
		step_grant();
}

static void check_world(void)
{
	/* Who keeps to the window is never asked for more than its credit. */
	assert_int_equal(count_of("SELECT count(*) FROM session WHERE posted <> amount"), 0);
	check_invariants();
	for (unsigned i = 0; i < PAYERS; i++) {
		struct ledger_payer said;

		if (!m.payer[i].known)
			continue;
		said = payer_now(m.payer[i].id.id);
		check_payer(i, &said);
	}
}

static void test_random_worlds(void **state)
{
	static const uint64_t prices[] = {0, 1, 1000, 1 << 20, 123456789};

	(void)state;
	for (uint32_t world = 0; world < WORLDS; world++) {
		seed = world + 1;
		teardown(NULL);
		memset(&m, 0, sizeof(m));
		m.world = (struct test_world){prices[draw(5)], prices[draw(5)], MIB << draw(5),
					      draw(2) ? draw(100000) : 0};
		for (unsigned i = 0; i < PAYERS; i++)
			test_identity(&m.payer[i].id, (uint8_t)(10 + i));
		store_new(&m.world);
		for (int i = 0; i < STEPS; i++) {
			step();
			check_world();
		}
	}
}

/* Any order and number of the same co-signatures ends in the same books. */
static void test_order_does_not_matter(void **state)
{
	struct ledger_payer p;
	struct receipt_offer offer[2];

	(void)state;
	assert_int_equal(do_open(ROLE_RELAY, first, alice.id, &p), 0);
	assert_int_equal(do_open(ROLE_EXIT, second, alice.id, &p), 0);
	assert_int_equal(do_issue(first, MIB, 0, &offer[0]), 0);
	assert_int_equal(do_issue(second, 2 * MIB, 0, &offer[1]), 0);
	for (int i = 5; i >= 0; i--)
		assert_int_equal(do_cosign(&offer[i % 2], &alice, &p), 0);
	assert_int_equal(p.credit, 1000000 - 1 - 2);
	assert_int_equal(count_of("SELECT count(*) FROM txn WHERE key LIKE 'pay:%'"), 2);
	check_invariants();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slow_start),
		TEST(test_default_and_debt),
		TEST(test_crash_leaves_debt),
		TEST(test_one_body_a_number),
		TEST(test_dispute_freezes),
		TEST(test_credit_limits_window),
		TEST(test_two_roles_share),
		TEST(test_free_node),
		TEST(test_allowance_by_month),
		TEST(test_grants),
		TEST(test_pages),
		TEST(test_order_does_not_matter),
		TEST(test_random_worlds),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
