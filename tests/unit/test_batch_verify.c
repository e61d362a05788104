/*
 * What is wrong with a settlement batch is found, and named. The forgeries here have a right tree
 * and a head signed by the node: only the rule that is broken can refuse them.
 */
#include "tests/unit/batch_checks.h"

static const struct batch_rules lost_rules = {.lost = true};

/* ---- good ones ---- */

static void a_chain_holds(void **state)
{
	struct batch_chain *c = batch_chain_create(&any_rules);

	(void)state;
	for (unsigned n = 1; n <= EPOCHS; n++) {
		const struct made_batch *b = batch_world_file(n);

		assert_int_equal(verify_bytes(c, b->bytes, b->len), 0);
		assert_memory_equal(&head, b->bytes, sizeof(head));
		assert_int_equal(le64_get(head.body.epoch), n);
	}
	batch_chain_free(c);
}

static void each_holds_alone(void **state)
{
	const uint64_t network = le64_get(batch_world_terms[0].body.network), other = 1;
	const struct batch_rules ours = {.node = batch_node.id, .network = &network};
	const struct batch_rules not_ours = {.node = batch_payer[0].id};
	const struct batch_rules not_here = {.network = &other};

	(void)state;
	for (unsigned n = 1; n <= EPOCHS; n++) {
		const struct made_batch *b = batch_world_file(n);

		assert_reason(reason_after(0, b->bytes, b->len, &ours), BATCH_OK);
		assert_reason(reason_after(0, b->bytes, b->len, &not_ours), BATCH_BAD_NODE);
		assert_reason(reason_after(0, b->bytes, b->len, &not_here), BATCH_BAD_NETWORK);
	}
}

/* The root before is what the peaks now make. */
static void root_of_peaks(struct forged *f)
{
	struct merkle m;

	merkle_resume(&m, le64_get(f->head.body.previous_size),
		      (const uint8_t(*)[KEY_LEN])f->peaks);
	merkle_root(&m, f->head.body.previous_root);
}

static void lost_epochs(void **state)
{
	const struct made_batch *third = batch_world_file(3);
	struct forged f;

	(void)state;
	assert_reason(reason_after(1, third->bytes, third->len, &any_rules), BATCH_BAD_EPOCH);
	assert_reason(reason_after(1, third->bytes, third->len, &lost_rules), BATCH_OK);
	/* Totals lower than those of a file before, though as high as this epoch's own. */
	forge_begin(&f, third);
	for (uint32_t i = 0; i < f.account_count; i++)
		if (memcmp(f.accounts[i].key, batch_payer[0].id, KEY_LEN) == 0)
			f.accounts[i].spent = le64_of(9000000);
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_BAD_TOTALS);
	/* An account of a file before that is gone. */
	forge_begin(&f, third);
	for (uint32_t i = 0; i < f.account_count; i++)
		if (memcmp(f.accounts[i].key, batch_payer[0].id, KEY_LEN) == 0)
			memmove(&f.accounts[i], &f.accounts[i + 1],
				(--f.account_count - i) * sizeof(*f.accounts));
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_BAD_TOTALS);
	/* The tree may not change over a gap without growing, nor shrink. */
	forge_begin(&f, batch_world_file(2));
	f.head.body.epoch = le64_of(3);
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_OK);
	f.peaks[0][0] ^= 1;
	root_of_peaks(&f);
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_BAD_PREVIOUS);
	forge_begin(&f, third);
	f.head.body.previous_size = le64_of(1);
	memcpy(f.head.body.previous_root, f.peaks[0], KEY_LEN);
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_BAD_PREVIOUS);
}

/* ---- a file that is not what was written ---- */

static void every_flipped_byte(void **state)
{
	static uint8_t bytes[FILE_MAX];

	(void)state;
	for (unsigned n = 1; n <= EPOCHS; n++) {
		const struct made_batch *b = batch_world_file(n);

		memcpy(bytes, b->bytes, b->len);
		for (size_t i = 0; i < b->len; i++) {
			bytes[i] ^= (uint8_t)(1 << (i + n) % 8);
			if (reason_after(0, bytes, b->len, &any_rules) == BATCH_OK)
				fail_msg("byte %zu of file %u does not count", i, n);
			bytes[i] ^= (uint8_t)(1 << (i + n) % 8);
		}
	}
}

static void every_flipped_bit_of_a_head(void **state)
{
	static uint8_t bytes[FILE_MAX];
	const struct made_batch *b = batch_world_file(2);

	(void)state;
	memcpy(bytes, b->bytes, b->len);
	for (size_t bit = 0; bit < 8 * sizeof(struct batch_head); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(reason_after(0, bytes, b->len, &any_rules) != BATCH_OK);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void truncated_doubled_and_more(void **state)
{
	static uint8_t bytes[2 * FILE_MAX];
	const struct made_batch *b = batch_world_file(3);

	(void)state;
	memcpy(bytes, b->bytes, b->len);
	memcpy(bytes + b->len, b->bytes, b->len);
	for (size_t len = 1; len < b->len; len++)
		assert_reason(reason_after(0, bytes, len, &any_rules), BATCH_BAD_LENGTH);
	assert_reason(reason_after(0, bytes, b->len, &any_rules), BATCH_OK);
	assert_reason(reason_after(0, bytes, b->len + 1, &any_rules), BATCH_BAD_LENGTH);
	assert_int_equal(fault.offset, b->len);
	assert_reason(reason_after(0, bytes, 2 * b->len, &any_rules), BATCH_BAD_LENGTH);
	memset(bytes, 0, sizeof(bytes));
	assert_reason(reason_after(0, bytes, b->len, &any_rules), BATCH_BAD_HEAD);
}

/* ---- the place in the chain ---- */

static void out_of_place(void **state)
{
	const struct made_batch *first = batch_world_file(1), *second = batch_world_file(2);
	struct forged f;

	(void)state;
	assert_reason(reason_after(1, first->bytes, first->len, &any_rules), BATCH_BAD_EPOCH);
	assert_reason(reason_after(2, second->bytes, second->len, &any_rules), BATCH_BAD_EPOCH);
	assert_reason(reason_after(3, first->bytes, first->len, &lost_rules), BATCH_BAD_EPOCH);
	forge_begin(&f, batch_world_file(3));
	f.head.body.epoch = le64_of(2);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_PREVIOUS);
	/* Another tree of the same size before. */
	forge_begin(&f, second);
	f.peaks[0][5] ^= 1;
	root_of_peaks(&f);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK);
	assert_reason(reason_of(&f, 1), BATCH_BAD_PREVIOUS);
	/* The right root, but other peaks. */
	forge_begin(&f, second);
	f.peaks[0][5] ^= 1;
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_PEAKS);
}

static void of_another_node_or_network(void **state)
{
	struct forged f;

	(void)state;
	/* The head alone says another node, with its signature. */
	forge_begin(&f, batch_world_file(2));
	memcpy(f.head.body.node, batch_payer[0].id, KEY_LEN);
	forge_end(&f, &batch_payer[0]);
	assert_reason(reason_of(&f, 0), BATCH_BAD_TERMS);
	assert_reason(reason_of(&f, 1), BATCH_BAD_NODE);
	forge_begin(&f, batch_world_file(2));
	f.head.body.network = le64_of(99);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_TERMS);
	assert_reason(reason_of(&f, 1), BATCH_BAD_NETWORK);
	/* Signed by somebody else. */
	forge_begin(&f, batch_world_file(2));
	forge_end(&f, &batch_payer[0]);
	assert_reason(reason_of(&f, 1), BATCH_BAD_SIGNATURE);
}

/* Head, counts and root are right about each other, or the file says where they are not. */
static void a_head_about_other_records(void **state)
{
	struct forged f;

	(void)state;
	forge_begin(&f, batch_world_file(1));
	f.head.body.root[0] ^= 1;
	identity_sign(f.head.signature, &f.head.body, sizeof(f.head.body), &batch_node);
	memcpy(f.bytes, batch_world_file(1)->bytes, f.len = batch_world_file(1)->len);
	memcpy(f.bytes, &f.head, sizeof(f.head));
	assert_reason(reason_of(&f, 0), BATCH_BAD_ROOT);
	forge_begin(&f, batch_world_file(1));
	add_to(&f.head.body.size, 1);
	identity_sign(f.head.signature, &f.head.body, sizeof(f.head.body), &batch_node);
	memcpy(f.bytes, batch_world_file(1)->bytes, f.len = batch_world_file(1)->len);
	memcpy(f.bytes, &f.head, sizeof(f.head));
	assert_reason(reason_of(&f, 0), BATCH_BAD_HEAD);
	/* Records of 4 GiB times 344 announced: refused before memory is asked for. */
	forge_begin(&f, batch_world_file(1));
	f.head.body.receipts = f.head.body.sessions = f.head.body.terms = le32_of(UINT32_MAX);
	f.head.body.size = le64_of(3 * (uint64_t)UINT32_MAX + f.account_count);
	identity_sign(f.head.signature, &f.head.body, sizeof(f.head.body), &batch_node);
	memcpy(f.bytes, &f.head, sizeof(f.head));
	f.len = batch_world_file(1)->len;
	assert_reason(reason_of(&f, 0), BATCH_BAD_LENGTH);
}

/* ---- rules that hold between files ---- */

static void sessions_over_epochs(void **state)
{
	const struct made_batch *second = batch_world_file(2);
	struct forged f;

	(void)state;
	/* Session 0 is the first of file 2 and goes on from file 1. */
	forge_begin(&f, second);
	add_to(&f.sessions[0].before, 1);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_PAID);
	forge_begin(&f, second);
	add_to(&f.sessions[0].before, -1);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_PAID);
	forge_begin(&f, second);
	f.sessions[0].fee_ppm = le32_of(50001);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_SESSION);
	forge_begin(&f, second);
	f.sessions[0].fee_account[0] ^= 1;
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_SESSION);
	/* Less paid than before: no other file is needed to see it. */
	forge_begin(&f, second);
	f.sessions[1].before = le64_of(le64_get(f.sessions[1].paid) + 1);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_PAID);
	/* Session 2 is new, and says it is not. */
	forge_begin(&f, second);
	f.sessions[1].before = f.sessions[1].paid = le64_of(1);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK); /* alone, it might be true */
	assert_reason(reason_of(&f, 1), BATCH_BAD_PAID);
	/* Receipt 2 again, which file 1 has. */
	forge_begin(&f, second);
	f.receipts[0] = *batch_world_receipt(0, 2);
	f.sessions[0].seq = le64_of(2);
	f.sessions[0].paid = f.sessions[0].before;
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_CHAIN);
	/* Receipt 3 with another history. */
	forge_begin(&f, second);
	f.receipts[0].offer.body.previous[0] ^= 1;
	forge_sign(&f.receipts[0], &batch_node, &batch_payer[0]);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK);
	assert_reason(reason_of(&f, 1), BATCH_BAD_CHAIN);
	/* Over missing numbers totals may still not go down, nor the payer change. */
	forge_begin(&f, second);
	f.receipts[0].offer.body.seq = f.sessions[0].seq = le64_of(9);
	forge_sign(&f.receipts[0], &batch_node, &batch_payer[0]);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_OK);
	memcpy(f.receipts[0].offer.body.payer, batch_payer[1].id, KEY_LEN);
	forge_sign(&f.receipts[0], &batch_node, &batch_payer[1]);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_CHAIN);
	memcpy(f.receipts[0].offer.body.payer, batch_payer[0].id, KEY_LEN);
	f.receipts[0].offer.body.bytes_up = le64_of(0);
	add_to(&f.receipts[0].offer.body.bytes_down, 2 << 20); /* the same amount */
	forge_sign(&f.receipts[0], &batch_node, &batch_payer[0]);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 1), BATCH_BAD_CHAIN);
}

static void totals_over_epochs(void **state)
{
	struct forged f;

	(void)state;
	/* Higher than they can be, and the sums right: only the file before tells. */
	forge_begin(&f, batch_world_file(2));
	add_to(&account(&f, &batch_payer[1])->spent, 7);
	add_to(&account(&f, &batch_node)->earned, 7);
	add_to(&f.head.body.spent, 7);
	add_to(&f.head.body.earned, 7);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK);
	assert_reason(reason_of(&f, 1), BATCH_BAD_TOTALS);
	/* Lower than what this epoch alone moved: one file suffices. */
	forge_begin(&f, batch_world_file(2));
	account(&f, &batch_payer[0])->spent = le64_of(1000);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_TOTALS);
	/* Sums that differ. */
	forge_begin(&f, batch_world_file(2));
	add_to(&account(&f, &batch_payer[1])->spent, 7);
	add_to(&f.head.body.spent, 7);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SUMS);
	forge_begin(&f, batch_world_file(2));
	f.accounts[0].spent = f.accounts[1].spent = le64_of(UINT64_MAX);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SUMS);
}

/* After a lost epoch a session may have been paid in it; with no file missing since, it may not. */
static void paid_in_a_lost_epoch(void **state)
{
	struct batch_chain *c = batch_chain_create(&lost_rules);
	struct forged f;

	(void)state;
	forge_begin(&f, batch_world_file(3));
	add_to(&f.sessions[0].before, 5); /* session 1, last seen in file 1 */
	forge_end(&f, &batch_node);
	assert_int_equal(verify_bytes(c, batch_world_file(1)->bytes, batch_world_file(1)->len), 0);
	assert_int_equal(verify_bytes(c, f.bytes, f.len), 0);
	batch_chain_free(c);
	assert_reason(reason_after(2, f.bytes, f.len, &lost_rules), BATCH_BAD_PAID);
	add_to(&f.sessions[0].before, -6);
	forge_end(&f, &batch_node);
	assert_reason(reason_after(1, f.bytes, f.len, &lost_rules), BATCH_BAD_PAID);
}

/* ---- signatures with a second form ---- */

/* S + L says the same to a lax verifier. */
static void add_order(uint8_t sig[static SIGNATURE_LEN])
{
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
					  0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
					  0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
	unsigned carry = 0;

	for (int i = 0; i < 32; i++) {
		carry += (unsigned)sig[32 + i] + order[i];
		sig[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
}

static void signatures_have_one_form(void **state)
{
	struct forged f;

	(void)state;
	forge_begin(&f, batch_world_file(1));
	add_order(f.head.signature);
	forge_end(&f, NULL);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SIGNATURE);
	forge_begin(&f, batch_world_file(1));
	add_order(f.receipts[0].payer_signature);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_RECEIPT);
	forge_begin(&f, batch_world_file(1));
	add_order(f.receipts[0].offer.provider_signature);
	receipt_cosign(&f.receipts[0], &f.receipts[0].offer, &batch_payer[1]);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_RECEIPT);
}

/* The neutral point as a key signs everything (R neutral, S = 0) for a lax verifier. */
static void keys_of_small_order(void **state)
{
	static const uint8_t neutral[KEY_LEN] = {1};
	uint8_t other[KEY_LEN];
	struct forged f;

	(void)state;
	forge_begin(&f, batch_world_file(1));
	f.terms_count = f.session_count = f.receipt_count = f.account_count = 0;
	f.head.body.earned = f.head.body.spent = le64_of(0);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK); /* an epoch of nothing */
	memcpy(f.head.body.node, neutral, KEY_LEN);
	memset(f.head.signature, 0, SIGNATURE_LEN);
	memcpy(f.head.signature, neutral, KEY_LEN);
	forge_end(&f, NULL);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SIGNATURE);
	memset(other, 0xff, KEY_LEN); /* the same point, not reduced: 2^255 - 18 */
	other[0] = 0xee;
	other[31] = 0x7f;
	memcpy(f.head.body.node, other, KEY_LEN);
	forge_end(&f, NULL);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SIGNATURE);
	memcpy(f.head.signature, other, KEY_LEN);
	forge_end(&f, NULL);
	assert_reason(reason_of(&f, 0), BATCH_BAD_SIGNATURE);
	memset(f.head.body.node, 0, KEY_LEN);
	forge_end(&f, NULL);
	assert_reason(reason_of(&f, 0), BATCH_BAD_HEAD);
}

static void not_a_file(void **state)
{
	struct batch_chain *c = batch_chain_create(&any_rules);
	int ends[2];
	FILE *in;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	in = fdopen(ends[0], "r"); /* no place to seek in */
	assert_non_null(in);
	assert_int_equal(batch_chain_next(c, in, &head, &fault), -ESPIPE);
	assert_int_equal(fault.reason, BATCH_OK);
	fclose(in);
	close(ends[1]);
	batch_chain_free(c);
	batch_chain_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_holds),
		cmocka_unit_test(each_holds_alone),
		cmocka_unit_test(lost_epochs),
		cmocka_unit_test(every_flipped_byte),
		cmocka_unit_test(every_flipped_bit_of_a_head),
		cmocka_unit_test(truncated_doubled_and_more),
		cmocka_unit_test(out_of_place),
		cmocka_unit_test(of_another_node_or_network),
		cmocka_unit_test(a_head_about_other_records),
		cmocka_unit_test(sessions_over_epochs),
		cmocka_unit_test(totals_over_epochs),
		cmocka_unit_test(paid_in_a_lost_epoch),
		cmocka_unit_test(signatures_have_one_form),
		cmocka_unit_test(keys_of_small_order),
		cmocka_unit_test(not_a_file),
	};

	crypto_start();
	batches_make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
