/* Proofs out of settlement batches: that a record is in the log a node signed, and that one signed
 * log goes on from another. */
#ifndef ACCOUNTING_BATCH_PROOF_H
#define ACCOUNTING_BATCH_PROOF_H

#include "accounting/batch_file.h"

/* Which record: that of an account, or a receipt. */
struct batch_query {
	enum batch_kind kind; /* BATCH_ACCOUNTS or BATCH_RECEIPTS */
	uint8_t account[KEY_LEN];
	uint8_t session[SESSION_ID_LEN];
	uint64_t seq;
};

struct batch_inclusion {
	struct batch_head head;
	uint8_t leaf[sizeof(struct receipt)]; /* the record, ... */
	size_t leaf_len;                      /* ... this long */
	uint64_t index;                       /* its place in the tree, from 0 */
	uint8_t path[MERKLE_PROOF_MAX][KEY_LEN];
	size_t path_len;
};

struct batch_extension {
	struct batch_head old, new;
	uint8_t path[MERKLE_PROOF_MAX][KEY_LEN];
	size_t path_len;
};

/*
 * From a batch's file (a seekable stream, which stays the caller's), whose head must be signed and
 * whose records must make its root; the rest of it is not judged. 0; -ENOENT if it has no such
 * record; -EBADMSG (see f), or -errno.
 */
MUST_CHECK int batch_prove_inclusion(struct batch_inclusion *out, FILE *in,
				     const struct batch_query *q, struct batch_fault *f);
/* From the file of the epoch right after old's, that its log goes on from old's. -ENOENT if the
 * file is not of that epoch, or old's log is empty: nothing needs a proof to follow nothing. */
MUST_CHECK int batch_prove_extension(struct batch_extension *out, FILE *in,
				     const struct batch_head *old, struct batch_fault *f);

/* NULL if the proof holds: head signed, the leaf a record that stands in its tree. Otherwise a
 * sentence. Receipts must also bear both signatures; their amount needs their terms to be judged.
 */
const char *batch_inclusion_check(const struct batch_inclusion *p);
/* Both heads signed by one node of one network, the new tree beginning with the old one. */
const char *batch_extension_check(const struct batch_extension *p);

#endif
