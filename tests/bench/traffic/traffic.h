/*
 * Datagrams from clients to an exit and back, for benchmarks. All ends are in one process and one
 * thread, the clients in the network namespace it was started in, the exit in another one: so one
 * clock stamps both ends, and little runs beside what is measured. Every datagram has WireGuard's
 * header of a transport datagram, then struct stamp.
 */
#ifndef TESTS_BENCH_TRAFFIC_TRAFFIC_H
#define TESTS_BENCH_TRAFFIC_TRAFFIC_H

#include <netinet/in.h>

#include "tests/lib/rig.h"

enum {
	TRAFFIC_FLOWS = 4096,
	TRAFFIC_BURST = 32,  /* datagrams of one flow by one system call, at most */
	TRAFFIC_SIZE = 2040, /* bytes of a datagram, at most */

	/* Clients come from so many addresses: one may not set up many sessions at a time. */
	TRAFFIC_ADDRESSES = 120,
};

enum way {
	WAY_UP,   /* client to exit */
	WAY_DOWN, /* exit to client */
};

struct stamp {
	uint32_t run, flow;
	uint64_t sent_ns; /* CLOCK_REALTIME */
};

struct flow {
	int fd;                    /* the client's */
	uint32_t index[2];         /* receiver index, by way */
	uint64_t counter[2];       /* of the last datagram sent, by way */
	uint64_t newest[2];        /* the highest counter received */
	struct rig_client *client; /* NULL without sessions */
	bool channel;              /* TURN: a header before each datagram at the client's end */
	bool met;                  /* the exit heard of it, from peer */
	struct sockaddr_in6 peer;
};

struct count {
	uint64_t packets, bytes; /* bytes of UDP payload, without TURN's header */
};

struct totals {
	struct count sent[2], received[2]; /* by way */
};

struct traffic {
	struct rig rig;
	struct net_addr target, exit_addr;
	int exit_fd, clients_fd; /* clients_fd: epoll over all flows' sockets */
	struct flow flows[TRAFFIC_FLOWS];
	unsigned flow_count;
	bool offload;               /* both ends take buffers of several datagrams (UDP_GRO) */
	struct rig_client *clients; /* of the flows, NULL without sessions */
	struct totals totals;       /* without what rigs count: sent[WAY_UP], received[WAY_DOWN] */
};

extern struct traffic traffic;

uint64_t traffic_clock(clockid_t id);
void traffic_nap(uint64_t ns);
void traffic_count(struct count *c, uint64_t packets, uint64_t bytes);

/* flows.c: traffic.flow_count flows; each says how many are ready. */
unsigned traffic_open_plain(void);
unsigned traffic_open_channels(void);
unsigned traffic_open_sessions(void);
/* TURN channels are kept for five minutes more. */
unsigned traffic_bind_channels(void);
/* The exit's socket, in that namespace. */
void traffic_open_exit(const char *netns);
/* Where the n-th client sends from, any port. */
struct net_addr traffic_source(unsigned n);
/* The control channels' turn, without waiting; and what came for the exit. */
void traffic_serve(void);
/* All data since the start, setting up included. */
struct totals traffic_totals(void);

/* send.c */
struct shape {
	unsigned size, burst;
	bool joined; /* a burst is one buffer (UDP_SEGMENT) for the device to cut, not single
			datagrams */
};
/* One burst; how many of it the kernel took. */
unsigned traffic_send(enum way way, const struct stamp *stamp, const struct shape *shape);

#endif
