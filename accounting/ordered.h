/*
 * Records of one size, ordered by the bytes they begin with: put in any order and read in order, a
 * few at a time either way, since there is never a moment at which all of them are sorted. Made for
 * keys that look random (public keys, hashes, session ids). Memory is all it takes; running out of
 * it is fatal. One thread.
 */
#ifndef ACCOUNTING_ORDERED_H
#define ACCOUNTING_ORDERED_H

#include "base/base.h"

struct ordered;

/* size bytes a record, of which the first key (at least 2) are what it is ordered by. */
struct ordered *ordered_create(size_t size, size_t key);
void ordered_free(struct ordered *o); /* NULL is fine */

/* The record that begins with key; made if there is none, with zeros behind its key. Stays where it
 * is for as long as the whole. */
void *ordered_put(struct ordered *o, const void *key);
size_t ordered_count(const struct ordered *o);

/* The first record after key in order, whether key itself is there or not; NULL key: the very
 * first. NULL: that was all. */
const void *ordered_after(const struct ordered *o, const void *key);

#endif
