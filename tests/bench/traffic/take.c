#include "tests/bench/traffic/take.h"

#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "proto/lengths.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/turn.h"

enum {
	BATCH = 64,
	READ = 65536,    /* of a message is copied, at most */
	READ_LONG = 256, /* of one with long datagrams: the first one's head */
	SHORT = 256,
	CONTROL = 128,
	EVENTS = 32,
	FLOW_BATCH = 16, /* messages of one client at a time */
	SAMPLES = 1 << 20,
	HEAD = sizeof(struct message_transport) + sizeof(struct stamp),
};

static struct {
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in6 from[BATCH];
	uint8_t data[BATCH][READ];
	union {
		char bytes[CONTROL];
		struct cmsghdr align;
	} controls[BATCH];
} in;

static struct arrivals now_coming;
static size_t most = READ;
static uint32_t samples[SAMPLES];
static unsigned sample_count;

struct piece {
	const uint8_t *data;
	size_t len, copied; /* on the wire, and of that here */
	const struct sockaddr_in6 *from;
	struct rig_client *client; /* whose it is on the way down, if it has a session */
	uint64_t stamp_ns;         /* the kernel's, 0: none */
};

void take_begin(uint32_t run, unsigned size)
{
	most = size > SHORT ? READ_LONG : READ;
	memset(&now_coming, 0, sizeof(now_coming));
	now_coming.run = run;
	sample_count = 0;
}

const struct arrivals *take_result(void)
{
	return &now_coming;
}

/* The exit's half of a fake handshake. */
static void shake(const struct piece *p)
{
	const struct message_initiation *initiation = (const void *)p->data;
	struct message_response response;
	uint32_t sender = le32_get(initiation->sender);

	fakewg_response(&response, crypto_random_u32(), sender);
	if (sendto(traffic.exit_fd, &response, sizeof(response), 0,
		   (const struct sockaddr *)p->from, sizeof(*p->from)) < 0) {
		log_debug("response: not sent"); /* the client asks again */
		return;
	}
	traffic_count(&traffic.totals.sent[WAY_DOWN], 1, sizeof(response));
}

static void take_sample(uint64_t arrived_ns, uint64_t sent_ns)
{
	if (arrived_ns && sample_count < SAMPLES)
		samples[sample_count++] =
			arrived_ns > sent_ns ? (uint32_t)(arrived_ns - sent_ns) : 0;
}

static void take_transport(enum way way, const struct piece *p)
{
	const struct message_transport *t = (const void *)p->data;
	uint64_t counter = le64_get(t->counter);
	struct stamp stamp;
	struct flow *f;

	memcpy(&stamp, p->data + sizeof(*t), sizeof(stamp));
	if (stamp.flow >= traffic.flow_count)
		return;
	f = &traffic.flows[stamp.flow];
	if (way == WAY_UP) {
		f->peer = *p->from;
		f->met = true;
	}
	if (stamp.run != now_coming.run)
		return;
	traffic_count(&now_coming.got, 1, p->len);
	now_coming.reordered += counter < f->newest[way];
	f->newest[way] = counter;
	take_sample(p->stamp_ns, stamp.sent_ns);
}

static void take_piece(enum way way, const struct piece *p)
{
	if (p->client) {
		p->client->received_packets++;
		p->client->received_bytes += p->len;
	} else {
		traffic_count(&traffic.totals.received[way], 1, p->len);
	}
	if (p->copied < HEAD) {
		/* behind what was copied of a long buffer: of the run that its first one is of */
		traffic_count(&now_coming.got, 1, p->len);
		return;
	}
	switch (message_type_of(p->data, p->len)) {
	case MESSAGE_WG_INITIATION:
		if (way == WAY_UP)
			shake(p);
		break;
	case MESSAGE_WG_TRANSPORT:
		take_transport(way, p);
		break;
	default:
		break;
	}
}

struct extras {
	uint64_t stamp_ns;
	size_t segment; /* 0: one datagram */
};

static struct extras read_controls(struct msghdr *m)
{
	struct extras e = {0};
	struct timespec at;
	int segment;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&at, CMSG_DATA(c), sizeof(at));
			e.stamp_ns = (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			e.segment = (size_t)segment;
		}
	}
	return e;
}

/* One message: a datagram, or several of one size that arrived as one buffer. */
static void take_message(enum way way, unsigned i, const struct flow *f)
{
	size_t skip = way == WAY_DOWN && f->channel ? TURN_CHANNEL_HEADER : 0;
	struct extras e = read_controls(&in.msgs[i].msg_hdr);
	size_t len = in.msgs[i].msg_len, step = e.segment ? e.segment : len;

	now_coming.buffers++;
	for (size_t at = 0; at < len; at += step) {
		size_t here = len - at < step ? len - at : step, from = at + skip;
		struct piece p = {.data = in.data[i] + from,
				  .len = here - skip,
				  .from = &in.from[i],
				  .client = f ? f->client : NULL,
				  .stamp_ns = e.stamp_ns};

		if (here <= skip)
			continue;
		if (from < in.iov[i].iov_len)
			p.copied =
				in.iov[i].iov_len - from < p.len ? in.iov[i].iov_len - from : p.len;
		take_piece(way, &p);
	}
}

static unsigned read_socket(int fd, unsigned count)
{
	int n;

	for (unsigned i = 0; i < count; i++) {
		in.iov[i] = (struct iovec){in.data[i], most};
		in.msgs[i].msg_hdr =
			(struct msghdr){.msg_name = &in.from[i],
					.msg_namelen = sizeof(in.from[i]),
					.msg_iov = &in.iov[i],
					.msg_iovlen = 1,
					.msg_control = in.controls[i].bytes,
					.msg_controllen = sizeof(in.controls[i].bytes)};
	}
	n = recvmmsg(fd, in.msgs, count, MSG_DONTWAIT | MSG_TRUNC, NULL);
	return n > 0 ? (unsigned)n : 0;
}

static unsigned take_exit(void)
{
	unsigned n = read_socket(traffic.exit_fd, BATCH);

	for (unsigned i = 0; i < n; i++)
		take_message(WAY_UP, i, NULL);
	return n;
}

static unsigned take_client(const struct flow *f)
{
	unsigned n = read_socket(f->fd, FLOW_BATCH);

	for (unsigned i = 0; i < n; i++)
		take_message(WAY_DOWN, i, f);
	return n;
}

static unsigned take_clients(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(traffic.clients_fd, events, EVENTS, 0);
	unsigned sum = 0;

	for (int i = 0; i < n; i++)
		sum += take_client(&traffic.flows[events[i].data.u32]);
	return sum;
}

unsigned take_some(enum way way)
{
	uint64_t before = now_coming.got.packets;
	unsigned n = way == WAY_UP ? take_exit() : take_clients();

	if (now_coming.got.packets != before)
		now_coming.last_ns = traffic_clock(CLOCK_MONOTONIC);
	return n;
}

static void set_stamps(int fd, int on)
{
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		fatal("SO_TIMESTAMPNS");
}

void take_stamps(enum way way, unsigned flows, bool on)
{
	if (way == WAY_UP)
		set_stamps(traffic.exit_fd, on);
	for (unsigned i = 0; way == WAY_DOWN && i < flows; i++)
		set_stamps(traffic.flows[i].fd, on);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

struct delays take_delays(void)
{
	struct delays d = {.samples = sample_count};

	if (!sample_count)
		return d;
	qsort(samples, sample_count, sizeof(*samples), compare);
	d.p50 = samples[sample_count / 2];
	d.p90 = samples[(uint64_t)sample_count * 90 / 100];
	d.p99 = samples[(uint64_t)sample_count * 99 / 100];
	d.most = samples[sample_count - 1];
	return d;
}
