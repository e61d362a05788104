/*
 * Settlement batches: one epoch of a node as a file that anybody can check (docs/accounting.md,
 * "Settlement batches"; layouts in proto/messages.h). The same records give the same bytes, always:
 * a file can be thrown away and written again. No database, no clock, no allocation per record.
 */
#ifndef ACCOUNTING_BATCH_H
#define ACCOUNTING_BATCH_H

#include "proto/merkle.h"
#include "proto/receipt.h"

/* What the head says before any record is written. */
struct batch_head_values {
	uint64_t network;
	uint8_t node[KEY_LEN];
	uint64_t epoch, hour;           /* epoch from 1; hours since 1970 */
	uint64_t previous_size;         /* 0 in the first epoch ... */
	uint8_t previous_root[KEY_LEN]; /* ... then SHA-256 of nothing (merkle_root) */
	uint32_t terms, sessions, receipts, accounts; /* how many of each will come */
};

/* A batch being written. One thread at a time. */
struct batch;

/*
 * Begins a file of batch_length() bytes. peaks: those of the tree so far, largest first, as many as
 * previous_size has bits set (NULL if none). Writes with pwrite(2) to fd, which stays the caller's,
 * in pieces of up to 1 MiB; the head comes last, so an unfinished file has none. -EINVAL if the
 * peaks do not hash to previous_root, epoch or node are 0; -ERANGE if the tree's size overflows;
 * -ENOMEM.
 */
MUST_CHECK int batch_begin(struct batch **out, const struct batch_head_values *v,
			   const uint8_t (*peaks)[KEY_LEN], int fd);
/* The same into memory: bytes is the caller's, of batch_length() bytes. */
MUST_CHECK int batch_begin_memory(struct batch **out, const struct batch_head_values *v,
				  const uint8_t (*peaks)[KEY_LEN], uint8_t *bytes);
/* How many bytes the finished file has. */
uint64_t batch_length(const struct batch_head_values *v);

/*
 * The records, kind after kind as they stand here, as many of each as announced: terms by their
 * hash, sessions by id, receipts by session id and then seq, accounts by key; ascending, none
 * twice, ids and keys compared as bytes. -EINVAL for one out of its order or number, of another
 * node or network, or malformed (signatures and sums are not looked at: whoever stored them has);
 * -ERANGE if the accounts' totals overflow; -errno of the write. The first error is the answer to
 * all further calls.
 */
MUST_CHECK int batch_terms(struct batch *b, const struct terms *t);
MUST_CHECK int batch_session(struct batch *b, const struct batch_session *s);
MUST_CHECK int batch_receipt(struct batch *b, const struct receipt *r);
MUST_CHECK int batch_account(struct batch *b, const struct batch_account *a);
/*
 * Writes what is left and the head, signed by the node's identity; *out is that head. -EINVAL if
 * records are missing, by is not the node, or the accounts do not sum to as much earned as spent.
 * Does not fsync.
 */
MUST_CHECK int batch_finish(struct batch *b, const struct identity *by, struct batch_head *out);
/* The tree with this epoch's records in it, after batch_finish: the next one's peaks come from
 * merkle_peaks(). */
const struct merkle *batch_tree(const struct batch *b);
/* Frees the writer, finished or not; NULL is fine. */
void batch_free(struct batch *b);

/* floor(paid * ppm / 10^6): the fee of a cumulative sum. An epoch's is the difference of two. */
uint64_t batch_fee(uint64_t paid, uint32_t ppm);
/* A session's or an account's record. fee_account may be NULL if fee_ppm is 0. */
struct batch_session_values {
	const uint8_t *session; /* SESSION_ID_LEN bytes */
	uint64_t seq, paid, before;
	uint32_t fee_ppm;
	const uint8_t *fee_account;
};
void batch_session_make(struct batch_session *out, const struct batch_session_values *v);
void batch_account_make(struct batch_account *out, const uint8_t key[static KEY_LEN],
			uint64_t earned, uint64_t spent);

#endif
