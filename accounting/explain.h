/*
 * What one session's credits are derived from, out of either side's books: its terms and newest
 * receipt, and in a provider's every booking. Reads only, by index: the size of the books does not
 * matter.
 */
#ifndef ACCOUNTING_EXPLAIN_H
#define ACCOUNTING_EXPLAIN_H

#include "accounting/db.h"
#include "accounting/query.h"

/* QUERY_EXPLAIN in a provider's books; -ENOENT: no such session. */
MUST_CHECK int explain_session(struct db *db, const struct query *q, struct query_rows *rows);
/* The same in a client's. */
MUST_CHECK int explain_wallet(struct db *db, const struct query *q, struct query_rows *rows);
/* QUERY_BOOKINGS: the legs of a session's holds, postings and releases, as they were made. The
 * cursor is how many legs came before. */
MUST_CHECK int explain_bookings(struct db *db, const struct query *q, struct query_rows *rows);

#endif
