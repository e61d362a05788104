/*
 * One worker's sessions: found by the client's bound address, and by (exit, index) for what an exit
 * sends to an index a client announced. Allocates only in slots_create and sessions_create.
 *
 * All workers' sessions stand in one array of slots. A slot is written and read by one thread at a
 * time, and by none but its owner: it is the worker's that has the session from the moment it takes
 * the order to install it to the moment it answers that it retired it (or did not install it). Both
 * go through rings, whose release and acquire order what one owner wrote before what the next one
 * reads; the main thread gives no order to install before that answer. A worker knows which slots
 * are its own by notes of its own (struct sessions), so an order for a handle that is not with it
 * touches no slot. Everything else here is one thread's.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include "base/lines.h"
#include "relay/plane.h"

/*
 * What a datagram asks and changes is in the first two cache lines. Losses are apart: most sessions
 * have none.
 */
struct session {
	_Alignas(LINE_BYTES) struct plane_session state;
	struct udp_lane lane; /* towards the client */
	uint32_t queued; /* bytes that wait (forward_queue): reserved, neither sent nor billed */
	/* Initiations sent on in this period (see forward_tick) and not answered. */
	uint32_t unanswered, period;
	uint32_t unpaid; /* initiations sent on that were not answered, ever */
	bool due;        /* stands in the worker's queue of marks to tell */
	bool lossy;      /* it has dropped something */
};

struct slots;
struct sessions;

/* Room for max sessions with handles below max. NULL if memory is not to be had. Slots that no
 * session had yet are not in memory. */
struct slots *slots_create(uint32_t max);
/* After the sessions of all workers. */
void slots_destroy(struct slots *slots);

/* NULL if memory or entropy is not to be had. */
struct sessions *sessions_create(struct slots *slots);
void sessions_destroy(struct sessions *t);

/*
 * Takes a session in, and what it lost before (NULL: nothing). False if the handle is out of range
 * or here already, or the client's address is another session's. An index of a client that is
 * another session's by now is left out; a limit below what was used already is raised to it.
 */
MUST_CHECK bool sessions_install(struct sessions *t, const struct plane_session *state,
				 const struct plane_losses *losses);
/* Frees address, indices and handle of a session that is here. */
void sessions_retire(struct sessions *t, struct session *s);

/* What a session of these has dropped, to add to. */
struct plane_losses *sessions_drops(struct sessions *t, struct session *s);
/* All that it lost so far, or false and out as it was: nothing. */
bool sessions_losses(const struct sessions *t, const struct session *s, struct plane_losses *out);

/* NULL if there is none. */
struct session *sessions_at(struct sessions *t, uint32_t handle);
struct session *sessions_by_client(struct sessions *t, const struct net_addr *client);
struct session *sessions_by_index(struct sessions *t, uint32_t exit, uint32_t index);

/*
 * The same in steps, for several at once: the key's hash, its cell asked for; then the slot asked
 * for that it probably leads to; then the search as above. A hash of 0: not known.
 */
uint32_t sessions_hash_client(const struct sessions *t, const struct net_addr *client);
uint32_t sessions_hash_index(const struct sessions *t, uint32_t exit, uint32_t index);
void sessions_prefetch_client(const struct sessions *t, uint32_t hash);
void sessions_prefetch_index(const struct sessions *t, uint32_t hash);
struct session *sessions_by_client_hashed(struct sessions *t, const struct net_addr *client,
					  uint32_t hash);
struct session *sessions_by_index_hashed(struct sessions *t, uint32_t exit, uint32_t index,
					 uint32_t hash);

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
