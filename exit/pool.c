#include "exit/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct pool {
	struct tunnel_prefix v4, v6;
	uint32_t size; /* places 0 .. size - 1 */
	uint32_t next; /* where the search goes on */
	uint32_t free;
	bool used[];
};

/* Clears the host part. */
static struct tunnel_prefix masked(const struct tunnel_prefix *prefix)
{
	struct tunnel_prefix out = *prefix;
	unsigned bits = prefix->bits + (net_addr_is_v4(&prefix->net) ? 96u : 0u);

	out.net.port = 0;
	for (unsigned i = bits; i < 128; i++)
		out.net.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
	return out;
}

/* How many places a family of total bits has; the last IPv4 one is the broadcast address. */
static uint32_t places(const struct tunnel_prefix *prefix, unsigned total, uint32_t reserved)
{
	unsigned host = total - prefix->bits;

	return host >= 17 ? POOL_MAX : (UINT32_C(1) << host) - reserved;
}

struct pool *pool_create(const struct tunnel_prefix *v4, const struct tunnel_prefix *v6)
{
	uint32_t size = POOL_MAX;
	struct pool *p;

	if (!v4->bits && !v6->bits)
		return NULL;
	if (v4->bits && places(v4, 32, 1) < size)
		size = places(v4, 32, 1);
	if (v6->bits && places(v6, 128, 0) < size)
		size = places(v6, 128, 0);
	if (size <= POOL_OWN + 1)
		return NULL;
	p = xcalloc(1, sizeof(*p) + size * sizeof(p->used[0]));
	if (v4->bits)
		p->v4 = masked(v4);
	if (v6->bits)
		p->v6 = masked(v6);
	p->size = size;
	p->next = POOL_OWN + 1;
	p->free = size - p->next;
	return p;
}

void pool_destroy(struct pool *p)
{
	free(p);
}

uint32_t pool_take(struct pool *p)
{
	uint32_t number;

	if (p->free == 0)
		return 0;
	while (p->used[p->next])
		p->next = p->next + 1 < p->size ? p->next + 1 : POOL_OWN + 1;
	number = p->next;
	p->used[number] = true;
	p->free--;
	p->next = number + 1 < p->size ? number + 1 : POOL_OWN + 1;
	return number;
}

void pool_release(struct pool *p, uint32_t number)
{
	if (number <= POOL_OWN || number >= p->size || !p->used[number])
		return;
	p->used[number] = false;
	p->free++;
}

/* Numbers fit the two last bytes, but the prefix may have bits there too: add, do not overlay. */
static bool address(const struct tunnel_prefix *prefix, uint32_t number, struct net_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (!prefix->bits)
		return false;
	*out = prefix->net;
	for (int i = 15; i >= 12; i--) {
		number += out->ip[i];
		out->ip[i] = (uint8_t)number;
		number >>= 8;
	}
	return true;
}

bool pool_address4(const struct pool *p, uint32_t number, struct net_addr *out)
{
	return address(&p->v4, number, out);
}

bool pool_address6(const struct pool *p, uint32_t number, struct net_addr *out)
{
	return address(&p->v6, number, out);
}
