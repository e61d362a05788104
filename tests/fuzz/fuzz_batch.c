/*
 * Arbitrary bytes as a settlement batch: as they are, and with counts, tree and head put right so
 * that the checks behind those are reached as well. It ends, says why it refuses, and what it takes
 * adds up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accounting/batch_proof.h"
#include "accounting/batch_verify.h"
#include "tests/fuzz/require.h"

enum {
	SIZE_MAX_HERE = 1 << 16,
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity node; /* of the files in the corpus */
static uint8_t bytes[SIZE_MAX_HERE];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t seed[KEY_LEN];

	(void)argc;
	(void)argv;
	crypto_start();
	for (unsigned i = 0; i < KEY_LEN; i++)
		seed[i] = (uint8_t)i;
	identity_from_seed(&node, seed);
	return 0;
}

static void check_fault(int err, const struct batch_fault *f, size_t size)
{
	char text[BATCH_FAULT_TEXT];

	require(err == 0 || err == -EBADMSG);
	require((err == 0) == (f->reason == BATCH_OK));
	if (err == 0)
		return;
	require(f->why && *f->why && f->offset <= size);
	require(*batch_reason_name(f->reason) && *batch_fault_text(text, f));
}

static void verify(const uint8_t *data, size_t size)
{
	static const struct batch_rules rules[2] = {{.lost = false}, {.lost = true}};

	for (int i = 0; i < 2; i++) {
		struct batch_chain *c = batch_chain_create(&rules[i]);
		FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
		struct batch_fault f;
		struct batch_head h;
		int err;

		require(c && in);
		err = batch_chain_next(c, in, &h, &f);
		check_fault(err, &f, size);
		if (err == 0) {
			require(le64_get(h.body.earned) == le64_get(h.body.spent));
			require(memcmp(&h, data, sizeof(h)) == 0);
			/* No epoch follows itself. */
			require(batch_chain_next(c, in, &h, &f) == -EBADMSG);
			require(f.reason == BATCH_BAD_EPOCH);
		}
		fclose(in);
		batch_chain_free(c);
	}
}

/* The account whose record would be last, and the step from a tree as large as the one before. */
static void prove(const uint8_t *data, size_t size)
{
	struct batch_query q = {.kind = BATCH_ACCOUNTS};
	struct batch_inclusion inclusion;
	struct batch_extension extension;
	struct batch_head old;
	struct batch_fault f;
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
	int err;

	require(in);
	memcpy(q.account, node.id, KEY_LEN);
	err = batch_prove_inclusion(&inclusion, in, &q, &f);
	if (err != -ENOENT)
		check_fault(err, &f, size);
	if (err == 0 && memcmp(inclusion.leaf, DOMAIN_ACCOUNT, DOMAIN_LEN) == 0)
		require(batch_inclusion_check(&inclusion) == NULL);
	memcpy(&old, data, sizeof(old));
	old.body.size = old.body.previous_size;
	memcpy(old.body.root, old.body.previous_root, KEY_LEN);
	err = batch_prove_extension(&extension, in, &old, &f);
	if (err != -ENOENT)
		check_fault(err, &f, size);
	fclose(in);
}

static uint32_t at_most(le32 have, size_t room, size_t len)
{
	uint32_t n = le32_get(have);

	return n < room / len ? n : (uint32_t)(room / len);
}

/* Records that fit, one kind after the other; then whatever is left is the peaks of some tree. */
static size_t fit(struct batch_head_body *h, size_t size)
{
	size_t room = size - sizeof(struct batch_head), peaks;

	h->terms = le32_of(at_most(h->terms, room, sizeof(struct terms)));
	room -= le32_get(h->terms) * sizeof(struct terms);
	h->sessions = le32_of(at_most(h->sessions, room, sizeof(struct batch_session)));
	room -= le32_get(h->sessions) * sizeof(struct batch_session);
	h->receipts = le32_of(at_most(h->receipts, room, sizeof(struct receipt)));
	room -= le32_get(h->receipts) * sizeof(struct receipt);
	h->accounts = le32_of(at_most(h->accounts, room, sizeof(struct batch_account)));
	room -= le32_get(h->accounts) * sizeof(struct batch_account);
	peaks = room / KEY_LEN < 20 ? room / KEY_LEN : 20;
	h->previous_size = le64_of((UINT64_C(1) << peaks) - 1);
	return size - room + peaks * KEY_LEN;
}

static void grow(struct merkle *m, const uint8_t **at, uint32_t count, size_t len)
{
	uint8_t leaf[KEY_LEN];

	for (; count > 0; count--, *at += len) {
		merkle_leaf(leaf, *at, len);
		merkle_append(m, leaf, NULL);
	}
}

static size_t put_right(const uint8_t *data, size_t size)
{
	const uint8_t *at = bytes + sizeof(struct batch_head);
	struct batch_head head;
	struct batch_head_body *h = &head.body;
	struct merkle tree;
	size_t len, peaks;

	memcpy(bytes, data, size);
	memcpy(&head, data, sizeof(head));
	len = fit(h, size);
	memcpy(h->domain, DOMAIN_BATCH, DOMAIN_LEN);
	h->version = 1;
	memset(h->zero, 0, sizeof(h->zero));
	memcpy(h->node, node.id, KEY_LEN);
	peaks = (size_t)__builtin_popcountll(le64_get(h->previous_size)) * KEY_LEN;
	h->epoch = le64_of(peaks ? 2 + le64_get(h->epoch) % 8 : 1);
	merkle_resume(&tree, le64_get(h->previous_size),
		      (const uint8_t(*)[KEY_LEN])(bytes + len - peaks));
	merkle_root(&tree, h->previous_root);
	grow(&tree, &at, le32_get(h->terms), sizeof(struct terms));
	grow(&tree, &at, le32_get(h->sessions), sizeof(struct batch_session));
	grow(&tree, &at, le32_get(h->receipts), sizeof(struct receipt));
	grow(&tree, &at, le32_get(h->accounts), sizeof(struct batch_account));
	merkle_root(&tree, h->root);
	h->size = le64_of(tree.size);
	identity_sign(head.signature, h, sizeof(*h), &node);
	memcpy(bytes, &head, sizeof(head));
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > sizeof(bytes))
		return 0;
	verify(data, size);
	if (size < sizeof(struct batch_head))
		return 0;
	prove(data, size);
	size = put_right(data, size);
	verify(bytes, size);
	prove(bytes, size);
	return 0;
}
