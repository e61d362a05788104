/*
 * Settlement epochs (docs/accounting.md): which receipts belong to which batch, and everything that
 * is done about them between requests: closing an epoch, writing its file, finishing what a crash
 * left, pruning what is older than the books shall keep. A part of the store; one thread.
 */
#ifndef ACCOUNTING_EPOCHS_H
#define ACCOUNTING_EPOCHS_H

#include "accounting/store.h"

struct epochs;

/* Looks for unfinished work. directory: where the batches go; made when first needed. */
MUST_CHECK int epochs_open(struct epochs **out, struct store *s, const char *directory,
			   uint64_t retention_days);
void epochs_close(struct epochs *e); /* NULL is fine */

/* Rows of epochs, and what is being done about them. Works without epochs being open, too. */
MUST_CHECK int epochs_query(struct store *s, const struct query *q, struct query_rows *rows);

/* Milliseconds until epochs_work has something to do; UINT64_MAX: nothing. */
uint64_t epochs_idle_ms(const struct epochs *e);
/* One slice, of some ten milliseconds. Not within a transaction. */
void epochs_work(struct epochs *e, uint64_t now_s);

#endif
