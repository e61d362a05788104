/*
 * One epoch's batch, written out of the rows of the books a slice at a time: nothing else goes into
 * it, so the same rows always give the same file. Under its name there is only ever a whole batch:
 * it is written beside it, made durable, entered in the epoch's row, and then renamed. Must not be
 * called within a transaction. One thread: the ledger process.
 */
#ifndef ACCOUNTING_EPOCH_FILE_H
#define ACCOUNTING_EPOCH_FILE_H

#include "accounting/store.h"

#define EPOCH_FILE_NAME "epoch-%06" PRIu64 ".batch"

struct epoch_file;

/* Of a closed epoch. directory must outlive it. */
struct epoch_file *epoch_file_begin(struct store *s, const char *directory, uint64_t epoch);
/*
 * A slice's work. 1: there is more, 0: the file is there; or -errno, and what was written is taken
 * back: -ENOSPC no room for it (and STORE_RESERVE besides), -ENODATA receipts of it are not in the
 * books any more, -EBADMSG the rows give another batch than the one that was signed.
 */
MUST_CHECK int epoch_file_slice(struct epoch_file *f);
/* How many receipts are missing, once that is known. */
uint64_t epoch_file_missing(const struct epoch_file *f);
/* Finished or not: of an unfinished one nothing stays. NULL is fine. */
void epoch_file_free(struct epoch_file *f);

/* Takes back what an earlier process left unfinished in directory. */
void epoch_file_sweep(const char *directory);
/* Whether there is something under the epoch's name. */
MUST_CHECK bool epoch_file_there(const char *directory, uint64_t epoch);

#endif
