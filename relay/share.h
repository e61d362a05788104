/*
 * Splitting a payer's credit window into one share per session, so that no worker needs another's
 * counter: sum(limit - signed) over a payer's sessions never exceeds the window because of anything
 * granted here. A lowered limit frees its part only when the worker has acknowledged it; until then
 * the higher value counts. Pure. Main thread only.
 */
#ifndef RELAY_SHARE_H
#define RELAY_SHARE_H

#include "base/base.h"

/* One session's part. All in cumulative bytes, up and down together. */
struct share_member {
	uint64_t signed_total; /* co-signed */
	uint64_t counted;      /* carried, as last heard: never less than what was */
	uint64_t limit;        /* what the worker was last asked to hold */
	uint64_t visible;      /* the highest limit a worker may still be applying; >= limit */
	uint32_t pending;      /* limits sent and not yet acknowledged */
	bool remote;           /* on a worker; otherwise a change takes effect at once */
	bool ended;            /* holds exactly what it carried unsigned */
	bool changed;          /* set by share_plan: the worker is to be told */
	struct share_member *next;
};

struct share_group {
	uint64_t window; /* bytes the payer may have unsigned, as last told by the ledger */
	struct share_member *head;
	uint32_t count;
};

/* Adds m, which may carry nothing more until share_plan gives it a part. m stays the caller's and
 * must leave before it goes. */
void share_join(struct share_group *g, struct share_member *m);
void share_leave(struct share_group *g, struct share_member *m);

/* Splits the window anew and sets `changed` on each member whose limit moved. */
void share_plan(struct share_group *g);

/* What a session added now could hope for. */
uint64_t share_prospect(const struct share_group *g);

/* The worker was told m->limit: an acknowledgement is due. */
void share_sent(struct share_member *m);
/* It acknowledged: limit is what holds there, counted what it had carried by then. */
void share_limited(struct share_member *m, uint64_t limit, uint64_t counted);
/* The session went to a worker with m->limit, or left its worker with `limit` in force. */
void share_installed(struct share_member *m);
void share_retired(struct share_member *m, uint64_t limit, uint64_t counted);
/* A co-signed total; totals never go down. */
void share_signed(struct share_member *m, uint64_t total);
/* No more traffic: the share shrinks to what was carried and is unsigned. */
void share_end(struct share_member *m);

#endif
