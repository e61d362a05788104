/*
 * The data plane over real sockets on loopback: clients and exits are sockets of this thread, the
 * workers are threads. What the sockets saw is held against what the workers say they did.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay/plane.h"
#include "tests/lib/fakewg.h"

enum {
	EXITS = 2,
	CLIENTS = 12,
	MANY_SESSIONS = 3000,
	NO_WORKER = 99,
	INITIATION = sizeof(struct message_initiation),
	RESPONSE = sizeof(struct message_response),
	JUNK_MAX = 3000,
};

struct peer {
	int fd;
	struct net_addr addr;
	unsigned worker;           /* clients: who hears it */
	struct net_addr last_from; /* exits: where the relay sends from */
	uint64_t packets, bytes;   /* received */
};

/* What the plane told its owner. */
struct told {
	uint64_t control, installed, refused, retired, marked, limited;
	unsigned control_worker;
	struct net_addr control_from;
	struct plane_session last;
	uint32_t marked_handle, limited_handle;
	uint64_t marked_bytes, limit, limited_bytes;
};

static struct event_base *base;
static struct plane *plane;
static struct told told;
static struct peer clients[CLIENTS], exits[EXITS];
static struct plane_exit exit_entries[EXITS];
static struct plane_session sessions[CLIENTS];
static uint8_t buffer[JUNK_MAX];
static uint64_t sent_bytes[DIRECTION_COUNT], sent_packets[DIRECTION_COUNT], sent_control;

/* ---- the owner of the plane ---------------------------------------------------------------------
 */

static void on_control(void *arg, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		       size_t len)
{
	(void)arg;
	assert_true(len >= 4 && len <= PLANE_CONTROL_MAX);
	assert_in_range(msg[0], 0x11, 0x18);
	told.control++;
	told.control_worker = worker;
	told.control_from = *from;
}

static void on_installed(void *arg, uint32_t handle, bool ok)
{
	(void)arg, (void)handle;
	if (ok)
		told.installed++;
	else
		told.refused++;
}

static void on_retired(void *arg, const struct plane_session *last)
{
	(void)arg;
	told.retired++;
	told.last = *last;
}

static void on_marked(void *arg, uint32_t handle, uint64_t up, uint64_t down)
{
	(void)arg;
	told.marked++;
	told.marked_handle = handle;
	told.marked_bytes = up + down;
}

static void on_limited(void *arg, uint32_t handle, uint64_t limit, uint64_t up, uint64_t down)
{
	(void)arg;
	assert_true(limit >= told.limit || handle != told.limited_handle); /* answers keep order */
	told.limited++;
	told.limited_handle = handle;
	told.limit = limit;
	told.limited_bytes = up + down;
}

static const struct plane_ops ops = {on_control, on_installed, on_retired, on_marked, on_limited};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* Lets the plane speak until the condition holds; fails after about 5 s. */
#define WAIT_FOR(condition)                                                    \
	do {                                                                   \
		int tries = 25000;                                             \
		while (event_base_loop(base, EVLOOP_NONBLOCK), !(condition)) { \
			assert_true(tries-- > 0);                              \
			nap();                                                 \
		}                                                              \
	} while (0)

/* ---- clients and exits --------------------------------------------------------------------------
 */

static struct peer open_peer(const char *address)
{
	struct peer p = {.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)};
	int size = 4 << 20, off = 0;
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);
	uint8_t bits;

	assert_true(p.fd >= 0);
	assert_true(net_prefix_parse(&p.addr, &bits, address));
	net_addr_to_sockaddr(&sa, &p.addr);
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(p.fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(p.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(p.fd, (struct sockaddr *)&sa, &len), 0);
	p.addr.port = ntohs(sa.sin6_port);
	p.worker = NO_WORKER;
	return p;
}

static void send_to(const struct peer *p, const struct net_addr *to, size_t len)
{
	struct sockaddr_in6 sa;

	net_addr_to_sockaddr(&sa, to);
	assert_int_equal(sendto(p->fd, buffer, len, 0, (struct sockaddr *)&sa, sizeof(sa)), len);
}

/* To the public port, over the peer's own family. */
static void send_public(const struct peer *p, size_t len)
{
	struct net_addr relay = p->addr;

	relay.port = plane_port(plane);
	send_to(p, &relay, len);
}

static void send_up(const struct peer *p, size_t len)
{
	send_public(p, len);
	sent_packets[DIRECTION_UP]++;
	sent_bytes[DIRECTION_UP] += len;
}

static void send_down(const struct peer *exit, size_t len)
{
	send_to(exit, &exit->last_from, len);
	sent_packets[DIRECTION_DOWN]++;
	sent_bytes[DIRECTION_DOWN] += len;
}

static void drain(struct peer *p)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	while ((n = recvfrom(p->fd, NULL, 0, MSG_TRUNC | MSG_DONTWAIT, (struct sockaddr *)&sa,
			     &len)) >= 0) {
		assert_true(net_addr_from_sockaddr(&p->last_from, (struct sockaddr *)&sa, len));
		p->packets++;
		p->bytes += (uint64_t)n;
	}
}

static void drain_all(void)
{
	for (int i = 0; i < CLIENTS; i++)
		drain(&clients[i]);
	for (int i = 0; i < EXITS; i++)
		drain(&exits[i]);
}

static struct relay_counters counters(void)
{
	struct relay_counters c;

	plane_counters(plane, &c);
	return c;
}

static bool all_in(void)
{
	const struct relay_counters c = counters();

	return c.in[DIRECTION_UP].packets == sent_packets[DIRECTION_UP] &&
	       c.in[DIRECTION_DOWN].packets == sent_packets[DIRECTION_DOWN] &&
	       c.control_in == sent_control;
}

/* All that was sent has been judged and, if it passed, received. */
static void settle(void)
{
	WAIT_FOR(all_in());
	drain_all();
}

static void send_control(const struct peer *p)
{
	memset(buffer, 0, 64);
	buffer[0] = MESSAGE_BIND;
	send_public(p, 64);
	sent_control++;
}

static void find_worker(struct peer *p)
{
	uint64_t before = told.control;

	send_control(p);
	WAIT_FOR(told.control == before + 1);
	assert_true(net_addr_eq(&told.control_from, &p->addr));
	p->worker = told.control_worker;
}

/* ---- the stage ----------------------------------------------------------------------------------
 */

static int start(struct plane **out, unsigned workers, uint16_t port)
{
	struct plane_config config = {.listen.port = port,
				      .workers = workers,
				      .max_sessions = MANY_SESSIONS,
				      .max_exits = EXITS};

	assert_true(ranges_allow(&config.allow, "127.0.0.0/8"));
	assert_true(ranges_allow(&config.allow, "::1/128"));
	return plane_create(out, &config, base, &ops, NULL);
}

static void curtain_up(unsigned workers)
{
	static const char *const exit_hosts[EXITS] = {"127.0.0.1", "::1"};

	told = (struct told){0};
	memset(sent_bytes, 0, sizeof(sent_bytes));
	memset(sent_packets, 0, sizeof(sent_packets));
	sent_control = 0;
	base = event_base_new();
	assert_int_equal(start(&plane, workers, 0), 0);
	assert_int_equal(plane_workers(plane), workers);
	for (uint32_t i = 0; i < EXITS; i++) {
		uint8_t key[KEY_LEN] = {(uint8_t)(i + 1)};

		exits[i] = open_peer(exit_hosts[i]);
		exit_entries[i].wg = exits[i].addr;
		wg_mac1_key(exit_entries[i].mac1_key, key);
		plane_set_exit(plane, i, &exit_entries[i]);
	}
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = open_peer(i % 3 == 2 ? "::1" : "127.0.0.1");
		find_worker(&clients[i]);
	}
}

static void curtain_down(void)
{
	plane_destroy(plane);
	event_base_free(base);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i].fd);
	for (int i = 0; i < EXITS; i++)
		close(exits[i].fd);
}

static uint32_t client_index(uint32_t i)
{
	return 0xc0000000U + i;
}

static uint32_t exit_index(uint32_t i)
{
	return 0xe0000000U + i;
}

static void transport(uint32_t receiver)
{
	fakewg_transport(buffer, receiver, 1);
}

/* Client i opens session i and both sides say their index. */
static void open_session(uint32_t i, uint64_t limit, uint64_t mark)
{
	uint64_t before = told.installed;
	struct peer *exit = &exits[i % EXITS];

	sessions[i] = (struct plane_session){.handle = i,
					     .exit = i % EXITS,
					     .client = clients[i].addr,
					     .limit = limit,
					     .mark = mark};
	plane_install(plane, clients[i].worker, &sessions[i]);
	WAIT_FOR(told.installed == before + 1);
	fakewg_initiation((void *)buffer, client_index(i), exit_entries[i % EXITS].mac1_key);
	send_up(&clients[i], INITIATION);
	settle();
	assert_true(exit->packets > 0);
	fakewg_response((void *)buffer, exit_index(i), client_index(i));
	send_down(exit, RESPONSE);
	settle();
	assert_int_equal(clients[i].bytes, RESPONSE);
}

static struct plane_session retire(uint32_t i)
{
	uint64_t before = told.retired;

	plane_retire(plane, clients[i].worker, i);
	WAIT_FOR(told.retired == before + 1);
	assert_int_equal(told.last.handle, i);
	return told.last;
}

static void assert_balance(void)
{
	const struct relay_counters c = counters();

	for (int d = 0; d < DIRECTION_COUNT; d++) {
		struct relay_tally sum = c.out[d];

		for (int r = 0; r < DROP_COUNT; r++) {
			sum.packets += c.drop[d][r].packets;
			sum.bytes += c.drop[d][r].bytes;
		}
		assert_int_equal(c.in[d].packets, sent_packets[d]);
		assert_int_equal(c.in[d].bytes, sent_bytes[d]);
		assert_int_equal(sum.packets, c.in[d].packets);
		assert_int_equal(sum.bytes, c.in[d].bytes);
	}
}

/* ---- conservation -------------------------------------------------------------------------------
 */

static size_t some_length(void)
{
	return WG_TRANSPORT_MIN + 16 * (crypto_random_u32() % 90);
}

static void send_something_up(uint32_t i)
{
	const struct peer *c = &clients[i];

	memset(buffer, 0, 4);
	switch (crypto_random_u32() % 12) {
	case 0:
		send_up(c, 0);
		return;
	case 1: /* not even the right first bytes */
		buffer[1] = 1;
		send_up(c, crypto_random_u32() % 1500);
		return;
	case 2:
		transport(exit_index(i));
		send_up(c, some_length() + 1);
		return;
	case 3:
		transport(exit_index(i + EXITS));
		send_up(c, some_length());
		return;
	case 4:
		fakewg_initiation((void *)buffer, client_index(i),
				  exit_entries[i % EXITS].mac1_key);
		send_up(c, INITIATION);
		return;
	case 5:
		fakewg_initiation((void *)buffer, client_index(i),
				  exit_entries[(i + 1) % EXITS].mac1_key);
		send_up(c, INITIATION);
		return;
	case 6:
		fakewg_response((void *)buffer, 5, exit_index(i));
		send_up(c, RESPONSE);
		return;
	case 7:
		transport(exit_index(i));
		send_up(c, JUNK_MAX);
		return;
	case 8:
		send_control(c);
		return;
	default:
		transport(exit_index(i));
		send_up(c, some_length());
	}
}

static void send_something_down(uint32_t i)
{
	const struct peer *e = &exits[i % EXITS];

	switch (crypto_random_u32() % 8) {
	case 0:
		send_down(e, 0);
		return;
	case 1:
		transport(client_index(i + 1)); /* of the other exit's client */
		send_down(e, some_length());
		return;
	case 2:
		fakewg_initiation((void *)buffer, 77, exit_entries[i % EXITS].mac1_key);
		send_down(e, INITIATION);
		return;
	case 3:
		fakewg_response((void *)buffer, exit_index(i), client_index(i));
		send_down(e, RESPONSE);
		return;
	default:
		transport(client_index(i));
		send_down(e, some_length());
	}
}

/* Client 0 is no session, client 1's window is small, the others have room. */
static void conserve(unsigned workers, unsigned total)
{
	uint64_t metered[DIRECTION_COUNT] = {0}, received[DIRECTION_COUNT] = {0};
	struct relay_counters c;

	curtain_up(workers);
	for (uint32_t i = 1; i < CLIENTS; i++)
		open_session(i, i == 1 ? 100000 : UINT64_MAX, UINT64_MAX);
	for (unsigned n = 0; n < total; n++) {
		uint32_t i = crypto_random_u32() % CLIENTS;

		if (crypto_random_u32() % 2)
			send_something_up(i);
		else
			send_something_down(i);
		if (n % 200 == 0)
			settle();
	}
	settle();
	assert_balance();
	c = counters();
	for (uint32_t i = 1; i < CLIENTS; i++) {
		const struct plane_session s = retire(i);

		assert_true(s.up + s.down <= s.limit);
		assert_int_equal(s.down, clients[i].bytes);
		assert_int_equal(s.packets_down, clients[i].packets);
		metered[DIRECTION_UP] += s.up;
		metered[DIRECTION_DOWN] += s.down;
		received[DIRECTION_DOWN] += clients[i].bytes;
	}
	for (int i = 0; i < EXITS; i++)
		received[DIRECTION_UP] += exits[i].bytes;
	assert_int_equal(clients[0].packets, 0);
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		assert_int_equal(c.out[d].bytes, metered[d]);
		assert_int_equal(c.out[d].bytes, received[d]);
	}
	assert_int_equal(c.drop[DIRECTION_UP][DROP_send_failed].packets, 0);
	assert_true(c.drop[DIRECTION_UP][DROP_truncated].packets > 0);
	assert_true(c.drop[DIRECTION_UP][DROP_unknown_client].packets > 0);
	assert_true(c.drop[DIRECTION_DOWN][DROP_window].packets > 0);
	assert_int_equal(c.control_lost + told.control, c.control_in);
	curtain_down();
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
	const uint64_t limit = INITIATION + RESPONSE + 32 * 4001;
	uint64_t up = 0;

	curtain_up(workers);
	for (uint32_t i = 0; i < CLIENTS; i++)
		open_session(i, limit, UINT64_MAX);
	for (int n = 0; n < 300; n++) {
		for (uint32_t i = 0; i < CLIENTS; i++) {
			size_t len = 32 * (1 + crypto_random_u32() % 40);

			transport(exit_index(i));
			send_up(&clients[i], n < 280 ? len : 32);
			transport(client_index(i));
			send_down(&exits[i % EXITS], n < 280 ? len : 32);
		}
		if (n % 10 == 0 || n >= 280)
			settle();
	}
	/* What is left is less than the last tries: the smallest datagrams fill it up. */
	for (uint32_t i = 0; i < CLIENTS; i++) {
		transport(exit_index(i));
		for (int n = 0; n < 60; n++)
			send_up(&clients[i], 32);
		settle();
	}
	assert_balance();
	for (int i = 0; i < EXITS; i++)
		up += exits[i].bytes;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct plane_session s = retire(i);

		assert_int_equal(s.up + s.down, limit);
		assert_int_equal(s.down, clients[i].bytes);
		up -= s.up;
	}
	assert_int_equal(up, 0);
	curtain_down();
}

static void test_window_exact(void **state)
{
	(void)state;
	window_exact(1);
	window_exact(2);
	window_exact(4);
}

static void test_limit_and_mark(void **state)
{
	const uint64_t opened = INITIATION + RESPONSE;

	(void)state;
	curtain_up(2);
	open_session(0, opened + 320, opened + 64);
	assert_int_equal(told.marked, 0);
	transport(exit_index(0));
	send_up(&clients[0], 64);
	settle();
	WAIT_FOR(told.marked == 1);
	assert_int_equal(told.marked_handle, 0);
	assert_int_equal(told.marked_bytes, opened + 64);
	for (int i = 0; i < 20; i++)
		send_up(&clients[0], 64);
	settle();
	assert_int_equal(exits[0].bytes, INITIATION + 320);
	/* Lowered below what was sent: raised to that, and said. */
	plane_limit(plane, clients[0].worker, 0, 100, UINT64_MAX);
	WAIT_FOR(told.limited == 1);
	assert_int_equal(told.limit, opened + 320);
	assert_int_equal(told.limited_bytes, opened + 320);
	assert_int_equal(told.marked, 1); /* once */
	/* Raised, with a mark that lies behind already. */
	plane_limit(plane, clients[0].worker, 0, opened + 320 + 48, 1);
	WAIT_FOR(told.limited == 2 && told.marked == 2);
	transport(exit_index(0));
	send_up(&clients[0], 48);
	send_up(&clients[0], 32);
	settle();
	assert_int_equal(exits[0].bytes, INITIATION + 320 + 48);
	plane_meter(plane, clients[0].worker, 0);
	WAIT_FOR(told.marked == 3);
	assert_int_equal(told.marked_bytes, opened + 320 + 48);
	/* Handles nobody has: no answer, no harm. */
	plane_meter(plane, clients[0].worker, 7);
	plane_limit(plane, clients[0].worker, UINT32_MAX, 1, 1);
	plane_retire(plane, clients[0].worker, 7);
	(void)retire(0);
	assert_int_equal(told.retired, 1);
	assert_int_equal(told.marked, 3);
	curtain_down();
}

/* ---- moving -------------------------------------------------------------------------------------
 */

static void test_address_of_another(void **state)
{
	struct plane_session thief;

	(void)state;
	curtain_up(1);
	open_session(0, UINT64_MAX, UINT64_MAX);
	thief = sessions[0];
	thief.handle = 5;
	plane_install(plane, 0, &thief);
	WAIT_FOR(told.refused == 1);
	transport(exit_index(0));
	send_up(&clients[0], 64);
	settle();
	assert_int_equal(retire(0).up, INITIATION + 64);
	curtain_down();
}

/* Sends without waiting for anything, both ways, from every address the client ever had. */
static void traffic(uint32_t from, uint32_t to)
{
	for (int n = 0; n < 20; n++) {
		for (uint32_t i = from; i <= to; i++) {
			transport(exit_index(0));
			send_up(&clients[i], some_length());
		}
		transport(client_index(0));
		send_down(&exits[0], some_length());
		drain(&exits[0]);
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
	curtain_up(4);
	open_session(0, UINT64_MAX, UINT64_MAX);
	for (uint32_t at = 0; at + 1 < CLIENTS; at++) {
		uint64_t retired = told.retired, installed = told.installed;

		traffic(at, at + 1);
		plane_retire(plane, clients[at].worker, 0);
		traffic(at, at + 1);
		WAIT_FOR(told.retired == retired + 1);
		s = told.last;
		s.client = clients[at + 1].addr;
		moves += clients[at].worker != clients[at + 1].worker;
		plane_install(plane, clients[at + 1].worker, &s);
		traffic(at, at + 1);
		WAIT_FOR(told.installed == installed + 1);
		traffic(at, at + 1);
		settle();
	}
	assert_true(moves >= 3);
	clients[0].worker = clients[CLIENTS - 1].worker;
	s = retire(0);
	assert_balance();
	for (int i = 0; i < CLIENTS; i++)
		down += clients[i].bytes;
	assert_int_equal(s.up, exits[0].bytes);
	assert_int_equal(s.packets_up, exits[0].packets);
	assert_int_equal(s.down, down);
	assert_true(s.packets_up > 400);
	assert_true(s.packets_down > 100);
	curtain_down();
}

/* ---- orders, control ----------------------------------------------------------------------------
 */

/* More orders than both rings hold, without a look at the answers in between. */
static void test_full_rings(void **state)
{
	(void)state;
	curtain_up(1);
	for (uint32_t i = 0; i < MANY_SESSIONS; i++) {
		struct plane_session s = {.handle = i, .client.port = (uint16_t)(i + 1)};

		s.client.ip[0] = 0x20;
		plane_install(plane, 0, &s); /* mark 0: reached at once */
	}
	WAIT_FOR(told.installed == MANY_SESSIONS && told.marked == MANY_SESSIONS);
	for (uint64_t n = 1; n <= 5000; n++)
		plane_limit(plane, 0, 17, n, UINT64_MAX);
	WAIT_FOR(told.limited == 5000);
	assert_int_equal(told.limit, 5000);
	for (uint32_t i = 0; i < MANY_SESSIONS; i++)
		plane_retire(plane, 0, i);
	/* Ending with answers on their way is fine, too. */
	curtain_down();
}

static void test_control_flood(void **state)
{
	struct relay_counters c;

	(void)state;
	curtain_up(1);
	for (int burst = 0; burst < 10; burst++) {
		for (int n = 0; n < 200; n++)
			send_control(&clients[n % CLIENTS]);
		while (!all_in()) /* and the main thread does not look */
			nap();
	}
	WAIT_FOR((c = counters(), told.control + c.control_lost == c.control_in));
	assert_true(c.control_lost > 0);
	assert_int_equal(c.control_in, CLIENTS + 2000);
	assert_balance();
	curtain_down();
}

static void test_send(void **state)
{
	(void)state;
	curtain_up(4);
	for (int i = 0; i < CLIENTS; i++) {
		plane_send(plane, clients[i].worker, &clients[i].addr, "hello", 5);
		for (int tries = 0; tries < 5000 && !clients[i].packets; tries++) {
			nap();
			drain(&clients[i]);
		}
		assert_int_equal(clients[i].bytes, 5);
		assert_int_equal(clients[i].last_from.port, plane_port(plane));
	}
	curtain_down();
}

/* ---- the port -----------------------------------------------------------------------------------
 */

static void test_port_in_use(void **state)
{
	struct plane *second;
	uint16_t port;

	(void)state;
	curtain_up(2);
	port = plane_port(plane);
	assert_int_equal(start(&second, 1, port), -EADDRINUSE);
	assert_int_equal(start(&second, 4, port), -EADDRINUSE);
	curtain_down();
	curtain_up(1);
	assert_int_equal(start(&second, 0, 0), -EINVAL);
	assert_int_equal(start(&second, PLANE_WORKERS_MAX + 1, 0), -EINVAL);
	if (plane_port(plane) != port) {
		assert_int_equal(start(&second, 4, port), 0);
		assert_int_equal(plane_port(second), port);
		plane_destroy(second);
	}
	curtain_down();
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
	curtain_up(2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_addr a;
		uint8_t bits;

		assert_true(net_prefix_parse(&a, &bits, cases[i].ip));
		a.port = plane_port(plane);
		assert_int_equal(plane_is_self(plane, &a), cases[i].self);
		a.port = 1;
		assert_false(plane_is_self(plane, &a));
	}
	/* As an exit, its own port (or an upstream one) is as good as no exit. */
	open_session(0, UINT64_MAX, UINT64_MAX);
	assert_true(plane_is_self(plane, &exits[0].last_from));
	e = exit_entries[0];
	e.wg.port = plane_port(plane);
	plane_set_exit(plane, 0, &e);
	plane_meter(plane, clients[0].worker, 0); /* orders are obeyed in order */
	WAIT_FOR(told.marked == 1);
	transport(exit_index(0));
	send_up(&clients[0], 64);
	settle();
	assert_int_equal(counters().drop[DIRECTION_UP][DROP_exit_refused].packets, 1);
	curtain_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conservation),
		cmocka_unit_test(test_window_exact),
		cmocka_unit_test(test_limit_and_mark),
		cmocka_unit_test(test_address_of_another),
		cmocka_unit_test(test_move_under_traffic),
		cmocka_unit_test(test_full_rings),
		cmocka_unit_test(test_control_flood),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_self),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
