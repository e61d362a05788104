/* Whose turn it is, in virtual time: nothing here waits or looks at a clock. */
#include "tests/unit/shaper_world.h"

#include <pthread.h>

/* ---- the total ---- */

static void test_one_gets_the_rate_to_the_byte(void **state)
{
	static const uint64_t rates[] = {8000, 100003, 1000000, 10000001};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		uint64_t seconds = rates[i] < 1000000 ? 3600 : 4;

		begin(1, rates[i], RATE_UNLIMITED);
		add(0, GREEDY, 1452);
		w.step = rates[i] < 1000000 ? 10 * MS : MS / 4;
		/* Never more than the bucket has: judge_add. Never less than all but what is too
		 * little for a datagram, or for a chunk. */
		assert_near(measure(seconds), rates[i] * seconds, 2 * 1452 + rates[i] / 1000,
			    "an hour");
		end();
	}
}

static void test_below_the_rate_nothing_waits(void **state)
{
	(void)state;
	begin(2, 1000000, RATE_UNLIMITED);
	for (unsigned i = 0; i < 8; i++)
		add(i % 2, 110000, 200 + i * 150);
	run(5 * SECOND);
	for (uint32_t i = 0; i < w.users; i++) {
		assert_int_equal(w.user[i].sent, w.user[i].offered);
		assert_int_equal(w.user[i].oldest_ns, 0);
	}
	end();
}

/* ---- fairness ---- */

/* Nine that want a tenth and less, one that wants all, however they are spread over workers. */
static void modest_and_greedy(unsigned workers, unsigned greedy_on, uint64_t rate, uint32_t size)
{
	uint64_t asked = 0, all;

	begin(workers, rate, RATE_UNLIMITED);
	for (unsigned i = 0; i < 9; i++) {
		unsigned on = workers == 1 ? 0 : (greedy_on + 1 + i % (workers - 1)) % workers;

		add(on, rate * (20 + 8 * i) / 1000, i % 2 ? 1452 : 148);
	}
	add(greedy_on, GREEDY, size);
	all = measure(4);
	for (unsigned i = 0; i < 9; i++) {
		const struct user *u = &w.user[i];

		assert_false(session_of(i)->lossy);
		asked += u->wants * 4;
		if (u->oldest_ns > 30 * MS)
			fail_msg("%u waited %llu ns", i, (unsigned long long)u->oldest_ns);
	}
	assert_near(all, rate * 4, rate / 100 + 6000, "all");
	assert_true(w.user[9].offered > 2 * rate * 4 - 2 * asked);
	end();
}

/* Threads that do not get the processor for up to 30 ms, time and again. */
static void test_threads_may_be_late(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= WORKERS; workers++) {
		begin(workers, 1000000, RATE_UNLIMITED);
		w.stall = 30 * MS;
		for (unsigned i = 0; i < 9; i++)
			add(i % 2 % workers, 1000 * (100 - 10 * i), 1000);
		add(0, GREEDY, 1000);
		assert_near(measure(10), 10000000, 100000, "all");
		for (unsigned i = 0; i < 9; i++)
			assert_false(session_of(i)->lossy);
		end();
	}
}

static void test_modest_ones_get_what_they_ask_for(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= WORKERS; workers++) {
		modest_and_greedy(workers, 0, 1000000, 1452);
		modest_and_greedy(workers, workers - 1, 1000000, 148);
		modest_and_greedy(workers, 0, 10000000, 1452);
	}
}

/* Jain's index over what ten greedy ones get, 1 if it is the same. */
static void all_greedy(unsigned workers, const unsigned *on, uint64_t rate, uint64_t stall)
{
	uint64_t before[10];
	double sum = 0, squares = 0, index;

	begin(workers, rate, RATE_UNLIMITED);
	w.stall = stall;
	for (unsigned i = 0; i < 10; i++) {
		struct user *u = add(on[i], GREEDY, 148 + 144 * i);

		u->size[DOWN] = i % 3 ? u->size[UP] : 1452;
	}
	run(SECOND);
	for (unsigned i = 0; i < 10; i++)
		before[i] = w.user[i].sent;
	run(3 * SECOND);
	for (unsigned i = 0; i < 10; i++) {
		double got = (double)(w.user[i].sent - before[i]);

		sum += got;
		squares += got * got;
	}
	index = sum * sum / (10 * squares);
	if (index < (stall ? 0.98 : 0.995))
		fail_msg("%u workers, %llu bytes/s: %.4f", workers, (unsigned long long)rate,
			 index);
	assert_near((uint64_t)sum, rate * 3, rate / 20 + 6000, "all");
	end();
}

static void test_greedy_ones_get_the_same(void **state)
{
	static const unsigned one[10] = {0}, even[10] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
			      uneven[10] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1},
			      three[10] = {0, 1, 1, 2, 2, 2, 2, 2, 2, 2};

	(void)state;
	for (uint64_t rate = 1000000; rate <= 10000000; rate *= 10) {
		all_greedy(1, one, rate, 0);
		all_greedy(2, even, rate, 0);
		all_greedy(2, uneven, rate, 0);
		all_greedy(3, three, rate, 0);
		all_greedy(2, uneven, rate, 30 * MS);
		all_greedy(3, three, rate, 30 * MS);
	}
}

/* One that never has anything waiting for long, as it sends the next as soon as the last has gone:
 * it is alone on its worker, ten are on another. */
static void test_who_sends_when_nothing_waits_gets_the_same(void **state)
{
	const uint64_t rate = 1000000;
	uint64_t before = 0;

	(void)state;
	for (uint32_t size = 200; size <= 1400; size += 400) {
		begin(2, rate, RATE_UNLIMITED);
		add(0, 0, 0);
		for (int i = 0; i < 10; i++)
			add(1, GREEDY, 1452);
		for (int i = 0; i < 24000; i++) {
			if (i == 4000)
				before = w.user[0].sent;
			shaper_begin(w.shaper[0], w.now);
			for (int n = 0; n < 8 && !session_of(0)->queued; n++)
				(void)offer_data(0, UP, size);
			w.wake[0] = w.now;
			run(w.step);
		}
		assert_near(w.user[0].sent - before, 5 * rate / 11, rate / 10, "its part");
		end();
	}
}

/* A round of thirty greedy ones takes 60 ms. */
static void test_who_asks_for_little_is_served_at_once(void **state)
{
	(void)state;
	begin(1, 1000000, RATE_UNLIMITED);
	for (int i = 0; i < 30; i++)
		add(0, GREEDY, 1452);
	add(0, 5000, 1000);
	(void)measure(2);
	assert_true(w.user[30].packets >= 9);
	assert_true(w.user[30].oldest_ns <= 5 * MS);
	end();
}

/* A direction that wants all does not hold up the other one of its own session. */
static void test_acknowledgements_do_not_wait_for_data(void **state)
{
	uint64_t worst = 0;

	(void)state;
	begin(1, 1000000, RATE_UNLIMITED);
	add(0, 0, 0);
	for (int i = 0; i < 4000; i++) {
		uint64_t before;

		w.now += MS;
		shaper_begin(w.shaper[0], w.now);
		for (int k = 0; k < 5; k++)
			(void)offer_data(0, DOWN, 1452);
		before = w.user[0].last[UP];
		if (i % 2)
			(void)offer_data(0, UP, 64);
		drain(0);
		worst = w.user[0].offers[UP] - before > worst ? w.user[0].offers[UP] - before
							      : worst;
	}
	assert_true(worst <= 3);
	end();
}

/* ---- PeerRate ---- */

static void test_a_peer_gets_its_rate_to_the_byte(void **state)
{
	(void)state;
	begin(2, RATE_UNLIMITED, 100003);
	add(0, GREEDY, 1452);
	add(1, GREEDY, 148);
	add(0, 99000, 700);
	run(2 * SECOND);
	for (unsigned i = 0; i < 3; i++)
		w.user[i].sent = session_used(session_of(i));
	assert_near(measure(60), 60ull * (2 * 100003 + 99000), 2 * (1452 + 100 * 3) + 700, "all");
	assert_false(session_of(2)->lossy);
	assert_true(w.user[2].oldest_ns < 20 * MS);
	end();
}

/* Peers that wait for their own rate hold up nobody else. */
static void test_both_rates(void **state)
{
	(void)state;
	begin(2, 1000000, 200000);
	for (unsigned i = 0; i < 10; i++)
		add(i % 2, i < 2 ? GREEDY : 60000, i % 3 ? 1452 : 148);
	assert_near(measure(10), 10 * (2 * 200000 + 8 * 60000), 20000, "all");
	for (unsigned i = 2; i < 10; i++)
		assert_false(session_of(i)->lossy);
	end();
}

/* Moving to another worker is no way to a full bucket. */
static void test_a_bucket_moves_along(void **state)
{
	(void)state;
	begin(2, RATE_UNLIMITED, 100000);
	add(0, GREEDY, 1452);
	for (int i = 0; i < 200; i++) {
		unsigned from = w.user[0].worker;

		run(5 * MS);
		shaper_forget(w.shaper[from], session_of(0));
		sessions_retire(w.forward[from].sessions, session_of(0));
		install(0, !from, w.user[0].sent);
	}
	assert_near(w.user[0].sent, 100000, 5000 + 2 * 1452, "a second");
	end();
}

static void test_rates_change(void **state)
{
	struct shaper_terms terms = {0};
	uint64_t sent;

	(void)state;
	begin(1, 1000000, RATE_UNLIMITED);
	add(0, GREEDY, 1452);
	add(0, GREEDY, 1452);
	run(SECOND);
	w.judge.rate = 0;
	shaper_set_rate(w.shared, 250000, w.now);
	run(SECOND);
	assert_near(measure(4), 1000000, 3000, "a quarter");
	shaper_set_rate(w.shared, RATE_UNLIMITED, w.now);
	terms = (struct shaper_terms){50000, w.now, 2};
	shaper_begin(w.shaper[0], w.now);
	shaper_set_peer(w.shaper[0], &terms);
	run(SECOND);
	assert_near(measure(4), 2 * 200000, 6000, "each of two");
	terms = (struct shaper_terms){RATE_UNLIMITED, w.now, 3};
	shaper_begin(w.shaper[0], w.now);
	shaper_set_peer(w.shaper[0], &terms);
	run(SECOND);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(session_of(i)->queued, 0);
	sent = w.user[0].sent;
	run(SECOND);
	assert_near(w.user[0].sent - sent, 4000 * 2 * 1452, 0, "all it wants");
	end();
}

/* ---- room and time ---- */

static void test_a_full_pool_is_taken_from_the_longest(void **state)
{
	struct session *s[3];

	(void)state;
	begin(1, 8000, RATE_UNLIMITED);
	for (int i = 0; i < 3; i++) {
		add(0, 0, 0);
		s[i] = session_of((uint32_t)i);
	}
	w.now += MS;
	shaper_begin(w.shaper[0], w.now);
	for (int i = 0; i < 20000; i++) {
		(void)offer_data(0, UP, 148);
		if (i % 200 == 0)
			(void)offer_data(1, DOWN, 1452);
		if (i % 2)
			(void)offer_data(2, DOWN, 100);
	}
	check_balance(0);
	assert_false(s[1]->lossy);
	assert_int_equal(w.forward[0].counters.queued[UP].packets +
				 w.forward[0].counters.queued[DOWN].packets,
			 SHAPER_PACKETS);
	/* The two that fill it fill it alike. */
	assert_true(s[0]->queued / 148 <= s[2]->queued / 100 + 1 &&
		    s[2]->queued / 100 <= s[0]->queued / 148 + 1);
	/* What is given back can be used: all of a window that is not queued. */
	s[0]->state.limit = session_used(s[0]) + s[0]->queued + 147;
	assert_false(offer_data(0, UP, 148));
	s[0]->state.limit++;
	assert_true(offer_data(0, UP, 148));
	assert_true(session_used(s[0]) + s[0]->queued <= s[0]->state.limit);
	end();
}

static void test_nothing_waits_for_long(void **state)
{
	(void)state;
	begin(1, 1000000, RATE_UNLIMITED);
	add(0, GREEDY, 1452);
	add(0, 50000, 148);
	(void)measure(5);
	assert_true(w.user[0].oldest_ns <= SHAPER_DELAY + 2 * MS);
	assert_true(w.user[0].oldest_ns >= SHAPER_DELAY / 2);
	assert_true(w.user[1].oldest_ns <= 10 * MS);
	end();
	/* But some packets may, or a slow session would carry none. */
	begin(1, 8000, RATE_UNLIMITED);
	for (int i = 0; i < 10; i++)
		add(0, GREEDY, 1452);
	assert_near(measure(60), 60 * 8000, 3 * 1452, "a minute");
	for (int i = 0; i < 10; i++)
		assert_true(w.user[i].packets > 25);
	end();
}

static void fill(uint32_t who, unsigned packets)
{
	for (unsigned i = 0; i < packets; i++)
		(void)offer_data(who, i & 1, 1000);
}

static void test_handshakes_go_first(void **state)
{
	struct message_initiation initiation;
	struct backlog_packet *p;

	(void)state;
	begin(1, 1000000, 500000);
	add(0, 0, 0);
	add(0, 0, 0);
	fill(0, 500);
	fill(1, 500);
	drain(0);
	fakewg_initiation(&initiation, 77, mac1_key);
	assert_true(offer(0, UP, (const void *)&initiation, sizeof(initiation)));
	assert_int_equal(session_of(0)->unpaid, 0);
	assert_null(sessions_by_index(w.forward[0].sessions, 0, 77));
	check_balance(0);
	w.now += 10 * MS;
	shaper_begin(w.shaper[0], w.now);
	p = shaper_next(w.shaper[0]);
	assert_non_null(p);
	assert_int_equal(p->datagram.data[0], MESSAGE_WG_INITIATION);
	assert_int_equal(session_of(0)->unpaid, 1);
	assert_ptr_equal(sessions_by_index(w.forward[0].sessions, 0, 77), session_of(0));
	leave(0, UP, &p->passage, &p->datagram, p->since_ns);
	shaper_sent(w.shaper[0], p);
	drain(0);
	/* Its index may be another's by the time it could go. */
	fakewg_initiation(&initiation, 78, mac1_key);
	assert_true(offer(0, UP, (const void *)&initiation, sizeof(initiation)));
	sessions_learn_client(w.forward[0].sessions, session_of(1), 78);
	w.now += 10 * MS;
	shaper_begin(w.shaper[0], w.now);
	drain(0);
	assert_int_equal(w.forward[0].counters.drop[UP][DROP_index_taken].packets, 1);
	check_balance(0);
	end();
}

/* An exit may send answers without end, and they are billed; but whoever pays for them has no more
 * than its share by it. */
static void endless_answers(unsigned workers)
{
	const uint64_t rate = 1000000;
	struct message_response response;

	begin(workers, rate, RATE_UNLIMITED);
	add(0, 0, 0);
	add(workers - 1, GREEDY, 1452);
	fakewg_response(&response, 5000, CLIENT_INDEX);
	for (int i = 0; i < 3000; i++) {
		shaper_begin(w.shaper[0], w.now + w.step);
		for (int n = 0; n < 20; n++)
			(void)offer(0, DOWN, (const void *)&response, sizeof(response));
		w.wake[0] = w.now;
		run(MS);
	}
	assert_near(w.user[0].sent, 3 * rate / 2, rate / 10, "answers");
	assert_near(w.user[1].sent, 3 * rate / 2, rate / 10, "data");
	end();
}

static void test_answers_are_within_a_share(void **state)
{
	(void)state;
	endless_answers(1);
	endless_answers(2);
}

/* Where nothing may be carried for days, its client has begun another one long ago. */
static void test_old_handshakes_are_dropped(void **state)
{
	struct message_initiation initiation;

	(void)state;
	begin(1, RATE_UNLIMITED, RATE_UNLIMITED);
	rate_bound(&w.shared->rate);
	add(0, 0, 0);
	add(0, 0, 0);
	for (uint32_t i = 0; i < 20; i++) {
		forward_tick(&w.forward[0]);
		shaper_begin(w.shaper[0], w.now);
		fakewg_initiation(&initiation, 70 + i, mac1_key);
		assert_true(offer(i % 2, UP, (const void *)&initiation, sizeof(initiation)));
		drain(0);
		w.now += SECOND;
	}
	rate_unbound(&w.shared->rate);
	shaper_begin(w.shaper[0], w.now);
	drain(0);
	assert_int_equal(w.forward[0].counters.out[UP].packets, 5);
	assert_int_equal(w.forward[0].counters.drop[UP][DROP_queue].packets, 15);
	check_balance(0);
	end();
}

static void test_an_exit_that_went_gets_nothing(void **state)
{
	(void)state;
	begin(1, 100000, RATE_UNLIMITED);
	add(0, 0, 0);
	fill(0, 100);
	drain(0);
	open_exit(&w.forward[0], false);
	w.now += 50 * MS;
	shaper_begin(w.shaper[0], w.now);
	w.user[0].last[UP] = UINT64_MAX; /* count_sent would fail */
	drain(0);
	assert_true(w.forward[0].counters.drop[UP][DROP_exit_refused].packets > 0);
	check_balance(0);
	end();
}

static void test_who_leaves_has_final_counters(void **state)
{
	struct plane_losses losses;
	struct session *s;
	uint64_t used;

	(void)state;
	begin(1, 100000, RATE_UNLIMITED);
	add(0, 0, 0);
	add(0, GREEDY, 1452);
	run(SECOND);
	fill(0, 40);
	s = session_of(0);
	used = session_used(s);
	assert_true(s->queued > 30000);
	shaper_forget(w.shaper[0], s);
	assert_int_equal(s->queued, 0);
	assert_true(session_used(s) == used);
	assert_true(sessions_losses(w.forward[0].sessions, s, &losses));
	assert_int_equal(losses.dropped[UP][DROP_queue].packets +
				 losses.dropped[DOWN][DROP_queue].packets + w.user[0].packets,
			 40);
	check_balance(0);
	sessions_retire(w.forward[0].sessions, s);
	/* The other one goes on, and the slot can be used again. */
	run(SECOND);
	install(0, 0, w.user[0].sent);
	w.user[0].wants = 40000;
	w.user[0].size[UP] = w.user[0].size[DOWN] = 500;
	assert_near(measure(5), 500000, 3000, "both");
	end();
}

/* ---- anything, in any order ---- */

static void random_step(void)
{
	unsigned worker = (unsigned)dice(w.workers), other = (unsigned)dice(w.workers);
	uint32_t who = (uint32_t)dice(w.users);
	struct message_initiation initiation;
	struct session *s;

	w.now += dice(4) ? dice(MS) : dice(60 * MS);
	shaper_begin(w.shaper[worker], w.now);
	switch (dice(14)) {
	case 0:
		worker = w.user[who].worker;
		s = session_of(who);
		shaper_begin(w.shaper[worker], w.now);
		shaper_forget(w.shaper[worker], s);
		assert_int_equal(s->queued, 0);
		sessions_retire(w.forward[worker].sessions, s);
		install(who, other, w.user[who].sent);
		break;
	case 1:
		open_exit(&w.forward[worker], dice(3) > 0);
		break;
	case 2:
		shaper_set_rate(w.shared, dice(8) ? 1000 + dice(4000000) : RATE_UNLIMITED, w.now);
		break;
	case 3:
		shaper_set_peer(
			w.shaper[worker],
			&(struct shaper_terms){dice(4) ? 1000 + dice(200000) : RATE_UNLIMITED,
					       w.now, (uint8_t)dice(256)});
		break;
	case 4:
		shaper_begin(w.shaper[w.user[who].worker], w.now);
		fakewg_initiation(&initiation, (uint32_t)dice(8), mac1_key);
		(void)offer(who, UP, (const void *)&initiation, sizeof(initiation));
		break;
	case 5:
		forward_tick(&w.forward[worker]);
		break;
	case 6:
	case 7:
	case 8:
		drain(worker);
		break;
	case 9:
		s = session_of(who);
		s->state.limit = session_used(s) + s->queued + dice(200000);
		break;
	default:
		worker = w.user[who].worker;
		shaper_begin(w.shaper[worker], w.now);
		for (uint64_t i = dice(dice(10) ? 50 : 3000); i; i--)
			(void)offer_data(who, dice(2) ? DIRECTION_DOWN : DIRECTION_UP,
					 (uint32_t)(32 + dice(1500)));
	}
	for (unsigned i = 0; i < w.workers; i++)
		check_balance(i);
}

static void test_worlds(void **state)
{
	const char *worlds = getenv("WORLDS");
	uint64_t count = worlds ? strtoull(worlds, NULL, 10) / 10 + 1 : 40;

	(void)state;
	for (uint64_t world = 1; world <= count; world++) {
		begin(1 + (unsigned)(world % WORKERS), 100000 * (world % 5), 20000 * (world % 3));
		w.judge.rate = 0;
		w.seed += world * 7919;
		w.fail = world % 2 ? 20 : 0;
		for (unsigned i = 0; i < 12; i++)
			add((unsigned)dice(w.workers), 0, 0)->judge.rate = 0;
		for (int i = 0; i < 600; i++)
			random_step();
		end();
	}
}

/* ---- threads ---- */

static struct {
	_Atomic uint64_t now, sent;
} threads;

/* As w, but for one worker whose sessions are its own. */
static void *work(void *arg)
{
	unsigned worker = *(unsigned *)arg;
	struct forward *f = &w.forward[worker];
	uint8_t data[1200] = {0};
	uint64_t sent = 0;

	for (int i = 0; i < 6000; i++) {
		uint32_t who = worker + WORKERS * ((uint32_t)i % 4);
		const struct datagram d = {data, sizeof(data), false, client_addr(who), 0};
		struct backlog_packet *b;
		struct passage p;

		shaper_begin(w.shaper[worker], atomic_fetch_add(&threads.now, 50000));
		fakewg_transport(data, EXIT_INDEX + who, 1);
		if (forward_up(f, &d, &p) && shaper_pass(w.shaper[worker], UP, &d, &p)) {
			forward_sent(f, UP, &p, true);
			sent += d.len;
		}
		while ((b = shaper_next(w.shaper[worker]))) {
			forward_sent(f, b->direction, &b->passage, true);
			sent += b->datagram.len;
			shaper_sent(w.shaper[worker], b);
		}
		(void)shaper_wake(w.shaper[worker]);
	}
	atomic_fetch_add(&threads.sent, sent);
	return NULL;
}

static void test_workers_share_one_rate(void **state)
{
	const uint64_t rate = 2000000;
	unsigned numbers[WORKERS];
	pthread_t thread[WORKERS];
	uint64_t start, time;

	(void)state;
	begin(WORKERS, rate, RATE_UNLIMITED);
	for (unsigned i = 0; i < 4 * WORKERS; i++)
		add(i % WORKERS, 0, 0);
	start = w.now;
	atomic_store(&threads.now, start);
	atomic_store(&threads.sent, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, work, &numbers[i]), 0);
	}
	for (int i = 0; i < 200; i++)
		shaper_set_rate(w.shared, rate - (uint64_t)i % 2, atomic_load(&threads.now));
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	time = atomic_load(&threads.now) - start;
	assert_true(atomic_load(&threads.sent) <=
		    atomic_load(&w.shared->burst) + rate * (time / 1000) / 1000000 + 1);
	assert_true(atomic_load(&threads.sent) >= rate * (time / 1000) / 1000000 / 2);
	for (unsigned i = 0; i < 4 * WORKERS; i++)
		w.user[i].sent = session_used(session_of(i));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_gets_the_rate_to_the_byte),
		cmocka_unit_test(test_below_the_rate_nothing_waits),
		cmocka_unit_test(test_threads_may_be_late),
		cmocka_unit_test(test_modest_ones_get_what_they_ask_for),
		cmocka_unit_test(test_greedy_ones_get_the_same),
		cmocka_unit_test(test_who_sends_when_nothing_waits_gets_the_same),
		cmocka_unit_test(test_who_asks_for_little_is_served_at_once),
		cmocka_unit_test(test_acknowledgements_do_not_wait_for_data),
		cmocka_unit_test(test_a_peer_gets_its_rate_to_the_byte),
		cmocka_unit_test(test_both_rates),
		cmocka_unit_test(test_a_bucket_moves_along),
		cmocka_unit_test(test_rates_change),
		cmocka_unit_test(test_a_full_pool_is_taken_from_the_longest),
		cmocka_unit_test(test_nothing_waits_for_long),
		cmocka_unit_test(test_handshakes_go_first),
		cmocka_unit_test(test_answers_are_within_a_share),
		cmocka_unit_test(test_old_handshakes_are_dropped),
		cmocka_unit_test(test_an_exit_that_went_gets_nothing),
		cmocka_unit_test(test_who_leaves_has_final_counters),
		cmocka_unit_test(test_worlds),
		cmocka_unit_test(test_workers_share_one_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
