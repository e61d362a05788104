/*
 * Append-only Merkle trees as in RFC 6962 section 2.1, with SHA-256: a log of records whose root
 * says all of them, in order. Growing one needs the roots of its complete subtrees only (peaks, at
 * most 64), not the leaves. Pure.
 */
#ifndef PROTO_MERKLE_H
#define PROTO_MERKLE_H

#include "proto/crypto.h"

enum {
	MERKLE_LEVELS = 64,
	MERKLE_PROOF_MAX = MERKLE_LEVELS + 1,
};

struct merkle {
	uint64_t size; /* leaves */
	/* peak[l] is the subtree of 2^l leaves, there if bit l of size is set; the highest level
	 * stands leftmost in the tree. */
	uint8_t peak[MERKLE_LEVELS][KEY_LEN];
};

/* Leaves and nodes are hashed apart (0x00 and 0x01), so that neither passes for the other. */
void merkle_leaf(uint8_t out[static KEY_LEN], const void *record, size_t len);
void merkle_node(uint8_t out[static KEY_LEN], const uint8_t left[static KEY_LEN],
		 const uint8_t right[static KEY_LEN]);

/* A tree of size leaves from its peaks (as many as size has bits set), largest first. */
void merkle_resume(struct merkle *m, uint64_t size, const uint8_t (*peaks)[KEY_LEN]);
/* Its peaks, largest first: how many. */
size_t merkle_peaks(const struct merkle *m, uint8_t out[static MERKLE_LEVELS][KEY_LEN]);
/* SHA-256 of nothing for a tree without leaves. */
void merkle_root(const struct merkle *m, uint8_t out[static KEY_LEN]);

/*
 * A proof in the making: which subtrees it consists of, and their hashes as far as they have come
 * by. First wanted, then watched while leaves are appended, then finished.
 */
struct merkle_proof {
	size_t count;
	struct merkle_subtree {
		uint64_t start, end; /* leaves */
		bool known;
		uint8_t hash[KEY_LEN];
	} item[MERKLE_PROOF_MAX]; /* in the order of RFC 6962 */
};

/* leaf is a hash (merkle_leaf). proof, unless NULL, collects what it wants. */
void merkle_append(struct merkle *m, const uint8_t leaf[static KEY_LEN],
		   struct merkle_proof *proof);
/* That leaf number index (from 0) is in the tree of size leaves (2.1.1); false if it cannot be. */
MUST_CHECK bool merkle_want_inclusion(struct merkle_proof *p, uint64_t index, uint64_t size);
/* That the tree of size leaves begins with that of old ones (2.1.2); false unless 0 < old <= size.
 */
MUST_CHECK bool merkle_want_consistency(struct merkle_proof *p, uint64_t old, uint64_t size);
/* After the last append. False if a subtree never came by: it lies before where m was resumed. */
MUST_CHECK bool merkle_finish(struct merkle_proof *p, const struct merkle *m);

struct merkle_path {
	const uint8_t (*hash)[KEY_LEN];
	size_t count;
};
MUST_CHECK bool merkle_includes(const uint8_t root[static KEY_LEN], uint64_t size, uint64_t index,
				const uint8_t leaf[static KEY_LEN], const struct merkle_path *path);
struct merkle_claim {
	uint64_t size;
	const uint8_t *root; /* KEY_LEN bytes */
};
MUST_CHECK bool merkle_extends(const struct merkle_claim *old, const struct merkle_claim *new,
			       const struct merkle_path *path);

#endif
