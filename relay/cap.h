/*
 * MonthlyCap on the main thread: earns by the pace of month.h, books with the ledger before it
 * gives, gives to the workers by rate.h. What the workers were given is never more than what is
 * durable as carried in this month, so that neither a kill nor a power cut forgets a byte.
 */
#ifndef RELAY_CAP_H
#define RELAY_CAP_H

#include <event2/event.h>

#include "accounting/ledger.h"
#include "relay/rate.h"

enum {
	/* Of the cap, what can be with the workers at once, and as much can be booked beyond that:
	 * both together are what a kill or a power cut loses of the month. */
	CAP_SHARE = 2048,
};

struct cap;

struct cap_config {
	uint64_t bytes; /* MonthlyCap */
	unsigned workers;
};

/* rate and ledger outlive it, but once the ledger is no longer dispatched it only frees. NULL if
 * memory is not to be had. */
struct cap *cap_create(const struct cap_config *config, struct rate *rate, struct ledger *ledger,
		       struct event_base *base);
/* NULL is fine. */
void cap_destroy(struct cap *c);

/* Another MonthlyCap, from now on. */
void cap_set(struct cap *c, uint64_t bytes);
/* Gives nothing any more, and gives back what is booked and was not carried. */
void cap_stop(struct cap *c);

struct cap_status {
	uint64_t bytes;          /* MonthlyCap */
	uint64_t carried;        /* in this month, or lost to a kill; what workers hold included */
	uint64_t reserve;        /* of the rest, what may be carried at once */
	uint64_t rate;           /* bytes a second that use up the rest by the month's end */
	uint64_t begin_s, end_s; /* of the month */
	bool waiting;            /* the ledger does not book: only what is booked is carried */
};
void cap_status(const struct cap *c, struct cap_status *out);

#endif
