/*
 * One worker's sessions: found by the client's bound address, and by (exit, index) for what an exit
 * sends to an index a client announced. Allocates only in sessions_create. One thread at a time.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include "relay/plane.h"

struct session {
	struct plane_session state;
	bool live;
	bool due; /* stands in the worker's queue of marks to tell */
	/* Initiations sent on in this period (see forward_tick) and not answered. */
	uint32_t unanswered, period;
	struct udp_lane lane; /* towards the client */
};

struct sessions;

/* Room for max sessions with handles below max. NULL if memory or entropy is not to be had. */
struct sessions *sessions_create(uint32_t max);
void sessions_destroy(struct sessions *t);

/*
 * Takes a session in. False if the handle is out of range or live already, or the client's address
 * is another session's. An index of a client that is another session's by now is left out; a limit
 * below what was used already is raised to it.
 */
MUST_CHECK bool sessions_install(struct sessions *t, const struct plane_session *state);
/* Hands the last state out and frees address, indices and handle; false if it is not live. */
MUST_CHECK bool sessions_retire(struct sessions *t, uint32_t handle, struct plane_session *last);

/* NULL if there is none. */
struct session *sessions_at(struct sessions *t, uint32_t handle);
/* The slot of a handle below max, live or not. */
struct session *sessions_slot(struct sessions *t, uint32_t handle);
struct session *sessions_by_client(struct sessions *t, const struct net_addr *client);
struct session *sessions_by_index(struct sessions *t, uint32_t exit, uint32_t index);

/*
 * Remembers a sender index of a client as pending. It takes the place of the one that was pending,
 * as WireGuard forgets its handshake for the next: so whoever fakes initiations never pushes out an
 * index that is in use. Without one, the oldest leaves. It must not be another session's.
 */
void sessions_learn_client(struct sessions *t, struct session *s, uint32_t index);
/* True if that index is the client's pending one. */
MUST_CHECK bool session_awaits(const struct session *s, uint32_t index);
/* The pending index is answered: from now on it leaves by age only. */
void session_answered(struct session *s);
/* That index was never sent on; one that took its place meanwhile stays. */
void sessions_forget_pending(struct sessions *t, struct session *s, uint32_t index);
/* Remembers a sender index of an exit, oldest out. */
void session_learn_exit(struct session *s, uint32_t index);
/* True if the exit announced this index to this session. */
MUST_CHECK bool session_knows_exit(const struct session *s, uint32_t index);

/* Bytes sent on, both ways. */
static inline uint64_t session_used(const struct session *s)
{
	return s->state.up + s->state.down;
}

#endif
