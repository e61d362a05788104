/* What the main thread asks of the workers over real sockets, and what they answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fakewg.h"
#include "relay/forward.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/stage.h"

static void test_limit_and_mark(void **state)
{
	const uint64_t opened = STAGE_INITIATION + STAGE_RESPONSE;

	(void)state;
	stage_open(2);
	stage_open_session(0, opened + 320, opened + 64);
	assert_int_equal(stage.told.marked, 0);
	stage_transport(stage_exit_index(0));
	stage_send_up(&stage.clients[0], 64);
	stage_settle();
	STAGE_WAIT(stage.told.marked == 1);
	assert_int_equal(stage.told.marked_handle, 0);
	assert_int_equal(stage.told.marked_bytes, opened + 64);
	for (int i = 0; i < 20; i++)
		stage_send_up(&stage.clients[0], 64);
	stage_settle();
	assert_int_equal(stage.exits[0].bytes, STAGE_INITIATION + 320);
	/* Lowered below what was sent: raised to that, and said. */
	plane_limit(stage.plane, stage.clients[0].worker, 0, 100, UINT64_MAX);
	STAGE_WAIT(stage.told.limited == 1);
	assert_int_equal(stage.told.limit, opened + 320);
	assert_int_equal(stage.told.limited_bytes, opened + 320);
	assert_int_equal(stage.told.marked, 1); /* once */
	/* Raised, with a mark that lies behind already. */
	plane_limit(stage.plane, stage.clients[0].worker, 0, opened + 320 + 48, 1);
	STAGE_WAIT(stage.told.limited == 2 && stage.told.marked == 2);
	stage_transport(stage_exit_index(0));
	stage_send_up(&stage.clients[0], 48);
	stage_send_up(&stage.clients[0], 32);
	stage_settle();
	assert_int_equal(stage.exits[0].bytes, STAGE_INITIATION + 320 + 48);
	plane_meter(stage.plane, stage.clients[0].worker, 0);
	STAGE_WAIT(stage.told.marked == 3);
	assert_int_equal(stage.told.marked_bytes, opened + 320 + 48);
	/* Handles nobody has: no answer, no harm. */
	plane_meter(stage.plane, stage.clients[0].worker, 7);
	plane_limit(stage.plane, stage.clients[0].worker, UINT32_MAX, 1, 1);
	plane_retire(stage.plane, stage.clients[0].worker, 7);
	(void)stage_retire(0);
	assert_int_equal(stage.told.retired, 1);
	assert_int_equal(stage.told.marked, 3);
	stage_close();
}

static void test_address_of_another(void **state)
{
	struct plane_session thief;

	(void)state;
	stage_open(1);
	stage_open_session(0, UINT64_MAX, UINT64_MAX);
	thief = (struct plane_session){.handle = 5, .client = stage.clients[0].addr};
	plane_install(stage.plane, 0, &thief, NULL);
	STAGE_WAIT(stage.told.refused == 1);
	stage_transport(stage_exit_index(0));
	stage_send_up(&stage.clients[0], 64);
	stage_settle();
	assert_int_equal(stage_retire(0).up, STAGE_INITIATION + 64);
	stage_close();
}

/* ---- sending ------------------------------------------------------------------------------------
 */

/* What the kernel refuses to send (to a broadcast address) is nobody's bytes, and costs nobody else
 * in the batch anything. */
static void test_send_refused(void **state)
{
	enum {
		EACH = 100
	};
	struct plane_exit broadcast;
	struct relay_counters c;

	(void)state;
	stage_open(1);
	stage_open_session(0, UINT64_MAX, UINT64_MAX);
	stage_open_session(1, UINT64_MAX, UINT64_MAX);
	broadcast = stage.exit_entries[1];
	assert_true(net_addr_parse(&broadcast.wg, "127.255.255.255:9"));
	plane_set_exit(stage.plane, 1, &broadcast);
	plane_meter(stage.plane, 0, 0);
	STAGE_WAIT(stage.told.marked == 1);
	for (int n = 0; n < EACH; n++)
		for (uint32_t i = 0; i < 2; i++) {
			stage_transport(stage_exit_index(i));
			stage_send_up(&stage.clients[i], 64);
		}
	stage_settle();
	stage_assert_balance();
	c = stage_counters();
	assert_int_equal(c.drop[DIRECTION_UP][DROP_send_failed].packets, EACH);
	assert_int_equal(c.drop[DIRECTION_UP][DROP_send_failed].bytes, EACH * 64);
	assert_int_equal(stage.exits[0].bytes, STAGE_INITIATION + EACH * 64);
	assert_int_equal(stage_retire(0).up, STAGE_INITIATION + EACH * 64);
	assert_int_equal(stage_retire(1).up, STAGE_INITIATION);
	stage_close();
}

/* ---- orders, control ----------------------------------------------------------------------------
 */

/* A worker that answers faster than anybody listens: its ring fills up, and nothing is lost. */
static void test_nobody_listens(void **state)
{
	(void)state;
	stage_open(1);
	for (uint32_t i = 0; i < STAGE_SESSIONS; i++) {
		struct plane_session s = {.handle = i, .client.port = (uint16_t)(i + 1)};

		s.client.ip[0] = 0x20;
		plane_install(stage.plane, 0, &s, NULL); /* mark 0: reached at once */
		if (i % 50 == 0)
			stage_nap();
	}
	STAGE_WAIT(stage.told.installed == STAGE_SESSIONS && stage.told.marked == STAGE_SESSIONS);
	stage_close();
}

/* More orders than both rings hold, without a look at the answers in between. */
static void test_full_rings(void **state)
{
	(void)state;
	stage_open(1);
	for (uint32_t i = 0; i < STAGE_SESSIONS; i++) {
		struct plane_session s = {.handle = i, .client.port = (uint16_t)(i + 1)};

		s.client.ip[0] = 0x20;
		plane_install(stage.plane, 0, &s, NULL); /* mark 0: reached at once */
	}
	STAGE_WAIT(stage.told.installed == STAGE_SESSIONS && stage.told.marked == STAGE_SESSIONS);
	for (uint64_t n = 1; n <= 5000; n++)
		plane_limit(stage.plane, 0, 17, n, UINT64_MAX);
	STAGE_WAIT(stage.told.limited == 5000);
	assert_int_equal(stage.told.limit, 5000);
	for (uint32_t i = 0; i < STAGE_SESSIONS; i++)
		plane_retire(stage.plane, 0, i);
	/* Ending with answers on their way is fine, too. */
	stage_close();
}

/* A slot is nobody's business at the old worker once it says that it is retired, though its mark
 * was reached and not told yet; the new one has all of it. */
static void test_slots_change_hands(void **state)
{
	struct plane_losses losses = {.unanswered = 3};

	(void)state;
	losses.dropped[DIRECTION_UP][DROP_window].bytes = 7;
	stage_open(2);
	for (unsigned turn = 0; turn < 6; turn++) {
		for (uint32_t i = 0; i < STAGE_SESSIONS; i++) {
			struct plane_session s = {
				.handle = i, .client.port = (uint16_t)(i + 1), .up = turn};

			s.client.ip[0] = 0x20;
			plane_install(stage.plane, turn % 2, &s, &losses); /* mark 0: reached */
			plane_retire(stage.plane, turn % 2, i);
		}
		STAGE_WAIT(stage.told.retired == (turn + 1) * (uint64_t)STAGE_SESSIONS);
		assert_int_equal(stage.told.last.up, turn);
		assert_int_equal(stage.told.losses.unanswered, 3);
		assert_int_equal(stage.told.losses.dropped[DIRECTION_UP][DROP_window].bytes, 7);
	}
	assert_int_equal(stage.told.installed, 6 * STAGE_SESSIONS);
	stage_close();
}

/* Each worker's part is what its clients are and sent, and all parts are the whole. */
static void test_parts(void **state)
{
	uint32_t clients[4] = {0}, sessions = STAGE_CLIENTS - 1;
	uint64_t packets = 0;
	struct relay_counters c;

	(void)state;
	stage_open(4);
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
		stage_open_session(i, UINT64_MAX, UINT64_MAX);
		clients[stage.clients[i].worker]++;
	}
	for (unsigned w = 0; w < 4; w++)
		assert_int_equal(plane_part(stage.plane, w).sessions, clients[w]);
	(void)stage_retire(0);
	for (unsigned w = 0; w < 4; w++) {
		sessions -= plane_part(stage.plane, w).sessions;
		packets += plane_part(stage.plane, w).in.packets;
		assert_int_equal(plane_part(stage.plane, w).in.bytes > 0, clients[w] > 0);
	}
	assert_int_equal(sessions, 0);
	c = stage_counters();
	assert_int_equal(packets, c.in[DIRECTION_UP].packets + c.in[DIRECTION_DOWN].packets);
	stage_close();
}

static void test_control_flood(void **state)
{
	struct relay_counters c;

	(void)state;
	stage_open(1);
	for (int burst = 0; burst < 10; burst++) {
		for (int n = 0; n < 200; n++)
			stage_send_control(&stage.clients[n % STAGE_CLIENTS]);
		while (!stage_all_in()) /* and the main thread does not look */
			stage_nap();
	}
	STAGE_WAIT((c = stage_counters(), stage.told.control + c.control_lost == c.control_in));
	assert_true(c.control_lost > 0);
	assert_int_equal(c.control_in, STAGE_CLIENTS + 2000);
	stage_assert_balance();
	stage_close();
}

/* Orders given at once wake their worker at the end. */
static void test_held_orders(void **state)
{
	(void)state;
	stage_open(1);
	stage_open_session(0, 1000000, UINT64_MAX);
	stage.told.marked = 0;
	plane_hold(stage.plane);
	for (int i = 0; i < 1000; i++) /* more than their ring holds */
		plane_meter(stage.plane, 0, 0);
	plane_release(stage.plane);
	STAGE_WAIT(stage.told.marked == 1000);
	plane_hold(stage.plane);
	plane_meter(stage.plane, 0, 0);
	plane_release(stage.plane);
	STAGE_WAIT(stage.told.marked == 1001);
	plane_meter(stage.plane, 0, 0);
	STAGE_WAIT(stage.told.marked == 1002);
	stage_close();
}

/* However many begin handshakes, what others say is heard, and nothing that could not be right. */
static void test_initiation_flood(void **state)
{
	struct relay_counters c;

	(void)state;
	stage_open(1);
	for (int burst = 0; burst < 20; burst++) {
		for (int n = 0; n < 100; n++) {
			stage_send_control_initiation(&stage.clients[n % STAGE_CLIENTS]);
			if (n % 2)
				stage_send_control_malformed(&stage.clients[n % STAGE_CLIENTS]);
			if (n % 10 == 0)
				stage_send_control(&stage.clients[n % STAGE_CLIENTS]);
		}
		while (!stage_all_in()) /* and the main thread does not look */
			stage_nap();
	}
	STAGE_WAIT((c = stage_counters(),
		    stage.told.control + c.control_lost + c.control_malformed == c.control_in));
	assert_true(c.control_lost > 0);
	assert_int_equal(c.control_malformed, 20 * 50);
	assert_int_equal(stage.told.initiations + c.control_lost, 20 * 100);
	assert_int_equal(stage.told.control - stage.told.initiations, STAGE_CLIENTS + 20 * 10);
	stage_close();
}

/* Beyond so many unanswered initiations a session sends none until the next second. */
static void test_tick(void **state)
{
	(void)state;
	stage_open(2);
	stage_open_session(0, UINT64_MAX, UINT64_MAX);
	for (uint64_t turn = 1; turn <= 3; turn++) {
		for (uint32_t n = 0; n < FORWARD_UNANSWERED_MAX + 5; n++) {
			fakewg_initiation((void *)stage.buffer, 1000 + n,
					  stage.exit_entries[0].mac1_key);
			stage_send_up(&stage.clients[0], STAGE_INITIATION);
		}
		stage_settle();
		assert_int_equal(stage_counters().drop[DIRECTION_UP][DROP_initiation_flood].packets,
				 turn * 5);
		assert_int_equal(stage_counters().unanswered.packets,
				 turn * FORWARD_UNANSWERED_MAX);
		plane_tick(stage.plane);
		plane_meter(stage.plane, stage.clients[0].worker, 0); /* in order, so it ticked */
		STAGE_WAIT(stage.told.marked == turn);
	}
	stage_close();
}

static void test_send(void **state)
{
	(void)state;
	stage_open(4);
	for (int i = 0; i < STAGE_CLIENTS; i++) {
		plane_send(stage.plane, stage.clients[i].worker, &stage.clients[i].addr, "hello",
			   5);
		for (int tries = 0; tries < 5000 && !stage.clients[i].packets; tries++) {
			stage_nap();
			stage_drain(&stage.clients[i]);
		}
		assert_int_equal(stage.clients[i].bytes, 5);
		assert_int_equal(stage.clients[i].last_from.port, plane_port(stage.plane));
	}
	stage_close();
}

/* ---- the port -----------------------------------------------------------------------------------
 */

static void test_port_in_use(void **state)
{
	struct plane *second;
	uint16_t port;

	(void)state;
	stage_open(2);
	port = plane_port(stage.plane);
	assert_int_equal(stage_plane(&second, 1, port), -EADDRINUSE);
	assert_int_equal(stage_plane(&second, 4, port), -EADDRINUSE);
	stage_close();
	stage_open(1);
	assert_int_equal(stage_plane(&second, 0, 0), -EINVAL);
	assert_int_equal(stage_plane(&second, PLANE_WORKERS_MAX + 1, 0), -EINVAL);
	if (plane_port(stage.plane) != port) {
		assert_int_equal(stage_plane(&second, 4, port), 0);
		assert_int_equal(plane_port(second), port);
		plane_destroy(second);
	}
	stage_close();
}

static void test_self(void **state)
{
	static const struct {
		const char *ip;
		bool self;
	} cases[] = {
		{"127.0.0.1", true}, {"127.99.1.2", true}, {"::1", true},      {"0.0.0.0", true},
		{"::", true},        {"9.9.9.9", false},   {"2a00::1", false},
	};
	struct plane_exit e;

	(void)state;
	stage_open(2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_addr a;
		uint8_t bits;

		assert_true(net_prefix_parse(&a, &bits, cases[i].ip));
		a.port = plane_port(stage.plane);
		assert_int_equal(plane_is_self(stage.plane, &a), cases[i].self);
		a.port = 1;
		assert_false(plane_is_self(stage.plane, &a));
	}
	/* As an exit, its own port (or an upstream one) is as good as no exit. */
	stage_open_session(0, UINT64_MAX, UINT64_MAX);
	assert_true(plane_is_self(stage.plane, &stage.exits[0].last_from));
	e = stage.exit_entries[0];
	e.wg.port = plane_port(stage.plane);
	plane_set_exit(stage.plane, 0, &e);
	plane_meter(stage.plane, stage.clients[0].worker, 0); /* orders are obeyed in order */
	STAGE_WAIT(stage.told.marked == 1);
	stage_transport(stage_exit_index(0));
	stage_send_up(&stage.clients[0], 64);
	stage_settle();
	assert_int_equal(stage_counters().drop[DIRECTION_UP][DROP_exit_refused].packets, 1);
	stage_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_mark), cmocka_unit_test(test_address_of_another),
		cmocka_unit_test(test_send_refused),   cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_full_rings),     cmocka_unit_test(test_parts),
		cmocka_unit_test(test_control_flood),  cmocka_unit_test(test_initiation_flood),
		cmocka_unit_test(test_held_orders),    cmocka_unit_test(test_send),
		cmocka_unit_test(test_port_in_use),    cmocka_unit_test(test_self),
		cmocka_unit_test(test_tick),           cmocka_unit_test(test_slots_change_hands),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
