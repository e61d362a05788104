#include "relay/udp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

void udp_in_init(struct udp_in *in)
{
	memset(in, 0, sizeof(*in));
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		in->iov[i] = (struct iovec){in->data[i], UDP_BUFFER};
		in->headers[i].msg_hdr.msg_iov = &in->iov[i];
		in->headers[i].msg_hdr.msg_iovlen = 1;
		in->headers[i].msg_hdr.msg_name = &in->from[i];
		in->datagrams[i].data = in->data[i];
	}
}

/* The sockets are AF_INET6, so the kernel gives every source in that form. */
static void read_source(struct net_addr *out, const struct sockaddr_in6 *sa)
{
	memcpy(out->ip, &sa->sin6_addr, sizeof(out->ip));
	out->port = ntohs(sa->sin6_port);
}

unsigned udp_receive(int fd, struct udp_in *in)
{
	int n;

	for (unsigned i = 0; i < UDP_BATCH; i++)
		in->headers[i].msg_hdr.msg_namelen = sizeof(in->from[i]);
	/* MSG_TRUNC as a flag: the true length is told also of what did not fit. */
	n = recvmmsg(fd, in->headers, UDP_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	if (n <= 0)
		return 0;
	for (unsigned i = 0; i < (unsigned)n; i++) {
		struct datagram *d = &in->datagrams[i];

		d->len = in->headers[i].msg_len;
		d->truncated = d->len > UDP_BUFFER;
		read_source(&d->from, &in->from[i]);
	}
	return (unsigned)n;
}

void udp_out_init(struct udp_out *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		out->headers[i].msg_hdr.msg_iov = &out->iov[i];
		out->headers[i].msg_hdr.msg_iovlen = 1;
		out->headers[i].msg_hdr.msg_name = &out->to[i];
		out->headers[i].msg_hdr.msg_namelen = sizeof(out->to[i]);
	}
}

void udp_add(struct udp_out *out, const uint8_t *data, uint32_t len, const struct net_addr *to)
{
	unsigned i = out->count++;

	out->iov[i] = (struct iovec){(void *)(uintptr_t)data, len};
	net_addr_to_sockaddr(&out->to[i], to);
}

void udp_send(int fd, struct udp_out *out)
{
	unsigned done = 0;

	memset(out->sent, 0, out->count);
	while (done < out->count) {
		int n = sendmmsg(fd, out->headers + done, out->count - done, MSG_DONTWAIT);

		if (n > 0) {
			memset(out->sent + done, true, (unsigned)n);
			done += (unsigned)n;
		} else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
			break; /* full: what is behind would find it full too */
		} else if (errno != EINTR) {
			done++; /* this one is refused (its path, its address), not the rest */
		}
	}
	out->count = 0;
}
