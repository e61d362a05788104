#include "tests/lib/resident.h"

#include "base/table.c"

uint64_t __real_siphash(const struct siphash_key *key, const void *data, size_t len);
uint64_t __wrap_siphash(const struct siphash_key *key, const void *data, size_t len);

/* Four hashes for all keys: one like an empty cell's, and the others at the table's end. */
static bool crowded;

uint64_t __wrap_siphash(const struct siphash_key *key, const void *data, size_t len)
{
	uint64_t hash = __real_siphash(key, data, len);

	if (!crowded)
		return hash;
	return hash % 4 ? UINT32_MAX - hash % 2 : hash & 4 ? 0 : UINT32_MAX / 2;
}

/* A fixed generator, so that a failure repeats. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

#define KEYS 200

struct model {
	struct table *table;
	bool over; /* the keys stay here: a value says which */
	size_t key_len, capacity, count;
	uint8_t keys[KEYS][64];
	uint32_t values[KEYS]; /* TABLE_NONE: not there */
};

static void assert_same(const struct model *m)
{
	assert_int_equal(table_count(m->table), m->count);
	for (size_t i = 0; i < KEYS; i++) {
		uint32_t hash = table_hash(m->table, m->keys[i]);

		assert_int_equal(table_find(m->table, m->keys[i]), m->values[i]);
		assert_true(hash != 0);
		table_prefetch(m->table, hash);
		assert_int_equal(table_find_hashed(m->table, m->keys[i], hash), m->values[i]);
		/* 32 bits of so few keys are different ones. */
		if (!crowded)
			assert_int_equal(table_peek(m->table, hash), m->values[i]);
	}
}

static void one_step(struct model *m, uint64_t r)
{
	size_t i = (r >> 8) % KEYS;
	bool there = m->values[i] != TABLE_NONE;
	uint32_t value = m->over ? (uint32_t)i : (uint32_t)(r >> 40);

	if (r & 1) {
		bool fits = there || m->count < m->capacity;

		assert_int_equal(table_put(m->table, m->keys[i], value), fits);
		m->count += fits && !there;
		m->values[i] = fits ? value : TABLE_NONE;
	} else {
		assert_int_equal(table_remove(m->table, m->keys[i]), there);
		m->count -= there;
		m->values[i] = TABLE_NONE;
	}
}

static void against_a_model(size_t key_len, size_t capacity, bool over)
{
	static struct model m;
	uint64_t seed = 88172645463325252 + key_len;

	m = (struct model){.over = over, .key_len = key_len, .capacity = capacity};
	m.table = over ? table_create_over(capacity, key_len, m.keys, sizeof(*m.keys))
		       : table_create(capacity, key_len);
	assert_non_null(m.table);
	for (size_t i = 0; i < KEYS; i++) {
		memset(m.keys[i], 0xee, key_len);
		m.keys[i][key_len - 1] = (uint8_t)i;
		m.values[i] = TABLE_NONE;
	}
	for (int round = 0; round < 20000; round++) {
		one_step(&m, next_random(&seed));
		if (round % 50 == 0)
			assert_same(&m);
	}
	table_destroy(m.table);
}

static void many_random_operations(void)
{
	static const size_t lengths[] = {1, 4, 8, 16, 18, 56, 57, 64};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (int over = 0; over < 2; over++) {
			against_a_model(lengths[i], 150, over); /* is full at times */
			against_a_model(lengths[i], KEYS, over);
			against_a_model(lengths[i], 1, over);
		}
	}
}

static void random_operations(void **state)
{
	(void)state;
	many_random_operations();
}

/* Entries are told apart by their keys alone, and runs go round the end. */
static void random_operations_crowded(void **state)
{
	(void)state;
	crowded = true;
	many_random_operations();
	crowded = false;
}

static void full_and_empty_again(void **state)
{
	struct table *t = table_create(1000, 4);

	(void)state;
	assert_non_null(t);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1000; i++)
			assert_true(table_put(t, &i, i ^ round));
		for (uint32_t i = 1000; i < 2000; i++)
			assert_false(table_put(t, &i, i));
		for (uint32_t i = 0; i < 1000; i++) {
			assert_true(table_put(t, &i, i)); /* replacing needs no room */
			assert_int_equal(table_find(t, &i), i);
		}
		for (uint32_t i = 0; i < 1000; i++)
			assert_true(table_remove(t, &i));
		assert_int_equal(table_count(t), 0);
		for (uint32_t i = 0; i < 1000; i++)
			assert_int_equal(table_find(t, &i), TABLE_NONE);
	}
	table_destroy(t);
	table_destroy(NULL);
}

/* Whatever the key's length, an entry up to a line lies within one: seen where entries are laid. */
static void within_a_line(void **state)
{
	(void)state;
	for (size_t key_len = 1; key_len <= 64; key_len++) {
		struct table *t = table_create(50, key_len);
		size_t size;

		assert_non_null(t);
		size = t->cell_size;
		assert_true(size >= sizeof(struct cell) + key_len);
		assert_int_equal((uintptr_t)t->first % LINE_BYTES, 0);
		assert_true(LINE_BYTES % size == 0 || size % LINE_BYTES == 0);
		table_destroy(t);
	}
}

/* What nobody put anything into is not in memory. */
static void untouched(void **state)
{
	enum {
		MANY = 4 << 20
	};
	bool tells = resident_tells();
	uint64_t before = resident();
	struct table *t = table_create(MANY, 8);

	(void)state;
	assert_non_null(t);
	for (uint64_t key = 0; key < 10; key++)
		assert_true(table_put(t, &key, 1));
	if (tells)
		assert_in_range(resident() - before, 0, 1 << 20); /* of 85 MiB */
	table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(random_operations_crowded),
		cmocka_unit_test(full_and_empty_again),
		cmocka_unit_test(within_a_line),
		cmocka_unit_test(untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
