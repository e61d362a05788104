/*
 * A load generator and its sink in one process, so that one clock stamps both ends: the sender in
 * the network namespace it was started in, the sink in another one. What is in between is measured.
 * Commands on stdin, one JSON line on stdout for each:
 *
 *   load TARGET:PORT SINK_NETNS SINK:PORT FLOWS [RELAY_DESCRIPTOR EXIT_DESCRIPTOR | turn]
 *
 * makes the flows, says how many are ready (with descriptors: real sessions, see rig.h; turn:
 * TURN channels to the sink), then obeys
 *
 *   trial FLOWS SIZE PPS MS STAMPS   sends at PPS (0: as fast as it goes) over the first FLOWS;
 *                                    STAMPS 1: one-way delays, by the kernel's stamp at arrival
 *   rebind                           TURN channels are kept for five minutes more
 *   stats                            totals since the start
 *   quit
 *
 * Every datagram has WireGuard's header of a transport datagram, then struct stamp.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "proto/lengths.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/rig.h"
#include "tests/lib/turn.h"

enum {
	FLOWS_MAX = 4096,
	RUNS = 65536,
	BURST = 8,
	BATCH = 64,
	DATAGRAM_MAX = 2048,
	HEAD = 128, /* of a datagram is all the sink copies */
	SAMPLES = 1 << 20,
	SINK_BUFFER = 64 << 20,
	NAP_NS = 50000,      /* the sender's shortest sleep */
	SERVE_NS = 1000000,  /* the control channel's turn */
	QUIET_NS = 30000000, /* nothing came for so long: the rest is lost */
	NS = 1000000000,
};

struct stamp {
	uint32_t run, flow;
	uint64_t sent_ns; /* CLOCK_REALTIME */
};

struct flow {
	int fd;
	uint32_t index; /* receiver index */
	uint64_t counter;
	struct rig_client *client; /* NULL without sessions */
	bool channel;              /* a TURN channel: its header goes before each datagram */
};

/* Written by the sink, read by the sender once it is quiet. */
struct tally {
	_Atomic uint64_t packets, bytes, reordered, last_ns; /* last_ns: CLOCK_MONOTONIC */
};

static struct rig rig = {.sign = true};
static struct rig_client *clients;
static struct flow flows[FLOWS_MAX];
static unsigned flow_count;
static struct net_addr target, sink_addr;
static uint32_t run;
static int sink_fd;
static struct tally runs[RUNS], total;
static uint64_t newest[FLOWS_MAX]; /* the sink's: counter of each flow */
static uint32_t samples[SAMPLES];  /* delays in ns */
static _Atomic uint32_t sample_count;
static uint64_t sent_packets, sent_bytes;

static uint64_t clock_of(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t) < 0)
		fatal("clock_gettime");
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void nap(uint64_t ns)
{
	struct timespec t = {0, (long)ns};

	nanosleep(&t, NULL);
}

/* ---- the sink -----------------------------------------------------------------------------------
 */

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void take_sample(const struct msghdr *m, uint64_t sent_ns)
{
	uint32_t n = atomic_load_explicit(&sample_count, memory_order_relaxed);
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct timespec at;
	uint64_t ns;

	if (n == SAMPLES || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
		return;
	memcpy(&at, CMSG_DATA(c), sizeof(at));
	ns = (uint64_t)at.tv_sec * NS + (uint64_t)at.tv_nsec;
	samples[n] = ns > sent_ns ? (uint32_t)(ns - sent_ns) : 0;
	atomic_store_explicit(&sample_count, n + 1, memory_order_release);
}

/* The fake exit's half of a handshake. */
static void shake(const uint8_t *msg, const struct sockaddr_in6 *to)
{
	const struct message_initiation *initiation = (const void *)msg;
	struct message_response response;

	fakewg_response(&response, crypto_random_u32(), le32_get(initiation->sender));
	if (sendto(sink_fd, &response, sizeof(response), 0, (const struct sockaddr *)to,
		   sizeof(*to)) < 0)
		log_debug("response: not sent"); /* the client asks again */
}

static void take(const uint8_t *head, const struct mmsghdr *m, uint64_t now)
{
	const struct message_transport *t = (const void *)head;
	struct stamp stamp;
	struct tally *r;

	add(&total.packets, 1);
	add(&total.bytes, m->msg_len);
	switch (message_type_of(head, m->msg_len)) {
	case MESSAGE_WG_INITIATION:
		shake(head, m->msg_hdr.msg_name);
		return;
	case MESSAGE_WG_TRANSPORT:
		break;
	default:
		return;
	}
	memcpy(&stamp, head + sizeof(*t), sizeof(stamp));
	if (stamp.flow >= FLOWS_MAX)
		return;
	r = &runs[stamp.run % RUNS];
	add(&r->packets, 1);
	add(&r->bytes, m->msg_len);
	add(&r->reordered, le64_get(t->counter) < newest[stamp.flow]);
	newest[stamp.flow] = le64_get(t->counter);
	atomic_store_explicit(&r->last_ns, now, memory_order_relaxed);
	take_sample(&m->msg_hdr, stamp.sent_ns);
}

static void *sink(void *arg)
{
	static uint8_t heads[BATCH][HEAD], controls[BATCH][64];
	static struct sockaddr_in6 from[BATCH];
	static struct mmsghdr msgs[BATCH];
	static struct iovec iov[BATCH];

	(void)arg;
	for (;;) {
		uint64_t now;
		int n;

		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){heads[i], HEAD};
			msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
							  .msg_namelen = sizeof(from[i]),
							  .msg_iov = &iov[i],
							  .msg_iovlen = 1,
							  .msg_control = controls[i],
							  .msg_controllen = sizeof(controls[i])};
		}
		n = recvmmsg(sink_fd, msgs, BATCH, MSG_WAITFORONE | MSG_TRUNC, NULL);
		now = clock_of(CLOCK_MONOTONIC);
		for (int i = 0; i < n; i++)
			take(heads[i], &msgs[i], now);
	}
	return NULL;
}

/* The socket belongs to the namespace its thread was in when it was made; this thread goes back. */
static void open_sink(const char *netns)
{
	int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC), off = 0, size = SINK_BUFFER;
	struct sockaddr_in6 sa;
	pthread_t thread;

	if (here < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		fatal("%s", netns);
	net_addr_to_sockaddr(&sa, &sink_addr);
	sink_fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sink_fd < 0 || setsockopt(sink_fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    setsockopt(sink_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(sink_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fatal("the sink's socket");
	if (setns(here, CLONE_NEWNET) < 0)
		fatal("back from %s", netns);
	close(here);
	close(there);
	if (pthread_create(&thread, NULL, sink, NULL) != 0)
		fatalx("no thread");
}

/* ---- flows --------------------------------------------------------------------------------------
 */

static void serve(void)
{
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
}

static unsigned ready(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < flow_count; i++)
		n += clients[i].state == RIG_READY;
	return n;
}

static unsigned open_sessions(void)
{
	clients = xcalloc(flow_count, sizeof(*clients));
	for (unsigned i = 0; i < flow_count; i++) {
		rig_client_init(&clients[i], &rig, i + 1);
		rig_client_open(&clients[i]);
		serve();
	}
	for (int ms = 1; ready() < flow_count && ms < 15000; ms++) {
		nap(1000000);
		serve();
		for (unsigned i = 0; ms % 500 == 0 && i < flow_count; i++) {
			if (clients[i].state == RIG_SHAKING)
				rig_client_rekey(&clients[i]);
		}
	}
	for (unsigned i = 0; i < flow_count; i++) {
		struct rig_client *c = &clients[i];

		flows[i] = (struct flow){.fd = c->data_fd, .client = c};
		if (c->state == RIG_READY)
			flows[i].index = c->exit_indices[(c->exit_index_count - 1) % RIG_INDICES];
	}
	return ready();
}

static unsigned open_plain(void)
{
	for (unsigned i = 0; i < flow_count; i++)
		flows[i] = (struct flow){.fd = rig_socket(&target), .index = i};
	return flow_count;
}

static unsigned bind_channels(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < flow_count; i++)
		n += flows[i].channel && turn_bind(flows[i].fd, &sink_addr);
	return n;
}

static unsigned open_channels(void)
{
	open_plain();
	for (unsigned i = 0; i < flow_count; i++)
		flows[i].channel = turn_allocate(flows[i].fd);
	return bind_channels();
}

/* ---- the sender ---------------------------------------------------------------------------------
 */

struct trial {
	unsigned flows, size, pps, ms, stamps;
	uint64_t start_ns, sent, not_sent;
};

static void burst(struct trial *t, uint32_t number)
{
	static uint8_t slab[BURST][DATAGRAM_MAX], header[TURN_CHANNEL_HEADER];
	struct stamp stamp = {run, number, clock_of(CLOCK_REALTIME)};
	struct flow *f = &flows[number];
	struct mmsghdr msgs[BURST];
	struct iovec iov[BURST][2];
	uint64_t took;
	int n;

	turn_channel_header(header, t->size);
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BURST; i++) {
		fakewg_transport(slab[i], f->index, ++f->counter);
		memcpy(slab[i] + sizeof(struct message_transport), &stamp, sizeof(stamp));
		iov[i][0] = (struct iovec){header, sizeof(header)};
		iov[i][1] = (struct iovec){slab[i], t->size};
		msgs[i].msg_hdr.msg_iov = f->channel ? iov[i] : &iov[i][1];
		msgs[i].msg_hdr.msg_iovlen = f->channel ? 2 : 1;
	}
	n = sendmmsg(f->fd, msgs, BURST, MSG_DONTWAIT);
	took = n > 0 ? (uint64_t)n : 0;
	t->sent += took;
	t->not_sent += BURST - took;
	sent_packets += took;
	sent_bytes += took * t->size;
	if (f->client) {
		f->client->sent_packets += took;
		f->client->sent_bytes += took * t->size;
	}
}

/* Ahead of its pace the sender sleeps: spinning would take from what is measured. */
static void send_all(struct trial *t)
{
	uint64_t now = t->start_ns, end = now + (uint64_t)t->ms * 1000000, served = now;
	uint32_t number = 0;

	for (; now < end; now = clock_of(CLOCK_MONOTONIC)) {
		uint64_t due = t->pps ? (now - t->start_ns) * t->pps / NS + BURST : UINT64_MAX;

		if (now - served > SERVE_NS) {
			serve();
			served = now;
		}
		if (t->sent + t->not_sent + BURST > due) {
			nap(NAP_NS);
			continue;
		}
		burst(t, number);
		number = (number + 1) % t->flows;
	}
}

/* Until all is there or nothing comes any more. */
static void wait_for_rest(const struct trial *t, const struct tally *r)
{
	uint64_t last = 0, since = clock_of(CLOCK_MONOTONIC);

	while (r->packets < t->sent && clock_of(CLOCK_MONOTONIC) - since < QUIET_NS) {
		if (r->packets != last) {
			last = r->packets;
			since = clock_of(CLOCK_MONOTONIC);
		}
		nap(1000000);
		serve();
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_trial(const struct trial *t, const struct tally *r, uint64_t cpu_ns)
{
	uint64_t took = r->last_ns > t->start_ns ? r->last_ns - t->start_ns : 1;
	uint32_t n = atomic_load_explicit(&sample_count, memory_order_acquire);

	if (took < (uint64_t)t->ms * 1000000)
		took = (uint64_t)t->ms * 1000000;
	qsort(samples, n, sizeof(*samples), compare);
	printf("{\"sent\":%lu,\"not_sent\":%lu,\"received\":%lu,\"bytes\":%lu,\"reordered\":%lu,"
	       "\"ns\":%lu,\"cpu_ns\":%lu,\"samples\":%u,\"p50\":%u,\"p99\":%u}\n",
	       t->sent, t->not_sent, r->packets, r->bytes, r->reordered, took, cpu_ns, n,
	       n ? samples[n / 2] : 0, n ? samples[(uint64_t)n * 99 / 100] : 0);
}

static void command_trial(struct trial *t)
{
	struct tally *r = &runs[++run % RUNS];
	int stamps = (int)t->stamps;
	uint64_t cpu;

	if (setsockopt(sink_fd, SOL_SOCKET, SO_TIMESTAMPNS, &stamps, sizeof(stamps)) < 0)
		fatal("SO_TIMESTAMPNS");
	atomic_store(&sample_count, 0);
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	t->start_ns = clock_of(CLOCK_MONOTONIC);
	send_all(t);
	wait_for_rest(t, r);
	print_trial(t, r, clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

static void command_stats(void)
{
	uint64_t receipts = 0, bad = 0, signed_bytes = 0, packets = 0, bytes = 0;

	for (unsigned i = 0; clients && i < flow_count; i++) {
		receipts += clients[i].receipts;
		bad += clients[i].bad_receipts;
		signed_bytes += clients[i].signed_bytes;
		packets += clients[i].sent_packets;
		bytes += clients[i].sent_bytes;
	}
	printf("{\"sent_packets\":%lu,\"sent_bytes\":%lu,\"received_packets\":%lu,"
	       "\"received_bytes\":%lu,\"receipts\":%lu,\"bad_receipts\":%lu,"
	       "\"signed_bytes\":%lu}\n",
	       clients ? packets : sent_packets, clients ? bytes : sent_bytes, total.packets,
	       total.bytes, receipts, bad, signed_bytes);
}

static bool trial_sane(const struct trial *t)
{
	return t->flows >= 1 && t->flows <= flow_count && t->size <= DATAGRAM_MAX &&
	       t->size >= sizeof(struct message_transport) + sizeof(struct stamp) && t->ms >= 1 &&
	       t->ms <= 60000;
}

static bool command(const char *line)
{
	struct trial t = {0};

	if (sscanf(line, "trial %u %u %u %u %u", &t.flows, &t.size, &t.pps, &t.ms, &t.stamps) ==
		    5 &&
	    trial_sane(&t))
		command_trial(&t);
	else if (strncmp(line, "rebind", 6) == 0)
		printf("{\"ready\":%u}\n", bind_channels());
	else if (strncmp(line, "stats", 5) == 0)
		command_stats();
	else
		return false;
	fflush(stdout);
	return true;
}

static void load(struct descriptor *d, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX];

	if (file_read(path, text, sizeof(text) - 1) < 0 || !descriptor_from_text(d, text))
		fatalx("%s: no descriptor", path);
}

static void parse(int argc, char **argv)
{
	if (argc < 5 || argc > 7 || !net_addr_parse(&target, argv[1]) ||
	    !net_addr_parse(&sink_addr, argv[3]))
		fatalx("usage: load TARGET:PORT SINK_NETNS SINK:PORT FLOWS [RELAY_DESCRIPTOR "
		       "EXIT_DESCRIPTOR | turn]");
	flow_count = (unsigned)strtoul(argv[4], NULL, 10);
	if (!flow_count || flow_count > FLOWS_MAX)
		fatalx("1 to %d flows", FLOWS_MAX);
	if (argc < 7)
		return;
	load(&rig.relay, argv[5]);
	load(&rig.exit, argv[6]);
	rig.relay_addr = target;
	wg_mac1_key(rig.exit_mac1_key, rig.exit.body.wg_key);
}

int main(int argc, char **argv)
{
	char line[128];

	log_init("load", LOG_LEVEL_INFO);
	crypto_start();
	parse(argc, argv);
	rig.base = event_base_new();
	if (!rig.base || prctl(PR_SET_TIMERSLACK, 1) < 0)
		fatalx("no event loop");
	open_sink(argv[2]);
	printf("{\"ready\":%u}\n", argc == 7   ? open_sessions()
				   : argc == 6 ? open_channels()
					       : open_plain());
	fflush(stdout);
	/* Between commands the control channel goes on, unhurried. */
	for (;;) {
		struct pollfd p = {STDIN_FILENO, POLLIN, 0};

		serve();
		if (poll(&p, 1, 20) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || strncmp(line, "quit", 4) == 0)
			return 0;
		if (!command(line)) {
			printf("{\"error\":\"bad command\"}\n");
			fflush(stdout);
		}
	}
}
