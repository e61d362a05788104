#include "tests/lib/unit.h"

#include "base/table.h"

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
	size_t key_len, capacity, count;
	uint8_t keys[KEYS][64];
	uint32_t values[KEYS]; /* TABLE_NONE: not there */
};

static void assert_same(const struct model *m)
{
	assert_int_equal(table_count(m->table), m->count);
	for (size_t i = 0; i < KEYS; i++)
		assert_int_equal(table_find(m->table, m->keys[i]), m->values[i]);
}

static void one_step(struct model *m, uint64_t r)
{
	size_t i = (r >> 8) % KEYS;
	bool there = m->values[i] != TABLE_NONE;
	uint32_t value = (uint32_t)(r >> 40);

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

static void against_a_model(size_t key_len, size_t capacity)
{
	static struct model m;
	uint64_t seed = 88172645463325252 + key_len;

	m = (struct model){
		.table = table_create(capacity, key_len), .key_len = key_len, .capacity = capacity};
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

static void random_operations(void **state)
{
	static const size_t lengths[] = {1, 4, 16, 17, 64};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		against_a_model(lengths[i], 150); /* is full at times */
		against_a_model(lengths[i], KEYS);
		against_a_model(lengths[i], 1);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(full_and_empty_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
