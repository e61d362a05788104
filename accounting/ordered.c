#include "accounting/ordered.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
	BUCKETS = 1 << 16, /* by the first two bytes of the key */
	BLOCK = 1 << 10,   /* records allocated together */
};

struct node {
	struct node *next; /* in order, within the bucket */
	_Alignas(8) uint8_t record[];
};

struct ordered {
	size_t size, key, stride, count;
	uint8_t *block; /* the one being filled; begins with the address of the one before */
	struct node *bucket[BUCKETS];
};

struct ordered *ordered_create(size_t size, size_t key)
{
	struct ordered *o = xcalloc(1, sizeof(*o));

	o->size = size;
	o->key = key;
	o->stride = (sizeof(struct node) + size + 7) & ~(size_t)7;
	return o;
}

void ordered_free(struct ordered *o)
{
	while (o && o->block) {
		uint8_t *before;

		memcpy(&before, o->block, sizeof(before));
		free(o->block);
		o->block = before;
	}
	free(o);
}

static unsigned bucket_of(const uint8_t *key)
{
	return (unsigned)key[0] << 8 | key[1];
}

static struct node *node_new(struct ordered *o)
{
	size_t i = o->count++ % BLOCK;

	if (i == 0) {
		uint8_t *block = xcalloc(1, 8 + BLOCK * o->stride);

		memcpy(block, &o->block, sizeof(o->block));
		o->block = block;
	}
	return (struct node *)(o->block + 8 + i * o->stride);
}

void *ordered_put(struct ordered *o, const void *key)
{
	struct node **at = &o->bucket[bucket_of(key)], *n;
	int order = 1;

	while (*at && (order = memcmp((*at)->record, key, o->key)) < 0)
		at = &(*at)->next;
	if (*at && order == 0)
		return (*at)->record;
	n = node_new(o);
	memcpy(n->record, key, o->key);
	n->next = *at;
	*at = n;
	return n->record;
}

size_t ordered_count(const struct ordered *o)
{
	return o->count;
}

const void *ordered_after(const struct ordered *o, const void *key)
{
	unsigned i = key ? bucket_of(key) : 0;
	const struct node *n = o->bucket[i];

	while (key && n && memcmp(n->record, key, o->key) <= 0)
		n = n->next;
	while (!n && ++i < BUCKETS)
		n = o->bucket[i];
	return n ? n->record : NULL;
}
