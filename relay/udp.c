#include "relay/udp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

static_assert(UDP_OUT_MESSAGES <= 256, "udp_out.of is uint8_t");

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_up(int fd, const struct net_addr *addr, enum udp_share share)
{
	struct sockaddr_in6 sa;
	int err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);

	/* Smaller buffers than asked for are no reason not to start. */
	(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_SOCKET_BUFFER);
	(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_SOCKET_BUFFER);
	if (!err && share == UDP_NEXT)
		err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err)
		return err;
	net_addr_to_sockaddr(&sa, addr);
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return share == UDP_FIRST ? set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) : 0;
}

int udp_open(const struct net_addr *addr, enum udp_share share)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = set_up(fd, addr, share);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

uint16_t udp_port(int fd)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.sin6_port);
}

struct udp_offload udp_offload(int fd)
{
	/* A segment size of 0 is what a socket has without being asked. */
	return (struct udp_offload){.receive = set_int(fd, SOL_UDP, UDP_GRO, 1) == 0,
				    .send = set_int(fd, SOL_UDP, UDP_SEGMENT, 0) == 0};
}

/* ---- in -----------------------------------------------------------------------------------------
 */

/* What the kernel overwrites with what it used of it. */
static void make_room(struct udp_in *in, unsigned i)
{
	in->headers[i].msg_hdr.msg_namelen = sizeof(in->from[i]);
	in->headers[i].msg_hdr.msg_controllen = in->offload ? sizeof(in->control[i]) : 0;
}

void udp_in_init(struct udp_in *in, bool offload)
{
	in->offload = offload;
	for (unsigned i = 0; i < UDP_IN_MESSAGES; i++) {
		struct msghdr *m = &in->headers[i].msg_hdr;

		in->iov[i] = (struct iovec){in->data[i], UDP_IN_BUFFER};
		m->msg_iov = &in->iov[i];
		m->msg_iovlen = 1;
		m->msg_name = &in->from[i];
		m->msg_control = &in->control[i];
		make_room(in, i);
	}
}

void udp_receive(int fd, struct udp_in *in)
{
	int n;

	for (unsigned i = 0; i < in->count; i++)
		make_room(in, i);
	/* MSG_TRUNC as a flag: the true length is told also of what did not fit. */
	n = recvmmsg(fd, in->headers, UDP_IN_MESSAGES, MSG_DONTWAIT | MSG_TRUNC, NULL);
	in->count = n > 0 ? (unsigned)n : 0;
	in->taken = 0;
	in->left = 0;
}

/* The sockets are AF_INET6, so the kernel gives every source in that form. */
static void read_source(struct net_addr *out, const struct sockaddr_in6 *sa)
{
	memcpy(out->ip, &sa->sin6_addr, sizeof(out->ip));
	out->port = ntohs(sa->sin6_port);
}

/* The length of the datagrams in a message of several, or of the only one. */
static uint32_t segment_of(struct msghdr *m, uint32_t len)
{
	const struct cmsghdr *c = m->msg_controllen ? CMSG_FIRSTHDR(m) : NULL;
	int segment;

	if (!c || c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
		return len;
	memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	return segment > 0 && (uint32_t)segment < len && len <= UDP_IN_BUFFER ? (uint32_t)segment
									      : len;
}

const struct datagram *udp_next(struct udp_in *in)
{
	struct datagram *d = &in->datagram;

	if (!in->left) {
		unsigned i = in->taken;

		if (i == in->count)
			return NULL;
		in->taken++;
		in->at = in->data[i];
		in->left = in->headers[i].msg_len;
		in->segment = segment_of(&in->headers[i].msg_hdr, in->left);
		read_source(&d->from, &in->from[i]);
	}
	d->data = in->at;
	d->len = in->left < in->segment ? in->left : in->segment;
	d->truncated = d->len > UDP_BUFFER;
	in->at += d->len;
	in->left -= d->len;
	return d;
}

/* ---- out ----------------------------------------------------------------------------------------
 */

void udp_out_init(struct udp_out *out, bool offload)
{
	out->offload = offload;
	for (unsigned i = 0; i < UDP_OUT_MESSAGES; i++) {
		struct udp_message *message = &out->message[i];
		struct msghdr *m = &out->headers[i].msg_hdr;

		m->msg_iov = out->iov[i];
		m->msg_name = &message->to;
		m->msg_namelen = sizeof(message->to);
		m->msg_control = &message->control;
		message->control.header = (struct cmsghdr){.cmsg_level = SOL_UDP,
							   .cmsg_type = UDP_SEGMENT,
							   .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
	}
}

static bool joins(const struct udp_out *out, const struct udp_lane *lane, uint32_t len)
{
	const struct udp_message *m;

	if (lane->message >= out->messages)
		return false;
	m = &out->message[lane->message];
	return m->lane == lane && len <= m->segment && len <= m->room;
}

/* May be others with it in a message. */
static bool may_join(const struct udp_out *out, const struct udp_lane *lane, uint32_t len)
{
	return out->offload && (!lane->refused || len < lane->refused);
}

static void open_message(struct udp_out *out, struct udp_lane *lane, const struct net_addr *to,
			 const struct datagram *d)
{
	struct udp_message *m = &out->message[out->messages];
	struct mmsghdr *header = &out->headers[out->messages];
	const uint32_t most = UDP_SEGMENTS * d->len;

	m->lane = lane;
	m->segment = d->len;
	m->several = m->taken = false;
	m->room = 0;
	if (may_join(out, lane, d->len))
		m->room = (most < UDP_MESSAGE_BYTES ? most : UDP_MESSAGE_BYTES) - d->len;
	net_addr_to_sockaddr(&m->to, to);
	header->msg_hdr.msg_iov[0] = (struct iovec){(void *)(uintptr_t)d->data, d->len};
	header->msg_hdr.msg_iovlen = 1;
	header->msg_hdr.msg_controllen = 0;
	lane->message = (uint16_t)out->messages++;
}

static void join(struct udp_out *out, const struct udp_lane *lane, const struct datagram *d)
{
	struct udp_message *m = &out->message[lane->message];
	struct msghdr *header = &out->headers[lane->message].msg_hdr;
	struct iovec *last = &header->msg_iov[header->msg_iovlen - 1];

	if ((const uint8_t *)last->iov_base + last->iov_len == d->data)
		last->iov_len += d->len;
	else
		header->msg_iov[header->msg_iovlen++] =
			(struct iovec){(void *)(uintptr_t)d->data, d->len};
	m->room = d->len < m->segment ? 0 : m->room - d->len;
	if (!m->several) {
		const uint16_t segment = (uint16_t)m->segment;

		m->several = true;
		memcpy(CMSG_DATA(&m->control.header), &segment, sizeof(segment));
		header->msg_controllen = CMSG_SPACE(sizeof(segment));
	}
}

void udp_add(struct udp_out *out, struct udp_lane *lane, const struct net_addr *to,
	     const struct datagram *d)
{
	if (joins(out, lane, d->len))
		join(out, lane, d);
	else
		open_message(out, lane, to, d);
	out->of[out->datagrams++] = (uint8_t)lane->message;
}

/* What is behind would find the socket full too. */
static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/* 0 or the errno. */
static int send_one(int fd, const struct udp_message *m, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = sendto(fd, data, len, MSG_DONTWAIT, (const struct sockaddr *)&m->to,
			   sizeof(m->to));
	while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

/* The datagrams of a message one by one: each but the last has the segment's length, and none is
 * cut by an iovec's end. False: the socket is full. */
static bool send_apart(int fd, struct udp_out *out, unsigned message)
{
	const struct udp_message *m = &out->message[message];
	const struct msghdr *header = &out->headers[message].msg_hdr;
	size_t part = 0, at = 0;

	for (unsigned i = 0; i < out->datagrams; i++) {
		const struct iovec *v;
		size_t len;
		int error;

		if (out->of[i] != message)
			continue;
		v = &header->msg_iov[part];
		len = v->iov_len - at < m->segment ? v->iov_len - at : m->segment;
		error = send_one(fd, m, (const uint8_t *)v->iov_base + at, len);
		out->sent[i] = !error;
		if (error && is_full(error))
			return false;
		at += len;
		if (at == v->iov_len) {
			at = 0;
			part++;
		}
	}
	return true;
}

/* The kernel refused a message, but has room. False: now it has none. */
static bool refuse(int fd, struct udp_out *out, unsigned message, int error)
{
	struct udp_message *m = &out->message[message];
	uint16_t least;

	/* By its path, or its address: then so it is with the datagram, but not with the rest. */
	if (!m->several || (error != EMSGSIZE && error != EINVAL && error != EIO))
		return true;
	if (!m->lane->refused)
		out->refused++;
	/* What is too long says nothing about what is shorter, and may be one client's of many. */
	least = error == EIO ? 1 : (uint16_t)m->segment;
	if (!m->lane->refused || least < m->lane->refused)
		m->lane->refused = least;
	return send_apart(fd, out, message);
}

static void send_messages(int fd, struct udp_out *out)
{
	unsigned done = 0;

	while (done < out->messages) {
		int n = sendmmsg(fd, out->headers + done, out->messages - done, MSG_DONTWAIT);

		if (n > 0) {
			for (unsigned end = done + (unsigned)n; done < end; done++)
				out->message[done].taken = true;
		} else if (is_full(errno)) {
			return;
		} else if (errno != EINTR) {
			if (!refuse(fd, out, done, errno))
				return;
			done++;
		}
	}
}

void udp_send(int fd, struct udp_out *out)
{
	memset(out->sent, 0, out->datagrams);
	send_messages(fd, out);
	for (unsigned i = 0; i < out->datagrams; i++)
		out->sent[i] |= out->message[out->of[i]].taken;
	out->messages = out->datagrams = 0;
}
