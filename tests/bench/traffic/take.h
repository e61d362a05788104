/* What arrives: counted by run, the newest run's also looked at closer. */
#ifndef TESTS_BENCH_TRAFFIC_TAKE_H
#define TESTS_BENCH_TRAFFIC_TAKE_H

#include "tests/bench/traffic/traffic.h"

struct arrivals {
	uint32_t run;
	struct count got;
	uint64_t reordered, buffers; /* buffers: what they came in, several in one with offload */
	uint64_t last_ns;            /* CLOCK_MONOTONIC, when the last one was read */
};

/* Forgets what came before; datagrams of other runs are counted in totals alone. size: of those to
 * come, if they are all alike and only the first of a joined buffer need be looked at; else 0. */
void take_begin(uint32_t run, unsigned size);
/* Reads at most one batch that has arrived that way; how many buffers, of any run. Never waits. */
unsigned take_some(enum way way);
const struct arrivals *take_result(void);

/* Delays by the kernel's stamps, from before sending to arrival at the socket. */
void take_stamps(enum way way, unsigned flows, bool on);
struct delays {
	unsigned samples;
	uint32_t p50, p90, p99, most; /* ns */
};
struct delays take_delays(void);

#endif
