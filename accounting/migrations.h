/*
 * The shape of a database and how it came to be: append-only SQL steps, counted by user_version.
 * A step that was released is never changed; a database of another program, of a newer Culvert, or
 * with anything in its schema that these steps did not make is refused.
 */
#ifndef ACCOUNTING_MIGRATIONS_H
#define ACCOUNTING_MIGRATIONS_H

#include "accounting/db.h"

struct schema {
	const char *what;        /* "a node's ledger", for messages */
	uint32_t application_id; /* SQLite's header field: whose file this is */
	const char *const *steps;
	size_t count;
};

extern const struct schema schema_ledger; /* the provider's books */
extern const struct schema schema_wallet; /* the client's */

/*
 * db_open, then checks whose database it is, makes it durable, checks its pages, brings it up to
 * date in one transaction, and compares the schema. Read-only: -EAGAIN if it needs bringing up to
 * date. 0 or -errno, said by log_warn.
 */
MUST_CHECK int schema_open(struct db **out, const char *path, unsigned flags,
			   const struct schema *schema);

#endif
