/*
 * Books to settle: sessions with receipts that look real and are not signed (signatures are checked
 * when receipts come in, and take a hundred times as long as all that is tested here).
 */
#ifndef TESTS_LIB_SETTLING_H
#define TESTS_LIB_SETTLING_H

#include "accounting/rows.h"

struct settling_plan {
	uint64_t sessions, receipts; /* so many of these in each of those */
	uint64_t from;               /* the number of each one's first receipt here */
	bool mixed;                  /* they come in turns, as they do in life */
};

/* A store over dir/ledger.db with batches in dir/settlement (dir outlives it), relay terms in it.
 */
struct store *settling_open(const char *dir, const struct identity *by, uint64_t retention_days);
/* Adds what the plan says; sessions that are there go on. Every third pays a fee. */
void settling_fill(struct store *s, const struct settling_plan *plan);
/* Closes an epoch, and works until nothing is left to do: its number, 0 if nothing was new. */
uint64_t settling_settle(struct store *s);
/* Works until there is nothing to do now; the longest slice in ms. */
uint64_t settling_work(struct store *s);
/* "DIR/settlement/epoch-NNNNNN.batch" */
const char *settling_path(const char *dir, uint64_t epoch);

#endif
