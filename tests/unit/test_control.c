/* Both ends of the control channel: what it is for, over a bad pipe, a restart, hours, a real loop.
 */
#include "tests/unit/control_world.h"

static void a_request_is_answered(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	assert_false(push(p, 1)); /* nobody there yet */
	assert_true(ask(p, 5000));
	pass(50);
	assert_int_equal(p->answers, 1);
	assert_int_equal(p->up, 1);
	assert_int_equal(count()->handshakes, 1);
	assert_int_equal(count()->requests, 1);
	assert_memory_equal(w.last_caller.client, p->keys.pub, KEY_LEN);
	assert_int_equal(w.last_caller.path.via, 7);
	assert_true(push(p, 2));
	pass(50);
	assert_int_equal(p->last_push, 2);
}

static void bad_pipe_good_channel(void **state)
{
	uint64_t pushed = 0;

	(void)state;
	w.loss = 30;
	w.twice = 20;
	w.late_ms = 300;
	for (int i = 0; i < CLIENTS; i++)
		add_client(i);
	for (int round = 1; round <= 30; round++) {
		for (int i = 0; i < CLIENTS; i++)
			w.people[i].asked += ask(&w.people[i], 120000);
		pass(2000);
		for (int i = 0; i < CLIENTS; i++)
			pushed += push(&w.people[i], (uint64_t)round);
	}
	pass(120000);
	for (int i = 0; i < CLIENTS; i++) {
		/* Sixteen can wait at a time; all that were taken were answered. */
		assert_true(w.people[i].asked >= 16);
		assert_int_equal(w.people[i].answers, w.people[i].asked);
		assert_int_equal(w.people[i].timeouts, 0);
		assert_int_equal(w.people[i].up, 1);
		/* Repeated by the pipe, but never twice to the owner. */
		assert_true(w.people[i].pushes <= 30);
	}
	assert_true(pushed > 15 * CLIENTS);
}

static void requests_are_bounded_and_time_out(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	w.mute = true;
	for (int i = 0; i < 16; i++)
		assert_true(ask(p, 12000));
	assert_false(ask(p, 12000));
	pass(9500);
	assert_int_equal(p->up, -1);
	pass(1000);
	assert_int_equal(p->up, 0); /* ten seconds of silence */
	assert_int_equal(p->timeouts, 0);
	pass(2000);
	assert_int_equal(p->timeouts, 16);
	/* It keeps trying by itself: no request is waiting any more. */
	w.mute = false;
	pass(5500);
	assert_int_equal(p->up, 1);
	assert_true(ask(p, 1000));
	pass(50);
	assert_int_equal(p->answers, 1);
}

static void one_way_bodies_go_once(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	control_client_post(p->c, VERB_KEEPALIVE, p->keys.pub, sizeof(struct body_session));
	pass(1000);
	assert_int_equal(count()->handshakes, 0); /* no channel: dropped */
	assert_true(ask(p, 1000));
	pass(100);
	control_client_post(p->c, VERB_KEEPALIVE, p->keys.pub, sizeof(struct body_session));
	pass(10000);
	assert_int_equal(count()->requests, 2);
	assert_int_equal(w.last_id, 0);
}

static void a_restarted_node_is_found_again(void **state)
{
	struct person *p = add_client(0);
	uint64_t asked_ms;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	control_server_destroy(w.server);
	start_server();
	asked_ms = fake_ms;
	assert_true(ask(p, 30000));
	pass(10000);
	assert_int_equal(p->answers, 2);
	assert_true(p->answered_ms - asked_ms < 4500);
	assert_true(push(p, 9));
	pass(50);
	assert_int_equal(p->last_push, 9);
}

static void a_moved_client_starts_over(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	p->addr.port = 9999;
	p->up = -1;
	control_client_restart(p->c);
	assert_true(ask(p, 1000));
	pass(100);
	assert_int_equal(p->answers, 2);
	assert_int_equal(p->up, 1);
	assert_int_equal(count()->handshakes, 2);
	assert_true(push(p, 3));
	pass(50);
	assert_int_equal(p->last_push, 3);
}

/* For hours, with rekeys: nothing is lost, no push goes astray, no slot is left behind. */
static void channels_are_renewed(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	for (int i = 1; i <= 400; i++) {
		assert_true(ask(p, 5000));
		pass(1);
		assert_true(i == 1 || push(p, (uint64_t)i));
		pass(10000);
		if (i > 1)
			assert_int_equal(p->last_push, i);
	}
	assert_int_equal(p->answers, 400);
	assert_int_equal(count()->handshakes, 5);
	assert_true(table_count(w.server->by_index) <= 2);
	pass(UNUSED_MS + 2000);
	assert_int_equal(table_count(w.server->by_index), 0);
	assert_false(push(p, 1));
}

/* Both ends let go of an idle channel in time: the next request starts with a handshake. */
static void an_idle_channel_is_not_trusted(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	pass(UNUSED_MS + 2000);
	assert_false(push(p, 1));
	assert_true(ask(p, 5000));
	pass(50);
	assert_int_equal(p->answers, 2);
}

/* What was sent on a channel before the next one took over still arrives, for a few seconds. */
static void messages_in_flight_survive_a_rekey(void **state)
{
	struct person *p = add_client(0);
	struct datagram early[2];

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	w.mute = true;
	for (int i = 0; i < 2; i++) {
		control_client_post(p->c, VERB_KEEPALIVE, p->keys.pub, sizeof(struct body_session));
		early[i] = w.transport;
	}
	w.mute = false;
	start_handshake(p->c);
	pass(100);
	assert_true(push(p, 1)); /* on the old one: the client has not spoken on the new */
	assert_true(ask(p, 1000));
	pass(100);
	assert_int_equal(p->last_push, 1);
	assert_int_equal(count()->requests, 2);
	to_server(&early[0].addr, early[0].bytes, early[0].len);
	assert_int_equal(count()->requests, 3);
	assert_true(p->c->has_previous);
	pass(REPLACED_MS);
	assert_false(p->c->has_previous);
	to_server(&early[1].addr, early[1].bytes, early[1].len);
	assert_int_equal(count()->requests, 3);
	assert_int_equal(count()->unknown_channel, 1);
}

static void an_unspoken_channel_is_not_trusted(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	w.mute = true;
	assert_true(ask(p, 100));
	pass(200);
	w.mute = false;
	pass(1000);
	assert_int_equal(p->up, 1);
	assert_int_equal(count()->requests, 0);
	pass(UNCONFIRMED_MS + 1000);
	assert_true(ask(p, 5000));
	pass(50);
	assert_int_equal(p->answers, 1);
}

static void a_clock_set_back_locks_nobody_out(void **state)
{
	struct person *p = add_client(0);

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	fake_wall_ns -= UINT64_C(3600) * 1000000000;
	control_client_restart(p->c);
	assert_true(ask(p, 1000));
	pass(100);
	assert_int_equal(p->answers, 2);
	assert_int_equal(count()->replayed_handshake, 0);
	fake_wall_ns += UINT64_C(3600) * 1000000000;
}

static void late_replies_find_the_newer_channel(void **state)
{
	struct person *p = add_client(0), *q = add_client(1);
	struct control_caller kept;
	uint32_t id;

	(void)state;
	w.deaf_handler = true;
	assert_true(ask(p, 60000));
	pass(100);
	kept = w.last_caller;
	id = w.last_id;
	/* Under another's name the channel is not to be had. */
	memcpy(w.last_caller.client, q->keys.pub, KEY_LEN);
	control_server_reply(w.server, &w.last_caller, VERB_ALIVE, id, p->keys.pub,
			     sizeof(struct body_session));
	pass(50);
	assert_int_equal(p->answers, 0);
	control_client_restart(p->c);
	pass(10000);
	assert_int_equal(p->answers, 0);
	assert_true(kept.channel != w.last_caller.channel);
	control_server_reply(w.server, &kept, VERB_ALIVE, id, p->keys.pub,
			     sizeof(struct body_session));
	pass(50);
	assert_int_equal(p->answers, 1);
}

static void destroy_on_answer(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct person *p = arg;

	(void)verb;
	(void)body;
	(void)len;
	p->answers++;
	control_client_destroy(p->c);
	p->c = NULL;
}

static void owners_may_destroy_from_a_callback(void **state)
{
	struct person *p;

	(void)state;
	for (int timeout = 0; timeout < 2; timeout++) {
		p = add_client(0);
		p->answers = 0;
		w.mute = timeout;
		for (int i = 0; i < 3; i++)
			assert_true(control_client_request(p->c, VERB_KEEPALIVE, p->keys.pub,
							   sizeof(struct body_session), 300,
							   destroy_on_answer, p));
		pass(2000);
		assert_int_equal(p->answers, 1);
		assert_null(p->c);
	}
	/* From the news that the node is back: its answer is then nobody's. */
	w.mute = false;
	p = add_client(0);
	p->answers = 0;
	assert_true(ask(p, 1000));
	p->destroy_when_up = true;
	pass(100);
	assert_null(p->c);
	assert_int_equal(p->answers, 0);
	p = add_client(0);
	assert_true(ask(p, 1000));
	pass(100);
	assert_int_equal(p->answers, 1);
	p->c->reported = REPORTED_DOWN;
	p->destroy_when_up = true;
	assert_true(ask(p, 1000));
	pass(100);
	assert_null(p->c);
	assert_int_equal(p->answers, 1);
}

/* ---- in a real loop ------------------------------------------------------------------------- */

static void loop_send_to_server(void *arg, const void *msg, size_t len)
{
	static int sent;

	/* The first handshake and, later, the first request are lost. */
	if (sent++ % 2)
		to_server(&((struct person *)arg)->addr, msg, len);
}

static void loop_send_to_client(void *arg, const struct control_path *to, const void *msg,
				size_t len)
{
	(void)arg;
	(void)to;
	control_client_input(w.people[0].c, msg, len);
}

static void loop_answer(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	on_answer(arg, verb, body, len);
	event_base_loopbreak(w.base);
}

static void timers_run_in_a_loop(void **state)
{
	static const struct control_server_ops sync_server = {loop_send_to_client, server_handle};
	static const struct control_client_ops sync_client = {loop_send_to_server, client_handle,
							      client_state};
	const struct timeval limit = {10, 0};
	struct person *p = &w.people[0];

	(void)state;
	real_time = true;
	control_server_destroy(w.server);
	w.server = control_server_create(w.base, &w.config, &sync_server, NULL);
	make_keys(&p->keys);
	p->c = control_client_create(w.base, &p->keys, w.config.keys.pub, NETWORK, &sync_client, p);
	assert_true(control_client_request(p->c, VERB_KEEPALIVE, p->keys.pub,
					   sizeof(struct body_session), 9000, loop_answer, p));
	event_base_loopexit(w.base, &limit);
	event_base_dispatch(w.base);
	assert_int_equal(p->answers, 1);
	/* Nothing outstanding: nothing armed. */
	assert_false(evtimer_pending(p->c->timer, NULL));
	real_time = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered),
		TEST(bad_pipe_good_channel),
		TEST(requests_are_bounded_and_time_out),
		TEST(one_way_bodies_go_once),
		TEST(a_restarted_node_is_found_again),
		TEST(a_moved_client_starts_over),
		TEST(channels_are_renewed),
		TEST(an_idle_channel_is_not_trusted),
		TEST(messages_in_flight_survive_a_rekey),
		TEST(an_unspoken_channel_is_not_trusted),
		TEST(a_clock_set_back_locks_nobody_out),
		TEST(late_replies_find_the_newer_channel),
		TEST(owners_may_destroy_from_a_callback),
		TEST(timers_run_in_a_loop),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
