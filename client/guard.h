/*
 * Leaves the host as it was found, however the agent dies. What the agent has made is noted in one
 * small file next to its socket, which is also the lock that keeps a second agent out. A child
 * process waits for the agent's end, undoes what is noted, and goes. If that child is killed as
 * well, the next `culvert up` or `culvert down` finds the file and does the same. Main thread only.
 */
#ifndef CLIENT_GUARD_H
#define CLIENT_GUARD_H

#include "base/base.h"

enum guard_made {
	GUARD_DEVICE = 1, /* the interface */
	GUARD_RULES = 2,  /* the mark's rules and table */
};

/* What an agent would leave behind. */
struct guard_state {
	char interface[16];
	uint32_t mark;
	unsigned made; /* bits of enum guard_made */
};

/* Takes the lock next to this socket, making its directory. The descriptor, -EWOULDBLOCK while an
 * agent or its guard is alive, or -errno. It is released when the last holder closes it. */
MUST_CHECK int guard_lock(const char *socket);

/* With the lock: undoes what an agent that is gone left behind; true if there was anything. */
bool guard_clean(int lock, const char *socket);

/* With the lock: removes its file, then closes it. */
void guard_unlock(int lock, const char *socket);

struct guard;

/* Forks the guard. To be called before any event loop, thread or database exists. lock is kept by
 * both. 0 or -errno. */
MUST_CHECK int guard_start(struct guard **out, int lock, const char *socket, const char *interface,
			   uint32_t mark);
/* To be called before a thing is made and after it is removed. */
void guard_note(struct guard *g, unsigned made);
/* Everything is undone: the guard goes, the lock too. */
void guard_end(struct guard *g);

#endif
