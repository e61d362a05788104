/*
 * How many of a table's places each network holds, so that one network cannot hold them all once
 * they are getting few: an identity costs nothing, an address does. Networks as in ratelimit.h; two
 * may share a count, by a hash nobody can foresee, which matters only where `most` is a handful.
 * Allocates in crowd_create only. One thread at a time.
 */
#ifndef CONTROL_CROWD_H
#define CONTROL_CROWD_H

#include "control/ratelimit.h"

struct crowd;

/* For a table of so many places (1 to 2^28), of which one network may have `most` as long as more
 * than half are taken; 0: all of them. NULL if memory is not to be had. */
struct crowd *crowd_create(uint32_t places, uint32_t most);
void crowd_destroy(struct crowd *c);

/* True if a network may take one more. */
MUST_CHECK bool crowd_admits(const struct crowd *c, const struct ratelimit_net *net);
/* It took one; it gave one back that it had taken. */
void crowd_enter(struct crowd *c, const struct ratelimit_net *net);
void crowd_leave(struct crowd *c, const struct ratelimit_net *net);

#endif
