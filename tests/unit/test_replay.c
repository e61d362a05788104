/*
 * Whatever was signed once is shown again: later, in another order, for another session, at another
 * relay, after a restart; receipts, and grants. It changes nothing. REPLAYS=N tries more than the
 * usual 40,000.
 */
#include "tests/lib/store.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

enum {
	REPLAYS = 40000,
	SESSIONS = 24,
	RECEIPTS = 6, /* of each session */
	PAYERS = 3,
	LOOK_EVERY = 250,
	RESTART_EVERY = 5000,
};

/* Everything an eavesdropper, or the payer itself, may have kept. */
static struct receipt ours[SESSIONS][RECEIPTS], theirs[SESSIONS][RECEIPTS];
static struct terms our_terms[ROLES], their_terms[ROLES];
static struct grant promised[PAYERS], elsewhere[PAYERS]; /* here, and to be spent elsewhere */
static struct identity issuer;
static uint8_t digest[KEY_LEN];

static const struct identity *payer_of(unsigned i)
{
	const struct identity *const payers[PAYERS] = {&alice, &bob, &carol};

	return payers[i % PAYERS];
}

static void session_id(uint8_t id[static SESSION_ID_LEN], unsigned i)
{
	memset(id, 0, SESSION_ID_LEN);
	id[0] = (uint8_t)i;
	id[15] = 1;
}

/* The last receipt of every third session stays unsigned. */
static bool stays_unsigned(unsigned i, unsigned seq)
{
	return i % 3 == 0 && seq == RECEIPTS;
}

static void session_play(unsigned i, struct receipt kept[static RECEIPTS])
{
	uint8_t id[SESSION_ID_LEN];
	struct receipt_offer offer;
	struct ledger_payer said;

	session_id(id, i);
	assert_int_equal(do_open(i % 2 ? ROLE_RELAY : ROLE_EXIT, id, payer_of(i)->id, &said), 0);
	for (unsigned seq = 1; seq <= RECEIPTS; seq++) {
		assert_int_equal(do_issue(id, seq * 50000u, seq * i, &offer), 0);
		receipt_cosign(&kept[seq - 1], &offer, payer_of(i));
		if (!stays_unsigned(i, seq))
			assert_int_equal(
				do_signature(id, seq, kept[seq - 1].payer_signature, &said), 0);
	}
}

static void promise_play(unsigned i)
{
	const uint8_t serial[NONCE_LEN] = {(uint8_t)i, 9};
	struct grant_values v = {
		.network = 7,
		.payer = payer_of(i)->id,
		.node = node.id,
		.limit = 5000 + i,
		.serial = serial,
	};
	struct ledger_promised out;

	grant_make(&promised[i], &v, &issuer);
	v.node = issuer.id;
	grant_make(&elsewhere[i], &v, &issuer);
	begin();
	assert_int_equal(finish(store_promise(store, &promised[i], &out)), 0);
	assert_false(out.known);
}

/* The same sessions, by their ids and payers, at two relays. */
static void play_both(void)
{
	const struct test_world world = {1u << 20, 1u << 24, 8 * MIB, 500, 30000};

	teardown(NULL);
	test_identity(&node, 77);
	store_new(&world);
	for (unsigned i = 0; i < SESSIONS; i++)
		session_play(i, theirs[i]);
	memcpy(their_terms, store->terms, sizeof(their_terms));
	teardown(NULL);
	test_identity(&node, 1);
	store_new(&world);
	for (uint8_t i = 0; i < PAYERS; i++)
		assert_int_equal(do_grant(payer_of(i)->id, 100000, 0, i), 0);
	memcpy(our_terms, store->terms, sizeof(our_terms));
	test_identity(&issuer, 88);
	memcpy(store->config.issuers[0], issuer.id, KEY_LEN);
	store->config.issuer_count = 1;
	for (unsigned i = 0; i < PAYERS; i++)
		promise_play(i);
	for (unsigned i = 0; i < SESSIONS; i++)
		session_play(i, ours[i]);
	assert_int_equal(do_close(ours[1][0].offer.body.session, 0, 0), 0);
	assert_int_equal(do_dispute(ours[3][0].offer.body.session, RECEIPTS), 0);
	post_all();
	assert_int_equal(do_give(bob.id, 100, 99), 0);
}

/* ---- the tries ---- */

static int show(const struct receipt *r, const uint8_t *session, uint64_t seq)
{
	struct ledger_payer said;

	return do_signature(session, seq, r->payer_signature, &said);
}

static void try_again(unsigned i, unsigned seq)
{
	const struct receipt *r = &ours[i][seq - 1];
	int err;

	if (stays_unsigned(i, seq))
		return;
	err = show(r, r->offer.body.session, seq);
	assert_int_equal(err, i == 3 ? -EACCES : 0);
}

static void try_other_number(unsigned i, unsigned seq)
{
	const struct receipt *r = &ours[i][seq - 1];
	unsigned as = draw(2 * RECEIPTS);

	if (as != seq)
		assert_int_equal(show(r, r->offer.body.session, as), i == 3 ? -EACCES : -EBADMSG);
}

static void try_other_session(unsigned i, unsigned seq)
{
	unsigned other = draw(SESSIONS + 4);
	uint8_t id[SESSION_ID_LEN];

	session_id(id, other);
	if (other != i)
		assert_int_equal(show(&ours[i][seq - 1], id, seq),
				 other == 3 || other >= SESSIONS ? -EACCES : -EBADMSG);
}

static void try_other_relay(unsigned i, unsigned seq)
{
	const struct receipt *r = &theirs[i][seq - 1];

	assert_int_equal(show(r, r->offer.body.session, seq), i == 3 ? -EACCES : -EBADMSG);
}

static void try_other_payer(unsigned i, unsigned seq)
{
	struct receipt r;

	receipt_cosign(&r, &ours[i][seq - 1].offer, payer_of(i + 1));
	assert_int_equal(show(&r, r.offer.body.session, seq), i == 3 ? -EACCES : -EBADMSG);
}

static void try_opening(unsigned i, unsigned seq)
{
	struct ledger_payer said;

	assert_int_equal(do_open(seq % 2 ? ROLE_RELAY : ROLE_EXIT, ours[i][0].offer.body.session,
				 payer_of(seq)->id, &said),
			 -EEXIST);
}

static void try_dispute(unsigned i, unsigned seq)
{
	if (!stays_unsigned(i, seq))
		assert_int_equal(do_dispute(ours[i][0].offer.body.session, seq),
				 i == 3 ? 0 : -EBADMSG);
}

static void try_grant(unsigned i, unsigned seq)
{
	uint8_t which = (uint8_t)(i % PAYERS);

	assert_int_equal(do_grant(payer_of(which)->id, 100000, 0, which), 0);
	assert_int_equal(do_grant(payer_of(which)->id, 100000 + seq, 0, which), -EEXIST);
	assert_int_equal(do_grant(payer_of(which + 1)->id, 100000, 0, which), -EEXIST);
}

static void try_give(unsigned i, unsigned seq)
{
	assert_int_equal(do_give(bob.id, 100, 99), 0);
	assert_int_equal(do_give(payer_of(i)->id, 100 + seq, 99), -EEXIST);
	assert_int_equal(do_grant(bob.id, 100, 0, 99), -EEXIST);
}

static int show_grant(const struct grant *g, struct ledger_promised *out)
{
	begin();
	return finish(store_promise(store, g, out));
}

static void try_promise(unsigned i, unsigned seq)
{
	struct grant g = promised[i % PAYERS];
	struct ledger_promised out;

	assert_int_equal(show_grant(&g, &out), 0);
	assert_true(out.known);
	assert_int_equal(show_grant(&elsewhere[i % PAYERS], &out), -EPERM);
	g.body.limit = le64_of(le64_get(g.body.limit) + seq);
	assert_true(show_grant(&g, &out) < 0);
	identity_sign(g.signature, &g.body, sizeof(g.body), &issuer);
	assert_int_equal(show_grant(&g, &out), -EEXIST); /* the serial is used */
}

static int show_held(const struct terms *terms, const struct receipt *r, struct ledger_adopted *out)
{
	const struct body_held held = {.terms = terms[r->offer.body.role], .receipt = *r};

	begin();
	return finish(store_adopt(store, &held, out));
}

static void try_held(unsigned i, unsigned seq)
{
	struct ledger_adopted out;

	if (stays_unsigned(i, seq))
		return; /* signed after all: that would be news */
	assert_int_equal(show_held(our_terms, &ours[i][seq - 1], &out), 0);
	assert_false(out.news || out.frozen);
	assert_int_equal(show_held(their_terms, &theirs[i][seq - 1], &out), -EBADMSG);
	assert_int_equal(show_held(our_terms, &theirs[i][seq - 1], &out), -EBADMSG);
}

static void try_posting(unsigned i, unsigned seq)
{
	(void)i;
	if (seq == 1)
		post_all();
}

static void (*const tries[])(unsigned i, unsigned seq) = {
	try_again,       try_again,       try_again,   try_other_number, try_other_session,
	try_other_relay, try_other_payer, try_opening, try_dispute,      try_grant,
	try_give,        try_promise,     try_held,    try_posting,
};

static void look(bool all)
{
	uint8_t now[KEY_LEN];

	books_digest(now);
	assert_memory_equal(now, digest, KEY_LEN);
	if (all)
		check_invariants();
}

static void test_replays(void **state)
{
	const char *wanted = getenv("REPLAYS");
	uint64_t replays = REPLAYS;

	(void)state;
	if (wanted)
		assert_true(text_u64(wanted, 1, UINT32_MAX, &replays));
	play_both();
	seed = 1;
	books_digest(digest);
	for (uint32_t n = 1; n <= replays; n++) {
		tries[draw(ARRAY_SIZE(tries))](draw(SESSIONS), 1 + draw(RECEIPTS));
		if (n % LOOK_EVERY == 0)
			look(false);
		if (n % RESTART_EVERY)
			continue;
		look(true);
		restart(); /* the first ends what is open; what is shown changes nothing after it */
		if (n == RESTART_EVERY)
			books_digest(digest);
	}
	look(true);
	printf("%" PRIu64 " tries\n", replays);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replays, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
