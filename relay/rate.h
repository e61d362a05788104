/*
 * How much may leave the relay, exactly to the byte: one token bucket for all workers, and what is
 * left of an allowance (the month's). One cache line, no lock; touched once a chunk of bytes and
 * not once a packet. Knows no clock: the caller says what time it is.
 */
#ifndef RELAY_RATE_H
#define RELAY_RATE_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/base.h"

#define RATE_UNLIMITED 0u
#define RATE_MAX       12500000000ull /* bytes/s: 100 Gbit/s, for years before a number wraps */
#define RATE_NOT_YET   UINT64_MAX
#define RATE_SECOND    1000000000ull /* in nanoseconds */

/* What bytes_per_s (<= RATE_MAX) is in so many nanoseconds, rounded down. */
static inline uint64_t rate_earned(uint64_t bytes_per_s, uint64_t ns)
{
	/* Neither product can overflow. */
	return ns / RATE_SECOND * bytes_per_s + ns % RATE_SECOND * bytes_per_s / RATE_SECOND;
}
/* How many nanoseconds it takes to earn so many bytes, rounded up. Not of RATE_UNLIMITED. */
static inline uint64_t rate_time(uint64_t bytes_per_s, uint64_t bytes)
{
	return bytes / bytes_per_s * RATE_SECOND +
	       (bytes % bytes_per_s * RATE_SECOND + bytes_per_s - 1) / bytes_per_s;
}

struct rate_terms {
	_Atomic uint64_t bytes_per_s; /* RATE_UNLIMITED: no bucket */
	_Atomic uint64_t burst;
	_Atomic uint64_t since_ns; /* when these terms began to hold */
};

struct rate {
	/* Which terms hold, and how many bytes were granted under them: see rate.c. */
	alignas(64) _Atomic uint64_t state;
	/* Bytes that may be granted before more are allowed; the highest bit: any number. */
	_Atomic uint64_t allowance;
	struct rate_terms terms[2]; /* those that hold, and those before or after them */
};

/* A full bucket of these terms, and no allowance that would bound it. bytes_per_s <= RATE_MAX. */
void rate_init(struct rate *r, uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns);

/*
 * Other terms from now on; what the bucket held it keeps, up to the new burst. One thread (the main
 * thread) sets terms and allowance, while any number of others take.
 */
void rate_set(struct rate *r, uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns);

/*
 * Grants 0 bytes, or at_least..at_most. Over any interval what is granted is <= burst + rate *
 * time, whoever takes; and whoever keeps taking gets rate * time to the byte, with no drift.
 * at_least must be < burst. Clocks of several threads need not agree: an earlier time is worth
 * fewer bytes. Any thread.
 */
MUST_CHECK uint64_t rate_take(struct rate *r, uint64_t now_ns, uint64_t at_least, uint64_t at_most);

/* What the bucket holds now, whatever is allowed. Any thread. */
uint64_t rate_holds(const struct rate *r, uint64_t now_ns);

/* When at_least may be there if nobody else takes: now_ns at the earliest, RATE_NOT_YET if only
 * more allowance helps, of which nobody is told. Any thread. */
uint64_t rate_next(const struct rate *r, uint64_t now_ns, uint64_t at_least);

/* From now on nothing but what rate_allow adds is granted; or, from then on, anything again. */
void rate_bound(struct rate *r);
void rate_unbound(struct rate *r);
/* Adds to the allowance of a bound rate; at most 2^62 bytes stand in it. */
void rate_allow(struct rate *r, uint64_t bytes);
/* Takes back all that was allowed and not granted, and says how much it was; 0 if unbound. */
uint64_t rate_withdraw(struct rate *r);
/* What is left of it; UINT64_MAX: unbound. Any thread. */
uint64_t rate_left(const struct rate *r);

#endif
