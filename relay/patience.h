/*
 * Whether to look at a socket again before sleeping until it has something. A sleep and its wake-up
 * cost as much time as some ten looks in vain, so where bursts follow each other closely looking
 * again is cheaper, and where they do not it is wasted. Without a clock: it is tried for a few
 * batches now and then, and kept up as long as it pays (competitive spinning: Karlin, Li, Manasse
 * and Owicki, SOSP 1991). One thread at a time.
 */
#ifndef RELAY_PATIENCE_H
#define RELAY_PATIENCE_H

#include "base/base.h"

enum {
	PATIENCE_LOOKS = 16,
	PATIENCE_TRIAL = 32,    /* batches */
	PATIENCE_PERIOD = 2048, /* batches from trial to trial */
	PATIENCE_PAYS = 4,      /* if every so manieth batch of a trial found another one */
};

/* All zero: the first trial begins. */
struct patience {
	uint32_t batch;  /* of its period */
	uint32_t paid;   /* batches of the trial that were found by looking again */
	bool worthwhile; /* as the last trial found */
};

/* After each batch: how often to look again, 0 or PATIENCE_LOOKS. */
unsigned patience_looks(struct patience *l);
/* A look has found a batch. */
void patience_paid(struct patience *l);

#endif
