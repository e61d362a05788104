/*
 * A fixed-capacity hash table from fixed-length keys to 32-bit slots: open addressing, linear
 * probing, SipHash with a key drawn at creation, deletion by backward shift (no tombstones). An
 * entry is one cell that lies within one cache line (keys above 56 bytes: two), so a lookup waits
 * for memory once; a table over its owner's keys waits for the key as well, which the owner is
 * about to read anyway. Allocates only when created, and touches no cell before its first use. One
 * thread at a time.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/base.h"

#define TABLE_NONE UINT32_MAX

struct table;

/* Room for capacity entries of key_len (1..64) byte keys, which are copied into the cells. NULL if
 * memory or entropy is not to be had. */
struct table *table_create(size_t capacity, size_t key_len);
/*
 * The same in 8 bytes a cell, for keys that their owner keeps: the key of the entry with value v is
 * the key_len bytes at keys + v * stride, unchanged from before its table_put until after its
 * table_remove. A value is under one key at a time.
 */
struct table *table_create_over(size_t capacity, size_t key_len, const void *keys, size_t stride);
void table_destroy(struct table *t);

/* The value stored under key, or TABLE_NONE. */
uint32_t table_find(const struct table *t, const void *key);

/*
 * table_find in steps, so that memory for several keys can be on its way at once: the hash, never
 * 0; its cell asked for; what is probably the value, to ask for what stands there (any value or
 * TABLE_NONE: the key is not compared); and the find.
 */
uint32_t table_hash(const struct table *t, const void *key);
void table_prefetch(const struct table *t, uint32_t hash);
uint32_t table_peek(const struct table *t, uint32_t hash);
uint32_t table_find_hashed(const struct table *t, const void *key, uint32_t hash);

/* Sets key to value (not TABLE_NONE), new or not. False if the table holds its capacity already. */
MUST_CHECK bool table_put(struct table *t, const void *key, uint32_t value);

/* Forgets key; false if it was not there. */
bool table_remove(struct table *t, const void *key);

size_t table_count(const struct table *t);

#endif
