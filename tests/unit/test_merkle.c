/*
 * The tree against the reference roots of Certificate Transparency, against a plain recursion over
 * RFC 6962's definitions, and proofs of every leaf and every pair of sizes.
 */
#include "tests/lib/unit.h"

#include "base/text.h"
#include "proto/merkle.h"

enum {
	LEAVES = 64,
	BIG = 300,
};

typedef uint8_t hash[KEY_LEN];

static hash leaf[BIG];

static void make_leaves(void)
{
	for (uint32_t i = 0; i < BIG; i++) {
		le32 record = le32_of(i);

		merkle_leaf(leaf[i], &record, sizeof(record));
	}
}

static void grow(struct merkle *m, size_t n)
{
	for (m->size = 0; m->size < n;)
		merkle_append(m, leaf[m->size], NULL);
}

/* ---- RFC 6962 2.1, word for word ---- */

static size_t split(size_t n)
{
	size_t k = 1;

	while (2 * k < n)
		k *= 2;
	return k;
}

static void mth(hash out, size_t start, size_t end)
{
	hash left, right;
	size_t n = end - start;

	if (n == 1) {
		memcpy(out, leaf[start], KEY_LEN);
		return;
	}
	mth(left, start, start + split(n));
	mth(right, start + split(n), end);
	merkle_node(out, left, right);
}

static size_t path(hash *out, size_t m, size_t start, size_t end)
{
	size_t k, n = end - start, count;

	if (n == 1)
		return 0;
	k = split(n);
	if (m < k) {
		count = path(out, m, start, start + k);
		mth(out[count], start + k, end);
	} else {
		count = path(out, m - k, start + k, end);
		mth(out[count], start, start + k);
	}
	return count + 1;
}

struct range {
	size_t start, end;
	bool whole;
};

static size_t subproof(hash *out, size_t m, const struct range *r)
{
	size_t k, n = r->end - r->start, count;

	if (m == n && r->whole)
		return 0;
	if (m == n) {
		mth(out[0], r->start, r->end);
		return 1;
	}
	k = split(n);
	if (m <= k) {
		count = subproof(out, m, &(struct range){r->start, r->start + k, r->whole});
		mth(out[count], r->start + k, r->end);
	} else {
		count = subproof(out, m - k, &(struct range){r->start + k, r->end, false});
		mth(out[count], r->start, r->start + k);
	}
	return count + 1;
}

/* ---- */

static void reference_roots(void **state)
{
	static const char *const records[] = {"",
					      "00",
					      "10",
					      "2021",
					      "3031",
					      "40414243",
					      "5051525354555657",
					      "606162636465666768696a6b6c6d6e6f"};
	static const char *const roots[] = {
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
	struct merkle m = {.size = 0};
	hash root;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		uint8_t record[16];
		char hex[2 * KEY_LEN + 1];

		merkle_root(&m, root);
		assert_string_equal(text_hex(hex, root, KEY_LEN), roots[i]);
		if (i == ARRAY_SIZE(records))
			break;
		assert_true(text_unhex(record, strlen(records[i]) / 2, records[i]));
		merkle_leaf(root, record, strlen(records[i]) / 2);
		merkle_append(&m, root, NULL);
	}
}

static void roots_are_the_definition(void **state)
{
	struct merkle m = {.size = 0};
	hash root, expected;

	(void)state;
	for (size_t n = 1; n <= BIG; n++) {
		merkle_append(&m, leaf[n - 1], NULL);
		merkle_root(&m, root);
		mth(expected, 0, n);
		assert_memory_equal(root, expected, KEY_LEN);
	}
}

static void resumed_from_its_peaks(void **state)
{
	hash peaks[MERKLE_LEVELS], root, expected;
	struct merkle m, again;

	(void)state;
	for (size_t n = 0; n <= LEAVES; n++) {
		grow(&m, n);
		assert_int_equal(merkle_peaks(&m, peaks), __builtin_popcountll(n));
		memset(&again, 0xee, sizeof(again));
		merkle_resume(&again, n, (const uint8_t(*)[KEY_LEN])peaks);
		for (size_t i = n; i < LEAVES + 5; i++)
			merkle_append(&again, leaf[i], NULL);
		merkle_root(&again, root);
		mth(expected, 0, LEAVES + 5);
		assert_memory_equal(root, expected, KEY_LEN);
	}
}

static struct merkle_path path_of(const struct merkle_proof *p, hash *out)
{
	for (size_t i = 0; i < p->count; i++)
		memcpy(out[i], p->item[i].hash, KEY_LEN);
	return (struct merkle_path){(const uint8_t(*)[KEY_LEN])out, p->count};
}

/* Collects a proof over the tree of n leaves, its first `known` by their peaks only. */
static bool collect(struct merkle_proof *p, size_t known, size_t n)
{
	hash peaks[MERKLE_LEVELS];
	struct merkle m;

	grow(&m, known);
	merkle_peaks(&m, peaks);
	merkle_resume(&m, known, (const uint8_t(*)[KEY_LEN])peaks);
	while (m.size < n)
		merkle_append(&m, leaf[m.size], p);
	return merkle_finish(p, &m);
}

/* Every single bit of a path, and every neighbouring length, index and size. */
static void refuse_altered_inclusion(const hash root, size_t n, size_t i,
				     const struct merkle_path *path)
{
	hash other[MERKLE_PROOF_MAX] = {0};
	struct merkle_path wrong = {(const uint8_t(*)[KEY_LEN])other, path->count};

	if (path->count)
		memcpy(other, path->hash, path->count * KEY_LEN);
	for (size_t bit = 0; bit < path->count * KEY_LEN * 8; bit += 37) {
		((uint8_t *)other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(merkle_includes(root, n, i, leaf[i], &wrong));
		((uint8_t *)other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	wrong.count = path->count + 1;
	assert_false(merkle_includes(root, n, i, leaf[i], &wrong));
	wrong.count = path->count - 1;
	if (path->count)
		assert_false(merkle_includes(root, n, i, leaf[i], &wrong));
	assert_false(merkle_includes(root, n, i, leaf[i + 1], path));
	for (size_t j = 0; j <= n; j++)
		if (j != i)
			assert_false(merkle_includes(root, n, j, leaf[i], path));
	assert_false(merkle_includes(root, 0, i, leaf[i], path));
	assert_false(merkle_includes(leaf[i + 1], n, i, leaf[i], path));
}

static void inclusion_of_every_leaf(void **state)
{
	hash root, expected[MERKLE_PROOF_MAX], found[MERKLE_PROOF_MAX];

	(void)state;
	for (size_t n = 1; n <= LEAVES; n++) {
		mth(root, 0, n);
		for (size_t i = 0; i < n; i++) {
			struct merkle_proof p;
			struct merkle_path proof;

			assert_true(merkle_want_inclusion(&p, i, n));
			assert_true(collect(&p, 0, n));
			proof = path_of(&p, found);
			assert_int_equal(proof.count, path(expected, i, 0, n));
			assert_memory_equal(found, expected, proof.count * KEY_LEN);
			assert_true(merkle_includes(root, n, i, leaf[i], &proof));
			refuse_altered_inclusion(root, n, i, &proof);
		}
	}
}

static void refuse_altered_extension(const struct merkle_claim *old, const struct merkle_claim *new,
				     const struct merkle_path *path)
{
	hash other[MERKLE_PROOF_MAX + 1] = {0};
	struct merkle_path wrong = {(const uint8_t(*)[KEY_LEN])other, path->count};
	const struct merkle_claim lie = {old->size, leaf[BIG - 1]}, more = {new->size, leaf[0]};
	const struct merkle_claim nothing = {0, old->root}, longer = {old->size + 1, old->root};

	if (path->count)
		memcpy(other, path->hash, path->count * KEY_LEN);
	for (size_t bit = 0; bit < path->count * KEY_LEN * 8; bit += 37) {
		((uint8_t *)other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(merkle_extends(old, new, &wrong));
		((uint8_t *)other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	wrong.count = path->count + 1;
	assert_false(merkle_extends(old, new, &wrong));
	wrong.count = path->count - 1;
	if (path->count)
		assert_false(merkle_extends(old, new, &wrong));
	assert_false(merkle_extends(&lie, new, path));
	if (new->size > 1)
		assert_false(merkle_extends(old, &more, path));
	assert_false(merkle_extends(&nothing, new, path));
	assert_false(merkle_extends(&longer, new, path));
	if (old->size != new->size)
		assert_false(merkle_extends(new, old, path));
}

static void consistency_of_all_sizes(void **state)
{
	hash roots[LEAVES + 1], expected[MERKLE_PROOF_MAX], found[MERKLE_PROOF_MAX];

	(void)state;
	for (size_t n = 1; n <= LEAVES; n++) {
		mth(roots[n], 0, n);
		for (size_t m = 1; m <= n; m++) {
			const struct merkle_claim old = {m, roots[m]}, new = {n, roots[n]};
			struct merkle_proof p;
			struct merkle_path proof;

			assert_true(merkle_want_consistency(&p, m, n));
			assert_true(collect(&p, 0, n));
			proof = path_of(&p, found);
			assert_int_equal(proof.count,
					 subproof(expected, m, &(struct range){0, n, true}));
			assert_memory_equal(found, expected, proof.count * KEY_LEN);
			assert_true(merkle_extends(&old, &new, &proof));
			refuse_altered_extension(&old, &new, &proof);
		}
	}
}

/* A file has only the peaks of what lies before it: they suffice for its own leaves and for the
 * step from the tree before. */
static void proofs_from_peaks(void **state)
{
	hash root, old_root, found[MERKLE_PROOF_MAX];

	(void)state;
	for (size_t n = 1; n <= LEAVES; n++)
		for (size_t known = 0; known <= n; known++) {
			struct merkle_claim old = {known, old_root}, new = {n, root};
			struct merkle_proof p;
			struct merkle_path proof;

			mth(root, 0, n);
			for (size_t i = known; i < n; i++) {
				assert_true(merkle_want_inclusion(&p, i, n));
				assert_true(collect(&p, known, n));
				proof = path_of(&p, found);
				assert_true(merkle_includes(root, n, i, leaf[i], &proof));
			}
			if (known == 0)
				continue;
			mth(old_root, 0, known);
			assert_true(merkle_want_consistency(&p, known, n));
			assert_true(collect(&p, known, n));
			proof = path_of(&p, found);
			assert_true(merkle_extends(&old, &new, &proof));
		}
}

static void what_cannot_be_proven(void **state)
{
	struct merkle_proof p;

	(void)state;
	assert_false(merkle_want_inclusion(&p, 5, 5));
	assert_false(merkle_want_inclusion(&p, 0, 0));
	assert_false(merkle_want_consistency(&p, 0, 5));
	assert_false(merkle_want_consistency(&p, 6, 5));
	assert_true(merkle_want_inclusion(&p, 1, 20));
	assert_false(collect(&p, 8, 20)); /* the leaf lies before the peaks */
}

/* Sizes that only a hostile head has: no shift is too wide, no loop endless. */
static void enormous_sizes(void **state)
{
	hash peaks[MERKLE_LEVELS], root, path[MERKLE_PROOF_MAX + 1];
	struct merkle_path proof = {(const uint8_t(*)[KEY_LEN])path, 0};
	struct merkle_proof p;
	struct merkle m;

	(void)state;
	memset(peaks, 7, sizeof(peaks));
	memset(path, 9, sizeof(path));
	merkle_resume(&m, UINT64_MAX, (const uint8_t(*)[KEY_LEN])peaks);
	merkle_root(&m, root);
	merkle_resume(&m, UINT64_MAX - 1, (const uint8_t(*)[KEY_LEN])peaks);
	assert_true(merkle_want_inclusion(&p, UINT64_MAX - 1, UINT64_MAX));
	assert_int_equal(p.count, 63);
	merkle_append(&m, leaf[0], &p);
	assert_true(merkle_finish(&p, &m));
	merkle_root(&m, root);
	proof = path_of(&p, path);
	assert_true(merkle_includes(root, UINT64_MAX, UINT64_MAX - 1, leaf[0], &proof));
	assert_true(merkle_want_inclusion(&p, 0, UINT64_MAX));
	assert_int_equal(p.count, 64);
	assert_true(merkle_want_consistency(&p, UINT64_MAX - 1, UINT64_MAX));
	for (size_t n = 0; n <= MERKLE_PROOF_MAX; n++) {
		const struct merkle_claim old = {UINT64_MAX - 1, root}, new = {UINT64_MAX, root};

		proof.count = n;
		assert_false(merkle_extends(&old, &new, &proof));
		assert_false(merkle_includes(leaf[1], UINT64_MAX, 12345, leaf[0], &proof));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_roots),
		cmocka_unit_test(roots_are_the_definition),
		cmocka_unit_test(resumed_from_its_peaks),
		cmocka_unit_test(inclusion_of_every_leaf),
		cmocka_unit_test(consistency_of_all_sizes),
		cmocka_unit_test(proofs_from_peaks),
		cmocka_unit_test(what_cannot_be_proven),
		cmocka_unit_test(enormous_sizes),
	};

	crypto_start();
	make_leaves();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
