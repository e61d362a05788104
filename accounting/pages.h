/* Pages of rows out of either side's books: sessions, receipts and terms look alike in both. */
#ifndef ACCOUNTING_PAGES_H
#define ACCOUNTING_PAGES_H

#include "accounting/db.h"
#include "accounting/query.h"

/* Sessions, receipts and terms; -EINVAL for other kinds. Reads only. */
MUST_CHECK int pages_query(struct db *db, const struct query *q, struct query_rows *rows);

/*
 * The loop they all share: s yields rows whose first column is the cursor, read fills rows entry i
 * from the rest (false: the row is malformed). rows->kind is set; the statement must ask for one
 * more row than a page of that kind holds.
 */
MUST_CHECK int pages_fill(struct db_stmt *s, struct query_rows *rows,
			  bool (*read)(struct db_stmt *s, struct query_rows *rows, size_t i));

#endif
