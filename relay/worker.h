/*
 * One thread of the data path: its loop, its two sockets, its sessions, and its rings from and to
 * the main thread. The main thread creates it, gives orders, reads notices; everything else in
 * struct worker is the thread's own from worker_start to worker_stop.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/lines.h"
#include "base/ring.h"
#include "proto/messages.h"
#include "relay/forward.h"
#include "relay/patience.h"
#include "relay/shaper.h"

enum {
	WORKER_ORDERS = 256,
	WORKER_NOTICES = 1024,
	WORKER_CONTROL = 512,
	WORKER_INITIATIONS = 1024,
	WORKER_AHEAD = 32, /* datagrams whose memory is fetched at once */
	WORKER_TAKEN = 64, /* of what waited, sent at once */
	WORKER_COUNTERS = sizeof(struct relay_counters) / sizeof(uint64_t),
};

/* Main -> worker. Each is answered by at most one notice. */
struct order {
	enum {
		ORDER_INSTALL,
		ORDER_RETIRE,
		ORDER_LIMIT,
		ORDER_METER,
		ORDER_EXIT,
		ORDER_TICK,
		ORDER_PEER_RATE,
	} kind;
	uint32_t slot;        /* session handle or exit slot */
	uint64_t limit, mark; /* LIMIT */
	union {
		struct {
			struct plane_session session;
			struct plane_losses losses;
		};                        /* INSTALL */
		struct plane_exit exit;   /* EXIT */
		struct shaper_terms peer; /* PEER_RATE */
	};
};

enum {
	ORDER_SHORT = offsetof(struct order, exit) + sizeof(struct plane_exit), /* but INSTALL */
};

/* Worker -> main. */
struct notice {
	enum {
		NOTICE_INSTALLED,
		NOTICE_RETIRED,
		NOTICE_MARKED,
		NOTICE_LIMITED,
	} kind;
	bool ok;                      /* INSTALLED */
	bool lossy;                   /* losses are there, else none: not for INSTALLED */
	struct plane_session session; /* INSTALLED: its handle */
	struct plane_losses losses;
};

/* Worker -> main, by a ring of its own: a flood of these delays no notice. Only len bytes of data
 * are there. */
struct control_datagram {
	struct net_addr from;
	uint16_t len;
	uint8_t data[PLANE_CONTROL_MAX];
};

/*
 * The same for handshakes begun: anybody can fake those, and each costs the main thread more than
 * to see that anything else is none. By a ring of their own they take nobody else's place.
 */
struct control_initiation {
	struct net_addr from;
	uint16_t len;
	uint8_t data[sizeof(struct message_initiation)];
};

/* Held by a worker that owns them from then on: it closes them. */
struct worker_sockets {
	int client; /* on the public port, shared with the other workers' */
	int exit;   /* upstream, its own port */
};

struct worker {
	/* Set before the thread starts, constant then. */
	struct worker_sockets sockets;
	struct ring *orders, *notices, *control, *initiations; /* the last one wakes by control */
	pthread_t thread;
	bool running; /* main's */
	struct udp_offload offload;

	/* Written by main, and by either (see worker.c): in no cache line with what the worker uses
	 * for each batch. */
	uint8_t before[LINE_BYTES];
	atomic_bool stop, starved;
	uint8_t behind[LINE_BYTES];

	/* By the worker: odd while it writes them, so that whoever reads has those of one moment.
	 */
	_Atomic uint64_t edition;
	_Atomic uint64_t published[WORKER_COUNTERS];

	/* The thread's own. */
	struct event_base *base;
	struct event *on_client, *on_exit, *on_orders;
	struct forward forward;
	struct shaper *shaper; /* NULL: nothing is limited */
	int timer;             /* its timerfd, -1 without */
	struct event *on_timer;
	uint64_t timer_ns;  /* when it ends, 0: not running */
	struct notice held; /* the answer that found the ring full */
	bool has_held, told, heard;
	uint32_t *due; /* handles whose mark is reached: a queue, each in it once at most */
	uint32_t max_sessions, due_first, due_count;
	struct datagram ahead[WORKER_AHEAD];        /* being judged */
	struct passage passages[UDP_OUT_DATAGRAMS]; /* of what is in `out`, in order */
	struct patience patience;
	struct udp_in in;
	struct udp_out out;
};

/* Takes the sockets, also on failure; slots are shared with the other workers and outlive it. 0 or
 * -errno. */
MUST_CHECK int worker_create(struct worker **out, const struct plane_config *config,
			     struct slots *slots, struct worker_sockets sockets);
/* What it forwards is limited from then on, together with the other workers that share these
 * limits, which outlive it. Before it starts; number: below shared->workers. 0 or -errno. */
MUST_CHECK int worker_limit(struct worker *w, struct shaper_shared *shared, unsigned number);
/* Not while it runs. */
void worker_destroy(struct worker *w);

MUST_CHECK int worker_start(struct worker *w, unsigned number);
/* Returns when the thread has ended; orders it has not seen by then are forgotten. */
void worker_stop(struct worker *w);

/* Adds its counters as of its last batch. Any thread. */
void worker_add_counters(const struct worker *w, struct relay_counters *sum);

#endif
