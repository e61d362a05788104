/*
 * UDP sockets of the data path and their batches: recvmmsg into a slab, sendmmsg out of it. Where
 * the kernel can, what came in for one socket from one sender arrives in one message (UDP_GRO), and
 * what goes to one destination leaves in one (UDP_SEGMENT); callers see single datagrams either
 * way. Nothing is copied: what goes out lies where it came in. One thread per batch.
 */
#ifndef RELAY_UDP_H
#define RELAY_UDP_H

#include <sys/socket.h>

#include "base/addr.h"

enum {
	UDP_BUFFER = 2048, /* no datagram the relay carries is longer */
	UDP_SOCKET_BUFFER = 4 << 20,

	UDP_IN_MESSAGES = 64, /* of one recvmmsg */
	UDP_IN_BUFFER = 65536,
	/* With buffers a power of two apart, all their beginnings would share a few cache lines. */
	UDP_IN_STRIDE = UDP_IN_BUFFER + 1536,

	UDP_OUT_MESSAGES = 128, /* of one sendmmsg */
	UDP_OUT_DATAGRAMS = 512,
	UDP_SEGMENTS = 64,         /* of one message; what every kernel with UDP_SEGMENT takes */
	UDP_MESSAGE_BYTES = 65000, /* below what IPv4 and IPv6 carry in one */
};

/* What the kernel can do for a socket; without it, it is one datagram a message. */
struct udp_offload {
	bool receive, send;
};

struct datagram {
	const uint8_t *data;
	uint32_t len;   /* as it was on the wire, more than data holds if truncated */
	bool truncated; /* longer than UDP_BUFFER */
	struct net_addr from;
	uint32_t hash; /* see forward_prefetch; 0: not known */
};

/*
 * A destination's place in a struct udp_out: which message is open for it. Valid without being
 * cleared, whatever it says, since the message says whose it is. All zeros for a new destination.
 */
struct udp_lane {
	uint16_t message;
	uint16_t refused; /* several so long or longer its path takes in no message; 0: none yet */
};

/* For a cmsg of an int (UDP_GRO) or of a uint16_t (UDP_SEGMENT). */
union udp_control {
	struct cmsghdr header;
	uint8_t room[CMSG_SPACE(sizeof(int))];
};

/* What one recvmmsg brought. 4 MiB, of which the kernel gives what is used: part of a worker. */
struct udp_in {
	bool offload;
	unsigned count, taken; /* messages */
	/* What is left of the one that is being taken apart. */
	const uint8_t *at;
	uint32_t left, segment;
	struct datagram datagram;
	struct mmsghdr headers[UDP_IN_MESSAGES];
	struct iovec iov[UDP_IN_MESSAGES];
	struct sockaddr_in6 from[UDP_IN_MESSAGES];
	union udp_control control[UDP_IN_MESSAGES];
	uint8_t data[UDP_IN_MESSAGES][UDP_IN_STRIDE];
};

/* A message on its way out: datagrams of one size to one destination, the last may be shorter. */
struct udp_message {
	struct udp_lane *lane;
	uint32_t segment; /* the size of its first datagram */
	uint32_t room;    /* bytes it still takes, 0: closed */
	bool several, taken;
	struct sockaddr_in6 to;
	union udp_control control;
};

/* What goes out by one socket. */
struct udp_out {
	bool offload;
	unsigned messages, datagrams;
	uint64_t refused;              /* destinations whose path refused a message, ever */
	bool sent[UDP_OUT_DATAGRAMS];  /* after udp_send, in the order of udp_add */
	uint8_t of[UDP_OUT_DATAGRAMS]; /* the message each datagram is in */
	struct udp_message message[UDP_OUT_MESSAGES];
	struct mmsghdr headers[UDP_OUT_MESSAGES];
	/* One more than needed, for the same reason as UDP_IN_STRIDE. */
	struct iovec iov[UDP_OUT_MESSAGES][UDP_SEGMENTS + 1];
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
/* Asks the kernel to join what comes in by fd; tells what it can do. */
struct udp_offload udp_offload(int fd);

/* The structure is all zeros before. offload: udp_offload().receive of all sockets it is for. */
void udp_in_init(struct udp_in *in, bool offload);
/* Receives once; errors of the network are no datagrams. */
void udp_receive(int fd, struct udp_in *in);
/* The next datagram of what was received, in order; NULL at the end. Good until the next call, its
 * data until the next udp_receive. */
const struct datagram *udp_next(struct udp_in *in);

/* The structure is all zeros before. offload: udp_offload().send of all sockets it is for. */
void udp_out_init(struct udp_out *out, bool offload);
/* True if the next udp_add may find no room: send first. */
static inline bool udp_full(const struct udp_out *out)
{
	return out->messages == UDP_OUT_MESSAGES || out->datagrams == UDP_OUT_DATAGRAMS;
}
/*
 * Adds d, at least one byte, not truncated, to what goes to a destination: `lane` is its own, and
 * `to` its address. Datagrams of a lane go out in the order they were added. Not when full. d's
 * data and the lane must stay until udp_send.
 */
void udp_add(struct udp_out *out, struct udp_lane *lane, const struct net_addr *to,
	     const struct datagram *d);
/*
 * Sends all and says in sent[] what the kernel took. A message of several that the path refuses is
 * sent again datagram by datagram, and to that destination from then on so are all datagrams that
 * are so long or longer (EMSGSIZE, EINVAL), or all (EIO). The next udp_add starts anew.
 */
void udp_send(int fd, struct udp_out *out);

#endif
