/*
 * What a ledger said, out of the messages in a trace: each answer is a promise that must be in its
 * books whatever happened to it afterwards.
 */
#ifndef TESTS_FAULT_FACTS_H
#define TESTS_FAULT_FACTS_H

#include "accounting/store.h"
#include "tests/fault/fault.h"

enum fact_kind {
	FACT_SHOWN,   /* an offer: its number may never get another body */
	FACT_SIGNED,  /* a co-signature acknowledged */
	FACT_GRANTED, /* credit promised */
	FACT_CLOSED,  /* what a session carried in the end */
	FACT_SETTLED, /* an epoch closed */
	FACT_BOOKED,  /* what a month (seq) may carry, so far (up) */
	FACT_READY,   /* the descriptor is where it was announced */
};

struct fact {
	enum fact_kind kind;
	size_t record; /* where in the trace */
	uint8_t session[SESSION_ID_LEN];
	uint64_t seq, up, down;
	uint8_t signature[SIGNATURE_LEN];
	uint8_t key[NONCE_LEN];
	struct receipt_offer offer;
};

struct facts {
	struct fact *fact;
	size_t count;
};

/* The next message of a trace, in order. */
void facts_message(struct facts *f, size_t index, const struct trace_record *r, const void *data);
void facts_free(struct facts *f);

/* How many of the first count facts the books do not know; the first is said on stderr. */
size_t facts_missing(struct store *s, const struct facts *f, size_t count);
/* 0 if the pages are whole, everything sums up, and debts can still be signed. Said on stderr. */
int facts_check_books(struct store *s);

/* Does what a crash left of settlement, then checks every batch in directory: one for each epoch
 * that the books have, whole, in one chain. 0, or -errno, said on stderr. */
int facts_check_batches(struct store *s, const char *directory);
/* The descriptor is whole if it is there, and it is there once it was announced. */
bool facts_descriptor(const struct facts *f, size_t until, const char *path);

#endif
