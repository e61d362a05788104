#include "tests/bench/traffic/guests.h"

#include <string.h>

#include "base/log.h"
#include "tests/bench/traffic/take.h"

enum {
	GUESTS = 256,           /* at a time */
	FIRST_PORT = 1024,      /* of idle ones */
	FIRST_NUMBER = 1 << 16, /* identities below it are the flows' */
	PATIENCE_MS = 20000,
	NUDGE_MS = 500,
	QUESTION_MS = 15000,
};

struct guest {
	struct rig_client client;
	bool here, asks, answered;
	uint64_t came_ns, nudged_ns, ready_ns, answered_ns; /* ready, answered: since it came */
};

static struct guest guests[GUESTS];
static struct count sent, received; /* of those who left */
static unsigned came;

static struct guest *seat(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		if (!guests[i].here)
			return &guests[i];
	}
	return NULL;
}

static void arrive(struct guest *g, const struct net_addr *source)
{
	memset(g, 0, sizeof(*g));
	g->here = true;
	g->came_ns = g->nudged_ns = traffic_clock(CLOCK_MONOTONIC);
	traffic.rig.source = *source;
	rig_client_init(&g->client, &traffic.rig, FIRST_NUMBER + came++);
	memset(&traffic.rig.source, 0, sizeof(traffic.rig.source));
	rig_client_open(&g->client);
}

static void leave(struct guest *g)
{
	traffic_count(&sent, g->client.sent_packets, g->client.sent_bytes);
	traffic_count(&received, g->client.received_packets, g->client.received_bytes);
	rig_client_wipe(&g->client);
	g->here = false;
}

static void look(struct guest *g, uint64_t now)
{
	if (g->client.state == RIG_READY && !g->ready_ns)
		g->ready_ns = now - g->came_ns;
	if (g->client.state != RIG_SHAKING || now - g->nudged_ns < (uint64_t)NUDGE_MS * 1000000)
		return;
	g->nudged_ns = now;
	rig_client_rekey(&g->client);
}

void guests_serve(void)
{
	uint64_t now = traffic_clock(CLOCK_MONOTONIC);

	for (unsigned i = 0; i < GUESTS; i++) {
		if (guests[i].here)
			look(&guests[i], now);
	}
}

void guests_add(struct totals *sum)
{
	traffic_count(&sum->sent[WAY_UP], sent.packets, sent.bytes);
	traffic_count(&sum->received[WAY_DOWN], received.packets, received.bytes);
	for (unsigned i = 0; i < GUESTS; i++) {
		const struct rig_client *c = &guests[i].client;

		if (!guests[i].here)
			continue;
		traffic_count(&sum->sent[WAY_UP], c->sent_packets, c->sent_bytes);
		traffic_count(&sum->received[WAY_DOWN], c->received_packets, c->received_bytes);
	}
}

/* ---- those who come while data flows ---- */

static void answered(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct guest *g = arg;

	(void)body;
	(void)len;
	g->answered = verb == VERB_DESCRIPTOR;
	g->answered_ns = traffic_clock(CLOCK_MONOTONIC) - g->came_ns;
}

void guests_come(void)
{
	static const struct descriptor question;
	struct net_addr source = traffic_source(came);
	struct guest *g = seat();

	if (!g)
		return;
	arrive(g, &source);
	g->asks = control_client_request(g->client.control, VERB_DESCRIBE, &question,
					 sizeof(question), QUESTION_MS, answered, g);
}

bool guests_waiting(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		if (guests[i].here && (!guests[i].ready_ns || !guests[i].answered))
			return true;
	}
	return false;
}

static void later(uint64_t *most, uint64_t ns)
{
	if (ns > *most)
		*most = ns;
}

struct guests guests_leave(void)
{
	struct guests sum = {0};

	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		if (!g->here)
			continue;
		sum.came++;
		sum.asked += g->asks;
		sum.ready += g->ready_ns != 0;
		sum.answered += g->answered;
		later(&sum.ready_ns, g->ready_ns);
		later(&sum.answered_ns, g->answered_ns);
		leave(g);
	}
	return sum;
}

/* ---- those who stay idle ---- */

/* Each has an address and port of its own, for the node knows its clients by that. */
static struct net_addr idle_source(unsigned number)
{
	struct net_addr a = traffic_source(number);

	a.port = (uint16_t)(FIRST_PORT + number / TRAFFIC_ADDRESSES);
	return a;
}

static unsigned part(uint64_t now)
{
	unsigned settled = 0;

	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];
		bool late = now - g->came_ns > (uint64_t)PATIENCE_MS * 1000000;

		if (!g->here || (!g->ready_ns && !late && g->client.state != RIG_FAILED))
			continue;
		settled += g->ready_ns != 0;
		leave(g);
	}
	return settled;
}

static bool anybody(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		if (guests[i].here)
			return true;
	}
	return false;
}

unsigned guests_open_idle(unsigned count)
{
	static unsigned sources;
	unsigned tried = 0, settled = 0;

	while (tried < count || anybody()) {
		struct guest *g = tried < count ? seat() : NULL;

		if (g) {
			struct net_addr source = idle_source(sources++);

			arrive(g, &source);
			tried++;
			if (tried % 8)
				continue;
		} else {
			traffic_nap(100000);
		}
		traffic_serve();
		take_some(WAY_UP);
		settled += part(traffic_clock(CLOCK_MONOTONIC));
	}
	return settled;
}
