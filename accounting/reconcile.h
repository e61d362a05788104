/*
 * Counts of the same bytes by different counters, side by side, with every byte of difference on a
 * named line: what a count and the lines below it sum to is the next count. Pure.
 */
#ifndef ACCOUNTING_RECONCILE_H
#define ACCOUNTING_RECONCILE_H

#include "accounting/query.h"

enum {
	RECONCILE_ROWS = 48,
};

struct reconcile_row {
	const char *name; /* docs/api.md says what each means; static storage */
	bool count;       /* a counter's bytes; else a line: what the next count has more */
	int64_t up, down;
};

struct reconcile {
	struct reconcile_row row[RECONCILE_ROWS];
	size_t rows;
};

/* The next count, after its lines. */
void reconcile_count(struct reconcile *r, const char *name, uint64_t up, uint64_t down);
/* A line; left out if both are 0. */
void reconcile_line(struct reconcile *r, const char *name, int64_t up, int64_t down);
/* True if every count is the one before it plus the lines between. */
MUST_CHECK bool reconcile_adds_up(const struct reconcile *r);

/* A client's session as its three counters see it. */
struct reconcile_side {
	uint64_t counted_up, counted_down; /* our device, until now or the end */
	uint64_t seen_up, seen_down;       /* and when the newest receipt was signed */
	uint64_t claimed_up, claimed_down; /* the provider, signed or not */
	uint64_t signed_up, signed_down;
};

/* Of a session's books, claims as far as the books have them. */
void reconcile_side(struct reconcile_side *out, const struct query_explain *x);

/* From our device to the relay to the exit. Either may be NULL, if it is not known. */
void reconcile_client(struct reconcile *out, const struct reconcile_side *relay,
		      const struct reconcile_side *exit);

/* From what a node carried to what was signed; x: its books. carried: live counters, NULL once the
 * session ended. out has the counts and lines before that. */
struct reconcile_carried {
	uint64_t up, down;
};
void reconcile_books(struct reconcile *out, const struct query_explain *x,
		     const struct reconcile_carried *carried);

#endif
