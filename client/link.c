#include "client/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/messages.h"

/* At most this many datagrams a turn, so that timers get theirs. */
#define LINK_BATCH 64

struct link {
	int fd;
	struct event *readable;
	link_input input;
	void *arg;
};

int link_socket(const struct net_addr *to, uint32_t mark)
{
	struct sockaddr_in6 peer;
	int off = 0, err;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	net_addr_to_sockaddr(&peer, to);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) ||
	    connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

uint16_t link_port(int fd)
{
	struct sockaddr_in6 own;
	socklen_t len = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return 0;
	return ntohs(own.sin6_port);
}

bool link_source(const struct link *l, struct net_addr *out)
{
	struct sockaddr_in6 own;
	socklen_t len = sizeof(own);

	return getsockname(l->fd, (struct sockaddr *)&own, &len) == 0 &&
	       net_addr_from_sockaddr(out, (struct sockaddr *)&own, len);
}

static void link_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	uint8_t buf[CONTROL_DATAGRAM_MAX + 1];
	ssize_t n;

	(void)what;
	for (int i = 0; i < LINK_BATCH; i++) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		/* Other errors are what ICMP said of an earlier datagram: retransmission copes. */
		if (n > 0 && (size_t)n <= CONTROL_DATAGRAM_MAX)
			l->input(l->arg, buf, (size_t)n);
	}
}

int link_open(struct link **out, struct event_base *base, const struct net_addr *to, uint32_t mark,
	      link_input input, void *arg)
{
	int fd = link_socket(to, mark);
	struct link *l;

	if (fd < 0)
		return fd;
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->input = input;
	l->arg = arg;
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, link_readable, l);
	if (!l->readable || event_add(l->readable, NULL) < 0)
		fatalx("the event loop takes no more descriptors");
	*out = l;
	return 0;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	event_free(l->readable);
	close(l->fd);
	free(l);
}

void link_send(struct link *l, const void *msg, size_t len)
{
	/* A pending ICMP error is reported once and takes the place of the sending: try again. */
	if (send(l->fd, msg, len, 0) < 0 && errno == ECONNREFUSED && send(l->fd, msg, len, 0) < 0)
		log_debug("control: a datagram was not sent: %s", strerror(errno));
}
