#include "control/crowd.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "proto/crypto.h"

enum {
	/* Counts for each place, and the least there are: hardly ever do two networks share one. */
	SPARE = 4,
	LEAST = 1 << 16,
};

struct crowd {
	struct siphash_key key;
	uint32_t places, most, taken;
	uint32_t counts; /* how many there are */
	uint32_t held[];
};

struct crowd *crowd_create(uint32_t places, uint32_t most)
{
	uint32_t counts = SPARE * places > LEAST ? SPARE * places : LEAST;
	struct crowd *c = calloc(1, sizeof(*c) + counts * sizeof(*c->held));

	if (!c)
		return NULL;
	crypto_random(&c->key, sizeof(c->key));
	c->places = places;
	c->most = most;
	c->counts = counts;
	return c;
}

void crowd_destroy(struct crowd *c)
{
	free(c);
}

static uint32_t count_of(const struct crowd *c, const struct ratelimit_net *net)
{
	return (uint32_t)(siphash(&c->key, net, sizeof(*net)) % c->counts);
}

bool crowd_admits(const struct crowd *c, const struct ratelimit_net *net)
{
	return !c->most || c->taken <= c->places / 2 || c->held[count_of(c, net)] < c->most;
}

void crowd_enter(struct crowd *c, const struct ratelimit_net *net)
{
	c->taken++;
	c->held[count_of(c, net)]++;
}

void crowd_leave(struct crowd *c, const struct ratelimit_net *net)
{
	c->taken--;
	c->held[count_of(c, net)]--;
}
