/*
 * Terms, a receipt and the one before it, as they come from a peer: raw, and with a domain, version
 * and signatures put right so that the checks behind those are reached as well.
 */
#include <string.h>

#include "proto/receipt.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct terms terms;
	struct receipt_offer previous;
	struct receipt receipt;
};

static struct identity provider, payer;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seeds[2][KEY_LEN] = {{1}, {2}};

	(void)argc;
	(void)argv;
	crypto_start();
	identity_from_seed(&provider, seeds[0]);
	identity_from_seed(&payer, seeds[1]);
	return 0;
}

static void put_right(struct input *in)
{
	struct receipt_body *b = &in->receipt.offer.body;

	memcpy(in->terms.body.domain, DOMAIN_TERMS, DOMAIN_LEN);
	memcpy(in->terms.body.provider, provider.id, KEY_LEN);
	in->terms.body.version = 1;
	identity_sign(in->terms.signature, &in->terms.body, sizeof(in->terms.body), &provider);
	memcpy(b->domain, DOMAIN_RECEIPT, DOMAIN_LEN);
	memcpy(b->provider, provider.id, KEY_LEN);
	memcpy(b->payer, payer.id, KEY_LEN);
	b->version = 1;
	b->role = in->terms.body.role;
	b->network = in->terms.body.network;
	terms_hash(b->terms, &in->terms);
	if (le64_get(b->seq) == 1)
		memset(b->previous, 0, sizeof(b->previous));
	memset(b->zero, 0, sizeof(b->zero));
	identity_sign(in->receipt.offer.provider_signature, b, sizeof(*b), &provider);
	receipt_cosign(&in->receipt, &in->receipt.offer, &payer);
}

static void check(const struct input *in)
{
	enum receipt_verdict v = receipt_check(&in->receipt, &in->terms);
	uint64_t up = le64_get(in->receipt.offer.body.bytes_up);
	uint64_t down = le64_get(in->receipt.offer.body.bytes_down), amount;

	if (v == RECEIPT_OK) {
		require(up + down >= up && le64_get(in->receipt.offer.body.seq) > 0);
		require(terms_amount(le64_get(in->terms.body.price), up + down, &amount));
		require(amount == le64_get(in->receipt.offer.body.amount));
	}
	require(*receipt_verdict_text(v));
	if (receipt_check_chain(&in->previous, &in->receipt.offer) == RECEIPT_OK)
		require(up >= le64_get(in->previous.body.bytes_up));
	require(!terms_valid(&in->terms) || le64_get(in->terms.body.window_start) > 0);
}

static void issue(const struct input *in)
{
	struct receipt_session s = {.role = ROLE_EXIT, .price = le64_get(in->terms.body.price)};
	struct receipt_offer offer;

	if (receipt_make(&offer, &s, NULL, le64_get(in->previous.body.bytes_up),
			 le64_get(in->previous.body.bytes_down), 1, &provider))
		require(receipt_check_chain(NULL, &offer) == RECEIPT_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;

	if (size != sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	check(&in);
	put_right(&in);
	check(&in);
	issue(&in);
	return 0;
}
