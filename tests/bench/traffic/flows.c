#include <fcntl.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/bench/traffic/guests.h"
#include "tests/bench/traffic/take.h"
#include "tests/lib/measure.h"
#include "tests/lib/turn.h"

enum {
	EXIT_BUFFER = 64 << 20,
	EXIT_SEND_BUFFER = 8 << 20,
	FIRST_ADDRESS = 100, /* last byte of the first of them: 10.77.1.100 */
	SETUP_MS = 60000,
	NUDGE_MS = 500, /* an initiation that was not answered goes out again */
};

struct traffic traffic = {.rig = {.sign = true}, .exit_fd = -1, .clients_fd = -1};

uint64_t traffic_clock(clockid_t id)
{
	return measure_now(id);
}

void traffic_nap(uint64_t ns)
{
	struct timespec t = {0, (long)ns};

	nanosleep(&t, NULL);
}

void traffic_count(struct count *c, uint64_t packets, uint64_t bytes)
{
	c->packets += packets;
	c->bytes += bytes;
}

void traffic_serve(void)
{
	event_base_loop(traffic.rig.base, EVLOOP_NONBLOCK);
	guests_serve();
}

/* ---- sockets ---- */

static void set(int fd, int level, int name, int value, const char *what)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		fatal("%s", what);
}

/* A socket belongs to the namespace its thread was in when it was made; the thread goes back. */
void traffic_open_exit(const char *netns)
{
	int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC), fd;
	struct sockaddr_in6 sa;

	if (here < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		fatal("%s", netns);
	net_addr_to_sockaddr(&sa, &traffic.exit_addr);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fatal("the exit's socket");
	set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0, "IPV6_V6ONLY");
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, EXIT_BUFFER, "SO_RCVBUFFORCE: run as root");
	set(fd, SOL_SOCKET, SO_SNDBUFFORCE, EXIT_SEND_BUFFER, "SO_SNDBUFFORCE");
	set(fd, SOL_UDP, UDP_GRO, traffic.offload, "UDP_GRO");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fatal("the exit's socket");
	if (setns(here, CLONE_NEWNET) < 0)
		fatal("back from %s", netns);
	close(here);
	close(there);
	traffic.exit_fd = fd;
}

/* ---- flows ---- */

struct net_addr traffic_source(unsigned n)
{
	struct net_addr a;

	if (!net_addr_parse(&a, "10.77.1.0:1"))
		fatalx("no address");
	a.ip[15] = (uint8_t)(FIRST_ADDRESS + n % TRAFFIC_ADDRESSES);
	a.port = 0;
	return a;
}

/* From here on what arrives at a flow's socket is data, which is read here. */
static void watch(unsigned i)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};

	set(traffic.flows[i].fd, SOL_UDP, UDP_GRO, traffic.offload, "UDP_GRO");
	if (traffic.clients_fd < 0)
		traffic.clients_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(traffic.clients_fd, EPOLL_CTL_ADD, traffic.flows[i].fd, &e) < 0)
		fatal("epoll");
}

unsigned traffic_open_plain(void)
{
	for (unsigned i = 0; i < traffic.flow_count; i++) {
		struct net_addr source = traffic_source(i);
		int fd = rig_socket_from(&source, &traffic.target);

		traffic.flows[i] = (struct flow){.fd = fd, .index = {i, i}};
		watch(i);
	}
	return traffic.flow_count;
}

unsigned traffic_bind_channels(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < traffic.flow_count; i++)
		n += traffic.flows[i].channel && turn_bind(traffic.flows[i].fd, &traffic.exit_addr);
	return n;
}

unsigned traffic_open_channels(void)
{
	traffic_open_plain();
	for (unsigned i = 0; i < traffic.flow_count; i++)
		traffic.flows[i].channel = turn_allocate(traffic.flows[i].fd);
	return traffic_bind_channels();
}

static unsigned ready(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < traffic.flow_count; i++)
		n += traffic.clients[i].state == RIG_READY;
	return n;
}

static void serve_both(void)
{
	traffic_serve();
	take_some(WAY_UP);
}

static void nudge(void)
{
	for (unsigned i = 0; i < traffic.flow_count; i++) {
		if (traffic.clients[i].state == RIG_SHAKING)
			rig_client_rekey(&traffic.clients[i]);
	}
}

static void await_sessions(void)
{
	uint64_t start = traffic_clock(CLOCK_MONOTONIC), ms = 0, nudged = 0;

	while (ready() < traffic.flow_count && ms < SETUP_MS) {
		traffic_nap(200000);
		serve_both();
		ms = (traffic_clock(CLOCK_MONOTONIC) - start) / 1000000;
		if (ms - nudged < NUDGE_MS)
			continue;
		nudged = ms;
		nudge();
	}
}

static void adopt(unsigned i)
{
	struct rig_client *c = &traffic.clients[i];
	struct flow *f = &traffic.flows[i];

	*f = (struct flow){.fd = c->data_fd, .client = c};
	if (c->state != RIG_READY)
		return;
	f->index[WAY_UP] = c->exit_indices[(c->exit_index_count - 1) % RIG_INDICES];
	f->index[WAY_DOWN] = c->own_indices[(c->own_index_count - 1) % RIG_INDICES];
	event_del(c->data_event);
	watch(i);
}

unsigned traffic_open_sessions(void)
{
	traffic.clients = xcalloc(traffic.flow_count, sizeof(*traffic.clients));
	for (unsigned i = 0; i < traffic.flow_count; i++) {
		traffic.rig.source = traffic_source(i);
		rig_client_init(&traffic.clients[i], &traffic.rig, i + 1);
		rig_client_open(&traffic.clients[i]);
		serve_both();
	}
	await_sessions();
	for (unsigned i = 0; i < traffic.flow_count; i++)
		adopt(i);
	return ready();
}

struct totals traffic_totals(void)
{
	struct totals sum = traffic.totals;

	for (unsigned i = 0; traffic.clients && i < traffic.flow_count; i++) {
		const struct rig_client *c = &traffic.clients[i];

		traffic_count(&sum.sent[WAY_UP], c->sent_packets, c->sent_bytes);
		traffic_count(&sum.received[WAY_DOWN], c->received_packets, c->received_bytes);
	}
	guests_add(&sum);
	return sum;
}
