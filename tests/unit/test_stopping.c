/* The relay's end with many sessions: in bounded steps, and nothing of what was carried is lost. */
#define WORLD_SESSIONS 2048

#include "tests/unit/relay_world.h"

enum {
	UNSHOWN = 5000,     /* carries no receipt yet */
	SHOWN = WINDOW / 3, /* makes one, which nobody signs */
	BEHIND = 700,       /* what comes behind it */
	UNDER_WAY_MAX =
		1000, /* questions and orders at any time, however many sessions there are */
};

static bool stopped;

static void on_stopped(void *arg)
{
	(void)arg;
	assert_false(stopped);
	assert_null(relay->calls); /* the ledger has answered for all */
	stopped = true;
}

/* Each of another client and payer. */
static struct relay_session *open_one(uint16_t number)
{
	struct control_caller caller = caller_of(0);
	struct body_open open = open_of(0, 0);
	struct body_granted granted;
	struct open_statement statement;
	struct identity payer;
	uint8_t seed[KEY_LEN] = {9, (uint8_t)number, (uint8_t)(number >> 8)};
	const struct statement_values v = {
		.network = NETWORK,
		.provider = relay_id.id,
		.client_control = caller.client,
		.subject = open.exit,
		.terms = open.terms,
		.payer = open.payer,
		.nonce = open.nonce,
	};

	identity_from_seed(&payer, seed);
	memcpy(caller.client, seed, KEY_LEN);
	memcpy(open.payer, payer.id, KEY_LEN);
	statement_make(&statement, &v);
	identity_sign(open.signature, &statement, sizeof(statement), &payer);
	assert_true(relay_handle(relay, &caller, VERB_OPEN, number, (const uint8_t *)&open,
				 sizeof(open)));
	world_run();
	assert_int_equal(world.reply_verb, VERB_GRANTED);
	memcpy(&granted, world.reply, sizeof(granted));
	bind_session(&granted, 1, number % 2, address((uint16_t)(number + 1)));
	return session_by(&granted);
}

/* Half of them without a receipt, half with one and something behind it. */
static void open_all(void)
{
	for (uint16_t i = 0; i < SESSIONS; i++) {
		const struct relay_session *s = open_one(i);

		if (i % 2) {
			world_carry(s->handle, UNSHOWN);
		} else {
			world_carry(s->handle, SHOWN);
			world_run();
			assert_non_null(s->bill.offer);
			world_carry(s->handle, BEHIND);
		}
	}
	world.issues = world.asks = 0;
	stopped = false;
}

/* Lets everything happen that can, in turns with the loop; the most that was under way at once. */
static unsigned run_all(void)
{
	unsigned most = 0, before;

	do {
		before = world.last;
		if (world.last - world.first > most)
			most = world.last - world.first;
		world_run();
		event_base_loop(base, EVLOOP_NONBLOCK);
	} while (world.last != before);
	return most;
}

static void assert_all_booked(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < BOOKS; i++) {
		assert_false(world.books[i].used && world.books[i].open);
		sum += world.books[i].carried_up + world.books[i].carried_down;
	}
	assert_int_equal(world.closes, SESSIONS);
	assert_int_equal(sum, SESSIONS / 2 * (uint64_t)(UNSHOWN + SHOWN + BEHIND));
	assert_int_equal(registry_count(relay->registry), 0);
	assert_null(relay->calls);
}

static void time_is_over(void)
{
	relay->stop.until_ms = 0;
	stopping_check(relay);
}

static void assert_looks_in_time(void)
{
	struct timeval when, now, left;

	assert_true(event_pending(relay->stop.event, EV_TIMEOUT, &when));
	evutil_gettimeofday(&now, NULL);
	evutil_timersub(&when, &now, &left);
	assert_in_range(left.tv_sec + 1, 0, 2);
}

static void test_nobody_signs(void **state)
{
	unsigned most;

	(void)state;
	open_all();
	relay_stop(relay, on_stopped, NULL);
	most = world.last - world.first;
	assert_in_range(run_all(), 1, UNDER_WAY_MAX);
	assert_in_range(most, 1, UNDER_WAY_MAX);
	assert_false(stopped); /* the last receipts may still be signed */
	assert_int_equal(world.pushed[VERB_CLOSED], SESSIONS);
	assert_int_equal(world.closes, 0);
	assert_looks_in_time();
	time_is_over();
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_in_range(world.last - world.first, 1, UNDER_WAY_MAX);
	assert_in_range(run_all(), 1, UNDER_WAY_MAX);
	assert_true(stopped);
	assert_all_booked();
	/* One question for each, and one more for whom there is something new to show. */
	assert_int_equal(world.issues, SESSIONS / 2);
	assert_int_equal(world.asks, 0);
}

/* On a busy machine: the time for signatures is over before the workers have answered at all. */
static void test_workers_answer_late(void **state)
{
	(void)state;
	open_all();
	relay_stop(relay, on_stopped, NULL);
	time_is_over();
	for (int i = 0; i < 3; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_false(stopped);
	assert_in_range(run_all(), 1, UNDER_WAY_MAX);
	assert_true(stopped);
	assert_all_booked();
}

static void test_all_sign(void **state)
{
	(void)state;
	open_all();
	relay_stop(relay, on_stopped, NULL);
	run_all();
	/* Two rounds: those with a receipt outstanding have another one behind it. */
	for (int round = 0; round < 2; round++) {
		for (struct relay_session *s = registry_next(relay->registry, NULL); s;
		     s = registry_next(relay->registry, s)) {
			struct control_caller caller = caller_of(0);
			struct body_cosign body = {.signature = {1}};

			memcpy(caller.client, s->owner, KEY_LEN);
			memcpy(body.session, s->id, SESSION_ID_LEN);
			body.seq = s->bill.offer->body.seq;
			assert_true(relay_handle(relay, &caller, VERB_COSIGN, 1,
						 (const uint8_t *)&body, sizeof(body)));
			run_all();
		}
	}
	assert_true(stopped); /* and nobody waited for the time to be over */
	assert_all_booked();
	for (size_t i = 0; i < BOOKS; i++)
		assert_false(world.books[i].used && world.books[i].outstanding);
}

/* What the disk does not take now the ledger does by itself: the relay does not wait for it. */
static void test_full_disk(void **state)
{
	(void)state;
	open_all();
	world.full = true;
	relay_stop(relay, on_stopped, NULL);
	run_all();
	time_is_over();
	event_base_loop(base, EVLOOP_NONBLOCK);
	run_all();
	assert_true(stopped);
	assert_null(relay->calls);
	assert_int_equal(registry_count(relay->registry), SESSIONS);
}

static void test_nothing_to_stop(void **state)
{
	(void)state;
	stopped = false;
	relay_stop(relay, on_stopped, NULL);
	assert_false(stopped);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(stopped);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_nobody_signs),    WORLD_TEST(test_workers_answer_late),
		WORLD_TEST(test_all_sign),        WORLD_TEST(test_full_disk),
		WORLD_TEST(test_nothing_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
