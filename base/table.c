#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

struct table {
	struct siphash_key hash_key;
	size_t mask; /* cells - 1; cells is a power of two, at most half of them used */
	size_t key_len;
	size_t capacity;
	size_t count;
	uint32_t *values; /* TABLE_NONE: the cell is empty */
	uint8_t *keys;
};

struct table *table_create(size_t capacity, size_t key_len)
{
	struct table *t = calloc(1, sizeof(*t));
	size_t cells = 8;

	if (!t)
		return NULL;
	while (cells < capacity * 2)
		cells *= 2;
	t->mask = cells - 1;
	t->key_len = key_len;
	t->capacity = capacity;
	t->values = malloc(cells * sizeof(*t->values));
	t->keys = calloc(cells, key_len);
	if (!t->values || !t->keys ||
	    getrandom(&t->hash_key, sizeof(t->hash_key), 0) != (ssize_t)sizeof(t->hash_key)) {
		table_destroy(t);
		return NULL;
	}
	memset(t->values, 0xff, cells * sizeof(*t->values));
	return t;
}

void table_destroy(struct table *t)
{
	if (!t)
		return;
	free(t->values);
	free(t->keys);
	free(t);
}

static uint8_t *cell_key(const struct table *t, size_t cell)
{
	return t->keys + cell * t->key_len;
}

static size_t home(const struct table *t, const void *key)
{
	return siphash(&t->hash_key, key, t->key_len) & t->mask;
}

/* The cell that holds key, or the empty cell where it would go. */
static size_t probe(const struct table *t, const void *key)
{
	size_t cell = home(t, key);

	while (t->values[cell] != TABLE_NONE && memcmp(cell_key(t, cell), key, t->key_len) != 0)
		cell = (cell + 1) & t->mask;
	return cell;
}

uint32_t table_find(const struct table *t, const void *key)
{
	return t->values[probe(t, key)];
}

bool table_put(struct table *t, const void *key, uint32_t value)
{
	size_t cell = probe(t, key);

	if (t->values[cell] == TABLE_NONE) {
		if (t->count == t->capacity)
			return false;
		t->count++;
		memcpy(cell_key(t, cell), key, t->key_len);
	}
	t->values[cell] = value;
	return true;
}

bool table_remove(struct table *t, const void *key)
{
	size_t hole = probe(t, key), cell = hole;

	if (t->values[hole] == TABLE_NONE)
		return false;
	t->count--;
	/* Pull back every later entry of the run whose home does not lie after the hole. */
	for (;;) {
		size_t want;

		cell = (cell + 1) & t->mask;
		if (t->values[cell] == TABLE_NONE)
			break;
		want = home(t, cell_key(t, cell));
		if (((cell - want) & t->mask) < ((cell - hole) & t->mask))
			continue;
		t->values[hole] = t->values[cell];
		memcpy(cell_key(t, hole), cell_key(t, cell), t->key_len);
		hole = cell;
	}
	t->values[hole] = TABLE_NONE;
	return true;
}

size_t table_count(const struct table *t)
{
	return t->count;
}
