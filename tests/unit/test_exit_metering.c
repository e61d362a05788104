/* Metering by the exit: receipts when due, held without window, nobody billed for what was dropped.
 */
#include "tests/unit/exit_world.h"

static void receipt_at_a_quarter(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	const struct sent *s;
	struct call c;

	flow(w, 1, MIB / 8, MIB / 8 - 1);
	poll_after(w, 250);
	assert_quiet();
	flow(w, 1, 1, 0);
	poll_after(w, 250);
	c = issue(1);
	assert_int_equal(c.up, MIB / 8 + 1); /* what the device received is the client's up */
	assert_int_equal(c.down, MIB / 8 - 1);
	next_sent(true, VERB_RECEIPT);
	poll_after(w, 999);
	assert_quiet();
	poll_after(w, 1);
	next_sent(true, VERB_RECEIPT); /* again, each second */
	assert_true(cosign(w, 1, b.session, 1, 9));
	assert_true(cosign(w, 1, b.session, 1, 10)); /* a repetition meanwhile */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	s = next_sent(false, VERB_WINDOW);
	assert_int_equal(s->id, 10);
	assert_true(cosign(w, 1, b.session, 1, 11)); /* and afterwards */
	assert_int_equal(next_sent(false, VERB_WINDOW)->id, 11);
	poll_after(w, 2000);
	assert_quiet();
}

static void receipt_by_time(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, 10, 0);
	poll_after(w, 29999);
	assert_quiet();
	poll_after(w, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

static void wrong_signatures(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	assert_true(cosign(w, 1, b.session, 1, 5)); /* nothing to sign */
	assert_refused(REFUSED_SIGNATURE);
	flow(w, 1, MIB / 2, 0);
	poll_after(w, 250);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 2, 5));
	assert_refused(REFUSED_SIGNATURE);
	assert_false(cosign(w, 2, b.session, 1, 5)); /* not the owner: not known here */
	assert_true(cosign(w, 1, b.session, 1, 5));
	answer_payer(CALL_COSIGN, -EBADMSG, 0, 0);
	assert_refused(REFUSED_SIGNATURE);
	assert_true(cosign(w, 1, b.session, 1, 6)); /* still open for the right one */
	answer_payer(CALL_COSIGN, 0, MIB, 0);
	next_sent(false, VERB_WINDOW);
	assert_quiet();
}

static void take_view(void *arg, const struct exit_session_view *view)
{
	*(struct exit_session_view *)arg = *view;
}

static void held_and_released(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct exit_session_view view;
	struct call c;

	flow(w, 1, MIB - 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 0);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	flow(w, 1, 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	assert_true(on_device(w, 1));
	flow(w, 1, 5000, 0); /* dropped behind the device: nobody pays for it */
	poll_after(w, 250);
	assert_int_equal(hold_calls, 1);
	assert_true(cosign(w, 1, b.session, 1, 5));
	assert_int_equal(held_count, 1); /* not before the ledger has it */
	flow(w, 1, 700, 0);
	answer_payer(CALL_COSIGN, 0, 2 * MIB, 0);
	assert_int_equal(held_count, 0);
	next_sent(false, VERB_WINDOW);
	flow(w, 1, 100, 11);
	poll_after(w, 30000);
	c = issue(2);
	assert_int_equal(c.up, MIB + 100);
	assert_int_equal(c.down, 11);
	exit_sessions(w->e, take_view, &view);
	assert_int_equal(view.ignored, 5700);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

/* nft takes its time, and what the device sends had passed before: both are billed. */
static void what_passed_is_billed(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);
	struct call c;

	flow(w, 1, MIB - 1, 0);
	poll_after(w, 250);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	flow(w, 1, 1, 0);
	meanwhile.w = w;
	meanwhile.up = 3000;
	meanwhile.down = 4000;
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	flow(w, 1, 5000, 600);
	poll_after(w, 250);
	assert_true(cosign(w, 1, b.session, 1, 5));
	answer_payer(CALL_COSIGN, 0, 2 * MIB, 0);
	assert_int_equal(held_count, 0);
	next_sent(false, VERB_WINDOW);
	poll_after(w, 30000);
	c = issue(2);
	assert_int_equal(c.up, MIB + 3000);
	assert_int_equal(c.down, 4600);
	next_sent(true, VERB_RECEIPT);
	assert_quiet();
}

/* Credit ran out: all is signed, there is no window, until a top-up is found in the books. */
static void top_up(void **state)
{
	struct world *w = *state;
	struct body_peer b = live(w, 1, MIB);

	flow(w, 1, MIB, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	assert_true(cosign(w, 1, b.session, 1, 5));
	answer_payer(CALL_COSIGN, 0, 0, 0);
	next_sent(false, VERB_WINDOW);
	assert_int_equal(held_count, 1);
	poll_after(w, 1000);
	answer_payer(CALL_NOW, 0, 0, 0);
	assert_int_equal(held_count, 1);
	poll_after(w, 1000);
	answer_payer(CALL_NOW, 0, MIB, 0);
	assert_int_equal(held_count, 0);
	next_sent(true, VERB_WINDOW);
	assert_quiet();
}

static uint64_t window_of(const struct sent *s)
{
	const struct body_window *b = (const void *)s->body;

	return le64_get(b->window);
}

/* A grant does not wait for the next look, nor for a signature. */
static void grant_releases_at_once(void **state)
{
	struct world *w = *state;
	uint8_t stranger[KEY_LEN] = {1};

	exit_payer_changed(w->e, w->payer.id); /* without a session nothing is asked */
	live(w, 1, MIB);
	live(w, 2, MIB);
	flow(w, 1, MIB / 2, 0);
	flow(w, 2, MIB / 2, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 2);
	issue(1);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	next_sent(true, VERB_RECEIPT);
	exit_payer_changed(w->e, stranger);
	assert_quiet();
	exit_payer_changed(w->e, w->payer.id);
	answer_payer(CALL_NOW, 0, 4 * MIB, 0);
	assert_int_equal(held_count, 0);
	assert_int_equal(window_of(next_sent(true, VERB_WINDOW)), 2 * MIB);
	assert_int_equal(window_of(next_sent(true, VERB_WINDOW)), 2 * MIB);
	exit_payer_changed(w->e, w->payer.id); /* nothing new: nobody is told */
	answer_payer(CALL_NOW, 0, 4 * MIB, 0);
	assert_quiet();
}

/* Two sessions of one payer have half its window each. */
static void shared_window(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	live(w, 2, MIB);
	flow(w, 1, MIB / 2, 0);
	flow(w, 2, MIB / 2 - 1, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	take_call(CALL_ISSUE);
	take_call(CALL_ISSUE);
}

static void firewall_reload(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, MIB, 0);
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	issue(1);
	table_present = false;
	held_count = 0;
	poll_after(w, 6000);
	assert_int_equal(applies, 2);
	assert_int_equal(held_count, 1); /* those held stay held */
}

/* A hold the kernel did not take is tried again with the table made anew. */
static void hold_fails_once(void **state)
{
	struct world *w = *state;

	live(w, 1, MIB);
	flow(w, 1, MIB, 0);
	hold_fails = true;
	poll_after(w, 250);
	assert_int_equal(held_count, 0);
	take_call(CALL_ISSUE);
	hold_fails = false;
	poll_after(w, 250);
	assert_int_equal(held_count, 1);
	poll_after(w, 250);
	assert_int_equal(applies, 2);
}

static uint64_t poll_wait(struct world *w, uint64_t ms)
{
	now_ms += ms;
	return metering_poll(w->e);
}

/* Looked at again before half the rest of a window can be used up at the rate of the moment. */
static void looks_closer(void **state)
{
	struct world *w = *state;

	assert_int_equal(poll_wait(w, 250), EXIT_POLL_IDLE_MS); /* nobody is here */
	live(w, 1, 100000);
	assert_int_equal(poll_wait(w, 250), EXIT_POLL_MS);
	flow(w, 1, 200, 300); /* 10 bytes a ms: half the rest would take seconds */
	assert_int_equal(poll_wait(w, 50), EXIT_POLL_MS);
	flow(w, 1, 59500, 0); /* 1487 a ms, 40000 left */
	assert_int_equal(poll_wait(w, 40), 40000 / 2 / 1488);
	issue(1);
	next_sent(true, VERB_RECEIPT);
	flow(w, 1, 0, 30000);
	assert_int_equal(poll_wait(w, 10), EXIT_POLL_MIN_MS);
	flow(w, 1, 9999, 0);
	assert_int_equal(poll_wait(w, 5), EXIT_POLL_MIN_MS);
	flow(w, 1, 1, 0);
	assert_int_equal(poll_wait(w, 5), EXIT_POLL_IDLE_MS); /* held */
	assert_int_equal(held_count, 1);
	live(w, 2, 100000);
	assert_int_equal(poll_wait(w, 50), EXIT_POLL_MS);
	assert_quiet();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(receipt_at_a_quarter),   T(receipt_by_time),       T(wrong_signatures),
		T(held_and_released),      T(what_passed_is_billed), T(top_up),
		T(grant_releases_at_once), T(shared_window),         T(firewall_reload),
		T(hold_fails_once),        T(looks_closer),
	};

	log_init("test_exit_metering", LOG_LEVEL_ERROR);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
