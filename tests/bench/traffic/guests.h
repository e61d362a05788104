/* Sessions beside the flows': many that are opened and left alone, or a few that come while data
 * flows. */
#ifndef TESTS_BENCH_TRAFFIC_GUESTS_H
#define TESTS_BENCH_TRAFFIC_GUESTS_H

#include "tests/bench/traffic/traffic.h"

struct guests {
	unsigned came, ready, asked, answered;
	uint64_t ready_ns, answered_ns; /* the slowest one's */
};

/* Opened, bound, shaken, and left: the node keeps them until they idle out. How many there are. */
unsigned guests_open_idle(unsigned count);
/* A stranger sets up a session and asks the node for its descriptor. */
void guests_come(void);
/* The look at them that traffic_serve takes. */
void guests_serve(void);
/* Since the last call of it. Who is still waiting then has waited for nothing: all leave. */
struct guests guests_leave(void);
/* True while somebody waits. */
bool guests_waiting(void);
/* Data they sent up and received. */
void guests_add(struct totals *sum);

#endif
