#include "proto/merkle.h"

#include <string.h>

void merkle_leaf(uint8_t out[static KEY_LEN], const void *record, size_t len)
{
	sha256(out, (const struct bytes[]){{"\x00", 1}, {record, len}}, 2);
}

void merkle_node(uint8_t out[static KEY_LEN], const uint8_t left[static KEY_LEN],
		 const uint8_t right[static KEY_LEN])
{
	uint8_t both[1 + 2 * KEY_LEN] = {1};

	memcpy(both + 1, left, KEY_LEN);
	memcpy(both + 1 + KEY_LEN, right, KEY_LEN);
	sha256(out, &(struct bytes){both, sizeof(both)}, 1);
}

static bool has_peak(uint64_t size, unsigned level)
{
	return size >> level & 1;
}

void merkle_resume(struct merkle *m, uint64_t size, const uint8_t (*peaks)[KEY_LEN])
{
	m->size = size;
	for (unsigned l = MERKLE_LEVELS; l-- > 0;)
		if (has_peak(size, l))
			memcpy(m->peak[l], *peaks++, KEY_LEN);
}

size_t merkle_peaks(const struct merkle *m, uint8_t out[static MERKLE_LEVELS][KEY_LEN])
{
	size_t n = 0;

	for (unsigned l = MERKLE_LEVELS; l-- > 0;)
		if (has_peak(m->size, l))
			memcpy(out[n++], m->peak[l], KEY_LEN);
	return n;
}

/* What lies left of a peak are the peaks above it. */
static uint64_t peak_start(uint64_t size, unsigned level)
{
	return size >> level >> 1 << 1 << level;
}

/* The subtree from leaf start to the end, start being where a peak begins. */
static void fold(const struct merkle *m, uint64_t start, uint8_t out[static KEY_LEN])
{
	bool begun = false;

	for (unsigned l = 0; l < MERKLE_LEVELS; l++) {
		if (!has_peak(m->size, l) || peak_start(m->size, l) < start)
			continue;
		if (begun)
			merkle_node(out, m->peak[l], out);
		else
			memcpy(out, m->peak[l], KEY_LEN);
		begun = true;
	}
}

void merkle_root(const struct merkle *m, uint8_t out[static KEY_LEN])
{
	if (m->size == 0)
		sha256(out, NULL, 0);
	else
		fold(m, 0, out);
}

/* ---- making proofs ---- */

static void want(struct merkle_proof *p, uint64_t start, uint64_t end)
{
	p->item[p->count++] = (struct merkle_subtree){.start = start, .end = end};
}

/* RFC 6962 names the subtree nearest to the leaf first; we come down from the root. */
static void reverse(struct merkle_proof *p)
{
	for (size_t i = 0; i < p->count / 2; i++) {
		struct merkle_subtree other = p->item[p->count - 1 - i];

		p->item[p->count - 1 - i] = p->item[i];
		p->item[i] = other;
	}
}

/* The largest power of two below n, n > 1: how many leaves stand in a node's left subtree. */
static uint64_t left_leaves(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

bool merkle_want_inclusion(struct merkle_proof *p, uint64_t index, uint64_t size)
{
	uint64_t start = 0, end = size;

	p->count = 0;
	if (index >= size)
		return false;
	while (end - start > 1) {
		uint64_t middle = start + left_leaves(end - start);

		if (index < middle) {
			want(p, middle, end);
			end = middle;
		} else {
			want(p, start, middle);
			start = middle;
		}
	}
	reverse(p);
	return true;
}

bool merkle_want_consistency(struct merkle_proof *p, uint64_t old, uint64_t size)
{
	uint64_t start = 0, end = size;

	p->count = 0;
	if (old == 0 || old > size)
		return false;
	while (end != old) {
		uint64_t middle = start + left_leaves(end - start);

		if (old <= middle) {
			want(p, middle, end);
			end = middle;
		} else {
			want(p, start, middle);
			start = middle;
		}
	}
	/* A subtree that begins the tree is the old tree itself, whose root the reader has. */
	if (start)
		want(p, start, end);
	reverse(p);
	return true;
}

static void offer(struct merkle_proof *p, uint64_t start, uint64_t end,
		  const uint8_t hash[static KEY_LEN])
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->item[i].start != start || p->item[i].end != end)
			continue;
		memcpy(p->item[i].hash, hash, KEY_LEN);
		p->item[i].known = true;
	}
}

void merkle_append(struct merkle *m, const uint8_t leaf[static KEY_LEN], struct merkle_proof *proof)
{
	uint64_t start = m->size;
	uint8_t hash[KEY_LEN];
	unsigned l = 0;

	memcpy(hash, leaf, KEY_LEN);
	for (; has_peak(m->size, l); l++) {
		uint64_t leaves = UINT64_C(1) << l;

		if (proof) {
			offer(proof, start - leaves, start, m->peak[l]);
			offer(proof, start, start + leaves, hash);
		}
		merkle_node(hash, m->peak[l], hash);
		start -= leaves;
	}
	memcpy(m->peak[l], hash, KEY_LEN);
	m->size++;
}

bool merkle_finish(struct merkle_proof *p, const struct merkle *m)
{
	bool all = true;

	for (unsigned l = 0; l < MERKLE_LEVELS; l++) {
		uint64_t start = peak_start(m->size, l);

		if (has_peak(m->size, l))
			offer(p, start, start + (UINT64_C(1) << l), m->peak[l]);
	}
	for (size_t i = 0; i < p->count; i++) {
		struct merkle_subtree *s = &p->item[i];

		if (!s->known && s->end == m->size) {
			fold(m, s->start, s->hash);
			s->known = true;
		}
		all = all && s->known;
	}
	return all;
}

/* ---- checking proofs ---- */

bool merkle_includes(const uint8_t root[static KEY_LEN], uint64_t size, uint64_t index,
		     const uint8_t leaf[static KEY_LEN], const struct merkle_path *path)
{
	uint64_t at = index, last = size - 1;
	uint8_t hash[KEY_LEN];

	if (index >= size)
		return false;
	memcpy(hash, leaf, KEY_LEN);
	for (size_t i = 0; i < path->count; i++) {
		if (last == 0)
			return false;
		if (!(at & 1) && at != last) {
			merkle_node(hash, hash, path->hash[i]);
		} else {
			merkle_node(hash, path->hash[i], hash);
			/* Levels where the rightmost node has no sibling have no hash. */
			for (; !(at & 1); last >>= 1)
				at >>= 1;
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && memcmp(hash, root, KEY_LEN) == 0;
}

/* Two roots grown at once from the subtree both trees begin with. */
static bool grow_both(const struct merkle_claim *old, const struct merkle_claim *new,
		      const uint8_t begin[static KEY_LEN], const struct merkle_path *path)
{
	uint64_t at = old->size - 1, last = new->size - 1;
	uint8_t first[KEY_LEN], second[KEY_LEN];

	memcpy(first, begin, KEY_LEN);
	memcpy(second, begin, KEY_LEN);
	for (; at & 1; last >>= 1)
		at >>= 1;
	for (size_t i = 0; i < path->count; i++) {
		if (last == 0)
			return false;
		if (at & 1 || at == last) {
			merkle_node(first, path->hash[i], first);
			merkle_node(second, path->hash[i], second);
			for (; !(at & 1); last >>= 1)
				at >>= 1;
		} else {
			merkle_node(second, second, path->hash[i]);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && memcmp(first, old->root, KEY_LEN) == 0 &&
	       memcmp(second, new->root, KEY_LEN) == 0;
}

bool merkle_extends(const struct merkle_claim *old, const struct merkle_claim *new,
		    const struct merkle_path *path)
{
	struct merkle_path rest = *path;

	if (old->size == 0 || old->size > new->size)
		return false;
	if (old->size == new->size)
		return path->count == 0 && memcmp(old->root, new->root, KEY_LEN) == 0;
	if ((old->size & (old->size - 1)) == 0)
		return grow_both(old, new, old->root, path);
	if (path->count == 0)
		return false;
	rest.hash++;
	rest.count--;
	return grow_both(old, new, *path->hash, &rest);
}
