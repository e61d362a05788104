/*
 * How many handshakes one network may ask for while the node is under load: a token bucket for each
 * IPv4 address and each IPv6 /64 (what one subscriber has), as in WireGuard's ratelimiter. A table
 * of fixed size, hashed by SipHash with a key of its own; allocates in ratelimit_create only. Pure:
 * the caller passes the time. One thread at a time.
 */
#ifndef CONTROL_RATELIMIT_H
#define CONTROL_RATELIMIT_H

#include "base/addr.h"

enum {
	RATELIMIT_PER_SECOND = 20,
	RATELIMIT_BURST = 5,
};

struct ratelimit;

/* A network as it is counted: all of an IPv4 address, the first half of an IPv6 one, no port. */
struct ratelimit_net {
	uint8_t ip[16];
};
struct ratelimit_net ratelimit_net(const struct net_addr *a);

/* Room for about `networks` that asked within the last quarter of a second. NULL if memory is not
 * to be had. */
struct ratelimit *ratelimit_create(uint32_t networks);
void ratelimit_destroy(struct ratelimit *r);

/* Takes a token. False if there is none, or no room to count a new network's. now_ms never falls.
 */
MUST_CHECK bool ratelimit_allow(struct ratelimit *r, const struct net_addr *from, uint64_t now_ms);

#endif
