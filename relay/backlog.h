/*
 * Packets that wait on a worker for what limits them: a fixed pool of buffers, and for each session
 * three queues of them. Where they stand and what they take, not when they go: that is shaper.h.
 * Allocates only in backlog_create. One thread at a time.
 */
#ifndef RELAY_BACKLOG_H
#define RELAY_BACKLOG_H

#include "base/lines.h"
#include "relay/forward.h"
#include "relay/udp.h"

/* The queues of a session. The first two are of the directions, and named by them. */
enum {
	BACKLOG_HANDSHAKES = DIRECTION_COUNT, /* of either direction */
	BACKLOG_QUEUES,
};

enum {
	BACKLOG_NONE = UINT32_MAX,
	BACKLOG_PACKETS_MAX = UINT16_MAX,
};

struct backlog_packet {
	struct passage passage;
	enum relay_direction direction;
	struct datagram datagram; /* its data is below */
	uint64_t since_ns;
	uint32_t next;
	uint8_t data[UDP_BUFFER];
};

/*
 * What a session that may be limited costs: one cache line, all zeros at the start. It is its
 * worker's, as the session is, and goes with it when that moves: so nobody gains by moving.
 */
struct backlog {
	_Alignas(LINE_BYTES) uint32_t first[BACKLOG_QUEUES];
	uint32_t last[BACKLOG_QUEUES];
	uint16_t count[BACKLOG_QUEUES], packets; /* packets: of all three */
	uint32_t longer, shorter;                /* neighbours among those with as many packets */
	/* The shaper's. */
	uint32_t prev, next;
	uint64_t granted; /* of PeerRate, as in rate.c */
	int32_t deficit;
	uint16_t list;
	uint8_t terms;
	uint8_t turn; /* the direction whose turn it is */
};

struct backlog_pool {
	struct backlog *sessions; /* by handle; shared, each its owner's */
	struct backlog_packet *packets;
	uint32_t size, left, free;
	uint32_t *by_length; /* sessions with so many packets: the first of them */
	uint32_t longest;    /* the most packets any session has */
};

/* A pool of so many packets (<= BACKLOG_PACKETS_MAX) for the sessions of an array that is not its
 * own. Fatal when memory is gone. */
void backlog_create(struct backlog_pool *pool, struct backlog *sessions, uint32_t packets);
void backlog_destroy(struct backlog_pool *pool);

/* Copies a datagram behind those of its queue. There must be room: pool->left. */
void backlog_push(struct backlog_pool *pool, unsigned queue, enum relay_direction direction,
		  const struct datagram *d, const struct passage *p, uint64_t now_ns);
/* The first packet of a queue that is not empty. */
struct backlog_packet *backlog_first(const struct backlog_pool *pool, const struct backlog *b,
				     unsigned queue);
/* Takes it out; it stays whole until it is freed. */
struct backlog_packet *backlog_pop(struct backlog_pool *pool, struct backlog *b, unsigned queue);
void backlog_free(struct backlog_pool *pool, struct backlog_packet *packet);

/* A session that has as many packets as any; NULL if none has one. */
struct backlog *backlog_longest(const struct backlog_pool *pool);

#endif
