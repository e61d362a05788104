/*
 * The data plane: N worker threads that forward WireGuard datagrams by the rules of
 * docs/architecture.md. These functions run on the main thread and reach workers by ring messages;
 * callbacks arrive on the main thread from its event_base. A session lives on exactly one worker.
 */
#ifndef RELAY_PLANE_H
#define RELAY_PLANE_H

#include <event2/event.h>

#include "base/addr.h"
#include "proto/ranges.h"
#include "relay/drops.h"
#include "relay/rate.h"
#include "relay/udp.h"

enum {
	PLANE_WORKERS_MAX = 64,
	PLANE_INDICES =
		4, /* live per session and direction: previous, current, next, and one spare */
	PLANE_CONTROL_MAX = 1200,
};

struct plane;

/* An exit as the data plane knows it. Exit slots never move; a vanished exit has port 0. */
struct plane_exit {
	struct net_addr wg;   /* its WireGuard endpoint */
	uint8_t mac1_key[32]; /* wg_mac1_key of its WireGuard key */
};

/*
 * The live WireGuard indices of one direction, oldest overwritten first; but one that is pending
 * (a client's newest, which its exit has not answered yet) is what the next one overwrites.
 */
struct plane_indices {
	uint32_t index[PLANE_INDICES];
	uint8_t count, next;
	bool pending;
};

/* What of a session's datagrams was not billed. */
struct plane_losses {
	struct relay_tally dropped[DIRECTION_COUNT][DROP_COUNT];
	uint64_t unanswered; /* initiations sent on that no exit has answered (yet) */
};

/*
 * All there is to a session on a worker but its losses; crosses threads by value. In this order
 * because a worker has it so in memory (session.h): what every datagram asks comes first.
 */
struct plane_session {
	uint32_t handle;        /* the main thread's slot for it, below max_sessions */
	uint32_t exit;          /* slot in the exit table */
	struct net_addr client; /* the bound address */
	uint64_t up, down;      /* UDP payload bytes sent on so far and billed */
	uint64_t limit;         /* up + down never exceeds this */
	uint64_t mark;          /* reaching this calls marked() once, until set again */
	uint64_t packets_up, packets_down;
	/* A client index that is live for another session by then is dropped at installing. */
	struct plane_indices exit_indices, client_indices;
};

struct plane_config {
	struct net_addr listen; /* [::] serves both families */
	unsigned workers;
	uint32_t max_sessions; /* all workers together, and each of them */
	uint32_t max_exits;
	struct ranges allow; /* checked again at send time */
	/* Bytes/s of UDP payload sent, up and down together; RATE_UNLIMITED: none. */
	uint64_t rate, peer_rate;
	bool limited; /* there may be limits later though there are none now */
};

struct plane_ops {
	/* A datagram of the control channel or BIND (types 0x11..0x18), at most PLANE_CONTROL_MAX
	 * bytes. */
	void (*control)(void *arg, unsigned worker, const struct net_addr *from, const uint8_t *msg,
			size_t len);
	void (*installed)(void *arg, uint32_t handle,
			  bool ok); /* false: its address is another session's */
	void (*retired)(void *arg, const struct plane_session *last);
	void (*marked)(void *arg, uint32_t handle, uint64_t up, uint64_t down);
	/* A limit now holds; it may be higher than asked when more was sent already. */
	void (*limited)(void *arg, uint32_t handle, uint64_t limit, uint64_t up, uint64_t down);
	/* Just before marked, limited and retired, as of the same moment. NULL: not wanted. */
	void (*losses)(void *arg, uint32_t handle, const struct plane_losses *losses);
};

/*
 * Opens the sockets and starts the workers. 0 or -errno (said by log_warn). A port that any other
 * socket holds is refused (-EADDRINUSE), even one that shares it.
 */
MUST_CHECK int plane_create(struct plane **out, const struct plane_config *config,
			    struct event_base *main, const struct plane_ops *ops, void *arg);
/* Ends the workers; answers on their way are not delivered. Not from within a callback. */
void plane_destroy(struct plane *p);

/* Sets a slot of the exit table; workers see whole entries only. wg.port 0 removes: its packets
 * drop; so do those to an address in a special range not allowed, or of this relay itself. */
void plane_set_exit(struct plane *p, uint32_t slot, const struct plane_exit *exit);

/*
 * All of these are asynchronous, in order per worker, and never lost: a full ring is waited out.
 * They may be called from callbacks. Orders for a handle that is not live there are not answered.
 */
/*
 * s and what it lost before (NULL: nothing). Its handle is on one worker at a time: not before
 * retired(), or installed() with false, came for its last one.
 */
void plane_install(struct plane *p, unsigned worker, const struct plane_session *s,
		   const struct plane_losses *losses);
void plane_retire(struct plane *p, unsigned worker, uint32_t handle);
void plane_limit(struct plane *p, unsigned worker, uint32_t handle, uint64_t limit, uint64_t mark);
/* Asks for marked() now. */
void plane_meter(struct plane *p, unsigned worker, uint32_t handle);

/* From hold to release orders wait for release, or for a full ring, before their worker is woken:
 * for many at once. */
void plane_hold(struct plane *p);
void plane_release(struct plane *p);

/* Once a second: workers have no clock, and bound by it what goes out unbilled (forward_tick). */
void plane_tick(struct plane *p);

/* Sends a control datagram from the public port, by the socket of the worker that heard the client.
 */
void plane_send(struct plane *p, unsigned worker, const struct net_addr *to, const void *msg,
		size_t len);

/*
 * Other limits, from now on (shaper.h). -EBUSY: it was created without any, and without `limited`:
 * what they need is had at a start only.
 */
MUST_CHECK int plane_set_rates(struct plane *p, uint64_t rate, uint64_t peer_rate);
/* What all workers together may send, to be allowed or bounded; NULL if nothing is limited. */
struct rate *plane_rate(struct plane *p);

unsigned plane_workers(const struct plane *p);
/* What this machine allows the workers; constant. */
struct plane_means {
	struct udp_offload offload; /* of all sockets */
	unsigned pinned;            /* workers that have a processor of their own to stay on */
};
struct plane_means plane_means(const struct plane *p);
/* The port listened on (for listen.port 0 in tests). */
uint16_t plane_port(const struct plane *p);
/* Live totals over all workers; each counter has one writer. Any thread. */
void plane_counters(const struct plane *p, struct relay_counters *sum);
/* What one worker has: the sessions on it, as last heard, and what came in to it, both ways. */
struct plane_part {
	uint32_t sessions;
	struct relay_tally in;
};
struct plane_part plane_part(const struct plane *p, unsigned worker);
/* True if a is one of this relay's own listening endpoints: never forward to yourself. */
bool plane_is_self(const struct plane *p, const struct net_addr *a);

#endif
