/*
 * Random lives of a payer's sessions: whatever OPEN, BIND, COSIGN, DISPUTE, CLOSE, reloads, and a
 * full disk overtake each other, the payer never has more bytes unsigned than its window, each
 * address has just the places its sessions take, and nothing is left behind.
 */
#include "tests/unit/relay_world.h"

#include "control/crowd.c"

enum {
	WORLDS = 300,
	EVENTS = 400,
	OPENS_MAX = 60, /* the made-up ledger has room for 64 */
	NETS = 4,
};

/* What a session may still have carried unsigned, wherever it is. */
static uint64_t exposed_by(const struct books *b)
{
	const struct relay_session *s = registry_by_id(relay->registry, b->session);
	uint64_t most = b->carried_up + b->carried_down;

	if (s && place_of(s->handle) >= 0)
		most = world.at[place_of(s->handle)][s->handle].limit;
	else if (s && s->bind.place == BIND_RETIRING)
		most = carried(&world.at[s->bind.at.worker][s->handle]);
	else if (s && session_total(s) > most)
		most = session_total(s);
	return most - b->up - b->down;
}

static void check_crowd(void)
{
	uint32_t held[NETS] = {0};

	for (struct relay_session *s = registry_next(relay->registry, NULL); s;
	     s = registry_next(relay->registry, s))
		held[s->net.ip[0]]++;
	assert_int_equal(relay->crowd->taken, registry_count(relay->registry));
	for (uint8_t i = 0; i < NETS; i++) {
		const struct ratelimit_net net = {{i}};

		assert_in_range(held[i], 0, relay->crowd->held[count_of(relay->crowd, &net)]);
	}
}

static void check(void)
{
	uint64_t sum = 0;

	check_crowd();

	for (size_t i = 0; i < ARRAY_SIZE(world.books); i++)
		if (world.books[i].used)
			sum += exposed_by(&world.books[i]);
	assert_in_range(sum, 0, WINDOW);
}

static struct relay_session *any_session(void)
{
	uint32_t skip = registry_count(relay->registry);
	struct relay_session *s = NULL;

	if (skip == 0)
		return NULL;
	for (skip = (uint32_t)rand() % skip + 1; skip; skip--)
		s = registry_next(relay->registry, s);
	return s;
}

static void sign(const struct relay_session *s, const struct receipt_offer *offer)
{
	struct body_cosign body = {.seq = offer->body.seq};

	body.signature[0] = rand() % 8 != 0;
	memcpy(body.session, offer->body.session, SESSION_ID_LEN);
	assert_true(ask(s->owner[0], VERB_COSIGN, &body, sizeof(body)));
}

static void dispute(const struct relay_session *s)
{
	struct body_dispute body = {.seq = s->bill.offer->body.seq};

	memcpy(body.session, s->id, SESSION_ID_LEN);
	assert_true(ask(s->owner[0], VERB_DISPUTE, &body, sizeof(body)));
}

static void bind_somewhere(const struct relay_session *s)
{
	struct body_granted g;

	memcpy(g.session, s->id, SESSION_ID_LEN);
	memcpy(g.bind_key, s->bind.key, KEY_LEN);
	start_bind(&g, s->bind.counter + 1, (unsigned)rand() % 2,
		   address((uint16_t)(100 + rand() % 4)));
}

static void end(const struct relay_session *s)
{
	struct body_close body = {0};

	memcpy(body.session, s->id, SESSION_ID_LEN);
	assert_true(ask(s->owner[0], VERB_CLOSE, &body, sizeof(body)));
}

static void happen_to(struct relay_session *s)
{
	switch (rand() % 9) {
	case 0:
	case 1:
		if (s->phase == PHASE_LIVE)
			bind_somewhere(s);
		break;
	case 2:
	case 3:
		if (place_of(s->handle) >= 0)
			world_carry(s->handle, (uint64_t)rand() % WINDOW);
		break;
	case 4:
	case 5:
		if (s->bill.debt)
			sign(s, s->bill.debt);
		else if (s->bill.offer)
			sign(s, s->bill.offer);
		break;
	case 6:
		if (rand() % 4 == 0)
			end(s);
		break;
	case 7:
		if (rand() % 8 == 0 && s->bill.offer)
			dispute(s);
		break;
	case 8:
		if (s->phase == PHASE_LIVE || s->phase == PHASE_ENDED)
			billing_tick(relay, s, clock_ms());
		ending_tick(relay, s, clock_ms() + (rand() % 2 ? 11000 : 0));
		break;
	}
}

static void happen(void)
{
	struct relay_session *s = any_session();
	uint8_t client = (uint8_t)(1 + rand() % 5);
	struct body_open open;

	switch (rand() % 16) {
	case 0:
	case 1:
		open = open_of(client, (uint8_t)rand());
		world.net = (uint8_t)(rand() % NETS);
		if (world.opens < OPENS_MAX)
			assert_true(ask(client, VERB_OPEN, &open, sizeof(open)));
		break;
	case 2:
		if (rand() % 8 == 0)
			relay_set_exits(relay, &exit_descriptor, (size_t)rand() % 2, NULL, NULL);
		else
			relay_set_exits(relay, &exit_descriptor, 1, NULL, NULL);
		break;
	case 3:
		world.full = rand() % 2 != 0;
		break;
	default:
		if (s)
			happen_to(s);
	}
	check();
	for (int steps = rand() % 4; steps && world_step(); steps--)
		check();
}

static bool stopped;

static void on_stop(void *arg)
{
	(void)arg;
	stopped = true;
}

static void test_random_worlds(void **state)
{
	unsigned cosigns = 0, moves = 0, closes = 0, disputes = 0;

	for (unsigned seed = 1; seed <= WORLDS; seed++) {
		world_setup(state);
		srand(seed);
		for (int i = 0; i < EVENTS; i++)
			happen();
		world.full = false;
		stopped = false;
		relay_stop(relay, on_stop, NULL);
		world_run();
		check();
		for (struct relay_session *s = registry_next(relay->registry, NULL); s;
		     s = registry_next(relay->registry, s))
			ending_tick(relay, s, clock_ms() + 11000);
		world_run();
		check();
		event_base_loop(base, EVLOOP_NONBLOCK);
		assert_true(stopped);
		assert_int_equal(registry_count(relay->registry), 0);
		assert_int_equal(relay->showing, 0);
		assert_null(relay->calls);
		cosigns += world.cosigns;
		moves += (unsigned)relay->count.moves;
		closes += world.closes;
		disputes += world.disputes;
		world_teardown(state);
	}
	assert_true(cosigns > WORLDS && moves > WORLDS && closes > WORLDS && disputes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
