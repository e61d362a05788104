#include "control/ratelimit.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "proto/crypto.h"

enum {
	TOKEN_MS = 1000 / RATELIMIT_PER_SECOND,
	WAYS = 16, /* buckets a network may be in: few are full while their neighbours are not */
};

/* Full when full_ms is past, and then as good as free. Each token taken moves that on. */
struct bucket {
	struct ratelimit_net net;
	uint64_t full_ms;
};

struct ratelimit {
	struct siphash_key key;
	uint32_t sets;
	struct bucket (*buckets)[WAYS];
};

struct ratelimit_net ratelimit_net(const struct net_addr *a)
{
	struct ratelimit_net net = {{0}};

	memcpy(net.ip, a->ip, net_addr_is_v4(a) ? sizeof(a->ip) : sizeof(a->ip) / 2);
	return net;
}

struct ratelimit *ratelimit_create(uint32_t networks)
{
	struct ratelimit *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	crypto_random(&r->key, sizeof(r->key));
	r->sets = networks / WAYS + 1;
	r->buckets = calloc(r->sets, sizeof(*r->buckets));
	if (!r->buckets) {
		free(r);
		return NULL;
	}
	return r;
}

void ratelimit_destroy(struct ratelimit *r)
{
	if (!r)
		return;
	free(r->buckets);
	free(r);
}

/* The network's bucket, or one that is free; NULL if there is neither. */
static struct bucket *find(struct ratelimit *r, const struct ratelimit_net *net, uint64_t now_ms)
{
	struct bucket *set = r->buckets[siphash(&r->key, net, sizeof(*net)) % r->sets];
	struct bucket *free_one = NULL;

	for (int i = 0; i < WAYS; i++) {
		if (set[i].full_ms <= now_ms)
			free_one = &set[i];
		else if (memcmp(&set[i].net, net, sizeof(*net)) == 0)
			return &set[i];
	}
	if (free_one)
		*free_one = (struct bucket){*net, now_ms};
	return free_one;
}

bool ratelimit_allow(struct ratelimit *r, const struct net_addr *from, uint64_t now_ms)
{
	const struct ratelimit_net net = ratelimit_net(from);
	struct bucket *b = find(r, &net, now_ms);

	if (!b || b->full_ms - now_ms > (RATELIMIT_BURST - 1) * TOKEN_MS)
		return false;
	b->full_ms += TOKEN_MS;
	return true;
}
