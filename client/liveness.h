/*
 * Tells from the device's counters whether packets still come back, and what to do when they do
 * not. Pure: the caller passes time and counters.
 *
 * Two things look like trouble: we send and hear nothing (a dead path), or a transfer towards us
 * stops in its middle (a download gives us nothing to send once the path is dead). Asking the relay
 * over the control channel is cheap, so that comes first; a fresh port comes when asking did not
 * help.
 */
#ifndef CLIENT_LIVENESS_H
#define CLIENT_LIVENESS_H

#include "base/base.h"

#define LIVENESS_PROBE_MS      1000  /* of silence, before the relay is asked */
#define LIVENESS_REBIND_MS     3000  /* of silence, before the first rebind; doubles ... */
#define LIVENESS_REBIND_MAX_MS 30000 /* ... up to this */
#define LIVENESS_BUSY          32768 /* bytes a step that make a transfer */

struct liveness {
	uint64_t rx, tx;       /* as of the last step */
	uint64_t heard_ms;     /* when rx last grew */
	uint64_t tx_at_heard;  /* tx then */
	uint64_t rebind_at_ms; /* not before, in this silence */
	uint64_t interval_ms;  /* of rebinds */
	unsigned rebinds;      /* in this silence */
	bool busy;             /* a transfer was on when the silence began */
	bool probed;           /* in this silence */
};

enum liveness_action {
	LIVENESS_FINE,
	LIVENESS_PROBE,
	LIVENESS_REBIND,
};

/* From now on, with these counters. */
void liveness_start(struct liveness *l, uint64_t now_ms, uint64_t tx, uint64_t rx);
/* Call about twice a second. */
enum liveness_action liveness_step(struct liveness *l, uint64_t now_ms, uint64_t tx, uint64_t rx);

#endif
