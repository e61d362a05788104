/*
 * A node, its clients and a pipe between them that loses, repeats and reorders, in simulated time:
 * the clock is the test's, and the timers' work is called by hand. For tests of control/, included
 * whole.
 */
#ifndef TESTS_CONTROL_WORLD_H
#define TESTS_CONTROL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
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
	int asked, answers, timeouts, pushes;
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
		if (fake_ms % SWEEP_MS == 0)
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

static const struct control_counters *count(void)
{
	return control_server_counters(w.server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
