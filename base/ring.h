/*
 * A bounded queue of fixed-size messages between exactly one producer thread and one consumer
 * thread, with an eventfd to wake the consumer's loop. No lock, no allocation after creation.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/base.h"

struct ring;

/* slots is rounded up to a power of two. NULL if memory or a descriptor is not to be had. */
struct ring *ring_create(size_t slots, size_t slot_size);
void ring_destroy(struct ring *r);

/* Producer: copies size (<= slot_size) bytes in; false if full. Does not wake: see ring_wake. */
MUST_CHECK bool ring_push(struct ring *r, const void *msg, size_t size);

/* Producer: wakes the consumer; call once per batch of pushes. */
void ring_wake(struct ring *r);

/* Consumer: copies the oldest message out (slot_size bytes); false if empty. */
MUST_CHECK bool ring_pop(struct ring *r, void *msg);

/* Consumer: the oldest message where it stands, of which as many bytes are true as were pushed;
 * NULL if empty. It stays until ring_drop. */
const void *ring_peek(const struct ring *r);
void ring_drop(struct ring *r);

/* Consumer: the eventfd to poll for reading, and its clearing before a drain. */
int ring_fd(const struct ring *r);
void ring_clear(struct ring *r);

#endif
