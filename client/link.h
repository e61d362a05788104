/*
 * UDP sockets to the relay that bypass the tunnel's own routing (SO_MARK). IPv4 relays are reached
 * as ::ffff:a.b.c.d over a dual-stack socket. Main thread only.
 */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include <event2/event.h>

#include "base/addr.h"

/* A non-blocking socket with this mark (0: none) on a fresh port, connected to `to`. The
 * descriptor, or -errno: -ENETUNREACH and the like when this host has no route there. */
MUST_CHECK int link_socket(const struct net_addr *to, uint32_t mark);
/* The port the socket got; 0 if it cannot be told. */
uint16_t link_port(int fd);

/* The control channel's socket. */
struct link;

/* Must not close the link it is called from. */
typedef void (*link_input)(void *arg, const uint8_t *msg, size_t len);

MUST_CHECK int link_open(struct link **out, struct event_base *base, const struct net_addr *to,
			 uint32_t mark, link_input input, void *arg);
void link_close(struct link *l); /* NULL is fine */
/* The address of ours that the route to the relay uses; false if it cannot be told. */
MUST_CHECK bool link_source(const struct link *l, struct net_addr *out);
/* Loss is the network's: nothing is reported. */
void link_send(struct link *l, const void *msg, size_t len);

#endif
