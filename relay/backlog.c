#include "relay/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static_assert(sizeof(struct backlog) == 64, "one cache line a session");

void backlog_create(struct backlog_pool *pool, struct backlog *sessions, uint32_t packets)
{
	*pool = (struct backlog_pool){.sessions = sessions, .size = packets, .left = packets};
	pool->packets = xcalloc(packets, sizeof(*pool->packets));
	pool->by_length = xcalloc(packets + 1, sizeof(*pool->by_length));
	for (uint32_t i = 0; i <= packets; i++)
		pool->by_length[i] = BACKLOG_NONE;
	/* The newest free one comes first: few are in use most of the time, and those are warm. */
	for (uint32_t i = 0; i < packets; i++)
		pool->packets[i].next = i + 1;
}

void backlog_destroy(struct backlog_pool *pool)
{
	free(pool->by_length);
	free(pool->packets);
	*pool = (struct backlog_pool){0};
}

/* ---- who has most: a list for each length, so that nothing is searched ----
 */

static void length_leave(struct backlog_pool *pool, struct backlog *b)
{
	if (!b->packets)
		return;
	if (b->longer != BACKLOG_NONE)
		pool->sessions[b->longer].shorter = b->shorter;
	else
		pool->by_length[b->packets] = b->shorter;
	if (b->shorter != BACKLOG_NONE)
		pool->sessions[b->shorter].longer = b->longer;
}

static void length_enter(struct backlog_pool *pool, struct backlog *b)
{
	uint32_t own = (uint32_t)(b - pool->sessions), *head = &pool->by_length[b->packets];

	if (b->packets) {
		b->longer = BACKLOG_NONE;
		b->shorter = *head;
		if (*head != BACKLOG_NONE)
			pool->sessions[*head].longer = own;
		*head = own;
	}
	if (b->packets > pool->longest)
		pool->longest = b->packets;
	while (pool->longest && pool->by_length[pool->longest] == BACKLOG_NONE)
		pool->longest--;
}

struct backlog *backlog_longest(const struct backlog_pool *pool)
{
	return pool->longest ? &pool->sessions[pool->by_length[pool->longest]] : NULL;
}

/* ---- queues ---- */

void backlog_push(struct backlog_pool *pool, unsigned queue, enum relay_direction direction,
		  const struct datagram *d, const struct passage *p, uint64_t now_ns)
{
	struct backlog *b = &pool->sessions[p->session->state.handle];
	const uint32_t i = pool->free;
	struct backlog_packet *packet = &pool->packets[i];

	pool->free = packet->next;
	pool->left--;
	packet->passage = *p;
	packet->direction = direction;
	packet->datagram = *d;
	packet->datagram.data = packet->data;
	packet->since_ns = now_ns;
	memcpy(packet->data, d->data, d->len);
	if (b->count[queue])
		pool->packets[b->last[queue]].next = i;
	else
		b->first[queue] = i;
	b->last[queue] = i;
	b->count[queue]++;
	length_leave(pool, b);
	b->packets++;
	length_enter(pool, b);
}

struct backlog_packet *backlog_first(const struct backlog_pool *pool, const struct backlog *b,
				     unsigned queue)
{
	return &pool->packets[b->first[queue]];
}

struct backlog_packet *backlog_pop(struct backlog_pool *pool, struct backlog *b, unsigned queue)
{
	struct backlog_packet *packet = backlog_first(pool, b, queue);

	b->first[queue] = packet->next;
	b->count[queue]--;
	length_leave(pool, b);
	b->packets--;
	length_enter(pool, b);
	return packet;
}

void backlog_free(struct backlog_pool *pool, struct backlog_packet *packet)
{
	packet->next = pool->free;
	pool->free = (uint32_t)(packet - pool->packets);
	pool->left++;
}
