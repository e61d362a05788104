/* Bytes over real sockets: none appears, none is lost, none passes the window. */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fakewg.h"
#include "tests/lib/stage.h"

/* ---- conservation -------------------------------------------------------------------------------
 */

static size_t some_length(void)
{
	return WG_TRANSPORT_MIN + 16 * (crypto_random_u32() % 90);
}

static void send_something_up(uint32_t i)
{
	const struct stage_peer *c = &stage.clients[i];

	memset(stage.buffer, 0, 4);
	switch (crypto_random_u32() % 12) {
	case 0:
		stage_send_up(c, 0);
		return;
	case 1: /* not even the right first bytes */
		stage.buffer[1] = 1;
		stage_send_up(c, crypto_random_u32() % 1500);
		return;
	case 2:
		stage_transport(stage_exit_index(i));
		stage_send_up(c, some_length() + 1);
		return;
	case 3:
		stage_transport(stage_exit_index(i + STAGE_EXITS));
		stage_send_up(c, some_length());
		return;
	case 4:
		fakewg_initiation((void *)stage.buffer, stage_client_index(i),
				  stage.exit_entries[i % STAGE_EXITS].mac1_key);
		stage_send_up(c, STAGE_INITIATION);
		return;
	case 5:
		fakewg_initiation((void *)stage.buffer, stage_client_index(i),
				  stage.exit_entries[(i + 1) % STAGE_EXITS].mac1_key);
		stage_send_up(c, STAGE_INITIATION);
		return;
	case 6:
		fakewg_response((void *)stage.buffer, 5, stage_exit_index(i));
		stage_send_up(c, STAGE_RESPONSE);
		return;
	case 7:
		stage_transport(stage_exit_index(i));
		stage_send_up(c, STAGE_BUFFER);
		return;
	case 8:
		stage_send_control(c);
		return;
	default:
		stage_transport(stage_exit_index(i));
		stage_send_up(c, some_length());
	}
}

static void send_something_down(uint32_t i)
{
	const struct stage_peer *e = &stage.exits[i % STAGE_EXITS];

	switch (crypto_random_u32() % 8) {
	case 0:
		stage_send_down(e, 0);
		return;
	case 1:
		stage_transport(stage_client_index(i + 1)); /* of the other exit's client */
		stage_send_down(e, some_length());
		return;
	case 2:
		fakewg_initiation((void *)stage.buffer, 77,
				  stage.exit_entries[i % STAGE_EXITS].mac1_key);
		stage_send_down(e, STAGE_INITIATION);
		return;
	case 3:
		fakewg_response((void *)stage.buffer, stage_exit_index(i), stage_client_index(i));
		stage_send_down(e, STAGE_RESPONSE);
		return;
	default:
		stage_transport(stage_client_index(i));
		stage_send_down(e, some_length());
	}
}

/* Client 0 is no session, client 1's window is small, the others have room. */
static void conserve(unsigned workers, unsigned total)
{
	uint64_t metered[DIRECTION_COUNT] = {0}, received[DIRECTION_COUNT] = {0};
	struct relay_counters c;

	stage_open(workers);
	for (uint32_t i = 1; i < STAGE_CLIENTS; i++)
		stage_open_session(i, i == 1 ? 100000 : UINT64_MAX, UINT64_MAX);
	for (unsigned n = 0; n < total; n++) {
		uint32_t i = crypto_random_u32() % STAGE_CLIENTS;

		if (crypto_random_u32() % 2)
			send_something_up(i);
		else
			send_something_down(i);
		if (n % 200 == 0)
			stage_settle();
	}
	stage_settle();
	stage_assert_balance();
	c = stage_counters();
	for (uint32_t i = 1; i < STAGE_CLIENTS; i++) {
		const struct plane_session s = stage_retire(i);

		assert_true(s.up + s.down <= s.limit);
		assert_int_equal(s.down, stage.clients[i].bytes);
		assert_int_equal(s.packets_down, stage.clients[i].packets);
		metered[DIRECTION_UP] += s.up;
		metered[DIRECTION_DOWN] += s.down;
		received[DIRECTION_DOWN] += stage.clients[i].bytes;
	}
	for (int i = 0; i < STAGE_EXITS; i++)
		received[DIRECTION_UP] += stage.exits[i].bytes;
	assert_int_equal(stage.clients[0].packets, 0);
	metered[DIRECTION_UP] += c.unanswered.bytes;
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		assert_int_equal(c.out[d].bytes, metered[d]);
		assert_int_equal(c.out[d].bytes, received[d]);
	}
	assert_int_equal(c.drop[DIRECTION_UP][DROP_send_failed].packets, 0);
	assert_true(c.drop[DIRECTION_UP][DROP_truncated].packets > 0);
	assert_true(c.drop[DIRECTION_UP][DROP_unknown_client].packets > 0);
	assert_true(c.drop[DIRECTION_UP][DROP_window].packets > 0);
	STAGE_WAIT(c.control_lost + stage.told.control == c.control_in);
	stage_close();
}

static void test_conservation(void **state)
{
	(void)state;
	conserve(1, 60000);
	conserve(2, 70000);
	conserve(4, 80000);
}

/* ---- window -------------------------------------------------------------------------------------
 */

static void window_exact(unsigned workers)
{
	const uint64_t limit = STAGE_INITIATION + STAGE_RESPONSE + 32 * 4001;
	uint64_t up = 0;

	stage_open(workers);
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
		stage_open_session(i, limit, UINT64_MAX);
	for (int n = 0; n < 300; n++) {
		for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
			size_t len = 32 * (1 + crypto_random_u32() % 40);

			stage_transport(stage_exit_index(i));
			stage_send_up(&stage.clients[i], n < 280 ? len : 32);
			stage_transport(stage_client_index(i));
			stage_send_down(&stage.exits[i % STAGE_EXITS], n < 280 ? len : 32);
		}
		if (n % 10 == 0 || n >= 280)
			stage_settle();
	}
	/* What is left is less than the last tries: the smallest datagrams fill it up. */
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
		stage_transport(stage_exit_index(i));
		for (int n = 0; n < 60; n++)
			stage_send_up(&stage.clients[i], 32);
		stage_settle();
	}
	stage_assert_balance();
	for (int i = 0; i < STAGE_EXITS; i++)
		up += stage.exits[i].bytes;
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
		const struct plane_session s = stage_retire(i);

		assert_int_equal(s.up + s.down, limit);
		assert_int_equal(s.down, stage.clients[i].bytes);
		up -= s.up;
	}
	assert_int_equal(up, 0);
	stage_close();
}

static void test_window_exact(void **state)
{
	(void)state;
	window_exact(1);
	window_exact(2);
	window_exact(4);
}

/* ---- moving -------------------------------------------------------------------------------------
 */

/* Sends without waiting for anything, both ways, from every address the client ever had. */
static void traffic(uint32_t from, uint32_t to)
{
	for (int n = 0; n < 20; n++) {
		for (uint32_t i = from; i <= to; i++) {
			stage_transport(stage_exit_index(0));
			stage_send_up(&stage.clients[i], some_length());
		}
		stage_transport(stage_client_index(0));
		stage_send_down(&stage.exits[0], some_length());
		stage_drain(&stage.exits[0]);
	}
}

/*
 * Session 0 wanders over all clients' addresses and the workers that hear them, while packets from
 * old and new addresses fly. In the end each byte it was metered for has arrived, and no other.
 */
static void test_move_under_traffic(void **state)
{
	struct plane_session s;
	unsigned moves = 0;
	uint64_t down = 0;

	(void)state;
	stage_open(4);
	stage_open_session(0, UINT64_MAX, UINT64_MAX);
	for (uint32_t at = 0; at + 1 < STAGE_CLIENTS; at++) {
		uint64_t retired = stage.told.retired, installed = stage.told.installed;

		traffic(at, at + 1);
		plane_retire(stage.plane, stage.clients[at].worker, 0);
		traffic(at, at + 1);
		STAGE_WAIT(stage.told.retired == retired + 1);
		s = stage.told.last;
		s.client = stage.clients[at + 1].addr;
		moves += stage.clients[at].worker != stage.clients[at + 1].worker;
		plane_install(stage.plane, stage.clients[at + 1].worker, &s, NULL);
		traffic(at, at + 1);
		STAGE_WAIT(stage.told.installed == installed + 1);
		traffic(at, at + 1);
		stage_settle();
	}
	assert_true(moves >= 3);
	stage.clients[0].worker = stage.clients[STAGE_CLIENTS - 1].worker;
	s = stage_retire(0);
	stage_assert_balance();
	for (int i = 0; i < STAGE_CLIENTS; i++)
		down += stage.clients[i].bytes;
	assert_int_equal(s.up, stage.exits[0].bytes);
	assert_int_equal(s.packets_up, stage.exits[0].packets);
	assert_int_equal(s.down, down);
	assert_true(s.packets_up > 400);
	assert_true(s.packets_down > 100);
	stage_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conservation),
		cmocka_unit_test(test_window_exact),
		cmocka_unit_test(test_move_under_traffic),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
