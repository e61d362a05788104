#include "base/ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/lines.h"

struct ring {
	_Alignas(LINE_BYTES) _Atomic size_t head; /* next to pop; written by the consumer */
	_Alignas(LINE_BYTES) _Atomic size_t tail; /* next to push; written by the producer */
	_Alignas(LINE_BYTES) size_t mask;
	size_t slot_size;
	int fd;
	uint8_t *slots;
};

struct ring *ring_create(size_t slots, size_t slot_size)
{
	struct ring *r = lines_alloc(1, sizeof(*r));
	size_t n = 2;

	if (!r)
		return NULL;
	while (n < slots)
		n *= 2;
	r->mask = n - 1;
	r->slot_size = slot_size;
	r->slots = calloc(n, slot_size);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!r->slots || r->fd < 0) {
		ring_destroy(r);
		return NULL;
	}
	return r;
}

void ring_destroy(struct ring *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r->slots);
	lines_free(r);
}

bool ring_push(struct ring *r, const void *msg, size_t size)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	size_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	if (size > r->slot_size || tail - head > r->mask)
		return false;
	memcpy(r->slots + (tail & r->mask) * r->slot_size, msg, size);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

void ring_wake(struct ring *r)
{
	uint64_t one = 1;
	ssize_t n = write(r->fd, &one, sizeof(one));

	(void)n; /* EAGAIN: the counter is full, so the consumer is awake already */
}

bool ring_pop(struct ring *r, void *msg)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
		return false;
	memcpy(msg, r->slots + (head & r->mask) * r->slot_size, r->slot_size);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

const void *ring_peek(const struct ring *r)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
		return NULL;
	return r->slots + (head & r->mask) * r->slot_size;
}

void ring_drop(struct ring *r)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

int ring_fd(const struct ring *r)
{
	return r->fd;
}

void ring_clear(struct ring *r)
{
	uint64_t count;
	ssize_t n = read(r->fd, &count, sizeof(count));

	(void)n; /* EAGAIN: nobody woke us since */
}
