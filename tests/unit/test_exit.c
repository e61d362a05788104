/* Sessions of the exit role: how they begin, and all the ways they end. */
#include "tests/unit/exit_world.h"

/* ---- ADD_PEER ---- */

static void opens_and_repeats(void **state)
{
	struct world *w = *state;
	const struct sent *s;
	struct body_peer first, again;
	uint8_t wg[KEY_LEN], priv[KEY_LEN];

	add_peer(w, 1, 1, 1, 50);
	add_peer(w, 1, 1, 1, 51); /* again, while the ledger works */
	assert_int_equal(waiting_count, 1);
	assert_false(on_device(w, 1)); /* not a byte before the ledger has it */
	answer_payer(CALL_OPEN, 0, MIB, 0);
	assert_true(on_device(w, 1));
	s = next_sent(false, VERB_PEER);
	assert_int_equal(s->id, 51);
	memcpy(&first, s->body, sizeof(first));
	add_peer(w, 1, 1, 1, 52);
	memcpy(&again, next_sent(false, VERB_PEER)->body, sizeof(again));
	assert_memory_equal(&first, &again, sizeof(first));
	assert_quiet();

	memset(priv, 5, sizeof(priv));
	x25519_public(wg, priv);
	assert_memory_equal(first.wg_key, wg, KEY_LEN);
	assert_memory_equal(first.address4, "\x0a\x40\x00\x02", 4);
	assert_int_equal(first.address6[15], 2);
	assert_memory_equal(first.dns4, "\x0a\x40\x00\x01", 4);
	assert_int_equal(first.dns6[0], 0);
	assert_int_equal(le64_get(first.window), MIB);
	assert_int_equal(le64_get(first.credit), 77);
}

static void refuses(void **state)
{
	struct world *w = *state;
	struct control_caller c = caller(1), other = caller(2);
	struct body_add_peer good = add_peer_body(w, &c, 1, 1), b = good;

	b.terms[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_TERMS);
	b = good;
	b.signature[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	/* the statement names the caller: nobody else can use it */
	exit_handle(w->e, &other, VERB_ADD_PEER, 1, (const void *)&good, sizeof(good));
	assert_refused(REFUSED_SIGNATURE);
	b = good;
	b.wg_key[0] ^= 1;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	b = add_peer_body(w, &c, 0, 1); /* a key of zeros */
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&b, sizeof(b));
	assert_refused(REFUSED_SIGNATURE);
	wall += 86400;
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&good, sizeof(good));
	assert_refused(REFUSED_TERMS);
	wall -= 86400;
	assert_quiet();
}

/* New sessions need the terms on offer now; those that are there keep theirs. */
static void renewed_terms(void **state)
{
	static const uint8_t seed[KEY_LEN] = {1};
	struct world *w = *state;
	struct control_caller c = caller(2);
	struct body_add_peer old = add_peer_body(w, &c, 2, 2);
	struct descriptor renewed = w->self;
	struct terms_values v;
	struct identity node;

	live(w, 1, MIB);
	identity_from_seed(&node, seed);
	terms_values(&v, &w->self.body.exit_terms);
	v.expires += 86400;
	v.price++;
	terms_make(&renewed.body.exit_terms, &v, &node);
	exit_set_self(w->e, &renewed);
	exit_handle(w->e, &c, VERB_ADD_PEER, 1, (const void *)&old, sizeof(old));
	assert_refused(REFUSED_TERMS);
	terms_hash(w->terms, &renewed.body.exit_terms);
	live(w, 2, MIB);
	wall += 86400; /* the first one's terms are over, the second's are not */
	poll_after(w, 250);
	wall -= 86400;
	assert_false(on_device(w, 1));
	assert_true(on_device(w, 2));
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	assert_quiet();
}

static void what_the_ledger_refuses(void **state)
{
	struct world *w = *state;
	uint8_t old[SESSION_ID_LEN] = {9};

	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, -EACCES, 0, 0);
	assert_refused(REFUSED_FROZEN);
	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, 0, 0, 0);
	assert_refused(REFUSED_CREDIT);
	answer_done(CALL_CLOSE, 0);
	add_peer(w, 1, 1, 1, 1);
	answer_payer(CALL_OPEN, 0, 0, 500);
	answer_issue(CALL_UNPAID, 0, old, 3, 400, 100);
	next_sent(true, VERB_RECEIPT);
	assert_refused(REFUSED_CREDIT);
	answer_done(CALL_CLOSE, 0);
	assert_false(on_device(w, 1));
	/* the old receipt can be signed, by whom it was shown to */
	assert_false(cosign(w, 2, old, 3, 7));
	assert_true(cosign(w, 1, old, 3, 7));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	assert_int_equal(next_sent(false, VERB_WINDOW)->id, 7);
	live(w, 1, MIB);
	assert_quiet();
}

static void full(void **state)
{
	struct world *w = *state; /* room for one */
	struct body_peer b = live(w, 1, MIB);

	add_peer(w, 2, 2, 2, 1);
	assert_refused(REFUSED_FULL);
	/* the one that is there may begin anew */
	add_peer(w, 1, 1, 9, 2);
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	memcpy(&b, next_sent(false, VERB_PEER)->body, sizeof(b));
	assert_true(ask_close(w, 1, b.session, 3));
	answer_done(CALL_CLOSE, 0);
	next_sent(false, VERB_CLOSED);
	live(w, 2, MIB);
	assert_quiet();
}

static void key_of_another(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	add_peer(w, 2, 1, 2, 1);
	assert_refused(REFUSED_BUSY);
	assert_quiet();
}

/* Same key, same owner, new session: the old one is closed with its bytes, the new begins at 0 and
 * keeps the addresses. */
static void same_key_again(void **state)
{
	struct world *w = *state;
	struct body_peer first = live(w, 1, MIB), second;
	struct call c;

	flow(w, 1, 1000, 2000);
	add_peer(w, 1, 1, 77, 5);
	c = issue(1);
	assert_int_equal(c.up, 1000);
	assert_int_equal(c.down, 2000);
	next_sent(true, VERB_RECEIPT);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	memcpy(&second, next_sent(false, VERB_PEER)->body, sizeof(second));
	assert_memory_not_equal(first.session, second.session, SESSION_ID_LEN);
	assert_memory_equal(first.address4, second.address4, 4);
	assert_true(on_device(w, 1));
	flow(w, 1, 10, 20);
	poll_after(w, 250);
	assert_true(cosign(w, 1, first.session, 1, 6)); /* late, but in time */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	c = answer_done(CALL_CLOSE, 0);
	assert_memory_equal(c.session, first.session, SESSION_ID_LEN);
	assert_int_equal(c.up, 1000);
	next_sent(true, VERB_CLOSED);
	assert_true(on_device(w, 1));
	assert_true(ask_close(w, 1, second.session, 8));
	c = issue(1);
	assert_int_equal(c.up, 10);
	assert_int_equal(c.down, 20);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

/* ---- endings ---- */

static void asked_to_close(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	const struct body_close *closed;
	struct call c;

	flow(w, 1, 300, 40);
	assert_false(ask_close(w, 2, b.session, 4)); /* not its owner */
	assert_true(ask_close(w, 1, b.session, 5));
	assert_false(on_device(w, 1));
	issue(1); /* read before the removal */
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	c = answer_done(CALL_CLOSE, 0);
	assert_int_equal(c.up, 300);
	assert_int_equal(c.down, 40);
	closed = (const void *)next_sent(false, VERB_CLOSED)->body;
	assert_int_equal(le64_get(closed->bytes_up), 300);
	assert_int_equal(le32_get(closed->reason), CLOSE_ASKED);
	assert_false(ask_close(w, 1, b.session, 7));
	assert_quiet();
}

static void close_without_signature(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, 300, 40);
	assert_true(ask_close(w, 1, b.session, 5));
	issue(1);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 1000);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 999);
	assert_int_equal(waiting_count, 0);
	poll_after(w, 1);
	answer_done(CALL_CLOSE, 0);
	sent_read = sent_count - 1;
	next_sent(false, VERB_CLOSED);
	assert_quiet();
}

/* A signature that comes while the ledger closes the session pays the debt this is becoming; its
 * answer finds no session any more. */
static void signed_while_closing(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, 300, 40);
	assert_true(ask_close(w, 1, b.session, 5));
	issue(1);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 2000);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_done(CALL_CLOSE, 0);
	next_sent(false, VERB_CLOSED);
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	assert_int_equal(next_sent(false, VERB_WINDOW)->id, 6);
	live(w, 1, MIB);
	assert_quiet();
}

static void store_fails_at_close(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, 300, 40);
	assert_true(ask_close(w, 1, b.session, 5));
	answer_issue(CALL_ISSUE, -ENOSPC, NULL, 0, 0, 0);
	answer_done(CALL_CLOSE, -ENOSPC);
	next_sent(false, VERB_CLOSED);
	assert_quiet();
}

static void dispute(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct body_dispute d = {.seq = le64_of(1), .bytes_up = le64_of(5)};
	const struct body_close *closed;
	struct call c;

	memcpy(d.session, b.session, SESSION_ID_LEN);
	assert_true(ask(w, 1, VERB_DISPUTE, 4, &d, sizeof(d)));
	assert_refused(REFUSED_SIGNATURE); /* of nothing */
	flow(w, 1, MIB / 2, 0);
	poll_after(w, 250);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(ask(w, 1, VERB_DISPUTE, 4, &d, sizeof(d)));
	assert_false(on_device(w, 1));
	c = answer_done(CALL_DISPUTE, 0);
	assert_int_equal(c.up, 5);
	answer_done(CALL_CLOSE, -EACCES);
	closed = (const void *)next_sent(false, VERB_CLOSED)->body;
	assert_int_equal(le32_get(closed->reason), CLOSE_DISPUTE);
	assert_quiet();
}

static void idle(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct body_session k;

	memcpy(k.session, b.session, SESSION_ID_LEN);
	poll_after(w, IDLE_MS - 1);
	assert_true(ask(w, 1, VERB_KEEPALIVE, 3, &k, sizeof(k)));
	next_sent(false, VERB_ALIVE);
	poll_after(w, IDLE_MS - 1);
	flow(w, 1, 0, 1);
	poll_after(w, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	poll_after(w, IDLE_MS - 1);
	assert_quiet();
	poll_after(w, 1);
	assert_false(on_device(w, 1));
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	assert_quiet();
}

static void terms_run_out(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	wall += 86400;
	poll_after(w, 250);
	wall -= 86400;
	answer_done(CALL_CLOSE, 0);
	assert_int_equal(
		le32_get(((const struct body_close *)(const void *)next_sent(true, VERB_CLOSED)
				  ->body)
				 ->reason),
		CLOSE_EXPIRED);
	assert_quiet();
}

/* ---- the device dies ---- */

static void device_dies(void **state)
{
	struct world *w = *state;
	struct exit_status s;
	struct call c;

	live(w, 1, MIB);
	flow(w, 1, 1000, 0);
	poll_after(w, 250);
	fake_die(w->e->tunnel);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	event_base_loop(w->base, EVLOOP_ONCE);
	exit_status(w->e, &s);
	assert_int_equal(s.repairs, 1);
	assert_int_equal(addresses, 4);
	assert_true(on_device(w, 1));
	flow(w, 1, 5, 6);
	poll_after(w, 30000);
	c = issue(1);
	assert_int_equal(c.up, 1005);
	assert_int_equal(c.down, 6);
}

static void device_down(void **state)
{
	struct world *w = *state;

	fake_fail_open(1);
	fake_die(w->e->tunnel);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	add_peer(w, 1, 1, 1, 1);
	assert_refused(REFUSED_BUSY);
	metering_poll(w->e);
	now_ms += 1000;
	while (w->e->device_down)
		event_base_loop(w->base, EVLOOP_ONCE); /* a second of real time */
	live(w, 1, MIB);
}

/* ---- the end ---- */

static void on_done(void *arg)
{
	*(bool *)arg = true;
}

static void stop(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	bool done = false;

	live(w, 2, MIB);
	flow(w, 1, 10, 20);
	add_peer(w, 3, 3, 3, 1);
	exit_stop(w->e, on_done, &done);
	answer_payer(CALL_OPEN, 0, MIB, 0);
	assert_refused(REFUSED_BUSY);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	answer_done(CALL_CLOSE, 0); /* of 2: nothing to sign */
	next_sent(true, VERB_CLOSED);
	answer_done(CALL_CLOSE, 0); /* of 3 */
	add_peer(w, 4, 4, 4, 1);
	assert_refused(REFUSED_BUSY);
	assert_true(cosign(w, 1, b.session, 1, 6));
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_false(done);
	answer_done(CALL_CLOSE, 0);
	next_sent(true, VERB_CLOSED);
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_true(done);
	assert_quiet();
}

static void count_views(void *arg, const struct exit_session_view *view)
{
	unsigned *n = arg;

	(*n)++;
	assert_int_equal(view->up, 5);
	assert_int_equal(view->window, MIB);
}

static void views(void **state)
{
	struct world *w = *state;
	struct exit_status s;
	unsigned n = 0;

	live(w, 1, MIB);
	flow(w, 1, 5, 6); /* shown without waiting for a poll */
	exit_sessions(w->e, count_views, &n);
	assert_int_equal(n, 1);
	exit_status(w->e, &s);
	assert_int_equal(s.peers, 1);
	assert_int_equal(s.up, 5);
	assert_int_equal(s.down, 6);
	assert_string_equal(s.backend, "fake");
	assert_false(exit_handle(w->e, &(struct control_caller){0}, VERB_OPEN, 1, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(opens_and_repeats),
		T(refuses),
		T(renewed_terms),
		T(what_the_ledger_refuses),
		cmocka_unit_test_setup_teardown(full, set_up_small, tear_down),
		T(key_of_another),
		T(same_key_again),
		T(asked_to_close),
		T(close_without_signature),
		T(signed_while_closing),
		T(store_fails_at_close),
		T(dispute),
		T(idle),
		T(terms_run_out),
		T(device_dies),
		T(device_down),
		T(stop),
		T(views),
	};

	log_init("test_exit", LOG_LEVEL_ERROR);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
