/*
 * Settlement batches checked by anybody: form, every signature, order, sums, fees, the tree, and
 * that each file goes on where the one before it ended. No daemon, no database, no network. What is
 * checked in which order is in docs/accounting.md. Memory: less than five times the length of a
 * file, and the sessions of those before.
 */
#ifndef ACCOUNTING_BATCH_VERIFY_H
#define ACCOUNTING_BATCH_VERIFY_H

#include "accounting/batch_file.h"

struct batch_rules {
	const uint8_t *node;     /* KEY_LEN bytes; NULL: whichever the first file is of */
	const uint64_t *network; /* NULL: whichever the first file is of */
	bool lost; /* epochs may be missing between two files: totals must then not be lower */
};

/* Files of one node, in the order of their epochs. */
struct batch_chain;
/* NULL if there is no memory. The rules and what they point to must outlive the chain. */
struct batch_chain *batch_chain_create(const struct batch_rules *rules);
void batch_chain_free(struct batch_chain *c);

/*
 * Checks the next file (a seekable stream, which stays the caller's). 0 if all holds and *head is
 * its head; -EBADMSG if not, f says why, and nothing can follow; -ENOMEM, -EIO or -errno of the
 * stream.
 */
MUST_CHECK int batch_chain_next(struct batch_chain *c, FILE *in, struct batch_head *head,
				struct batch_fault *f);

#endif
