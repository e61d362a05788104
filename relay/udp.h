/*
 * UDP sockets of the data path and their batches: recvmmsg into a slab, sendmmsg out of it, in
 * order. Segmentation offload (UDP_GRO in, UDP_SEGMENT out) belongs into udp_receive and udp_send:
 * their callers see single datagrams either way. One thread per batch.
 */
#ifndef RELAY_UDP_H
#define RELAY_UDP_H

#include <sys/socket.h>

#include "relay/forward.h"

enum {
	UDP_BATCH = 64,
	UDP_BUFFER = 2048, /* no datagram the relay carries is longer */
	UDP_SOCKET_BUFFER = 4 << 20,
};

/* What one recvmmsg brought. About 140 KiB: part of a worker, never on a stack. */
struct udp_in {
	struct datagram datagrams[UDP_BATCH];
	struct mmsghdr headers[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_in6 from[UDP_BATCH];
	uint8_t data[UDP_BATCH][UDP_BUFFER];
};

/* What goes out by one socket, in order; the data stays where it came in. */
struct udp_out {
	unsigned count;
	bool sent[UDP_BATCH]; /* after udp_send */
	struct mmsghdr headers[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_in6 to[UDP_BATCH];
};

/*
 * A non-blocking UDP socket on addr, both families if addr is [::]; a v4-mapped address is IPv4.
 * The first socket of a port binds it alone, so that one which is in use (even shared by others) is
 * refused, and only then opens it to its siblings. The descriptor or -errno.
 */
enum udp_share {
	UDP_ALONE,
	UDP_FIRST, /* of several on this port */
	UDP_NEXT,
};
MUST_CHECK int udp_open(const struct net_addr *addr, enum udp_share share);
/* The port a socket is bound to, 0 if none. */
uint16_t udp_port(int fd);

void udp_in_init(struct udp_in *in);
/* Datagrams received (0..UDP_BATCH), now in in->datagrams. Errors of the network are no datagrams.
 */
unsigned udp_receive(int fd, struct udp_in *in);

void udp_out_init(struct udp_out *out);
/* At most UDP_BATCH between two sends; data must stay until then. */
void udp_add(struct udp_out *out, const uint8_t *data, uint32_t len, const struct net_addr *to);
/* Sends all in order and says in sent[] what the kernel took. The next udp_add starts anew. */
void udp_send(int fd, struct udp_out *out);

#endif
