#include "control/crowd.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/table.h"

struct crowd {
	uint32_t places, most, taken;
	struct table *held; /* network -> how many */
};

struct crowd *crowd_create(uint32_t places, uint32_t most)
{
	struct crowd *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->places = places;
	c->most = most;
	c->held = table_create(places, sizeof(struct ratelimit_net));
	if (c->held)
		return c;
	free(c);
	return NULL;
}

void crowd_destroy(struct crowd *c)
{
	if (!c)
		return;
	table_destroy(c->held);
	free(c);
}

static uint32_t held(const struct crowd *c, const struct ratelimit_net *net)
{
	uint32_t count = table_find(c->held, net);

	return count == TABLE_NONE ? 0 : count;
}

bool crowd_admits(const struct crowd *c, const struct ratelimit_net *net)
{
	return !c->most || c->taken <= c->places / 2 || held(c, net) < c->most;
}

void crowd_enter(struct crowd *c, const struct ratelimit_net *net)
{
	c->taken++;
	if (!table_put(c->held, net, held(c, net) + 1))
		fatalx("more networks than places are in use");
}

void crowd_leave(struct crowd *c, const struct ratelimit_net *net)
{
	uint32_t count = held(c, net);

	c->taken--;
	if (count <= 1)
		table_remove(c->held, net);
	else if (!table_put(c->held, net, count - 1))
		fatalx("more networks than places are in use");
}
