/*
 * What the books need not keep for ever: receipts that were settled so many days ago, but for each
 * session's newest, which the next one continues. Pruned a slice at a time. One thread: the ledger
 * process, outside any transaction.
 */
#ifndef ACCOUNTING_RETENTION_H
#define ACCOUNTING_RETENTION_H

#include "accounting/store.h"

struct retention;

struct retention *retention_create(struct store *s, uint64_t days); /* 0: keeps all */
void retention_free(struct retention *r);                           /* NULL is fine */

/* Milliseconds until retention_work has something to do; UINT64_MAX: nothing, ever. */
uint64_t retention_idle_ms(const struct retention *r);
/* One slice; trouble is said, and it is tried again later. */
void retention_work(struct retention *r, uint64_t now_s);

#endif
