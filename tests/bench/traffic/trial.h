/* One run of the generator. */
#ifndef TESTS_BENCH_TRAFFIC_TRIAL_H
#define TESTS_BENCH_TRAFFIC_TRIAL_H

#include "tests/bench/traffic/traffic.h"

struct trial {
	/* what is asked for */
	unsigned way;    /* enum way */
	unsigned flows;  /* the first so many, in turns */
	unsigned size;   /* bytes of a datagram */
	unsigned burst;  /* datagrams of one flow at a time */
	unsigned window; /* at most so many under way; 0: pps decides */
	unsigned pps;    /* 0: as fast as it goes */
	unsigned ms;
	unsigned stamps; /* 1: delays are measured */
	unsigned joined; /* 1: a burst is one buffer, which the device cuts or not */
	unsigned guests; /* so many strangers set up sessions meanwhile */
	/* what came of it */
	uint64_t start_ns, sent, not_sent, lost;
	uint64_t nap_ns, got_before; /* the sender's last sleep: how long, and what had come then */
};

/* "word=number ..."; false if that cannot be run. */
MUST_CHECK bool trial_parse(struct trial *t, char *words);
/* Prints what came of it as a JSON line. */
void trial_run(struct trial *t);

#endif
