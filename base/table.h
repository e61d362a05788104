/*
 * A fixed-capacity hash table from fixed-length keys to 32-bit slots: open addressing, linear
 * probing, SipHash with a key drawn at creation, deletion by backward shift (no tombstones).
 * Allocates only in table_create. One thread at a time.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/base.h"

#define TABLE_NONE UINT32_MAX

struct table;

/* Room for capacity entries of key_len (1..64) byte keys. NULL if memory or entropy is not to be
 * had. */
struct table *table_create(size_t capacity, size_t key_len);
void table_destroy(struct table *t);

/* The value stored under key, or TABLE_NONE. */
uint32_t table_find(const struct table *t, const void *key);

/* Sets key to value (not TABLE_NONE), new or not. False if the table holds its capacity already. */
MUST_CHECK bool table_put(struct table *t, const void *key, uint32_t value);

/* Forgets key; false if it was not there. */
bool table_remove(struct table *t, const void *key);

size_t table_count(const struct table *t);

#endif
