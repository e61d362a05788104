/*
 * What workers share: a real data plane on loopback, with traffic of many sessions both ways, whose
 * every access to memory is watched (watch/watch.h). One JSON object on stdout; lines.py names the
 * places and judges.
 *
 *   lines WORKERS SESSIONS ROUNDS [RATE]     a round: bursts of 8 from and to each session; RATE:
 *                                            [Relay] Rate in bytes/s
 *
 * Phases: "data" is datagrams alone; in "drops" every second one is for an index that its session
 * does not know; "orders" adds, each round, what the main thread wants of
 * workers (limits, marks, fresh counters of some sessions, a tick, the totals); "planted" is data
 * alone with a counter that all workers write once a batch: what a shared write looks like here.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "relay/plane.h"
#include "relay/udp.h"
#include "tests/bench/watch/watch.h"
#include "tests/lib/fakewg.h"

enum {
	EXITS = 2,
	SESSIONS_MAX = 1024,
	SIZE = 148,
	BURST = 8,
	ORDERED = 4, /* sessions a round that orders are about */
	QUIET_MS = 3000,
	NO_WORKER = UINT8_MAX,
};

struct peer {
	int fd;
	struct net_addr addr;
	unsigned worker;
	struct sockaddr_in6 relay; /* where its exit saw it come from */
};

static struct event_base *base;
static struct plane *plane;
static struct peer clients[SESSIONS_MAX];
static int exits[EXITS];
static unsigned worker_count, session_count, heard_by;
static struct relay_counters totals;
static uint64_t told, rate;

static void on_control(void *arg, unsigned worker, const struct net_addr *from, const uint8_t *msg,
		       size_t len)
{
	(void)arg, (void)from, (void)msg, (void)len;
	heard_by = worker;
}

static void on_installed(void *arg, uint32_t handle, bool ok)
{
	(void)arg, (void)handle;
	if (!ok)
		fatalx("a session was refused");
	told++;
}

static void on_retired(void *arg, const struct plane_session *last)
{
	(void)arg, (void)last;
}

static void on_marked(void *arg, uint32_t handle, uint64_t up, uint64_t down)
{
	(void)arg, (void)handle, (void)up, (void)down;
	told++;
}

static void on_limited(void *arg, uint32_t handle, uint64_t limit, uint64_t up, uint64_t down)
{
	(void)arg, (void)handle, (void)limit, (void)up, (void)down;
	told++;
}

static const struct plane_ops ops = {on_control, on_installed, on_retired,
				     on_marked,  on_limited,   NULL};

static void serve(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void wait_readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	if (poll(&p, 1, QUIET_MS) != 1)
		fatalx("nothing came: a datagram is lost");
}

/* So many datagrams; a socket may have them in one piece. */
static void take(int fd, unsigned count)
{
	static uint8_t data[65536];

	while (count) {
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0) {
			wait_readable(fd);
			continue;
		}
		count--;
	}
}

/* ---- sessions -----------------------------------------------------------------------------------
 */

static uint32_t client_index(uint32_t i)
{
	return 0xc0000000U + i;
}

static uint32_t exit_index(uint32_t i)
{
	return 0xe0000000U + i;
}

static void open_plane(void)
{
	struct plane_config config = {.workers = worker_count,
				      .max_sessions = SESSIONS_MAX,
				      .max_exits = EXITS,
				      .rate = rate};
	const uint8_t key[KEY_LEN] = {1};

	if (!ranges_allow(&config.allow, "127.0.0.0/8") ||
	    plane_create(&plane, &config, base, &ops, NULL) != 0)
		fatalx("no plane");
	for (uint32_t i = 0; i < EXITS; i++) {
		struct plane_exit e;

		if (!net_addr_parse(&e.wg, "127.0.0.1:1"))
			fatalx("no address");
		e.wg.port = 0;
		exits[i] = udp_open(&e.wg, UDP_ALONE);
		if (exits[i] < 0)
			fatalx("no socket");
		e.wg.port = udp_port(exits[i]);
		wg_mac1_key(e.mac1_key, key);
		plane_set_exit(plane, i, &e);
	}
}

static void find_worker(struct peer *c)
{
	struct pollfd none;
	uint8_t msg[64] = {MESSAGE_BIND};

	heard_by = NO_WORKER;
	if (send(c->fd, msg, sizeof(msg), 0) < 0)
		fatal("send");
	for (int ms = 0; heard_by == NO_WORKER; ms++) {
		if (ms > QUIET_MS)
			fatalx("no worker hears a client");
		(void)poll(&none, 0, 1);
		serve();
	}
	c->worker = heard_by;
}

static void open_session(uint32_t i)
{
	struct plane_session s = {
		.handle = i, .exit = i % EXITS, .limit = UINT64_MAX / 2, .mark = UINT64_MAX};
	const uint8_t exit_key[KEY_LEN] = {1};
	socklen_t len = sizeof(clients[i].relay);
	struct message_initiation initiation;
	struct message_response response;
	uint8_t mac1_key[KEY_LEN];
	uint64_t before = told;

	s.client = clients[i].addr;
	plane_install(plane, clients[i].worker, &s, NULL);
	while (told == before)
		serve();
	wg_mac1_key(mac1_key, exit_key);
	fakewg_initiation(&initiation, client_index(i), mac1_key);
	fakewg_response(&response, exit_index(i), client_index(i));
	if (send(clients[i].fd, &initiation, sizeof(initiation), 0) < 0)
		fatal("send");
	wait_readable(exits[i % EXITS]);
	if (recvfrom(exits[i % EXITS], &initiation, sizeof(initiation), 0,
		     (struct sockaddr *)&clients[i].relay, &len) < 0 ||
	    sendto(exits[i % EXITS], &response, sizeof(response), 0,
		   (struct sockaddr *)&clients[i].relay, len) < 0)
		fatal("an exit");
	take(clients[i].fd, 1);
}

static void open_client(struct peer *c)
{
	const struct net_addr any = {0};
	struct net_addr relay;
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);

	if (!net_addr_parse(&relay, "127.0.0.1:1"))
		fatalx("no address");
	relay.port = plane_port(plane);
	net_addr_to_sockaddr(&sa, &relay);
	c->fd = udp_open(&any, UDP_ALONE);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockname(c->fd, (struct sockaddr *)&sa, &len) < 0 ||
	    !net_addr_from_sockaddr(&c->addr, (struct sockaddr *)&sa, len))
		fatal("a client's socket");
	find_worker(c);
}

/* As many on each worker, so that each has the same to do. */
static void open_clients(void)
{
	unsigned per_worker[WATCH_THREADS] = {0}, most = session_count / worker_count;

	for (unsigned i = 0; i < most * worker_count; i++) {
		for (;;) {
			open_client(&clients[i]);
			if (per_worker[clients[i].worker]++ < most)
				break;
			close(clients[i].fd);
		}
		open_session(i);
	}
	session_count = most * worker_count;
}

/* ---- traffic ------------------------------------------------------------------------------------
 */

/* In one piece, as a WireGuard with offload would. */
static void send_burst(int fd, uint32_t receiver, const struct sockaddr_in6 *to)
{
	static uint8_t data[BURST][SIZE];
	static uint64_t counter;
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(uint16_t))];
	} control = {.head = {CMSG_LEN(sizeof(uint16_t)), SOL_UDP, UDP_SEGMENT}};
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	const uint16_t size = SIZE;

	memcpy(CMSG_DATA(&control.head), &size, sizeof(size));
	for (unsigned i = 0; i < BURST; i++)
		fakewg_transport(data[i], receiver, ++counter);
	if (to) {
		m.msg_name = (void *)(uintptr_t)to;
		m.msg_namelen = sizeof(*to);
	}
	if (sendmsg(fd, &m, 0) != (ssize_t)sizeof(data))
		fatal("sendmsg");
}

static void round_of_traffic(void)
{
	for (uint32_t i = 0; i < session_count; i++)
		send_burst(clients[i].fd, exit_index(i), NULL);
	for (uint32_t i = 0; i < EXITS; i++)
		take(exits[i], (session_count + EXITS - 1 - i) / EXITS * BURST);
	for (uint32_t i = 0; i < session_count; i++)
		send_burst(exits[i % EXITS], client_index(i), &clients[i].relay);
	for (uint32_t i = 0; i < session_count; i++)
		take(clients[i].fd, BURST);
}

/* The last of a socket's datagrams passes: when it has come, the worker is through with those
 * before. */
static void round_of_drops(void)
{
	for (uint32_t i = 0; i < session_count; i++) {
		send_burst(clients[i].fd, 0, NULL);
		send_burst(clients[i].fd, exit_index(i), NULL);
	}
	for (uint32_t i = 0; i < EXITS; i++)
		take(exits[i], (session_count + EXITS - 1 - i) / EXITS * BURST);
}

static unsigned give_orders(unsigned round)
{
	for (unsigned i = 0; i < ORDERED; i++) {
		uint32_t s = (round * ORDERED + i) % session_count;

		plane_meter(plane, clients[s].worker, s);
		/* Its mark is reached at its next datagram. */
		plane_limit(plane, clients[s].worker, s, UINT64_MAX / 2, 1);
	}
	plane_tick(plane);
	plane_counters(plane, &totals);
	serve();
	return 2 * ORDERED + worker_count;
}

enum kind {
	DATA,
	DROPS,
	ORDERS,
};

static void phase(const char *name, unsigned rounds, enum kind kind)
{
	uint64_t given = 0, before = told;

	watch_begin();
	for (unsigned i = 0; i < rounds; i++) {
		if (kind == ORDERS)
			given += give_orders(i);
		if (kind == DROPS)
			round_of_drops();
		else
			round_of_traffic();
	}
	watch_end();
	printf("{\"name\":\"%s\",\"datagrams\":%lu,\"orders\":%lu,\"told\":%lu,", name,
	       2UL * rounds * session_count * BURST, given, told - before);
	watch_print();
	printf("}");
}

static uint64_t number(const char *text, uint64_t most)
{
	uint64_t n;

	if (!text || !text_u64(text, 1, most, &n))
		fatalx("usage: lines WORKERS SESSIONS ROUNDS [RATE]");
	return n;
}

int main(int argc, char **argv)
{
	unsigned rounds = (unsigned)number(argc >= 4 ? argv[3] : NULL, 1000000);

	worker_count = (unsigned)number(argv[1], WATCH_THREADS - 1);
	session_count = (unsigned)number(argv[2], SESSIONS_MAX);
	rate = argc == 5 ? number(argv[4], RATE_MAX) : RATE_UNLIMITED;
	log_init("lines", LOG_LEVEL_INFO);
	watch_init();
	crypto_start();
	base = event_base_new();
	open_plane();
	open_clients();
	for (int i = 0; i < 4; i++)
		round_of_traffic();
	printf("{\"workers\":%u,\"sessions\":%u,\"phases\":[", worker_count, session_count);
	phase("data", rounds, DATA);
	printf(",");
	phase("drops", rounds, DROPS);
	printf(",");
	phase("orders", rounds, ORDERS);
	/* What the orders left behind is told before. */
	serve();
	round_of_traffic();
	serve();
	printf(",");
	watch_plant(true);
	phase("planted", rounds, DATA);
	watch_plant(false);
	printf("]}\n");
	plane_destroy(plane);
	event_base_free(base);
	return 0;
}
