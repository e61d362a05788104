#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/lines.h"
#include "base/siphash.h"

/* All zero: empty. */
struct cell {
	uint32_t hash;  /* never 0 in use */
	uint32_t value; /* whose key is behind it, or where the owner keeps it */
};

struct table {
	struct siphash_key hash_key;
	size_t cells; /* at most three in four used */
	size_t cell_size;
	size_t key_len;
	const uint8_t *keys; /* the owner's; NULL: they are in the cells */
	size_t stride;
	uint8_t *first; /* at the start of a cache line */
	size_t capacity;
	size_t count;
};

/* A power of two up to a line, or whole lines: no cell of a line or less straddles two. */
static size_t cell_size(size_t key_len)
{
	size_t size = sizeof(struct cell);

	while (size < sizeof(struct cell) + key_len)
		size *= 2;
	return size;
}

static struct table *create(size_t capacity, size_t size)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->capacity = capacity;
	t->cell_size = size;
	t->cells = capacity + capacity / 3 + 2;
	/* From fresh pages if it is large: what is not touched costs nothing. */
	t->first = lines_alloc(t->cells, size);
	if (!t->first ||
	    getrandom(&t->hash_key, sizeof(t->hash_key), 0) != (ssize_t)sizeof(t->hash_key)) {
		table_destroy(t);
		return NULL;
	}
	return t;
}

struct table *table_create(size_t capacity, size_t key_len)
{
	struct table *t = create(capacity, cell_size(key_len));

	if (t)
		t->key_len = key_len;
	return t;
}

struct table *table_create_over(size_t capacity, size_t key_len, const void *keys, size_t stride)
{
	struct table *t = create(capacity, sizeof(struct cell));

	if (!t)
		return NULL;
	t->key_len = key_len;
	t->keys = keys;
	t->stride = stride;
	return t;
}

void table_destroy(struct table *t)
{
	if (!t)
		return;
	lines_free(t->first);
	free(t);
}

static struct cell *cell_at(const struct table *t, size_t i)
{
	return (struct cell *)(t->first + i * t->cell_size);
}

static const void *key_of(const struct table *t, const struct cell *c)
{
	return t->keys ? t->keys + c->value * t->stride : (const uint8_t *)(c + 1);
}

/* Where an entry goes if nothing is in its way; hashes are spread evenly over the cells. */
static size_t home(const struct table *t, uint32_t hash)
{
	return (size_t)((uint64_t)hash * t->cells >> 32);
}

static size_t after(const struct table *t, size_t i)
{
	return i + 1 == t->cells ? 0 : i + 1;
}

/* How far i lies behind from, going round. */
static size_t behind(const struct table *t, size_t i, size_t from)
{
	return i >= from ? i - from : i + t->cells - from;
}

uint32_t table_hash(const struct table *t, const void *key)
{
	uint32_t hash = (uint32_t)siphash(&t->hash_key, key, t->key_len);

	return hash ? hash : 1;
}

void table_prefetch(const struct table *t, uint32_t hash)
{
	__builtin_prefetch(cell_at(t, home(t, hash)));
}

uint32_t table_peek(const struct table *t, uint32_t hash)
{
	const struct cell *c;

	for (size_t i = home(t, hash); (c = cell_at(t, i))->hash; i = after(t, i))
		if (c->hash == hash)
			return c->value;
	return TABLE_NONE;
}

/* The cell that holds key, or the empty one where it would go. */
static size_t probe(const struct table *t, const void *key, uint32_t hash)
{
	const struct cell *c;
	size_t i = home(t, hash);

	for (; (c = cell_at(t, i))->hash; i = after(t, i))
		if (c->hash == hash && memcmp(key_of(t, c), key, t->key_len) == 0)
			break;
	return i;
}

uint32_t table_find_hashed(const struct table *t, const void *key, uint32_t hash)
{
	const struct cell *c = cell_at(t, probe(t, key, hash));

	return c->hash ? c->value : TABLE_NONE;
}

uint32_t table_find(const struct table *t, const void *key)
{
	return table_find_hashed(t, key, table_hash(t, key));
}

bool table_put(struct table *t, const void *key, uint32_t value)
{
	uint32_t hash = table_hash(t, key);
	struct cell *c = cell_at(t, probe(t, key, hash));

	if (!c->hash) {
		if (t->count == t->capacity)
			return false;
		t->count++;
		c->hash = hash;
		if (!t->keys)
			memcpy(c + 1, key, t->key_len);
	}
	c->value = value;
	return true;
}

bool table_remove(struct table *t, const void *key)
{
	size_t hole = probe(t, key, table_hash(t, key)), i = hole;
	const struct cell *c;

	if (!cell_at(t, hole)->hash)
		return false;
	t->count--;
	/* Pull back every later entry of the run whose home does not lie after the hole. */
	for (;;) {
		i = after(t, i);
		c = cell_at(t, i);
		if (!c->hash)
			break;
		if (behind(t, i, home(t, c->hash)) < behind(t, i, hole))
			continue;
		memcpy(cell_at(t, hole), c, t->cell_size);
		hole = i;
	}
	cell_at(t, hole)->hash = 0;
	return true;
}

size_t table_count(const struct table *t)
{
	return t->count;
}
