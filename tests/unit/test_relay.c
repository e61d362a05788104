/* Sessions of the relay role: OPEN, receipts and windows, the end, and who may say what. */
#include "tests/unit/relay_world.h"

static void test_open_again_is_the_same_session(void **state)
{
	struct body_open open = open_of(1, 1);
	struct body_granted first, again;

	(void)state;
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open)));
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open))); /* before the ledger has spoken */
	assert_int_equal(world.replies, 0);
	world_run();
	assert_int_equal(world.opens, 1);
	assert_int_equal(world.replied[VERB_GRANTED], 1);
	memcpy(&first, world.reply, sizeof(first));
	assert_int_equal(le64_get(first.window), WINDOW);
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open)));
	memcpy(&again, world.reply, sizeof(again));
	assert_int_equal(world.opens, 1);
	assert_memory_equal(&first, &again, sizeof(first));
	assert_int_equal(registry_count(relay->registry), 1);
}

static void expect_refusal(struct body_open open, uint8_t client, uint32_t code)
{
	assert_true(ask(client, VERB_OPEN, &open, sizeof(open)));
	world_run();
	assert_int_equal(refusal(), code);
}

static void test_open_refusals(void **state)
{
	struct body_open open = open_of(1, 1);
	struct descriptor local;

	(void)state;
	expect_refusal(open, 2, REFUSED_SIGNATURE); /* another caller's statement */
	open.nonce[0] ^= 1;
	expect_refusal(open, 1, REFUSED_SIGNATURE);
	describe(&local, &exit_id, ROLE_EXIT, "192.168.1.1:51820");
	relay_set_exits(relay, &local, 1, NULL, NULL);
	expect_refusal(open_of(1, 1), 1, REFUSED_EXIT_ADDRESS);
	relay_set_exits(relay, &local, 0, NULL, NULL);
	expect_refusal(open_of(1, 1), 1, REFUSED_UNKNOWN_EXIT);
	relay_set_exits(relay, &exit_descriptor, 1, NULL, NULL);
	world.self = (struct net_addr){0};
	assert_true(net_addr_parse(&world.self, "8.8.8.8:51821")); /* found at send time */
	expect_refusal(open_of(1, 1), 1, REFUSED_UNKNOWN_EXIT);
	world.self = (struct net_addr){0};
	world.window = 0;
	expect_refusal(open_of(1, 1), 1, REFUSED_CREDIT);
	assert_int_equal(world.closes, 1);
	world.window = WINDOW;
	for (uint8_t i = 0; i < 4; i++)
		open_session((uint8_t)(10 + i), 1);
	expect_refusal(open_of(1, 20), 1, REFUSED_FULL); /* per payer */
	describe(&self, &relay_id, ROLE_RELAY, "8.8.4.4:51820");
	self.body.relay_terms.body.price = le64_of(PRICE + 1);
	relay_set_self(relay, &self);
	self.body.relay_terms.body.price = le64_of(PRICE);
	expect_refusal(open_of(1, 21), 1, REFUSED_TERMS);
	open = open_of(1, 22); /* what anybody can see is wrong costs no look at the signature */
	open.signature[0] ^= 1;
	expect_refusal(open, 1, REFUSED_TERMS);
}

/* Receipts come by quarter windows; a signature raises the limit before WINDOW is said. */
static void test_receipts_open_the_window(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct relay_session *s = session_by(&g);
	uint32_t h = s->handle;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	assert_int_equal(world_carry(h, WINDOW / 4 - 1), WINDOW / 4 - 1);
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 0);
	world_carry(h, 1);
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 1);
	assert_int_equal(le64_get(world.receipt.body.bytes_down), WINDOW / 4);
	/* Nothing signed: exactly the window passes, and not a byte more. */
	assert_int_equal(world_carry(h, 2 * WINDOW), WINDOW - WINDOW / 4);
	world_run();
	assert_int_equal(world_carry(h, 1), 0);
	assert_int_equal(world.pushed[VERB_RECEIPT], 1);
	cosign(1, &world.receipt);
	assert_true(world_step()); /* the ledger: only now is it durable */
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(world.at[0][h].limit, WINDOW);
	assert_true(world_step()); /* the very next thing is the worker's order */
	assert_int_equal(world.at[0][h].limit, WINDOW + WINDOW / 4);
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 2); /* what waited is issued at once */
	assert_int_equal(le64_get(world.receipt.body.bytes_down), WINDOW);
	cosign(1, &world.receipt);
	world_run();
	assert_int_equal(world_carry(h, 2 * WINDOW), WINDOW);
}

static void test_cosign_again_and_wrong(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct body_cosign bad = {.seq = le64_of(1)};
	struct receipt_offer offer;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, WINDOW / 2);
	world_run();
	offer = world.receipt;
	memcpy(bad.session, g.session, SESSION_ID_LEN);
	assert_true(ask(1, VERB_COSIGN, &bad, sizeof(bad)));
	world_run();
	assert_int_equal(refusal(), REFUSED_SIGNATURE);
	bad.seq = le64_of(2);
	assert_true(ask(1, VERB_COSIGN, &bad, sizeof(bad)));
	assert_int_equal(refusal(), REFUSED_SIGNATURE);
	cosign(1, &offer);
	cosign(1, &offer); /* in flight */
	world_run();
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(world.cosigns, 1);
	cosign(1, &offer); /* WINDOW was lost */
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(world.cosigns, 1);
	assert_int_equal(session_by(&g)->share.signed_total, WINDOW / 2);
}

/* Another's session, one that never was, one that is gone: all the same, and not ours. */
static void test_only_the_owner_speaks(void **state)
{
	static const uint8_t verbs[] = {VERB_COSIGN, VERB_DISPUTE, VERB_CLOSE, VERB_KEEPALIVE};
	struct body_granted g = open_session(1, 1);
	uint8_t body[CONTROL_BODY_MAX] = {0};

	(void)state;
	memcpy(body, g.session, SESSION_ID_LEN);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		assert_false(ask(2, verbs[i], body, sizeof(body)));
	assert_false(ask(2, VERB_PASS, body, PASS_MIN));
	assert_int_equal(session_by(&g)->phase, PHASE_LIVE);
	assert_true(ask(1, VERB_KEEPALIVE, body, SESSION_ID_LEN));
	assert_int_equal(world.reply_verb, VERB_ALIVE);
	body[0] ^= 1;
	assert_false(ask(1, VERB_KEEPALIVE, body, SESSION_ID_LEN));
	assert_false(ask(1, VERB_ADD_PEER, body, sizeof(struct body_add_peer)));
	assert_false(ask(1, VERB_DESCRIBE, body, sizeof(struct descriptor)));
}

static void close_session(uint8_t client, const struct body_granted *g)
{
	struct body_close body = {0};

	memcpy(body.session, g->session, SESSION_ID_LEN);
	assert_true(ask(client, VERB_CLOSE, &body, sizeof(body)));
}

/* Once half of all places are taken an address has so many and no more; others come in. */
static void test_an_address_has_its_part(void **state)
{
	struct body_granted opened[6];
	struct body_open open;

	(void)state;
	crowd_destroy(relay->crowd);
	relay->crowd = crowd_create(8, 2);
	assert_non_null(relay->crowd);
	relay->config.sessions_per_payer = SESSIONS;
	for (uint8_t i = 1; i <= 5; i++)
		opened[i] = open_session(i, 1);
	open = open_of(6, 1);
	open.signature[0] ^= 1; /* costs no look at the signature either */
	expect_refusal(open, 6, REFUSED_FULL);
	world.net = 1;
	open_session(7, 1);
	open_session(8, 1);
	expect_refusal(open_of(9, 1), 9, REFUSED_FULL);
	world.net = 0;
	for (uint8_t i = 1; i <= 3; i++) {
		expect_refusal(open_of(6, 1), 6, REFUSED_FULL);
		close_session(i, &opened[i]);
		world_run();
	}
	open_session(6, 1);
	world.net = 2;
	open_session(9, 1);
}

/* Who lost its session, as an agent that was killed, gives that one's place back by asking. */
static void test_a_lost_session_is_in_nobodys_way(void **state)
{
	struct body_granted lost = {0};
	struct body_open open;

	(void)state;
	crowd_destroy(relay->crowd);
	relay->crowd = crowd_create(8, 2);
	assert_non_null(relay->crowd);
	relay->config.sessions_per_payer = SESSIONS;
	for (uint8_t i = 1; i <= 5; i++)
		lost = open_session(i, 1);
	open = open_of(5, 2);
	open.signature[0] ^= 1;
	expect_refusal(open, 5, REFUSED_SIGNATURE);
	assert_int_equal(session_by(&lost)->phase, PHASE_LIVE);
	expect_refusal(open_of(5, 2), 5, REFUSED_FULL);
	world_run();
	assert_null(session_by(&lost));
	open_session(5, 2);
	expect_refusal(open_of(6, 1), 6, REFUSED_FULL);
}

/* The worker's last word is what is billed; signed in time, the end is no default. */
static void test_close_is_final_and_signed(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct body_close closed;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, 1234);
	close_session(1, &g);
	close_session(1, &g); /* asked again meanwhile */
	world_run();
	assert_int_equal(place_of(0), -1);
	assert_int_equal(world.reply_verb, VERB_CLOSED);
	memcpy(&closed, world.reply, sizeof(closed));
	assert_int_equal(le64_get(closed.bytes_down), 1234);
	assert_int_equal(le32_get(closed.reason), CLOSE_ASKED);
	assert_int_equal(le64_get(world.receipt.body.bytes_down), 1234);
	assert_int_equal(world.closes, 0);
	cosign(1, &world.receipt);
	world_run();
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(world.closes, 1);
	assert_int_equal(world.closed_down, 1234);
	assert_int_equal(registry_count(relay->registry), 0);
	assert_int_equal(relay->exits.slot[0].sessions, 0);
	assert_null(relay->calls);
}

/* An older receipt is outstanding at the close: the last one follows its signature. */
static void test_close_behind_an_outstanding_receipt(void **state)
{
	struct body_granted g = open_session(1, 1);

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, WINDOW / 2);
	world_run();
	world_carry(session_by(&g)->handle, 7);
	close_session(1, &g);
	world_run();
	assert_int_equal(le64_get(world.receipt.body.seq), 1);
	cosign(1, &world.receipt);
	world_run();
	assert_int_equal(le64_get(world.receipt.body.seq), 2);
	assert_int_equal(le64_get(world.receipt.body.bytes_down), WINDOW / 2 + 7);
	cosign(1, &world.receipt);
	world_run();
	assert_int_equal(registry_count(relay->registry), 0);
	assert_int_equal(world.closed_down, WINDOW / 2 + 7);
}

/* Never signed: a debt, shown at the next OPEN, and paid by its signature. */
static void test_debt_is_shown_and_paid(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct receipt_offer debt;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, 1000);
	close_session(1, &g);
	world_run();
	ending_tick(relay, session_by(&g), clock_ms() + 11000);
	world_run();
	assert_int_equal(world.closes, 1);
	assert_int_equal(registry_count(relay->registry), 0);
	memset(&world.receipt, 0, sizeof(world.receipt));
	g = open_session(2, 2);
	assert_int_equal(le64_get(g.window), WINDOW - 1000);
	debt = world.receipt;
	assert_int_equal(le64_get(debt.body.bytes_down), 1000);
	assert_memory_not_equal(debt.body.session, g.session, SESSION_ID_LEN);
	assert_int_equal(world.pushed_to[0], 2);
	assert_false(ask(3, VERB_COSIGN, &(struct body_cosign){0}, sizeof(struct body_cosign)));
	cosign(2, &debt);
	world_run();
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(relay->showing, 0);
	bind_session(&g, 1, 0, address(100));
	assert_int_equal(world.at[0][session_by(&g)->handle].limit, WINDOW);
}

/* Two sessions of a payer never have more than its window between them. */
static void test_sessions_of_a_payer_share(void **state)
{
	struct body_granted a = open_session(1, 1), b = open_session(2, 2);
	uint32_t ha = session_by(&a)->handle, hb = session_by(&b)->handle;
	uint64_t got;

	(void)state;
	bind_session(&a, 1, 0, address(100));
	got = world_carry(ha, 600000);
	assert_int_equal(got, 600000);
	bind_session(&b, 1, 1, address(200));
	got += world_carry(ha, WINDOW);
	got += world_carry(hb, WINDOW);
	world_run();
	got += world_carry(ha, WINDOW) + world_carry(hb, WINDOW);
	assert_int_equal(got, WINDOW);
}

/* A client that crashed comes again with its key: what it left does not keep half the window. */
static void test_new_session_replaces_the_owners_old_one(void **state)
{
	struct body_granted old = open_session(1, 1), other = open_session(2, 1), g;
	struct body_open third = open_of(1, 3);
	struct body_close closed;
	uint32_t h;

	(void)state;
	bind_session(&old, 1, 0, address(100));
	world_carry(session_by(&old)->handle, 1000);
	g = open_session(1, 2);
	assert_int_equal(place_of(session_by(&old)->handle), -1);
	assert_int_equal(world.push_verb, VERB_CLOSED);
	memcpy(&closed, world.push, sizeof(closed));
	assert_memory_equal(closed.session, old.session, SESSION_ID_LEN);
	assert_int_equal(le32_get(closed.reason), CLOSE_ASKED);
	assert_int_equal(le64_get(closed.bytes_down), 1000);
	assert_int_equal(session_by(&old)->phase, PHASE_ENDED);
	assert_int_equal(session_by(&other)->phase, PHASE_LIVE);
	assert_int_equal(session_by(&g)->phase, PHASE_LIVE);
	/* Its last receipt is still asked for, and signed in time it is no default. */
	assert_memory_equal(world.receipt.body.session, old.session, SESSION_ID_LEN);
	cosign(1, &world.receipt);
	world_run();
	assert_null(session_by(&old));
	close_session(2, &other);
	world_run();
	bind_session(&g, 1, 0, address(100));
	h = session_by(&g)->handle;
	assert_int_equal(world_carry(h, 2 * WINDOW), WINDOW);
	/* While one is being opened there is not yet another. */
	assert_true(ask(1, VERB_OPEN, &third, sizeof(third)));
	third = open_of(1, 4);
	assert_true(ask(1, VERB_OPEN, &third, sizeof(third)));
	assert_int_equal(refusal(), REFUSED_BUSY);
}

/* A statement that is not valid ends nothing. */
static void test_only_a_valid_open_replaces(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct body_open open = open_of(1, 2);

	(void)state;
	open.signature[3] ^= 1;
	expect_refusal(open, 1, REFUSED_SIGNATURE);
	open = open_of(1, 2);
	open.terms[0] ^= 1;
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open)));
	open = open_of(1, 1); /* the same again */
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open)));
	world_run();
	assert_int_equal(session_by(&g)->phase, PHASE_LIVE);
	assert_int_equal(world.closes, 0);
}

static void test_dispute_closes_and_freezes(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct body_dispute body = {.seq = le64_of(1), .bytes_down = le64_of(5)};
	struct body_close closed;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, WINDOW / 2);
	world_run();
	memcpy(body.session, g.session, SESSION_ID_LEN);
	body.seq = le64_of(9);
	assert_true(ask(1, VERB_DISPUTE, &body, sizeof(body)));
	assert_int_equal(refusal(), REFUSED_SIGNATURE);
	body.seq = le64_of(1);
	assert_true(ask(1, VERB_DISPUTE, &body, sizeof(body)));
	world_run();
	assert_int_equal(world.disputes, 1);
	assert_int_equal(world.reply_verb, VERB_CLOSED);
	memcpy(&closed, world.reply, sizeof(closed));
	assert_int_equal(le32_get(closed.reason), CLOSE_DISPUTE);
	assert_int_equal(registry_count(relay->registry), 0);
}

static void test_idle_and_exit_gone(void **state)
{
	struct body_granted a = open_session(1, 1), b = open_session(2, 2);
	struct body_close closed;

	(void)state;
	bind_session(&a, 1, 0, address(100));
	ending_tick(relay, session_by(&a), clock_ms() + 59000);
	assert_int_equal(session_by(&a)->phase, PHASE_LIVE);
	ending_tick(relay, session_by(&a), clock_ms() + 60001);
	world_run();
	assert_null(session_by(&a));
	assert_int_equal(world.push_verb, VERB_CLOSED);
	memcpy(&closed, world.push, sizeof(closed));
	assert_int_equal(le32_get(closed.reason), CLOSE_IDLE);
	relay_set_exits(relay, NULL, 0, NULL, NULL);
	assert_int_equal(world.exit[0].wg.port, 0);
	world_run();
	assert_null(session_by(&b));
	memcpy(&closed, world.push, sizeof(closed));
	assert_int_equal(le32_get(closed.reason), CLOSE_EXIT_GONE);
}

/* The exit goes while the ledger is still asked: nobody else would tell the session so. */
static void test_exit_gone_while_opening(void **state)
{
	struct body_open open = open_of(1, 1);

	(void)state;
	assert_true(ask(1, VERB_OPEN, &open, sizeof(open)));
	relay_set_exits(relay, NULL, 0, NULL, NULL);
	world_run();
	assert_int_equal(refusal(), REFUSED_UNKNOWN_EXIT);
	assert_int_equal(world.closes, 1);
	assert_int_equal(registry_count(relay->registry), 0);
}

/* A full disk: what was carried stays in the payer's window until the ledger has it. */
static void test_close_waits_for_the_disk(void **state)
{
	struct body_granted g = open_session(1, 1), other = open_session(2, 2);
	struct relay_session *s = session_by(&g);

	(void)state;
	bind_session(&g, 1, 0, address(100));
	bind_session(&other, 1, 0, address(101));
	world_carry(s->handle, 1000);
	close_session(1, &g);
	world_run();
	world.full = true;
	ending_tick(relay, s, clock_ms() + 11000);
	world_run();
	assert_ptr_equal(session_by(&g), s);
	assert_int_equal(world_carry(session_by(&other)->handle, WINDOW), WINDOW - 1000);
	world.full = false;
	ending_tick(relay, s, clock_ms() + 22000);
	world_run();
	assert_null(session_by(&g));
	assert_int_equal(world.closes, 1);
}

/* A signature takes the ledger a public-key operation: one at a time, however often it comes. */
static void test_debt_signatures_one_at_a_time(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct receipt_offer debt;
	struct body_cosign bad = {0};

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(session_by(&g)->handle, 1000);
	close_session(1, &g);
	world_run();
	ending_tick(relay, session_by(&g), clock_ms() + 11000);
	world_run();
	g = open_session(2, 2);
	debt = world.receipt;
	memcpy(bad.session, debt.body.session, SESSION_ID_LEN);
	bad.seq = debt.body.seq;
	for (int i = 0; i < 3; i++)
		assert_true(ask(2, VERB_COSIGN, &bad, sizeof(bad)));
	world_run();
	assert_int_equal(world.replied[VERB_REFUSED], 1);
	cosign(2, &debt);
	world_run();
	assert_int_equal(world.reply_verb, VERB_WINDOW);
	assert_int_equal(relay->showing, 0);
}

static unsigned shown_in(int seconds)
{
	unsigned before = world.pushed[VERB_RECEIPT];

	for (int i = 0; i < seconds * TICKS_PER_SECOND; i++) {
		event_active(relay->tick, EV_TIMEOUT, 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		world_run();
	}
	return world.pushed[VERB_RECEIPT] - before;
}

/* A receipt is shown every second to who is there, and now and then to who may come back. */
static void test_silent_clients_are_shown_less_often(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct relay_session *s = session_by(&g);

	(void)state;
	bind_session(&g, 1, 0, address(100));
	world_carry(s->handle, 100000);
	shown_in(1);
	assert_non_null(s->bill.offer);
	assert_int_equal(shown_in(16), 16);
	s->active_ms -= 16000;
	assert_int_equal(shown_in(32), 2);
	s->active_ms += 16000; /* heard of again */
	assert_int_equal(shown_in(4), 4);
}

/* Each session is looked after once in so many ticks, and one that sleeps is asked less often. */
static void test_sleepers_are_asked_less_often(void **state)
{
	struct body_granted g = open_session(2, 1);
	struct relay_session *s;

	(void)state;
	g = open_session(1, 1); /* not the first of a tick's part */
	s = session_by(&g);
	bind_session(&g, 1, 0, address(100));
	world.meters = 0;
	for (int i = 0; i < 8 * TICKS_PER_SECOND; i++) {
		event_active(relay->tick, EV_TIMEOUT, 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		world_run();
	}
	assert_false(world.holding);
	assert_int_equal(world.meters, 8);
	assert_int_equal(world.ticks, 8);
	s->counted_ms -= 6000;
	for (int i = 0; i < 32 * TICKS_PER_SECOND; i++) {
		event_active(relay->tick, EV_TIMEOUT, 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		world_run();
	}
	assert_int_equal(world.meters, 8 + 2);
	world_carry(s->handle, 100); /* it wakes up, and is asked each second again */
	for (int i = 0; i < 16 * TICKS_PER_SECOND; i++) {
		event_active(relay->tick, EV_TIMEOUT, 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
		world_run();
	}
	assert_in_range(world.meters, 8 + 2 + 8, 8 + 2 + 16);
	assert_int_equal(session_total(s), 100);
}

/* What it carried just before it would be idle keeps it alive. */
static void test_nobody_is_idle_who_was_not_asked(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct relay_session *s = session_by(&g);

	(void)state;
	bind_session(&g, 1, 0, address(100));
	for (int second = 1; second <= 70; second++) {
		/* As if a second went by. */
		s->active_ms -= 1000;
		s->counted_ms -= 1000;
		if (second == 58)
			world_carry(s->handle, 100);
		shown_in(1);
		assert_int_equal(s->phase, PHASE_LIVE);
	}
}

/* Time alone brings a receipt while bytes flow, and shows an unsigned one again. */
static void test_timer(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct relay_session *s = session_by(&g);

	(void)state;
	billing_tick(relay, s, clock_ms() + 10000); /* never bound is not held: nobody is asked */
	assert_null(relay->calls);
	bind_session(&g, 1, 0, address(100));
	event_active(relay->tick, EV_TIMEOUT, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	world_run();
	assert_int_equal(world.ticks, 1); /* workers have no clock but this */
	billing_tick(relay, s, clock_ms());
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 0);
	world_carry(s->handle, 100);
	s->bill.issued_ms = clock_ms() - 60001;
	billing_tick(relay, s, clock_ms());
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 1);
	assert_int_equal(le64_get(world.receipt.body.bytes_down), 100);
	billing_tick(relay, s, clock_ms());
	world_run();
	assert_int_equal(world.pushed[VERB_RECEIPT], 2);
	assert_int_equal(relay->count.receipts_issued, 1);
}

/* Credit that ran out holds the session; a grant lets it go on without another receipt. */
static void test_grant_releases(void **state)
{
	struct body_granted g;
	uint32_t h;

	(void)state;
	world.window = 1000;
	g = open_session(1, 1);
	h = session_by(&g)->handle;
	bind_session(&g, 1, 0, address(100));
	assert_int_equal(world_carry(h, 5000), 1000);
	world_run();
	world.window = 0; /* all it had is signed away */
	cosign(1, &world.receipt);
	world_run();
	assert_int_equal(world_carry(h, 5000), 0);
	world.window = 4000;
	relay_payer_changed(relay, payer_id.id);
	world_run();
	assert_int_equal(world_carry(h, 5000), 4000);
}

static bool stopped;

static void on_done(void *arg)
{
	(void)arg;
	stopped = true;
}

static void test_stop_tells_the_ledger_all(void **state)
{
	struct body_granted a = open_session(1, 1);
	struct body_open open = open_of(2, 9);

	(void)state;
	stopped = false;
	bind_session(&a, 1, 0, address(100));
	world_carry(session_by(&a)->handle, 500);
	assert_true(ask(2, VERB_OPEN, &open, sizeof(open))); /* the ledger has not answered yet */
	relay_stop(relay, on_done, NULL);
	world_run();
	assert_int_equal(refusal(), REFUSED_BUSY);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_false(stopped); /* the last receipt may still be signed */
	cosign(1, &world.receipt);
	world_run();
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(stopped);
	assert_int_equal(world.closes, 2);
	assert_null(relay->calls);
}

static void count_fresh(void *arg)
{
	++*(unsigned *)arg;
}

/* However often others ask, who asked first does not wait on for a worker that is slow. */
static void test_questions_renew_nobodys_wait(void **state)
{
	const struct timespec while_others_ask = {.tv_nsec = 20000000};
	struct body_granted g = open_session(1, 1);
	unsigned answered = 0;

	(void)state;
	bind_session(&g, 1, 0, address(1000));
	for (int i = 0; i < 50 && !answered; i++) {
		relay_meter(relay, count_fresh, &answered);
		event_base_loop(base, EVLOOP_NONBLOCK);
		nanosleep(&while_others_ask, NULL);
	}
	assert_true(answered > 0);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_open_again_is_the_same_session),
		WORLD_TEST(test_open_refusals),
		WORLD_TEST(test_an_address_has_its_part),
		WORLD_TEST(test_a_lost_session_is_in_nobodys_way),
		WORLD_TEST(test_receipts_open_the_window),
		WORLD_TEST(test_cosign_again_and_wrong),
		WORLD_TEST(test_only_the_owner_speaks),
		WORLD_TEST(test_close_is_final_and_signed),
		WORLD_TEST(test_close_behind_an_outstanding_receipt),
		WORLD_TEST(test_debt_is_shown_and_paid),
		WORLD_TEST(test_sessions_of_a_payer_share),
		WORLD_TEST(test_new_session_replaces_the_owners_old_one),
		WORLD_TEST(test_only_a_valid_open_replaces),
		WORLD_TEST(test_dispute_closes_and_freezes),
		WORLD_TEST(test_idle_and_exit_gone),
		WORLD_TEST(test_timer),
		WORLD_TEST(test_questions_renew_nobodys_wait),
		WORLD_TEST(test_sleepers_are_asked_less_often),
		WORLD_TEST(test_nobody_is_idle_who_was_not_asked),
		WORLD_TEST(test_silent_clients_are_shown_less_often),
		WORLD_TEST(test_exit_gone_while_opening),
		WORLD_TEST(test_close_waits_for_the_disk),
		WORLD_TEST(test_debt_signatures_one_at_a_time),
		WORLD_TEST(test_grant_releases),
		WORLD_TEST(test_stop_tells_the_ledger_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
