#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/bench/traffic/traffic.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/turn.h"

static uint8_t slab[TRAFFIC_BURST * (TRAFFIC_SIZE + TURN_CHANNEL_HEADER)];

/* Where it goes: a client's socket is connected, the exit's answers to where the flow comes from.
 */
static void address(struct msghdr *m, enum way way, struct flow *f)
{
	if (way == WAY_UP)
		return;
	m->msg_name = &f->peer;
	m->msg_namelen = sizeof(f->peer);
}

static unsigned send_joined(int fd, const struct msghdr *to, size_t stride, unsigned count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {slab, stride * count};
	struct msghdr m = *to;
	uint16_t segment = (uint16_t)stride;
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	m.msg_iov = &iov;
	m.msg_iovlen = 1;
	m.msg_control = control.bytes;
	m.msg_controllen = sizeof(control.bytes);
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	return sendmsg(fd, &m, MSG_DONTWAIT) > 0 ? count : 0;
}

static unsigned send_singly(int fd, const struct msghdr *to, size_t stride, unsigned count)
{
	struct mmsghdr msgs[TRAFFIC_BURST];
	struct iovec iov[TRAFFIC_BURST];
	int n;

	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){slab + i * stride, stride};
		msgs[i].msg_hdr = *to;
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = sendmmsg(fd, msgs, count, MSG_DONTWAIT);
	return n > 0 ? (unsigned)n : 0;
}

static void count_sent(enum way way, struct flow *f, uint64_t packets, uint64_t bytes)
{
	if (way == WAY_UP && f->client) {
		f->client->sent_packets += packets;
		f->client->sent_bytes += bytes;
	} else {
		traffic_count(&traffic.totals.sent[way], packets, bytes);
	}
}

unsigned traffic_send(enum way way, const struct stamp *stamp, const struct shape *shape)
{
	struct flow *f = &traffic.flows[stamp->flow];
	size_t header = way == WAY_UP && f->channel ? TURN_CHANNEL_HEADER : 0;
	size_t stride = header + shape->size;
	int fd = way == WAY_UP ? f->fd : traffic.exit_fd;
	struct msghdr to = {0};
	unsigned took;

	for (unsigned i = 0; i < shape->burst; i++) {
		uint8_t *at = slab + i * stride;

		if (header)
			turn_channel_header(at, shape->size);
		fakewg_transport(at + header, f->index[way], ++f->counter[way]);
		memcpy(at + header + sizeof(struct message_transport), stamp, sizeof(*stamp));
	}
	address(&to, way, f);
	took = shape->joined && shape->burst > 1 ? send_joined(fd, &to, stride, shape->burst)
						 : send_singly(fd, &to, stride, shape->burst);
	count_sent(way, f, took, (uint64_t)took * shape->size);
	return took;
}
