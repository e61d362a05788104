/*
 * Rate and PeerRate on a worker: what has to wait, and whose turn it is. Stands between judging a
 * datagram and sending it; knows no socket and reads no clock. There is none where nothing is
 * limited. docs/datapath.md, "Limits and fairness", says why it is as it is.
 */
#ifndef RELAY_SHAPER_H
#define RELAY_SHAPER_H

#include "relay/backlog.h"
#include "relay/plane.h"
#include "relay/rate.h"

enum {
	SHAPER_QUANTUM = UDP_BUFFER, /* bytes a turn: any datagram fits in one */
	SHAPER_CHUNK_MAX = 1 << 16,  /* bytes a worker takes of Rate at once, at most */
	SHAPER_PACKETS = 4096,       /* buffers of a worker: 8 MiB */
	SHAPER_KEEP = 4,             /* packets of a session that may be older than the limit */
};
#define SHAPER_DELAY           (RATE_SECOND / 10) /* what waited longer is of no use to a tunnel */
#define SHAPER_HANDSHAKE_DELAY (5 * RATE_SECOND)  /* by then WireGuard has begun another */
#define SHAPER_NEVER           UINT64_MAX
#define SHAPER_BACKOFF         (RATE_SECOND / 2000) /* the timer comes at most so often */

/* PeerRate, which every worker keeps for itself. */
struct shaper_terms {
	uint64_t bytes_per_s, since_ns;
	uint8_t number; /* of these terms: a session's bucket is full under new ones */
};

/* What a worker tells the others. */
struct shaper_place {
	_Alignas(LINE_BYTES) _Atomic uint64_t round;
	_Atomic uint32_t waiting;
};

/* What the workers of a plane share. Set up and changed by the main thread. */
struct shaper_shared {
	struct rate rate;
	_Alignas(LINE_BYTES) _Atomic uint32_t chunk; /* bytes taken at once */
	_Atomic uint64_t burst, slack;
	uint32_t workers;
	struct backlog *sessions;
	struct shaper_terms peer; /* that workers start with */
	struct shaper_place places[PLANE_WORKERS_MAX];
};

struct shaper;

/* Both in bytes/s, RATE_UNLIMITED: none. Fatal when memory is gone. */
struct shaper_shared *shaper_share(uint64_t rate, uint64_t peer_rate, uint32_t workers,
				   uint32_t max_sessions, uint64_t now_ns);
/* Once no worker has a shaper of it any more. NULL is fine. */
void shaper_unshare(struct shaper_shared *shared);
/* Another Rate for all, at once. Main thread. */
void shaper_set_rate(struct shaper_shared *shared, uint64_t bytes_per_s, uint64_t now_ns);

/* Worker's number, below shared->workers; forward is whose passages these are. Both stay the
 * caller's. Everything from here on is the worker's alone. */
struct shaper *shaper_create(struct shaper_shared *shared, unsigned worker,
			     struct forward *forward);
/* Its queues must be empty: shaper_stop. NULL is fine. */
void shaper_destroy(struct shaper *s);
void shaper_set_peer(struct shaper *s, const struct shaper_terms *peer);

/* The time of this batch, in nanoseconds of a clock all workers share; before all that follows. */
void shaper_begin(struct shaper *s, uint64_t now_ns);

/*
 * A datagram that may pass by its session's rules: true if it may be sent at once, as if there were
 * no limit. Otherwise it waits in the session's queue, or was dropped and counted.
 */
MUST_CHECK bool shaper_pass(struct shaper *s, enum relay_direction direction,
			    const struct datagram *d, const struct passage *p);

/*
 * The next packet that may be sent now, or NULL; its passage is as forward_up or forward_down made
 * it. It is the caller's until shaper_sent, after forward_sent.
 */
struct backlog_packet *shaper_next(struct shaper *s);
void shaper_sent(struct shaper *s, struct backlog_packet *packet);

/* After the last shaper_next of a batch, which gave NULL: when to ask again if nothing comes in,
 * SHAPER_NEVER if nothing waits. */
uint64_t shaper_wake(struct shaper *s);

/* Drops what waits of a session, or of all: their counters are final then. */
void shaper_forget(struct shaper *s, const struct session *session);
void shaper_stop(struct shaper *s);

#endif
