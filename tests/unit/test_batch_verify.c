/*
 * What is wrong with a settlement batch is found, and named. The forgeries here have a right tree
 * and a head signed by the node: only the rule that is broken can refuse them.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "accounting/batch_verify.h"
#include "tests/lib/batches.h"

static struct batch_fault fault;
static struct batch_head head;

static int verify_bytes(struct batch_chain *c, const uint8_t *bytes, size_t len)
{
	static const uint8_t nothing[1];
	FILE *in = fmemopen((void *)(uintptr_t)(len ? bytes : nothing), len ? len : 1, "r");
	int err;

	assert_non_null(in);
	err = batch_chain_next(c, in, &head, &fault);
	fclose(in);
	assert_true((err == -EBADMSG) == (fault.reason != BATCH_OK));
	if (err == -EBADMSG) {
		char text[BATCH_FAULT_TEXT];

		assert_non_null(fault.why);
		assert_non_null(strstr(batch_fault_text(text, &fault), fault.why));
		assert_true(fault.offset <= len);
		assert_true(*batch_reason_name(fault.reason));
	}
	return err;
}

/* The reason a file is refused for behind the first `before` files of the chain. */
static enum batch_reason reason_after(unsigned before, const uint8_t *bytes, size_t len,
				      const struct batch_rules *rules)
{
	struct batch_chain *c = batch_chain_create(rules);
	int err;

	for (unsigned n = 1; n <= before; n++)
		assert_int_equal(
			verify_bytes(c, batch_world_file(n)->bytes, batch_world_file(n)->len), 0);
	err = verify_bytes(c, bytes, len);
	assert_true(err == 0 || err == -EBADMSG);
	batch_chain_free(c);
	return fault.reason;
}

static const struct batch_rules any_rules, lost_rules = {.lost = true};

static enum batch_reason reason_of(const struct forged *f, unsigned before)
{
	return reason_after(before, f->bytes, f->len, &any_rules);
}

static void assert_reason(enum batch_reason found, enum batch_reason expected)
{
	char text[BATCH_FAULT_TEXT] = "";

	if (found != expected)
		fail_msg("refused as %s, not %s (%s)", batch_reason_name(found),
			 batch_reason_name(expected),
			 found ? batch_fault_text(text, &fault) : "accepted");
}

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
	/* The tree may not shrink over a gap, nor change without growing. */
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
	{
		struct merkle m;

		merkle_resume(&m, le64_get(f.head.body.previous_size),
			      (const uint8_t(*)[KEY_LEN])f.peaks);
		merkle_root(&m, f.head.body.previous_root);
	}
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

/* ---- forgeries, one rule each ---- */

static void swap(void *a, void *b, size_t len)
{
	uint8_t other[sizeof(struct receipt)];

	memcpy(other, a, len);
	memcpy(a, b, len);
	memcpy(b, other, len);
}

static struct batch_account *account(struct forged *f, const struct identity *who)
{
	for (uint32_t i = 0; i < f->account_count; i++)
		if (memcmp(f->accounts[i].key, who->id, KEY_LEN) == 0)
			return &f->accounts[i];
	fail_msg("no such account");
	return NULL;
}

static void add_to(le64 *v, int64_t n)
{
	*v = le64_of(le64_get(*v) + (uint64_t)n);
}

static void f_version(struct forged *f)
{
	f->head.body.version = 2;
}

static void f_head_zero(struct forged *f)
{
	f->head.body.zero[6] = 1;
}

static void f_head_domain(struct forged *f)
{
	memcpy(f->head.body.domain, DOMAIN_ACCOUNT, DOMAIN_LEN);
}

static void f_epoch_0(struct forged *f)
{
	f->head.body.epoch = le64_of(0);
}

static void f_epoch_1(struct forged *f)
{
	f->head.body.epoch = le64_of(1);
}

static void f_terms_order(struct forged *f)
{
	swap(&f->terms[0], &f->terms[1], sizeof(*f->terms));
}

static void f_terms_twice(struct forged *f)
{
	f->terms[2] = f->terms[1];
	f->terms_count = 3;
}

static void f_terms_missing(struct forged *f)
{
	f->terms_count = 1;
}

static void f_terms_unused(struct forged *f)
{
	uint8_t a[KEY_LEN], b[KEY_LEN];
	struct terms more = f->terms[0];

	more.body.price = le64_of(1);
	identity_sign(more.signature, &more.body, sizeof(more.body), &batch_node);
	f->terms[2] = more;
	f->terms_count = 3;
	for (int i = 2; i > 0; i--) {
		terms_hash(a, &f->terms[i - 1]);
		terms_hash(b, &f->terms[i]);
		if (memcmp(a, b, KEY_LEN) > 0)
			swap(&f->terms[i - 1], &f->terms[i], sizeof(more));
	}
}

static void f_terms_signature(struct forged *f)
{
	f->terms[1].signature[3] ^= 1;
}

static void f_sessions_order(struct forged *f)
{
	swap(&f->sessions[0], &f->sessions[1], sizeof(*f->sessions));
}

static void f_session_twice(struct forged *f)
{
	f->sessions[2] = f->sessions[1];
	f->session_count = 3;
}

static void f_session_missing(struct forged *f)
{
	f->session_count = 1;
}

static void f_session_without_receipts(struct forged *f)
{
	f->sessions[2] = f->sessions[1];
	memset(f->sessions[2].session, 0xff, SESSION_ID_LEN);
	f->session_count = 3;
}

static void f_session_between_without_receipts(struct forged *f)
{
	f->sessions[2] = f->sessions[1];
	f->sessions[1].session[0]--;
	f->session_count = 3;
}

static void f_session_domain(struct forged *f)
{
	f->sessions[0].domain[15] = '2';
}

static void f_session_zero(struct forged *f)
{
	f->sessions[0].zero[0] = 1;
}

static void f_session_seq(struct forged *f)
{
	add_to(&f->sessions[0].seq, -1);
}

static void f_fee_above_all(struct forged *f)
{
	f->sessions[0].fee_ppm = le32_of(1000001);
}

static void f_fee_without_account(struct forged *f)
{
	memset(f->sessions[0].fee_account, 0, KEY_LEN);
}

static void f_account_without_fee(struct forged *f)
{
	f->sessions[0].fee_ppm = le32_of(0);
}

static void f_paid_above_amount(struct forged *f)
{
	const struct receipt *last = batch_world_receipt(1, 1);

	f->sessions[0].paid = le64_of(le64_get(last->offer.body.amount) + 1);
}

static void f_paid_shrinks(struct forged *f)
{
	f->sessions[0].before = le64_of(le64_get(f->sessions[0].paid) + 1);
}

static void f_paid_before_anything(struct forged *f)
{
	f->sessions[0].before = le64_of(1);
}

static void f_receipts_order(struct forged *f)
{
	swap(&f->receipts[1], &f->receipts[2], sizeof(*f->receipts));
}

static void f_receipt_twice(struct forged *f)
{
	f->receipts[3] = f->receipts[2];
	f->receipt_count = 4;
}

static void f_receipt_of_another_epoch(struct forged *f)
{
	f->receipts[0] = *batch_world_receipt(1, 2);
}

static void f_receipt_payer_signature(struct forged *f)
{
	f->receipts[1].payer_signature[40] ^= 1;
}

static void f_receipt_provider_signature(struct forged *f)
{
	f->receipts[1].offer.provider_signature[40] ^= 1;
	receipt_cosign(&f->receipts[1], &f->receipts[1].offer, &batch_payer[0]);
}

static void f_receipt_amount(struct forged *f)
{
	add_to(&f->receipts[1].offer.body.amount, 1);
	forge_sign(&f->receipts[1], &batch_node, &batch_payer[0]);
}

static void f_receipt_role(struct forged *f)
{
	f->receipts[1].offer.body.role = ROLE_EXIT;
	forge_sign(&f->receipts[1], &batch_node, &batch_payer[0]);
}

static void f_receipt_network(struct forged *f)
{
	f->receipts[1].offer.body.network = le64_of(7);
	forge_sign(&f->receipts[1], &batch_node, &batch_payer[0]);
}

static void f_receipt_provider(struct forged *f)
{
	memcpy(f->receipts[1].offer.body.provider, batch_payer[1].id, KEY_LEN);
	forge_sign(&f->receipts[1], &batch_payer[1], &batch_payer[0]);
}

/* Receipts 1 and 2 of session 0 are at 1 and 2: 2's chain is broken, all else right. */
static void f_chain_hash(struct forged *f)
{
	f->receipts[2].offer.body.previous[0] ^= 1;
	forge_sign(&f->receipts[2], &batch_node, &batch_payer[0]);
}

static void f_chain_payer(struct forged *f)
{
	memcpy(f->receipts[2].offer.body.payer, batch_payer[1].id, KEY_LEN);
	forge_sign(&f->receipts[2], &batch_node, &batch_payer[1]);
}

static void f_account_domain(struct forged *f)
{
	f->accounts[0].domain[0] ^= 1;
}

static void f_accounts_order(struct forged *f)
{
	swap(&f->accounts[0], &f->accounts[1], sizeof(*f->accounts));
}

static void f_account_twice(struct forged *f)
{
	f->accounts[f->account_count] = f->accounts[f->account_count - 1];
	f->account_count++;
}

static void f_first_account_missing(struct forged *f)
{
	f->account_count--;
	memmove(f->accounts, f->accounts + 1, f->account_count * sizeof(*f->accounts));
}

static void f_last_account_missing(struct forged *f)
{
	f->account_count--;
}

static void f_account_too_many(struct forged *f)
{
	batch_account_make(&f->accounts[f->account_count],
			   (const uint8_t[KEY_LEN]){[0] = 0xff, [1] = 0xff, [2] = 0xff}, 5, 5);
	f->account_count++;
	add_to(&f->head.body.earned, 5);
	add_to(&f->head.body.spent, 5);
}

static void f_account_of_nothing(struct forged *f)
{
	f_account_too_many(f);
	f->accounts[f->account_count - 1].earned = f->accounts[f->account_count - 1].spent =
		le64_of(0);
}

/* More for the fee account, less for the node: the sums stay as they are. */
static void f_fee_moved(struct forged *f)
{
	add_to(&account(f, &batch_fee_account)->earned, 1);
	add_to(&account(f, &batch_node)->earned, -1);
}

static void f_earned_lower(struct forged *f)
{
	add_to(&account(f, &batch_node)->earned, -1);
	add_to(&f->head.body.earned, -1);
}

static void f_spent_higher(struct forged *f)
{
	add_to(&account(f, &batch_payer[0])->spent, 1);
	add_to(&f->head.body.spent, 1);
}

static void f_sums(struct forged *f)
{
	add_to(&f->head.body.earned, 1);
	add_to(&f->head.body.spent, 1);
}

static void f_sum_spent(struct forged *f)
{
	add_to(&f->head.body.spent, 1);
}

static void f_overflow(struct forged *f)
{
	f->accounts[0].spent = f->accounts[1].spent = le64_of(UINT64_MAX);
}

/* Every one is of epoch 1, whose totals before are known: nothing. */
static void forgeries(void **state)
{
	static const struct {
		const char *name;
		void (*edit)(struct forged *f);
		enum batch_reason reason;
	} table[] = {
#define FORGERY(name, reason) {#name, f_##name, reason}
		FORGERY(version, BATCH_BAD_HEAD),
		FORGERY(head_zero, BATCH_BAD_HEAD),
		FORGERY(head_domain, BATCH_BAD_HEAD),
		FORGERY(epoch_0, BATCH_BAD_HEAD),
		FORGERY(terms_order, BATCH_BAD_ORDER),
		FORGERY(terms_twice, BATCH_BAD_ORDER),
		FORGERY(terms_missing, BATCH_BAD_TERMS),
		FORGERY(terms_unused, BATCH_UNUSED),
		FORGERY(terms_signature, BATCH_BAD_TERMS),
		FORGERY(sessions_order, BATCH_BAD_ORDER),
		FORGERY(session_twice, BATCH_BAD_ORDER),
		FORGERY(session_missing, BATCH_BAD_SESSION),
		FORGERY(session_without_receipts, BATCH_UNUSED),
		FORGERY(session_between_without_receipts, BATCH_UNUSED),
		FORGERY(session_domain, BATCH_BAD_SESSION),
		FORGERY(session_zero, BATCH_BAD_SESSION),
		FORGERY(session_seq, BATCH_BAD_SESSION),
		FORGERY(fee_above_all, BATCH_BAD_SESSION),
		FORGERY(fee_without_account, BATCH_BAD_SESSION),
		FORGERY(account_without_fee, BATCH_BAD_SESSION),
		FORGERY(paid_above_amount, BATCH_BAD_PAID),
		FORGERY(paid_shrinks, BATCH_BAD_PAID),
		FORGERY(paid_before_anything, BATCH_BAD_PAID),
		FORGERY(receipts_order, BATCH_BAD_ORDER),
		FORGERY(receipt_twice, BATCH_BAD_ORDER),
		FORGERY(receipt_of_another_epoch, BATCH_BAD_SESSION),
		FORGERY(receipt_payer_signature, BATCH_BAD_RECEIPT),
		FORGERY(receipt_provider_signature, BATCH_BAD_RECEIPT),
		FORGERY(receipt_amount, BATCH_BAD_RECEIPT),
		FORGERY(receipt_role, BATCH_BAD_RECEIPT),
		FORGERY(receipt_network, BATCH_BAD_RECEIPT),
		FORGERY(receipt_provider, BATCH_BAD_RECEIPT),
		FORGERY(chain_hash, BATCH_BAD_CHAIN),
		FORGERY(chain_payer, BATCH_BAD_CHAIN),
		FORGERY(account_domain, BATCH_BAD_ACCOUNT),
		FORGERY(account_of_nothing, BATCH_BAD_ACCOUNT),
		FORGERY(accounts_order, BATCH_BAD_ORDER),
		FORGERY(account_twice, BATCH_BAD_ORDER),
		FORGERY(first_account_missing, BATCH_BAD_TOTALS),
		FORGERY(last_account_missing, BATCH_BAD_TOTALS),
		FORGERY(account_too_many, BATCH_BAD_TOTALS),
		FORGERY(fee_moved, BATCH_BAD_TOTALS),
		FORGERY(earned_lower, BATCH_BAD_TOTALS),
		FORGERY(spent_higher, BATCH_BAD_TOTALS),
		FORGERY(sums, BATCH_BAD_SUMS),
		FORGERY(sum_spent, BATCH_BAD_SUMS),
		FORGERY(overflow, BATCH_BAD_TOTALS),
#undef FORGERY
	};
	struct forged f;

	(void)state;
	forge_begin(&f, batch_world_file(1));
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_OK);
	assert_int_equal(f.len, batch_world_file(1)->len);
	assert_memory_equal(f.bytes, batch_world_file(1)->bytes, f.len);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		forge_begin(&f, batch_world_file(1));
		table[i].edit(&f);
		forge_end(&f, &batch_node);
		if (reason_of(&f, 0) != table[i].reason)
			print_error("forgery %s\n", table[i].name);
		assert_reason(fault.reason, table[i].reason);
	}
	forge_begin(&f, batch_world_file(2));
	f_epoch_1(&f);
	forge_end(&f, &batch_node);
	assert_reason(reason_of(&f, 0), BATCH_BAD_HEAD);
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
		cmocka_unit_test(forgeries),
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
