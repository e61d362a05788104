/*
 * The chain of settlement batches that tests/vectors/make_batch.py describes, made again in C; and
 * batches that are wrong in one way, with tree and head put right again, so that only the check
 * meant can refuse them.
 */
#ifndef TESTS_LIB_BATCHES_H
#define TESTS_LIB_BATCHES_H

#include "accounting/batch_build.h"

enum {
	EPOCHS = 3,
	PAYERS = 3,     /* A, B, and the node itself */
	FILE_ROOM = 16, /* records of a kind a forged batch can hold */
	FILE_MAX = 20000,
};

/* Session 0: relay, payer A; 1: exit, payer B; 2: relay, payer is the node. */
extern struct identity batch_node, batch_payer[PAYERS], batch_fee_account;
extern struct terms batch_world_terms[2]; /* relay's and exit's */
extern uint8_t batch_session_id[3][SESSION_ID_LEN];

/* Makes all of it: once, before anything else here. */
void batches_make(void);
/* A receipt of a session, numbers from 1 (the sessions have 3, 4 and 2); as in the vectors. */
const struct receipt *batch_world_receipt(unsigned session, unsigned seq);

struct made_batch {
	uint8_t *bytes;
	size_t len;
};
/* Epoch n (from 1) of the chain. */
const struct made_batch *batch_world_file(unsigned n);
/* What batch_build made it of; arrays may be edited in a copy. */
const struct batch_input *batch_world_input(unsigned n);

/* A batch taken apart. */
struct forged {
	struct batch_head head;
	uint32_t terms_count, session_count, receipt_count, account_count;
	struct terms terms[FILE_ROOM];
	struct batch_session sessions[FILE_ROOM];
	struct receipt receipts[FILE_ROOM];
	struct batch_account accounts[FILE_ROOM];
	uint8_t peaks[MERKLE_LEVELS][KEY_LEN];
	uint8_t bytes[FILE_MAX]; /* put together again */
	size_t len;
};
void forge_begin(struct forged *f, const struct made_batch *from);
/* Counts, size and root as the records and peaks now are, and the signature over the head by `by`
 * (NULL: left as it is); then the bytes. Sums are left alone. */
void forge_end(struct forged *f, const struct identity *by);
/* A receipt of this body, signed by both. */
void forge_sign(struct receipt *r, const struct identity *provider, const struct identity *payer);

#endif
