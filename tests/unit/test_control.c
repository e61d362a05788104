/*
 * Both ends of the control channel over a pipe that loses, repeats and reorders, in simulated time:
 * the clock is the test's, and the timers' work is called by hand. One test runs in a real loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"

static uint64_t fake_ms = 1000000, fake_wall_ns = UINT64_C(1700000000000000000);
static bool real_time;

static uint64_t test_clock_ms(void)
{
	return real_time ? clock_ms() : fake_ms;
}

static uint64_t test_clock_wall_ns(void)
{
	return fake_wall_ns;
}

#define clock_ms      test_clock_ms
#define clock_wall_ns test_clock_wall_ns
#define send_body     server_send_body
#define on_transport  server_on_transport
#include "control/server.c"
#undef send_body
#undef on_transport
#include "control/client.c"

/* ---- allocations ---------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int allocations;

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	allocations++;
	return __real_realloc(p, size);
}

/* ---- the world: one node, some clients, a pipe ---------------------------------------------- */

enum {
	CLIENTS = 20,
	QUEUE = 2048,
	NETWORK = 42,
	ATTACKER = 0xbad, /* the port of anybody who is no client */
};

struct datagram {
	uint64_t due_ms;
	bool to_server;
	struct net_addr addr; /* the client's side */
	size_t len;
	uint8_t bytes[CONTROL_DATAGRAM_MAX];
};

struct person {
	struct control_client *c;
	struct noise_keypair keys;
	struct net_addr addr;
	int up; /* -1: not said yet */
	int answers, timeouts, pushes;
	uint64_t last_push;
	uint64_t answered_ms;
	bool destroy_when_up;
};

static struct {
	struct event_base *base;
	struct control_server *server;
	struct control_server_config config;
	struct person people[CLIENTS];
	struct datagram queue[QUEUE];
	size_t queued;
	unsigned int loss, twice, late_ms; /* percent, percent, up to */
	bool mute;                         /* the node hears nothing */
	bool deaf_handler;                 /* the node hears but does not answer requests */
	size_t sent_to_attacker, bytes_to_attacker;
	struct datagram initiation; /* the last one a client sent */
	struct datagram transport;  /* the same */
	struct control_caller last_caller;
	uint32_t last_id;
} w;

static void enqueue_at(bool to_server, const struct net_addr *addr, const void *msg, size_t len,
		       uint64_t due_ms)
{
	struct datagram *d;

	assert_true(w.queued < QUEUE);
	d = &w.queue[w.queued++];
	d->due_ms = due_ms;
	d->to_server = to_server;
	d->addr = *addr;
	d->len = len;
	memcpy(d->bytes, msg, len);
}

static void enqueue(bool to_server, const struct net_addr *addr, const void *msg, size_t len)
{
	for (int copies = crypto_random_u32() % 100 < w.twice ? 2 : 1; copies; copies--)
		if (crypto_random_u32() % 100 >= w.loss)
			enqueue_at(to_server, addr, msg, len,
				   fake_ms + 1 + (w.late_ms ? crypto_random_u32() % w.late_ms : 0));
}

static void server_send(void *arg, const struct control_path *to, const void *msg, size_t len)
{
	(void)arg;
	if (to->addr.port == ATTACKER) {
		w.sent_to_attacker++;
		w.bytes_to_attacker += len;
		return;
	}
	enqueue(false, &to->addr, msg, len);
}

static void server_handle(void *arg, const struct control_caller *caller, uint8_t verb, uint32_t id,
			  const uint8_t *body, size_t len)
{
	(void)arg;
	w.last_caller = *caller;
	w.last_id = id;
	if (verb == VERB_KEEPALIVE && !w.deaf_handler)
		control_server_reply(w.server, caller, VERB_ALIVE, id, body, len);
}

static void client_send(void *arg, const void *msg, size_t len)
{
	struct person *p = arg;
	struct datagram *keep =
		((const uint8_t *)msg)[0] == MESSAGE_INITIATION ? &w.initiation : &w.transport;

	keep->addr = p->addr;
	keep->len = len;
	memcpy(keep->bytes, msg, len);
	if (!w.mute)
		enqueue(true, &p->addr, msg, len);
}

static void client_handle(void *arg, uint8_t verb, uint32_t id, const uint8_t *body, size_t len)
{
	struct person *p = arg;

	(void)id;
	assert_int_equal(len, sizeof(struct body_session));
	if (verb == VERB_ALIVE)
		return; /* a second answer */
	p->pushes++;
	memcpy(&p->last_push, body, sizeof(p->last_push));
}

static void client_state(void *arg, bool up)
{
	struct person *p = arg;

	p->up = up;
	if (up && p->destroy_when_up) {
		p->destroy_when_up = false;
		control_client_destroy(p->c);
		p->c = NULL;
	}
}

static void on_answer(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct person *p = arg;

	if (verb == 0) {
		p->timeouts++;
		return;
	}
	assert_int_equal(verb, VERB_ALIVE);
	assert_int_equal(len, sizeof(struct body_session));
	assert_memory_equal(body, p->keys.pub, sizeof(struct body_session));
	p->answers++;
	p->answered_ms = fake_ms;
}

static const struct control_server_ops server_ops = {server_send, server_handle};
static const struct control_client_ops client_ops = {client_send, client_handle, client_state};

static void make_keys(struct noise_keypair *pair)
{
	x25519_generate(pair->priv);
	x25519_public(pair->pub, pair->priv);
}

static void start_server(void)
{
	w.server = control_server_create(w.base, &w.config, &server_ops, NULL);
	assert_non_null(w.server);
}

static struct person *add_client(int i)
{
	struct person *p = &w.people[i];

	make_keys(&p->keys);
	p->addr = (struct net_addr){{0xfd, [15] = (uint8_t)i}, (uint16_t)(4000 + i)};
	p->up = -1;
	p->c = control_client_create(w.base, &p->keys, w.config.keys.pub, NETWORK, &client_ops, p);
	return p;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.base = event_base_new();
	make_keys(&w.config.keys);
	w.config.network = NETWORK;
	w.config.max_channels = 64;
	start_server();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		control_client_destroy(w.people[i].c);
	control_server_destroy(w.server);
	event_base_free(w.base);
	return 0;
}

static void to_server(const struct net_addr *from, const void *msg, size_t len)
{
	const struct control_path path = {*from, 7};

	control_server_input(w.server, &path, msg, len);
}

static void deliver(const struct datagram *d)
{
	if (d->to_server) {
		to_server(&d->addr, d->bytes, d->len);
		return;
	}
	for (int i = 0; i < CLIENTS; i++)
		if (w.people[i].c && net_addr_eq(&w.people[i].addr, &d->addr))
			control_client_input(w.people[i].c, d->bytes, d->len);
}

/* Lets ms pass in steps of 5. */
static void pass(uint64_t ms)
{
	for (uint64_t end = fake_ms + ms; fake_ms < end;) {
		fake_ms += 5;
		fake_wall_ns += 5000000;
		for (size_t i = 0; i < w.queued;) {
			struct datagram d = w.queue[i];

			if (d.due_ms > fake_ms) {
				i++;
				continue;
			}
			w.queue[i] = w.queue[--w.queued];
			deliver(&d);
		}
		for (int i = 0; i < CLIENTS; i++)
			if (w.people[i].c)
				on_timer(-1, 0, w.people[i].c);
		if (fake_ms % 1000 == 0)
			on_sweep(-1, 0, w.server);
	}
}

static bool ask(struct person *p, uint64_t timeout_ms)
{
	return control_client_request(p->c, VERB_KEEPALIVE, p->keys.pub,
				      sizeof(struct body_session), timeout_ms, on_answer, p);
}

static bool push(struct person *p, uint64_t number)
{
	struct body_session body = {{0}};

	memcpy(&body, &number, sizeof(number));
	return control_server_push(w.server, p->keys.pub, VERB_KEEPALIVE, &body, sizeof(body));
}

static struct net_addr attacker(void)
{
	return (struct net_addr){{0xfd, [15] = 0xff}, ATTACKER};
}

static const struct control_counters *count(void)
{
	return control_server_counters(w.server);
}

/* ---- what it is for ------------------------------------------------------------------------- */

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
			assert_true(ask(&w.people[i], 120000));
		pass(2000);
		for (int i = 0; i < CLIENTS; i++)
			pushed += push(&w.people[i], (uint64_t)round);
	}
	pass(120000);
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(w.people[i].answers, 30);
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
	pass(REPLACED_MS);
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

/* ---- what it must withstand ----------------------------------------------------------------- */

static void replayed_initiations_do_nothing(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram old;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	old = w.initiation;
	for (int i = 0; i < 100; i++)
		to_server(&from, old.bytes, old.len);
	assert_int_equal(count()->replayed_handshake, 100);
	assert_int_equal(count()->handshakes, 1);
	control_client_restart(p->c);
	assert_true(ask(p, 1000));
	pass(100);
	to_server(&from, old.bytes, old.len);
	assert_int_equal(count()->replayed_handshake, 101);
	assert_int_equal(w.sent_to_attacker, 0);
	assert_true(push(p, 5));
	pass(50);
	assert_int_equal(p->last_push, 5);
}

/* An initiation kept back and delivered by somebody else later is answered, and that is all. */
static void stolen_initiations_cut_nobody_off(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram stolen;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	w.mute = true;
	start_handshake(p->c);
	stolen = w.initiation;
	crypto_wipe(&p->c->shake, sizeof(p->c->shake));
	w.mute = false;
	for (int restarts = 0; restarts < 2; restarts++) {
		int answers = p->answers;

		to_server(&from, stolen.bytes, stolen.len);
		assert_int_equal(w.sent_to_attacker, restarts + 1);
		assert_true(w.bytes_to_attacker <= stolen.len * w.sent_to_attacker);
		if (restarts == 0) {
			assert_true(push(p, 6));
			pass(50);
			assert_int_equal(p->last_push, 6);
		}
		assert_true(ask(p, 20000));
		pass(20000);
		assert_int_equal(p->answers, answers + 1);
		/* A node that restarted has forgotten the timestamps, and loses nothing by it. */
		control_server_destroy(w.server);
		start_server();
	}
}

static void only_fresh_authentic_messages_move_a_path(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram d;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	assert_true(ask(p, 1000));
	pass(100);
	d = w.transport;
	to_server(&from, d.bytes, d.len); /* a replay */
	for (size_t i = 4; i < d.len; i++) {
		d.bytes[i] ^= 1;
		to_server(&from, d.bytes, d.len);
		d.bytes[i] ^= 1;
	}
	d.bytes[8]++; /* the next counter, guessed */
	to_server(&from, d.bytes, d.len);
	assert_int_equal(w.sent_to_attacker, 0);
	assert_true(push(p, 7));
	pass(50);
	assert_int_equal(p->last_push, 7);
	assert_int_equal(w.sent_to_attacker, 0);

	/* A message held up on the way is answered where it comes from and moves nothing. */
	w.mute = true;
	control_client_post(p->c, VERB_KEEPALIVE, p->keys.pub, sizeof(struct body_session));
	d = w.transport;
	w.mute = false;
	assert_true(ask(p, 1000));
	pass(100);
	to_server(&from, d.bytes, d.len);
	assert_int_equal(w.sent_to_attacker, 1);
	assert_true(push(p, 8));
	pass(50);
	assert_int_equal(p->last_push, 8);

	/* The client itself moves by speaking. */
	p->addr.port = 6666;
	assert_true(ask(p, 1000));
	pass(100);
	assert_true(push(p, 9));
	pass(50);
	assert_int_equal(p->last_push, 9);
}

/* A well-formed initiation with a right mac1; by nobody in particular unless keys are given. */
static void make_initiation(struct message_initiation *msg, const struct noise_keypair *keys)
{
	struct cookie_signer signer;
	struct noise_handshake hs;
	uint8_t timestamp[12] = {1};

	crypto_random(msg, sizeof(*msg));
	if (keys)
		assert_true(noise_initiation_create(&hs, msg, keys, w.config.keys.pub, NETWORK,
						    timestamp));
	msg->type = le32_of(MESSAGE_INITIATION);
	cookie_signer_init(&signer, w.config.keys.pub);
	cookie_sign(&signer, msg, sizeof(*msg), 1);
}

static void a_flood_gets_cookies_a_client_gets_through(void **state)
{
	struct person *p = add_client(0), *q = add_client(1);
	struct net_addr from = attacker();
	struct message_initiation msg;
	uint64_t flooded = 0;

	(void)state;
	assert_true(ask(q, 1000));
	pass(2000);
	for (int ms = 0; ms < 5000; ms += 5) {
		for (int i = 0; i < 10; i++, flooded++) {
			make_initiation(&msg, NULL);
			crypto_random(from.ip, sizeof(from.ip));
			to_server(&from, &msg, sizeof(msg));
		}
		if (ms == 2000) {
			assert_true(ask(p, 3000));
			assert_true(ask(q, 3000));
		}
		pass(5);
	}
	assert_int_equal(p->answers, 1);
	assert_int_equal(q->answers, 2);
	/* One public-key operation for each of the first 200, a cookie for all others. */
	assert_int_equal(count()->bad_handshake, 200);
	assert_int_equal(w.sent_to_attacker, flooded - 200);
	assert_int_equal(count()->cookie_sent, flooded - 200 + 1);
	assert_true(w.bytes_to_attacker < flooded * sizeof(msg) / 2);
	/* When it is over nobody is asked for a cookie. */
	pass(2500);
	assert_true(ask(add_client(2), 1000));
	pass(100);
	assert_int_equal(w.people[2].answers, 1);
	assert_int_equal(count()->cookie_sent, flooded - 200 + 1);
}

static void a_full_table_refuses_and_recovers(void **state)
{
	struct message_initiation msg;
	struct noise_keypair keys;
	struct net_addr from = attacker();

	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 4;
	start_server();
	for (int i = 0; i < 3; i++)
		assert_true(ask(add_client(i), 1000));
	pass(100);
	/* Handshakes never confirmed share what is left; the oldest goes. */
	for (int i = 0; i < 100; i++) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&from, &msg, sizeof(msg));
	}
	assert_int_equal(count()->table_full, 0);
	assert_int_equal(w.sent_to_attacker, 100);
	assert_int_equal(table_count(w.server->by_index), 4);
	assert_true(table_count(w.server->by_key) <= 8);
	assert_true(ask(add_client(3), 1000));
	pass(100);
	assert_int_equal(w.people[3].answers, 1);
	/* Four spoke: a fifth has to wait, and takes nobody's place. */
	assert_true(ask(add_client(4), 5000));
	pass(6000);
	assert_int_equal(w.people[4].timeouts, 1);
	assert_true(count()->table_full > 0);
	for (int i = 0; i < 4; i++)
		assert_true(push(&w.people[i], 11));
	pass(50);
	for (int i = 0; i < 4; i++)
		assert_int_equal(w.people[i].last_push, 11);
	pass(UNUSED_MS + 5000);
	assert_int_equal(w.people[4].up, 1);
}

/* Each kind of datagram anybody can send, 10,000 times from as many addresses. */
static void strangers_cost_no_memory(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct message_initiation msg;
	struct noise_keypair keys;
	struct datagram known, junk;
	int before;
	size_t heap;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	known = w.transport;
	make_keys(&keys);
	before = allocations;
	heap = mallinfo2().uordblks;
	for (int i = 0; i < 10000; i++) {
		crypto_random(from.ip, sizeof(from.ip));
		crypto_random(junk.bytes, sizeof(junk.bytes));
		memset(junk.bytes + 1, 0, 3);
		for (uint8_t type = MESSAGE_INITIATION; type <= MESSAGE_TRANSPORT; type++) {
			static const size_t lengths[] = {148, 92, 64, 72};

			junk.bytes[0] = type;
			to_server(&from, junk.bytes, lengths[type - MESSAGE_INITIATION]);
			to_server(&from, junk.bytes, (size_t)i % 1200);
		}
		known.bytes[20] ^= (uint8_t)(i | 1); /* a known channel, forged */
		to_server(&from, known.bytes, known.len);
		make_initiation(&msg, NULL);
		to_server(&from, &msg, sizeof(msg));
		fake_ms += 6; /* below the load limit: the handshake is looked at */
		if (i % 10 == 0) {
			/* ... and even answered: all memory was there from the start. */
			make_keys(&keys);
			make_initiation(&msg, &keys);
			to_server(&from, &msg, sizeof(msg));
		}
	}
	assert_int_equal(allocations, before);
	assert_int_equal(mallinfo2().uordblks, heap);
	assert_int_equal(count()->handshakes, 1 + 1000);
	assert_int_equal(count()->cookie_sent, 0);
	/* Only true handshakes were answered, each with less than it took. */
	assert_int_equal(w.sent_to_attacker, 1000);
	assert_true(w.bytes_to_attacker < 1000 * sizeof(msg));
	assert_true(count()->bad_mac1 >= 10000 && count()->bad_transport == 10000);
	assert_true(count()->bad_handshake == 10000 && count()->unknown_channel >= 30000);
	assert_true(count()->bad_length > 30000);
	assert_true(push(p, 12));
	pass(50);
	assert_int_equal(p->last_push, 12);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		TEST(replayed_initiations_do_nothing),
		TEST(stolen_initiations_cut_nobody_off),
		TEST(only_fresh_authentic_messages_move_a_path),
		TEST(a_flood_gets_cookies_a_client_gets_through),
		TEST(a_full_table_refuses_and_recovers),
		TEST(strangers_cost_no_memory),
		TEST(timers_run_in_a_loop),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
