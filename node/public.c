#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "node/node.h"
#include "proto/lengths.h"

enum {
	READ_BATCH = 64, /* then other events have their turn */
};

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct node *n = arg;
	uint8_t msg[CONTROL_DATAGRAM_MAX + 1];

	(void)what;
	for (int i = 0; i < READ_BATCH; i++) {
		struct sockaddr_in6 from;
		socklen_t from_len = sizeof(from);
		struct control_path path = {0};
		ssize_t len = recvfrom(fd, msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&from,
				       &from_len);

		if (len < 0)
			return;
		if (!net_addr_from_sockaddr(&path.addr, (struct sockaddr *)&from, from_len))
			continue;
		switch ((int)message_type_of(msg, (size_t)len)) {
		case MESSAGE_INITIATION:
		case MESSAGE_RESPONSE:
		case MESSAGE_COOKIE:
		case MESSAGE_TRANSPORT:
			control_server_input(n->control, &path, msg, (size_t)len);
			break;
		default:
			break;
		}
	}
}

static int bind_port(int fd, const struct net_addr *listen)
{
	int off = 0, buffer = 4 << 20;
	struct sockaddr_in6 sa;

	net_addr_to_sockaddr(&sa, listen);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return 0;
}

int public_open(struct node *n)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? -errno : bind_port(fd, &n->config.listen);

	if (err) {
		errno = -err;
		log_warn("cannot listen on UDP port %u; is another culvertd running? See "
			 "[Node] Listen",
			 n->config.listen.port);
		if (fd >= 0)
			close(fd);
		return err;
	}
	n->public_fd = fd;
	n->public_event = event_new(n->base, fd, EV_READ | EV_PERSIST, readable, n);
	return n->public_event && event_add(n->public_event, NULL) == 0 ? 0 : -ENOMEM;
}

void public_close(struct node *n)
{
	if (n->public_event)
		event_free(n->public_event);
	if (n->public_fd >= 0)
		close(n->public_fd);
	n->public_event = NULL;
	n->public_fd = -1;
}

void public_send(struct node *n, const struct net_addr *to, const void *msg, size_t len)
{
	struct sockaddr_in6 sa;
	ssize_t sent;

	net_addr_to_sockaddr(&sa, to);
	sent = sendto(n->public_fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa,
		      sizeof(sa));
	(void)sent; /* lost, as on any network: whoever needs an answer asks again */
}
