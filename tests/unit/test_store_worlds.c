/*
 * The provider's books in random worlds, against a model of them. WORLDS=N makes more of them.
 *
 * Each of these changes to the code makes one of test_store*, test_replay fail (tried one by one):
 *   heads        counters may fall; any number takes the signature; the signature is not verified;
 *                an old one is not compared
 *   balances     no CHECK on them; what was earned is given without looking; a leg of a booking is
 *                missing; the cached balance is not kept; sums wrap
 *   keys         of a posting, of a hold: random; one for all postings of a session; not unique;
 * the same key may be another grant; an allowance has a key an hour posting      before it is
 * signed (all that is held); beyond the hold; with every receipt; not by the hour; not at the end;
 * allowances paid out; grants before allowances; paid, what a payer brought, and the bytes not
 * counted fees         of each posting instead of the whole; none; not fixed when the session opens
 *   holds        none before an offer; not released; released by half; a frozen session's kept; the
 *                debt not held; held for ever; others' not given back; others' given back that were
 *                offered; given back in the order of spending; ahead outlives its source; expiry
 *                takes what is signed for; back to an account that ran out, now or before
 *   view         without what is held; without what is due
 *   requests     undone ones are kept
 */
#include <inttypes.h>

#include "base/text.h"
#include "tests/lib/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
	WORLDS = 1000,
	ON_DISK = 64, /* one world in so many */
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
	uint64_t worked;   /* bytes of debt worked off */
	uint64_t signed_;  /* bytes, all of them */
	uint64_t defaults; /* how often */
	uint64_t since;    /* bytes signed since the last one */
	uint64_t credit;   /* booked in, less booked out */
};

static struct model {
	struct test_world world;
	struct model_payer payer[PAYERS];
	struct model_session session[SESSIONS];
	unsigned sessions;
	uint8_t grants;
	bool timed;               /* months pass and grants expire: credit is not modelled */
	char path[TEST_DIR + 32]; /* of the database; empty: in memory */
} m;

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
	assert_true(p->worked <= out.debt);
	out.window = p->window > out.debt - p->worked ? p->window - (out.debt - p->worked) : 0;
	out.window = out.window > MIB / 16 ? out.window : MIB / 16;
	assert_true(m.timed || due <= out.credit);
	out.credit -= due;
	if (price && !m.timed) {
		uint64_t spare = open ? open - 1 : 0;
		uint64_t can = out.credit > spare ? terms_bytes_for(price, out.credit - spare) : 0;

		out.window = can < out.window ? can : out.window;
	}
	if (roles == 3)
		out.window /= 2;
	return out;
}

/* The promises: what is usable is no more than a new identity has that signed as much since; what
 * nobody signed is within the largest window there was, and a sixteenth of the start for each
 * default more; each byte more than that was worked off by one that was signed. */
static void check_loss(const struct model_payer *p, uint64_t unsigned_, uint64_t debt,
		       uint64_t window)
{
	assert_true(p->defaults == 0 || window <= MIB + p->since);
	assert_true(unsigned_ + debt <= p->largest + p->defaults * (MIB / 16) + p->signed_);
}

static void check_payer(unsigned payer, const struct ledger_payer *said)
{
	uint64_t unsigned_;
	struct ledger_payer want = model_view(payer, &unsigned_);

	if (m.timed) {
		assert_true(said->window <= want.window);
	} else {
		assert_int_equal(said->window, want.window);
		assert_int_equal(said->credit, want.credit);
	}
	assert_int_equal(said->debt, want.debt);
	check_loss(&m.payer[payer], unsigned_, want.debt, said->window);
}

static uint64_t model_debt(unsigned payer)
{
	uint64_t debt = 0;

	for (unsigned i = 0; i < m.sessions; i++)
		if (m.session[i].payer == payer && m.session[i].state != SESSION_OPEN)
			debt += m.session[i].known - m.session[i].signed_;
	return debt;
}

static void model_signed(struct model_session *s)
{
	struct model_payer *p = &m.payer[s->payer];
	uint64_t total = le64_get(s->offer.body.bytes_up) + le64_get(s->offer.body.bytes_down);
	uint64_t bytes = total - s->signed_;

	assert_int_equal(le64_get(s->offer.body.amount), price_of(s->price, total));
	p->credit -= price_of(s->price, total) - price_of(s->price, s->signed_);
	s->signed_ = total;
	p->signed_ += bytes;
	p->since += bytes;
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
	if (s->state == SESSION_OPEN)
		p->worked += bytes;
	if (s->state == SESSION_UNPAID && s->known == s->signed_)
		s->state = SESSION_CLOSED;
	if (p->worked > model_debt(s->payer))
		p->worked = model_debt(s->payer);
}

static void model_default(struct model_session *s)
{
	struct model_payer *p = &m.payer[s->payer];

	p->window = MIB;
	p->progress = 0;
	p->since = 0;
	p->defaults++;
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

	if (m.timed)
		now = payer_now(m.payer[s->payer].id.id);
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

/* The payer is asked for the oldest of its debts: only now that offer is written. */
static void model_unpaid(unsigned payer)
{
	struct receipt_offer offer;
	struct model_session *s;

	assert_int_equal(do_unpaid(m.payer[payer].id.id, &offer), 0);
	s = &m.session[offer.body.session[0] - 1];
	assert_true(s->payer == payer && s->state == SESSION_UNPAID);
	if (s->has_offer)
		assert_memory_equal(&offer, &s->offer, sizeof(offer));
	s->has_offer = true;
	s->offer = offer;
}

static void step_cosign(struct model_session *s)
{
	struct ledger_payer said;

	if (!s->has_offer) {
		if (s->state == SESSION_UNPAID)
			model_unpaid(s->payer);
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

/* What ended before it carried anything is not in the books any more. */
static bool is_forgotten(const struct model_session *s)
{
	return s->state == SESSION_CLOSED && s->known == 0;
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
			 s->state == SESSION_FROZEN || is_forgotten(s) ? -EACCES : -EBADMSG);
}

static void step_dispute(struct model_session *s)
{
	bool frozen = s->state == SESSION_FROZEN, offered = s->has_offer;
	int err;

	if (draw(3))
		return;
	err = do_dispute(s->id, s->seq + 1);
	assert_int_equal(err, frozen || offered ? 0 : is_forgotten(s) ? -EACCES : -EBADMSG);
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

/* Requests whose changes are taken back: alone, or with the whole transaction. */
static void step_undone(struct model_session *s)
{
	uint8_t before[KEY_LEN], after[KEY_LEN], key[NONCE_LEN] = {255};
	uint64_t carried = s->carried + draw(100000);
	const struct model_payer *p = &m.payer[s->payer];
	struct ledger_payer said;
	struct receipt_offer offer;
	struct receipt r;
	int err = 0;

	rows_digest(before);
	begin();
	for (unsigned n = 1 + draw(4); n > 0 && !err; n--) {
		switch (draw(4)) {
		case 0:
			err = store_issue(store, s->id, carried, carried, &offer);
			break;
		case 1:
			receipt_cosign(&r, &s->offer, &p->id);
			err = store_cosign(store, s->id, s->seq + 1, r.payer_signature, &said);
			break;
		case 2:
			err = store_end(store, s->id, carried, carried);
			break;
		default:
			err = store_grant(store, p->id.id, 1 + draw(1000), 0, key);
		}
	}
	if (draw(2)) {
		store_rollback(store);
	} else {
		assert_int_equal(store_unmark(store, false), 0);
		assert_int_equal(store_commit(store), 0);
	}
	rows_digest(after);
	assert_memory_equal(before, after, KEY_LEN);
}

/* The file as it is in the middle of a transaction is what the next start finds. */
static void copy_file(const char *suffix)
{
	char from[sizeof(m.path) + 16], to[sizeof(m.path) + 16], buffer[65536];
	ssize_t n;
	int in, out;

	snprintf(from, sizeof(from), "%s%s", m.path, suffix);
	snprintf(to, sizeof(to), "%s.copy%s", m.path, suffix);
	in = open(from, O_RDONLY);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(out, buffer, (size_t)n), n);
	close(in);
	close(out);
}

static void copy_back(const char *suffix)
{
	char from[sizeof(m.path) + 16], to[sizeof(m.path) + 16];

	snprintf(from, sizeof(from), "%s.copy%s", m.path, suffix);
	snprintf(to, sizeof(to), "%s%s", m.path, suffix);
	assert_int_equal(rename(from, to), 0);
}

static void crash_on_disk(void)
{
	const uint64_t now = store->now_s;
	struct ledger_payer said;

	begin();
	for (unsigned i = 0; i < m.sessions; i++) {
		struct model_session *s = &m.session[i];
		struct receipt_offer offer;
		int err = store_issue(store, s->id, s->carried + 1, s->carried, &offer);

		assert_true(err == 0 || err == -EACCES);
	}
	assert_int_equal(store_session(store, ROLE_RELAY, (const uint8_t[SESSION_ID_LEN]){99},
				       m.payer[0].id.id, &said),
			 0);
	copy_file("");
	copy_file("-wal");
	store_rollback(store);
	store_close(store);
	copy_back("");
	copy_back("-wal");
	start_at = now;
	store_new_at(m.path, &m.world);
	start_at = start_of_test;
}

static void step_crash(void)
{
	if (draw(4))
		return;
	if (m.path[0])
		crash_on_disk();
	else
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
	uint64_t expires = m.timed && draw(2) ? store->now_s + 1 + draw(40 * 86400) : 0;

	model_meet(&m.payer[payer]);
	assert_int_equal(do_grant(m.payer[payer].id.id, amount, expires, ++m.grants), 0);
	assert_int_equal(do_grant(m.payer[payer].id.id, amount, expires, m.grants), 0);
	m.payer[payer].credit += amount;
}

/* What the node earned, and never more. */
static void step_give(void)
{
	unsigned payer = draw(PAYERS);
	uint64_t amount = 1 + draw(100), have;
	struct account own;
	int err;

	begin();
	assert_int_equal(finish(account_of_key(store->db, node.id, &own)), 0);
	for (have = amount_u64(own.balance); amount <= have / 2 && draw(4);)
		amount *= 2;
	err = do_give(m.payer[payer].id.id, amount, ++m.grants);
	if (memcmp(m.payer[payer].id.id, node.id, KEY_LEN) == 0) {
		assert_int_equal(err, -EINVAL);
		return;
	}
	assert_int_equal(err, have >= amount ? 0 : -EDQUOT);
	if (err)
		return;
	model_meet(&m.payer[payer]);
	m.payer[payer].credit += amount;
	assert_int_equal(do_give(m.payer[payer].id.id, amount, m.grants), 0);
	assert_int_equal(do_give(m.payer[payer].id.id, amount + 1, m.grants), -EEXIST);
}

static void step_time(void)
{
	store->now_s += draw(2) ? 3600 : draw(1800);
	if (m.timed && !draw(3))
		store->now_s += draw(35 * 86400);
	if (m.timed && !draw(10))
		store->now_s -= draw(35 * 86400); /* a clock that is set back */
}

static void step(void)
{
	static void (*const of_session[])(struct model_session *) = {
		step_carry,  step_carry,   step_carry, step_carry,  step_carry,     step_carry,
		step_issue,  step_issue,   step_issue, step_issue,  step_cosign,    step_cosign,
		step_cosign, step_dispute, step_close, step_undone, step_duplicate,
	};
	static void (*const others[])(void) = {
		step_open, step_open, step_crash, step_grant, step_give, step_time, post_all,
	};
	uint32_t what = draw(ARRAY_SIZE(of_session) + ARRAY_SIZE(others));

	if (!m.sessions)
		step_open();
	else if (what < ARRAY_SIZE(of_session))
		of_session[what](&m.session[draw(m.sessions)]);
	else
		others[what - ARRAY_SIZE(of_session)]();
}

static void check_world(void)
{
	/* Who keeps to the window is never asked for more than its credit. */
	if (!m.timed)
		assert_int_equal(count_of("SELECT count(*) FROM session WHERE hold < amount"), 0);
	check_invariants();
	for (unsigned i = 0; i < PAYERS; i++) {
		struct ledger_payer said;

		if (!m.payer[i].known)
			continue;
		said = payer_now(m.payer[i].id.id);
		check_payer(i, &said);
	}
}

static void world_new(uint32_t world, const char *dir)
{
	static const uint64_t prices[] = {0, 1, 1000, 1 << 20, 123456789};

	seed = world + 1;
	teardown(NULL);
	memset(&m, 0, sizeof(m));
	m.world = (struct test_world){prices[draw(5)], prices[draw(5)], MIB << draw(5),
				      draw(2) ? draw(100000) : 0, draw(2) * draw(300000)};
	m.timed = world % 3 == 2;
	for (unsigned i = 0; i < PAYERS; i++)
		test_identity(&m.payer[i].id, (uint8_t)(10 + i));
	if (m.timed && draw(2))
		m.payer[0].id = node; /* its own client */
	if (world % ON_DISK == 0)
		snprintf(m.path, sizeof(m.path), "%s/%u.db", dir, world);
	store_new_at(m.path[0] ? m.path : DB_MEMORY, &m.world);
}

static void test_random_worlds(void **state)
{
	const char *wanted = getenv("WORLDS");
	uint64_t worlds = WORLDS;
	char dir[TEST_DIR];

	(void)state;
	if (wanted)
		assert_true(text_u64(wanted, 1, UINT32_MAX, &worlds));
	test_dir_make(dir);
	for (uint32_t world = 0; world < worlds; world++) {
		world_new(world, dir);
		for (int i = 0; i < STEPS; i++) {
			step();
			check_world();
		}
	}
	printf("%" PRIu64 " worlds of %d events\n", worlds, STEPS);
	store_close(store);
	store_new(&plain);
	test_dir_remove(dir);
}

/* ---- one payer who never signs ---- */

static const uint64_t starts[] = {1, 1000, 65536, 100000, MIB, 16 * MIB, 16 * MIB + 5};

/* What one default may cost after the first, by the rule as people read it. */
static uint64_t crumb(uint64_t start)
{
	uint64_t part = start / 16 > 65536 ? start / 16 : 65536;

	return part < start ? part : start;
}

static void end_somehow(const uint8_t *session, uint64_t carried)
{
	struct receipt_offer offer;

	switch (draw(4)) {
	case 0:
		assert_int_equal(do_close(session, carried, 0), 0);
		return;
	case 1:
		assert_int_equal(do_issue(session, carried, 0, &offer), 0);
		restart();
		return;
	case 2:
		assert_int_equal(do_issue(session, carried / 2 + 1, 0, &offer), 0);
		assert_int_equal(do_close(session, carried, 0), 0);
		return;
	default:
		assert_int_equal(do_issue(session, carried, 0, &offer), 0);
		assert_int_equal(do_dispute(session, 1), 0);
		assert_int_equal(do_close(session, carried, 0), 0);
	}
}

/* One default after another, each with as much as the store lets through or less. */
static void default_in_a_row(uint64_t start, bool greedy)
{
	uint64_t debt = 0;
	struct ledger_payer p;

	for (uint8_t k = 1; k <= 12; k++) {
		const uint8_t id[SESSION_ID_LEN] = {k, 7};
		uint64_t carried, price_free = start + (k - 1) * crumb(start);

		assert_int_equal(do_open(draw(2) ? ROLE_RELAY : ROLE_EXIT, id, alice.id, &p), 0);
		assert_int_equal(p.debt, debt);
		assert_true(p.window > 0); /* never locked out */
		assert_true(k == 1 || p.window >= crumb(start));
		carried = greedy ? p.window : 1 + draw((uint32_t)p.window);
		end_somehow(id, carried);
		assert_true(payer_now(alice.id).debt - debt <= p.window);
		debt = payer_now(alice.id).debt;
		assert_true(debt <= price_free);
		if (greedy && debt > start)
			assert_true(carried <= crumb(start));
	}
	check_invariants();
}

static void test_defaults_in_a_row(void **state)
{
	const struct test_world free_of_charge = {0, 0, 64 * MIB, 0, 0};

	(void)state;
	for (uint32_t i = 0; i < 10 * ARRAY_SIZE(starts); i++) {
		uint64_t start = starts[i % ARRAY_SIZE(starts)];

		seed = i + 1;
		teardown(NULL);
		store_new(&free_of_charge);
		store->config.window.start = start;
		default_in_a_row(start, i % 3 != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_worlds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_defaults_in_a_row, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
