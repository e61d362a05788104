/* Rows that the provider's and the client's books have alike: written and read in one place. The
 * caller's transaction, the caller's thread; session is a row's id, not its key. */
#ifndef ACCOUNTING_BOTH_ROWS_H
#define ACCOUNTING_BOTH_ROWS_H

#include "accounting/db.h"
#include "proto/evidence.h"
#include "proto/terms.h"

/* Receipts name terms by their hash: these are kept. Again: nothing changes. */
MUST_CHECK int both_terms_add(struct db *db, const struct terms *t);
/* Under its own number. -EEXIST: that number is there already. */
MUST_CHECK int both_receipt_add(struct db *db, uint64_t session, const struct receipt *r);
/* -ENOENT: none with this number; -EIO: the file is damaged. */
MUST_CHECK int both_receipt(struct db *db, uint64_t session, uint64_t seq, struct receipt *out);
/* hour: since 1970. Counts beyond 63 bits, which are somebody's word, are kept as the highest. */
MUST_CHECK int both_evidence_add(struct db *db, uint64_t session, const struct evidence *e,
				 uint64_t hour);

#endif
