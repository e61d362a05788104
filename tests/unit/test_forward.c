/* The rules of the data path, one datagram at a time, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire.h"
#include "relay/forward.h"
#include "tests/lib/fakewg.h"

enum {
	ALICE, /* to EXIT_A */
	BOB,   /* to EXIT_A */
	CAROL, /* to EXIT_B */
	DAVE,  /* to EXIT_GONE */
	ERIN,  /* to EXIT_PRIVATE */
	CLIENTS,
	STRANGER = CLIENTS,

	EXIT_A = 0,
	EXIT_B,
	EXIT_GONE,
	EXIT_PRIVATE,
	EXITS,

	PASS = -1,
	INITIATION = sizeof(struct message_initiation),
	RESPONSE = sizeof(struct message_response),
};

static const char *const exit_endpoints[EXITS] = {"9.9.9.1:51820", "9.9.9.2:51820", "9.9.9.3:51820",
						  "10.0.0.1:51820"};
static const uint32_t exit_of[CLIENTS] = {EXIT_A, EXIT_A, EXIT_B, EXIT_GONE, EXIT_PRIVATE};

static struct slots *slots;
static struct forward f;
static struct plane_exit exits[EXITS];
static uint8_t buffer[4096];

static struct net_addr client_address(int who)
{
	struct net_addr a;

	assert_true(net_addr_parse(&a, "[2a00:1::1]:1000"));
	a.port = (uint16_t)(a.port + who);
	return a;
}

static int set_up(void **state)
{
	const struct ranges allow = {0};

	(void)state;
	slots = slots_create(CLIENTS);
	assert_non_null(slots);
	assert_int_equal(forward_init(&f, slots, EXITS, &allow), 0);
	for (uint32_t i = 0; i < EXITS; i++) {
		uint8_t key[KEY_LEN] = {(uint8_t)(i + 1)};

		assert_true(net_addr_parse(&exits[i].wg, exit_endpoints[i]));
		wg_mac1_key(exits[i].mac1_key, key);
		if (i != EXIT_GONE)
			forward_set_exit(&f, i, &exits[i]);
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct plane_session s = {.handle = i,
						.exit = exit_of[i],
						.client = client_address((int)i),
						.limit = 1 << 24,
						.mark = UINT64_MAX};

		assert_true(sessions_install(f.sessions, &s, NULL));
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	forward_wipe(&f);
	slots_destroy(slots);
	return 0;
}

static const struct plane_session *at(uint32_t handle)
{
	return &sessions_at(f.sessions, handle)->state;
}

static void assert_balance(void)
{
	const struct relay_counters *c = &f.counters;

	for (int d = 0; d < DIRECTION_COUNT; d++) {
		struct relay_tally sum = c->out[d];

		for (int r = 0; r < DROP_COUNT; r++) {
			sum.packets += c->drop[d][r].packets;
			sum.bytes += c->drop[d][r].bytes;
		}
		assert_int_equal(sum.packets, c->in[d].packets);
		assert_int_equal(sum.bytes, c->in[d].bytes);
	}
}

static struct plane_losses losses_of(const struct session *s)
{
	struct plane_losses losses = {0};

	(void)sessions_losses(f.sessions, s, &losses);
	return losses;
}

/* All that came up for a session is billed, carried for nothing, or dropped under a name. */
static uint64_t heard_up(const struct session *s)
{
	const struct plane_losses losses = losses_of(s);
	uint64_t sum = s->state.up + losses.unanswered * INITIATION;

	for (int r = 0; r < DROP_COUNT; r++)
		sum += losses.dropped[DIRECTION_UP][r].bytes;
	return sum;
}

/* Sends buffer's first len bytes; PASS, or the name of its only new drop. */
static int submit(enum relay_direction direction, const struct net_addr *from, size_t len)
{
	struct datagram d = {buffer, (uint32_t)len, len > 2048, *from, 0};
	const struct relay_counters before = f.counters;
	const struct session *s =
		direction == DIRECTION_UP ? sessions_by_client(f.sessions, from) : NULL;
	const uint64_t heard = s ? heard_up(s) : 0;
	struct passage p;
	static bool ahead;
	bool ok;

	ahead = !ahead; /* or without: it makes no difference */
	if (ahead)
		forward_prefetch(&f, direction, &d, 1);
	ok = direction == DIRECTION_UP ? forward_up(&f, &d, &p) : forward_down(&f, &d, &p);
	if (ok) {
		assert_int_equal(p.len, len);
		forward_sent(&f, direction, &p, true);
	}
	assert_balance();
	assert_int_equal(f.counters.in[direction].bytes, before.in[direction].bytes + len);
	if (s && wire_read(buffer, (uint32_t)len).type && len <= 2048)
		assert_int_equal(heard_up(s), heard + len);
	for (int r = 0; r < DROP_COUNT; r++)
		if (f.counters.drop[direction][r].packets != before.drop[direction][r].packets) {
			assert_false(ok);
			assert_int_equal(f.counters.drop[direction][r].bytes,
					 before.drop[direction][r].bytes + len);
			return r;
		}
	assert_true(ok);
	return PASS;
}

static int up(int client, size_t len)
{
	const struct net_addr a = client_address(client);

	return submit(DIRECTION_UP, &a, len);
}

static int down(uint32_t exit, size_t len)
{
	return submit(DIRECTION_DOWN, &exits[exit].wg, len);
}

static int up_initiation_to(int client, uint32_t exit, uint32_t sender)
{
	fakewg_initiation((void *)buffer, sender, exits[exit].mac1_key);
	return up(client, INITIATION);
}

static int up_initiation(int client, uint32_t sender)
{
	return up_initiation_to(client, exit_of[client], sender);
}

static int up_transport(int client, uint32_t receiver, size_t len)
{
	fakewg_transport(buffer, receiver, 7);
	return up(client, len);
}

static int down_response(uint32_t exit, uint32_t sender, uint32_t receiver)
{
	fakewg_response((void *)buffer, sender, receiver);
	return down(exit, RESPONSE);
}

static int down_transport(uint32_t exit, uint32_t receiver, size_t len)
{
	fakewg_transport(buffer, receiver, 7);
	return down(exit, len);
}

static int down_cookie(uint32_t exit, uint32_t receiver)
{
	const struct message_cookie m = {.type = le32_of(3), .receiver = le32_of(receiver)};

	memcpy(buffer, &m, sizeof(m));
	return down(exit, sizeof(m));
}

/* A session whose client said `mine` and whose exit said `theirs`. */
static void handshake(int client, uint32_t mine, uint32_t theirs)
{
	assert_int_equal(up_initiation(client, mine), PASS);
	assert_int_equal(down_response(exit_of[client], theirs, mine), PASS);
}

static void test_a_session_works(void **state)
{
	(void)state;
	handshake(ALICE, 11, 21);
	assert_int_equal(up_transport(ALICE, 21, 1440), PASS);
	assert_int_equal(down_transport(EXIT_A, 11, 96), PASS);
	assert_int_equal(down_cookie(EXIT_A, 11), PASS);
	assert_int_equal(at(ALICE)->up, INITIATION + 1440);
	assert_int_equal(at(ALICE)->down, RESPONSE + 96 + 64);
	assert_int_equal(at(ALICE)->packets_up, 2);
	assert_int_equal(at(ALICE)->packets_down, 3);
}

static void test_malformed(void **state)
{
	(void)state;
	handshake(ALICE, 11, 21);
	fakewg_transport(buffer, 21, 7);
	for (size_t len = 0; len <= 2048; len++) {
		int want = len >= WG_TRANSPORT_MIN ? PASS : DROP_malformed;

		assert_int_equal(up(ALICE, len), want);
	}
	for (unsigned type = 0; type < 256; type++) {
		buffer[0] = (uint8_t)type;
		if (type != MESSAGE_WG_TRANSPORT)
			assert_int_equal(up(ALICE, 2000), DROP_malformed);
	}
	buffer[0] = MESSAGE_WG_TRANSPORT;
	for (int i = 1; i < 4; i++) {
		buffer[i] = 1;
		assert_int_equal(up(ALICE, 64), DROP_malformed);
		assert_int_equal(down(EXIT_A, 64), DROP_malformed);
		buffer[i] = 0;
	}
	assert_int_equal(down(EXIT_A, 0), DROP_malformed);
}

static void test_truncated(void **state)
{
	(void)state;
	fakewg_transport(buffer, 21, 7);
	assert_int_equal(up(ALICE, 2064), DROP_truncated);
	assert_int_equal(down(EXIT_A, 2064), DROP_truncated);
}

static void test_strangers(void **state)
{
	const struct net_addr nobody = client_address(STRANGER);
	struct net_addr other_port = exits[EXIT_A].wg;

	(void)state;
	other_port.port++;
	handshake(ALICE, 11, 21);
	/* Right in all but the address it comes from: and the session's address stays. */
	fakewg_transport(buffer, 21, 7);
	assert_int_equal(up(STRANGER, 64), DROP_unknown_client);
	assert_true(net_addr_eq(&at(ALICE)->client, &(struct net_addr){0}) == false);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	fakewg_transport(buffer, 11, 7);
	assert_int_equal(submit(DIRECTION_DOWN, &nobody, 64), DROP_unknown_exit);
	assert_int_equal(submit(DIRECTION_DOWN, &other_port, 64), DROP_unknown_exit);
	assert_int_equal(submit(DIRECTION_DOWN, &exits[EXIT_GONE].wg, 64), DROP_unknown_exit);
	/* Another exit of this relay knows nothing of A's sessions. */
	assert_int_equal(down_transport(EXIT_B, 11, 64), DROP_unknown_index);
}

static void test_mac1(void **state)
{
	(void)state;
	assert_int_equal(up_initiation_to(ALICE, EXIT_B, 11), DROP_bad_mac1);
	assert_int_equal(down_response(EXIT_A, 21, 11), DROP_unknown_index);
	for (unsigned i = 4; i < INITIATION; i++) {
		int want =
			i < INITIATION - MAC_LEN ? DROP_bad_mac1 : PASS; /* mac2 is not looked at */

		fakewg_initiation((void *)buffer, 11, exits[EXIT_A].mac1_key);
		buffer[i] ^= 0x40;
		forward_tick(&f);
		assert_int_equal(up(ALICE, INITIATION), want);
	}
}

static void test_wrong_direction(void **state)
{
	const struct message_cookie cookie = {.type = le32_of(3), .receiver = le32_of(21)};

	(void)state;
	handshake(ALICE, 11, 21);
	fakewg_response((void *)buffer, 12, 21);
	assert_int_equal(up(ALICE, RESPONSE), DROP_wrong_direction);
	memcpy(buffer, &cookie, sizeof(cookie));
	assert_int_equal(up(ALICE, sizeof(cookie)), DROP_wrong_direction);
	fakewg_initiation((void *)buffer, 22, exits[EXIT_A].mac1_key);
	assert_int_equal(down(EXIT_A, INITIATION), DROP_exit_initiation);
}

static void test_unknown_index(void **state)
{
	(void)state;
	assert_int_equal(up_transport(ALICE, 21, 64), DROP_unknown_index);
	handshake(ALICE, 11, 21);
	handshake(BOB, 12, 22);
	/* One session's indices are of no use to another, not even at the same exit. */
	assert_int_equal(up_transport(ALICE, 22, 64), DROP_unknown_index);
	assert_int_equal(up_transport(BOB, 21, 64), DROP_unknown_index);
	assert_int_equal(up_transport(ALICE, 11, 64), DROP_unknown_index);
	assert_int_equal(down_transport(EXIT_A, 21, 64), DROP_unknown_index);
	assert_int_equal(down_cookie(EXIT_A, 99), DROP_unknown_index);
	assert_int_equal(down_response(EXIT_A, 33, 99), DROP_unknown_index);
	assert_int_equal(up_transport(ALICE, 33, 64), DROP_unknown_index);
}

static void test_rekeys(void **state)
{
	(void)state;
	for (uint32_t k = 0; k < PLANE_INDICES + 1; k++) {
		handshake(ALICE, 100 + k, 200 + k);
		/* Said twice (a network may): no second place taken. */
		assert_int_equal(down_response(EXIT_A, 200 + k, 100 + k), PASS);
		for (uint32_t old = 0; old <= k; old++) {
			int want = k - old < PLANE_INDICES ? PASS : DROP_unknown_index;

			assert_int_equal(up_transport(ALICE, 200 + old, 64), want);
			assert_int_equal(down_transport(EXIT_A, 100 + old, 64), want);
		}
	}
	/* The index that left is free for others. */
	handshake(BOB, 100, 300);
	assert_int_equal(up_initiation(BOB, 101), DROP_index_taken);
}

/*
 * Somebody who fakes the client's address and knows the exit's key can make initiations that pass,
 * but none the exit answers: the live session goes on in both directions, and pays for nothing.
 */
static void test_faked_initiations(void **state)
{
	uint64_t billed;

	(void)state;
	for (uint32_t k = 0; k < PLANE_INDICES; k++)
		handshake(ALICE, 100 + k, 200 + k);
	billed = at(ALICE)->up;
	assert_int_equal(billed, PLANE_INDICES * INITIATION);
	for (uint32_t i = 0; i < 10000; i++) {
		if (i % FORWARD_UNANSWERED_MAX == 0)
			forward_tick(&f);
		assert_int_equal(up_initiation(ALICE, 1000 + i), PASS);
		if (i == 0)
			continue;
		/* The oldest made room for the first one, as for any rekey; none for the rest. */
		for (uint32_t k = 1; k < PLANE_INDICES; k++)
			assert_int_equal(down_transport(EXIT_A, 100 + k, 32), PASS);
		assert_int_equal(down_transport(EXIT_A, 1000 + i - 1, 32), DROP_unknown_index);
		assert_int_equal(up_transport(ALICE, 203, 32), PASS);
		billed += 32;
	}
	assert_int_equal(at(ALICE)->up, billed);
	assert_int_equal(f.counters.unanswered.packets, 10000);
	/* Cookies, which an exit under load sends, answer nothing. */
	assert_int_equal(down_cookie(EXIT_A, 10999), PASS);
	assert_int_equal(at(ALICE)->up, billed);
	/* Genuine rekeys go on, each of them billed once. */
	forward_tick(&f);
	for (uint32_t k = 4; k < 9; k++) {
		handshake(ALICE, 100 + k, 200 + k);
		assert_int_equal(down_response(EXIT_A, 200 + k, 100 + k), PASS);
		assert_int_equal(up_transport(ALICE, 200 + k, 64), PASS);
		assert_int_equal(down_transport(EXIT_A, 100 + k - 1, 64), PASS);
		assert_int_equal(down_transport(EXIT_A, 100 + k, 64), PASS);
		billed += INITIATION + 64;
	}
	assert_int_equal(at(ALICE)->up, billed);
	assert_int_equal(f.counters.unanswered.packets, 10000);
	assert_int_equal(f.counters.unanswered.bytes, 10000 * INITIATION);
}

/* What is carried for nothing is bounded for each session and period; answers give back. */
static void test_initiation_flood(void **state)
{
	(void)state;
	handshake(ALICE, 1, 2);
	for (uint32_t first = 100; first < 130; first += 10) {
		for (uint32_t i = 0; i < FORWARD_UNANSWERED_MAX; i++)
			assert_int_equal(up_initiation(ALICE, first + i), PASS);
		assert_int_equal(up_initiation(ALICE, 99), DROP_initiation_flood);
		assert_int_equal(up_initiation(ALICE, first + 7), DROP_initiation_flood);
		assert_int_equal(up_transport(ALICE, 2, 64), PASS);
		assert_int_equal(up_initiation(BOB, 300), PASS); /* nobody else's matter */
		assert_int_equal(down_response(EXIT_A, 301, 300), PASS);
		/* The one that came before is still answered. */
		assert_int_equal(down_response(EXIT_A, 20, first + 7), PASS);
		assert_int_equal(up_initiation(ALICE, 60), PASS);
		assert_int_equal(up_initiation(ALICE, 61), DROP_initiation_flood);
		forward_tick(&f);
	}
	/* Answered ones are as many as they like to be. */
	for (uint32_t i = 0; i < 100; i++)
		handshake(CAROL, 1000 + i, 2000 + i);
}

/* An answer is let through only if the window has room for the question too. */
static void test_answer_and_window(void **state)
{
	struct plane_session *s = &sessions_at(f.sessions, ALICE)->state;

	(void)state;
	s->limit = INITIATION + RESPONSE - 1;
	assert_int_equal(up_initiation(ALICE, 11), PASS);
	assert_int_equal(s->up, 0);
	assert_int_equal(down_response(EXIT_A, 21, 11), DROP_window);
	assert_int_equal(s->up, 0);
	s->limit++;
	assert_int_equal(down_response(EXIT_A, 21, 11), PASS);
	assert_int_equal(s->up + s->down, s->limit);
	assert_int_equal(f.counters.unanswered.packets, 0);
	s->limit += 32; /* a transport answers as well, and the second answer is not billed again */
	assert_int_equal(down_transport(EXIT_A, 11, 32), PASS);
}

static void test_initiation_not_sent(void **state)
{
	const struct datagram d = {buffer, INITIATION, false, client_address(ALICE), 0};
	struct passage p;

	(void)state;
	handshake(ALICE, 11, 21);
	fakewg_initiation((void *)buffer, 12, exits[EXIT_A].mac1_key);
	assert_true(forward_up(&f, &d, &p));
	forward_sent(&f, DIRECTION_UP, &p, false);
	assert_balance();
	assert_int_equal(f.counters.unanswered.packets, 0);
	assert_int_equal(f.counters.unanswered.bytes, 0);
	assert_int_equal(at(ALICE)->up, INITIATION);
	assert_int_equal(at(ALICE)->packets_up, 1);
	assert_int_equal(down_response(EXIT_A, 22, 12), DROP_unknown_index);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
}

/* A client that starts its handshake over within one batch: only the first was not sent. */
static void test_first_initiation_of_two_not_sent(void **state)
{
	const struct datagram d = {buffer, INITIATION, false, client_address(ALICE), 0};
	struct passage first, second;

	(void)state;
	handshake(ALICE, 11, 21);
	fakewg_initiation((void *)buffer, 12, exits[EXIT_A].mac1_key);
	assert_true(forward_up(&f, &d, &first));
	fakewg_initiation((void *)buffer, 13, exits[EXIT_A].mac1_key);
	assert_true(forward_up(&f, &d, &second));
	forward_sent(&f, DIRECTION_UP, &first, false);
	forward_sent(&f, DIRECTION_UP, &second, true);
	assert_balance();
	assert_int_equal(f.counters.unanswered.packets, 1);
	assert_int_equal(down_response(EXIT_A, 22, 12), DROP_unknown_index);
	assert_int_equal(down_response(EXIT_A, 23, 13), PASS);
	assert_int_equal(f.counters.unanswered.packets, 0);
	assert_int_equal(at(ALICE)->packets_up, 2);
}

static void test_index_collisions(void **state)
{
	struct plane_session last;

	(void)state;
	handshake(ALICE, 11, 21);
	assert_int_equal(up_initiation(ALICE, 11), PASS); /* its own */
	assert_int_equal(up_initiation(BOB, 11), DROP_index_taken);
	handshake(CAROL, 11, 21); /* another exit: no collision, in both directions */
	assert_int_equal(up_transport(CAROL, 21, 64), PASS);
	assert_int_equal(down_transport(EXIT_B, 11, 320), PASS);
	assert_int_equal(at(CAROL)->down, RESPONSE + 320);
	assert_int_equal(down_transport(EXIT_A, 11, 96), PASS);
	assert_int_equal(at(ALICE)->down, RESPONSE + 96);
	last = *at(ALICE);
	sessions_retire(f.sessions, sessions_at(f.sessions, ALICE));
	assert_null(sessions_at(f.sessions, ALICE));
	assert_int_equal(down_transport(EXIT_A, 11, 96), DROP_unknown_index);
	assert_int_equal(up_initiation(BOB, 11), PASS);
	/* It comes back with what another has by now: that stays the other's. */
	assert_true(sessions_install(f.sessions, &last, NULL));
	assert_int_equal(down_transport(EXIT_A, 11, 96), PASS);
	assert_int_equal(at(ALICE)->down, RESPONSE + 96);
	assert_int_equal(at(BOB)->down, 96);
}

/* Where an address is handed from one exit to another, it is whose it was told to be last. */
static void test_address_of_another_exit(void **state)
{
	struct plane_exit heir = exits[EXIT_B];

	(void)state;
	heir.wg = exits[EXIT_A].wg;
	handshake(ALICE, 11, 21);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	forward_set_exit(&f, EXIT_B, &heir);
	assert_int_equal(down_transport(EXIT_A, 11, 64), DROP_unknown_index);
	assert_int_equal(down_transport(EXIT_A, 11, 64), DROP_unknown_index);
	forward_set_exit(&f, EXIT_A, &exits[EXIT_A]);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	forward_set_exit(&f, EXIT_A, &(struct plane_exit){0});
	assert_int_equal(down_transport(EXIT_A, 11, 64), DROP_unknown_exit);
}

static void test_exit_refused(void **state)
{
	const struct plane_exit none = {0};
	struct net_addr private_exit = exits[EXIT_PRIVATE].wg;

	(void)state;
	assert_int_equal(up_initiation(DAVE, 11), DROP_exit_refused);
	assert_int_equal(up_initiation(ERIN, 11), DROP_exit_refused);
	fakewg_transport(buffer, 11, 7);
	assert_int_equal(submit(DIRECTION_DOWN, &private_exit, 64), DROP_unknown_exit);
	/* One that goes away while sessions use it. */
	handshake(ALICE, 11, 21);
	forward_set_exit(&f, EXIT_A, &none);
	assert_int_equal(up_transport(ALICE, 21, 64), DROP_exit_refused);
	assert_int_equal(up_initiation_to(ALICE, EXIT_A, 12), DROP_exit_refused);
	assert_int_equal(down_transport(EXIT_A, 11, 64), DROP_unknown_exit);
	forward_set_exit(&f, EXIT_A, &exits[EXIT_A]);
	assert_int_equal(up_transport(ALICE, 21, 64), PASS);
	/* One that moves. */
	assert_true(net_addr_parse(&exits[EXIT_A].wg, "9.9.9.9:1"));
	forward_set_exit(&f, EXIT_A, &exits[EXIT_A]);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	assert_true(net_addr_parse(&private_exit, exit_endpoints[EXIT_A]));
	assert_int_equal(submit(DIRECTION_DOWN, &private_exit, 64), DROP_unknown_exit);
}

/* Whom its path refused messages of several may take them at another address. */
static void test_new_destinations(void **state)
{
	struct session *s = sessions_at(f.sessions, ALICE);
	const struct plane_session last = s->state;

	(void)state;
	f.exits[EXIT_A].lane.refused = 1;
	forward_set_exit(&f, EXIT_A, &exits[EXIT_A]);
	assert_false(f.exits[EXIT_A].lane.refused);
	s->lane.refused = 1;
	sessions_retire(f.sessions, s);
	assert_true(sessions_install(f.sessions, &last, NULL));
	assert_false(sessions_at(f.sessions, ALICE)->lane.refused);
}

/* A slot that is emptied after its address went to another slot takes nothing with it. */
static void test_exit_slots_swap(void **state)
{
	const struct plane_exit none = {0};

	(void)state;
	handshake(CAROL, 11, 21);
	exits[EXIT_B].wg = exits[EXIT_A].wg;
	forward_set_exit(&f, EXIT_B, &exits[EXIT_B]);
	forward_set_exit(&f, EXIT_A, &none);
	assert_int_equal(down_transport(EXIT_B, 11, 64), PASS);
}

static void test_allowed_range(void **state)
{
	(void)state;
	assert_true(ranges_allow(&f.allow, "10.0.0.0/8"));
	assert_int_equal(up_initiation(ERIN, 11), DROP_exit_refused); /* judged when set */
	forward_set_exit(&f, EXIT_PRIVATE, &exits[EXIT_PRIVATE]);
	assert_int_equal(up_initiation(ERIN, 11), PASS);
}

static void test_window_to_the_byte(void **state)
{
	struct plane_session *s = &sessions_at(f.sessions, ALICE)->state;
	const uint64_t used = INITIATION + RESPONSE;

	(void)state;
	handshake(ALICE, 11, 21);
	s->limit = used + 160 - 1;
	assert_int_equal(up_transport(ALICE, 21, 160), DROP_window);
	assert_int_equal(down_transport(EXIT_A, 11, 160), DROP_window);
	assert_int_equal(up_transport(ALICE, 21, 96), PASS);
	assert_int_equal(down_transport(EXIT_A, 11, 64), DROP_window);
	s->limit = used + 160;
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	assert_int_equal(s->up + s->down, s->limit);
	assert_int_equal(down_transport(EXIT_A, 11, 32), DROP_window);
	s->limit = used + 160 + 33;
	assert_int_equal(up_transport(ALICE, 21, 32), PASS);
	assert_int_equal(up_transport(ALICE, 21, 32), DROP_window);
	/* No wrap at the far end. */
	s->limit = UINT64_MAX;
	s->down = UINT64_MAX - s->up - 32;
	assert_int_equal(down_transport(EXIT_A, 11, 48), DROP_window);
	assert_int_equal(down_transport(EXIT_A, 11, 32), PASS);
	assert_int_equal(s->up + s->down, UINT64_MAX);
	assert_int_equal(down_transport(EXIT_A, 11, 32), DROP_window);
}

/* Held back is not cut off: what a held client tries must not cost it the indices it lives by. */
static void test_held_keeps_indices(void **state)
{
	struct plane_session *s = &sessions_at(f.sessions, ALICE)->state;

	(void)state;
	handshake(ALICE, 11, 21);
	s->limit = s->up + s->down;
	for (uint32_t i = 0; i < 2 * PLANE_INDICES; i++) {
		assert_int_equal(up_initiation(ALICE, 50 + i), DROP_window);
		assert_int_equal(down_response(EXIT_A, 60 + i, 11), DROP_window);
	}
	s->limit = UINT64_MAX;
	assert_int_equal(up_transport(ALICE, 21, 64), PASS);
	assert_int_equal(down_transport(EXIT_A, 11, 64), PASS);
	assert_int_equal(up_initiation(BOB, 50), PASS);
}

static void test_send_failed(void **state)
{
	const struct net_addr alice = client_address(ALICE);
	const struct datagram up_d = {buffer, 64, false, alice, 0};
	const struct datagram down_d = {buffer, 64, false, exits[EXIT_A].wg, 0};
	struct plane_session *s = &sessions_at(f.sessions, ALICE)->state;
	struct plane_losses lost;
	struct passage p, q;

	(void)state;
	handshake(ALICE, 11, 21);
	s->limit = s->up + s->down + 64;
	fakewg_transport(buffer, 21, 7);
	assert_true(forward_up(&f, &up_d, &p));
	assert_false(forward_up(&f, &up_d, &q)); /* reserved */
	forward_sent(&f, DIRECTION_UP, &p, false);
	assert_balance();
	assert_int_equal(f.counters.drop[DIRECTION_UP][DROP_send_failed].bytes, 64);
	assert_int_equal(s->up, INITIATION);
	assert_int_equal(s->packets_up, 1);
	fakewg_transport(buffer, 11, 7);
	assert_true(forward_down(&f, &down_d, &p)); /* given back */
	forward_sent(&f, DIRECTION_DOWN, &p, false);
	assert_balance();
	assert_int_equal(f.counters.drop[DIRECTION_DOWN][DROP_send_failed].packets, 1);
	assert_int_equal(s->down, RESPONSE);
	assert_int_equal(s->packets_down, 1);
	lost = losses_of(sessions_at(f.sessions, ALICE));
	assert_int_equal(lost.dropped[DIRECTION_UP][DROP_window].bytes, 64);
	assert_int_equal(lost.dropped[DIRECTION_UP][DROP_send_failed].bytes, 64);
	assert_int_equal(lost.dropped[DIRECTION_DOWN][DROP_send_failed].packets, 1);
}

static void test_control(void **state)
{
	struct datagram d = {buffer, 64, false, client_address(STRANGER), 0};

	(void)state;
	memset(buffer, 0, sizeof(buffer));
	for (unsigned type = 0; type < 256; type++) {
		buffer[0] = (uint8_t)type;
		assert_int_equal(forward_is_control(&d), type >= 0x11 && type <= 0x18);
	}
	buffer[0] = MESSAGE_BIND;
	for (d.len = 0; d.len < 2048; d.len++)
		assert_int_equal(forward_is_control(&d), d.len >= 4 && d.len <= PLANE_CONTROL_MAX);
	d.len = 64;
	for (int i = 1; i < 4; i++) {
		buffer[i] = 0x80;
		assert_false(forward_is_control(&d));
		buffer[i] = 0;
	}
	d.truncated = true;
	assert_false(forward_is_control(&d));
}

static void test_drop_names(void **state)
{
	(void)state;
	assert_string_equal(relay_drop_names[DROP_malformed], "malformed");
	for (int i = 0; i < DROP_COUNT; i++) {
		assert_non_null(relay_drop_names[i]);
		assert_non_null(relay_drop_texts[i]);
	}
	assert_string_equal(relay_drop_names[DROP_truncated], "truncated");
}

#define RULE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(test_a_session_works),
		RULE(test_malformed),
		RULE(test_truncated),
		RULE(test_strangers),
		RULE(test_mac1),
		RULE(test_wrong_direction),
		RULE(test_unknown_index),
		RULE(test_rekeys),
		RULE(test_faked_initiations),
		RULE(test_initiation_flood),
		RULE(test_answer_and_window),
		RULE(test_initiation_not_sent),
		RULE(test_first_initiation_of_two_not_sent),
		RULE(test_index_collisions),
		RULE(test_address_of_another_exit),
		RULE(test_exit_refused),
		RULE(test_new_destinations),
		RULE(test_exit_slots_swap),
		RULE(test_allowed_range),
		RULE(test_window_to_the_byte),
		RULE(test_held_keeps_indices),
		RULE(test_send_failed),
		RULE(test_control),
		RULE(test_drop_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
