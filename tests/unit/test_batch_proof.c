/* Proofs out of batches: of every account and receipt, each with every bit that could lie. */
#include "tests/lib/unit.h"

#include <errno.h>

#include "accounting/batch_proof.h"
#include "tests/lib/batches.h"

static struct batch_fault fault;

static FILE *open_bytes(const uint8_t *bytes, size_t len)
{
	FILE *in = fmemopen((void *)(uintptr_t)bytes, len, "r");

	assert_non_null(in);
	return in;
}

static int prove(struct batch_inclusion *p, const uint8_t *bytes, size_t len,
		 const struct batch_query *q)
{
	FILE *in = open_bytes(bytes, len);
	int err = batch_prove_inclusion(p, in, q, &fault);

	fclose(in);
	return err;
}

static int extend(struct batch_extension *p, unsigned from, unsigned to)
{
	const struct made_batch *old = batch_world_file(from), *new = batch_world_file(to);
	struct batch_head head;
	FILE *in = open_bytes(new->bytes, new->len);
	int err;

	memcpy(&head, old->bytes, sizeof(head));
	err = batch_prove_extension(p, in, &head, &fault);
	fclose(in);
	return err;
}

/* Every bit of what the proof consists of. */
static void no_bit_lies(const struct batch_inclusion *p)
{
	struct batch_inclusion other = *p;
	struct {
		uint8_t *bytes;
		size_t len;
	} parts[] = {
		{(uint8_t *)&other.head, sizeof(other.head)},
		{other.leaf, other.leaf_len},
		{(uint8_t *)other.path, other.path_len * KEY_LEN},
	};

	assert_null(batch_inclusion_check(&other));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (size_t bit = 0; bit < 8 * parts[i].len; bit += 3) {
			parts[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_non_null(batch_inclusion_check(&other));
			parts[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	other.index ^= 1;
	assert_non_null(batch_inclusion_check(&other));
	other = *p;
	other.path_len--;
	assert_non_null(batch_inclusion_check(&other));
	other = *p;
	other.leaf_len--;
	assert_non_null(batch_inclusion_check(&other));
}

static void every_account_and_receipt(void **state)
{
	struct batch_inclusion proof;
	struct forged f;

	(void)state;
	for (unsigned n = 1; n <= EPOCHS; n++) {
		const struct made_batch *b = batch_world_file(n);

		forge_begin(&f, b);
		for (uint32_t i = 0; i < f.account_count; i++) {
			struct batch_query q = {.kind = BATCH_ACCOUNTS};

			memcpy(q.account, f.accounts[i].key, KEY_LEN);
			assert_int_equal(prove(&proof, b->bytes, b->len, &q), 0);
			assert_int_equal(proof.leaf_len, sizeof(f.accounts[i]));
			assert_memory_equal(proof.leaf, &f.accounts[i], proof.leaf_len);
			no_bit_lies(&proof);
		}
		for (uint32_t i = 0; i < f.receipt_count; i++) {
			const struct receipt_body *body = &f.receipts[i].offer.body;
			struct batch_query q = {.kind = BATCH_RECEIPTS, .seq = le64_get(body->seq)};

			memcpy(q.session, body->session, SESSION_ID_LEN);
			assert_int_equal(prove(&proof, b->bytes, b->len, &q), 0);
			assert_int_equal(proof.leaf_len, sizeof(f.receipts[i]));
			assert_memory_equal(proof.leaf, &f.receipts[i], proof.leaf_len);
			no_bit_lies(&proof);
			q.seq += 100;
			assert_int_equal(prove(&proof, b->bytes, b->len, &q), -ENOENT);
		}
	}
}

/* A proof out of a file that is not right is no proof. */
static void only_from_signed_trees(void **state)
{
	struct batch_query q = {.kind = BATCH_ACCOUNTS};
	struct batch_inclusion proof;
	struct forged f;

	(void)state;
	memcpy(q.account, batch_node.id, KEY_LEN);
	forge_begin(&f, batch_world_file(2));
	forge_end(&f, &batch_payer[0]);
	assert_int_equal(prove(&proof, f.bytes, f.len, &q), -EBADMSG);
	assert_int_equal(fault.reason, BATCH_BAD_SIGNATURE);
	forge_end(&f, &batch_node);
	f.bytes[sizeof(struct batch_head) + 20] ^= 1;
	assert_int_equal(prove(&proof, f.bytes, f.len, &q), -EBADMSG);
	assert_int_equal(fault.reason, BATCH_BAD_ROOT);
	f.bytes[f.len - 1] ^= 1;
	assert_int_equal(prove(&proof, f.bytes, f.len, &q), -EBADMSG);
	assert_int_equal(fault.reason, BATCH_BAD_PEAKS);
	assert_int_equal(prove(&proof, f.bytes, f.len - 1, &q), -EBADMSG);
	assert_int_equal(fault.reason, BATCH_BAD_LENGTH);
}

/* A session's record is in the tree too, but says nothing to anybody alone. */
static void other_leaves_prove_nothing(void **state)
{
	struct batch_query q = {.kind = BATCH_SESSIONS};
	struct batch_inclusion proof;
	const struct made_batch *b = batch_world_file(1);
	struct forged f;

	(void)state;
	memcpy(q.session, batch_session_id[0], SESSION_ID_LEN);
	assert_int_equal(prove(&proof, b->bytes, b->len, &q), -ENOENT);
	/* A receipt that the payer did not sign, in a tree that the node did. */
	forge_begin(&f, b);
	f.receipts[1].payer_signature[5] ^= 1;
	forge_end(&f, &batch_node);
	q.kind = BATCH_RECEIPTS;
	q.seq = 1;
	assert_int_equal(prove(&proof, f.bytes, f.len, &q), 0);
	assert_string_equal(batch_inclusion_check(&proof), "the payer did not sign the receipt");
	/* Of another node: signed by that one and its payer. */
	forge_begin(&f, b);
	memcpy(f.receipts[1].offer.body.provider, batch_payer[1].id, KEY_LEN);
	forge_sign(&f.receipts[1], &batch_payer[1], &batch_payer[0]);
	forge_end(&f, &batch_node);
	assert_int_equal(prove(&proof, f.bytes, f.len, &q), 0);
	assert_string_equal(batch_inclusion_check(&proof),
			    "the receipt is of another node or network");
}

static void logs_that_go_on(void **state)
{
	struct batch_extension proof, other;

	(void)state;
	for (unsigned n = 1; n < EPOCHS; n++) {
		assert_int_equal(extend(&proof, n, n + 1), 0);
		assert_null(batch_extension_check(&proof));
		for (size_t bit = 0; bit < 8 * proof.path_len * KEY_LEN; bit++) {
			other = proof;
			((uint8_t *)other.path)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_non_null(batch_extension_check(&other));
		}
		for (size_t bit = 0; bit < 8 * sizeof(struct batch_head); bit++) {
			other = proof;
			((uint8_t *)&other.old)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_non_null(batch_extension_check(&other));
			other = proof;
			((uint8_t *)&other.new)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_non_null(batch_extension_check(&other));
		}
		other = proof;
		other.path_len--;
		assert_non_null(batch_extension_check(&other));
		other = proof;
		other.old = proof.new;
		other.new = proof.old;
		assert_non_null(batch_extension_check(&other));
	}
	assert_int_equal(extend(&proof, 1, 3), -ENOENT);
	assert_int_equal(extend(&proof, 2, 2), -ENOENT);
	assert_int_equal(extend(&proof, 2, 1), -ENOENT);
}

/* Heads that were signed, but are not of one node's one log. */
static void logs_of_different_nodes(void **state)
{
	struct batch_extension proof, other;

	(void)state;
	assert_int_equal(extend(&proof, 1, 2), 0);
	other = proof;
	memcpy(other.old.body.node, batch_payer[0].id, KEY_LEN);
	identity_sign(other.old.signature, &other.old.body, sizeof(other.old.body),
		      &batch_payer[0]);
	assert_string_equal(batch_extension_check(&other),
			    "the two heads are of different nodes or networks");
	other = proof;
	other.old.body.network = le64_of(1);
	identity_sign(other.old.signature, &other.old.body, sizeof(other.old.body), &batch_node);
	assert_string_equal(batch_extension_check(&other),
			    "the two heads are of different nodes or networks");
	other = proof;
	other.old.body.epoch = le64_of(2);
	identity_sign(other.old.signature, &other.old.body, sizeof(other.old.body), &batch_node);
	assert_non_null(strstr(batch_extension_check(&other), "not of a later epoch"));
	other = proof;
	other.new.body.root[0] ^= 1;
	identity_sign(other.new.signature, &other.new.body, sizeof(other.new.body), &batch_node);
	assert_string_equal(batch_extension_check(&other),
			    "the second tree does not begin with the first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_account_and_receipt),
		cmocka_unit_test(only_from_signed_trees),
		cmocka_unit_test(other_leaves_prove_nothing),
		cmocka_unit_test(logs_that_go_on),
		cmocka_unit_test(logs_of_different_nodes),
	};

	crypto_start();
	batches_make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
