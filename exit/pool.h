/*
 * Inner addresses: a number stands for one IPv4 and one IPv6 address at the same place in their
 * prefixes. Place 0 is nobody's, place 1 the exit's own, clients get the rest in turn, so that an
 * address given back comes up again as late as can be. Pure.
 */
#ifndef EXIT_POOL_H
#define EXIT_POOL_H

#include "tunnel/device.h"

enum {
	POOL_MAX = 65536, /* places used of larger prefixes */
	POOL_OWN = 1,
};

struct pool;

/* A prefix of 0 bits: none of that family. NULL if neither is given or one has no room for a
 * client. */
struct pool *pool_create(const struct tunnel_prefix *v4, const struct tunnel_prefix *v6);
void pool_destroy(struct pool *p);

/* A number >= 2, or 0 when all are out. */
MUST_CHECK uint32_t pool_take(struct pool *p);
void pool_release(struct pool *p, uint32_t number);

/* The address of a number; false (and all zero) if the pool has none of that family. */
bool pool_address4(const struct pool *p, uint32_t number, struct net_addr *out);
bool pool_address6(const struct pool *p, uint32_t number, struct net_addr *out);

#endif
