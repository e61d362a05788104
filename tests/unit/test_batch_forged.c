/*
 * Batches that break one rule each, with a right tree and a head signed by the node: only the check
 * of that rule can refuse them. Every rule was taken out of the verifier once, one after another,
 * and a test here or in test_batch_verify failed.
 */
#include "tests/unit/batch_checks.h"

static void swap(void *a, void *b, size_t len)
{
	uint8_t other[sizeof(struct receipt)];

	memcpy(other, a, len);
	memcpy(a, b, len);
	memcpy(b, other, len);
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

static void sort_terms(struct forged *f)
{
	uint8_t a[KEY_LEN], b[KEY_LEN];

	for (uint32_t i = f->terms_count - 1; i > 0; i--) {
		terms_hash(a, &f->terms[i - 1]);
		terms_hash(b, &f->terms[i]);
		if (memcmp(a, b, KEY_LEN) > 0)
			swap(&f->terms[i - 1], &f->terms[i], sizeof(*f->terms));
	}
}

static void f_terms_unused(struct forged *f)
{
	struct terms more = f->terms[0];

	more.body.price = le64_of(1);
	identity_sign(more.signature, &more.body, sizeof(more.body), &batch_node);
	f->terms[f->terms_count++] = more;
	sort_terms(f);
}

/* The receipts of session 0 (at 1 and 2) name these terms, and are signed and chained anew. */
static void use_terms(struct forged *f, const struct terms *t)
{
	for (uint32_t i = 0; i < f->terms_count; i++)
		if (f->terms[i].body.role == t->body.role)
			f->terms[i] = *t;
	sort_terms(f);
	for (int i = 1; i <= 2; i++) {
		terms_hash(f->receipts[i].offer.body.terms, t);
		if (i == 2)
			receipt_hash(f->receipts[2].offer.body.previous, &f->receipts[1].offer);
		forge_sign(&f->receipts[i], &batch_node, &batch_payer[0]);
	}
}

static void f_terms_signature(struct forged *f)
{
	struct terms t = batch_world_terms[0];

	t.signature[3] ^= 1;
	use_terms(f, &t);
}

static void f_terms_form(struct forged *f)
{
	struct terms t = batch_world_terms[0];

	t.body.loss_ppm = le32_of(1000001);
	identity_sign(t.signature, &t.body, sizeof(t.body), &batch_node);
	use_terms(f, &t);
}

/* These are fine: what the two above change is all that is wrong with them. */
static void f_terms_others(struct forged *f)
{
	struct terms t = batch_world_terms[0];

	t.body.expires = le64_of(1);
	identity_sign(t.signature, &t.body, sizeof(t.body), &batch_node);
	use_terms(f, &t);
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

static void f_sum_earned(struct forged *f)
{
	add_to(&f->head.body.earned, 1);
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
		FORGERY(terms_form, BATCH_BAD_TERMS),
		FORGERY(terms_others, BATCH_OK),
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
		FORGERY(sum_earned, BATCH_BAD_SUMS),
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgeries),
	};

	crypto_start();
	batches_make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
