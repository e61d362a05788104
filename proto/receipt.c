#include "proto/receipt.h"

#include <string.h>

/* What stays the same from a session's first receipt to its last: domain to terms. */
#define FIXED_PART offsetof(struct receipt_body, seq)

static bool total_bytes(const struct receipt_body *b, uint64_t *total)
{
	return !__builtin_add_overflow(le64_get(b->bytes_up), le64_get(b->bytes_down), total);
}

bool receipt_same_agreement(const struct receipt_body *a, const struct receipt_body *b)
{
	return memcmp(a, b, FIXED_PART) == 0;
}

bool receipt_totals_grow(const struct receipt_body *from, const struct receipt_body *to)
{
	return le64_get(to->bytes_up) >= le64_get(from->bytes_up) &&
	       le64_get(to->bytes_down) >= le64_get(from->bytes_down) &&
	       le64_get(to->amount) >= le64_get(from->amount);
}

static void body_begin(struct receipt_body *b, const struct receipt_session *s,
		       const struct identity *provider)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->domain, DOMAIN_RECEIPT, DOMAIN_LEN);
	b->version = RECEIPT_VERSION;
	b->role = (uint8_t)s->role;
	b->network = le64_of(s->network);
	memcpy(b->session, s->session, sizeof(b->session));
	memcpy(b->provider, provider->id, KEY_LEN);
	memcpy(b->payer, s->payer, KEY_LEN);
	memcpy(b->terms, s->terms, KEY_LEN);
}

bool receipt_make(struct receipt_offer *out, const struct receipt_session *s,
		  const struct receipt_offer *previous, uint64_t up, uint64_t down, uint64_t hour,
		  const struct identity *provider)
{
	struct receipt_offer offer;
	struct receipt_body *b = &offer.body;
	uint64_t total, amount;

	body_begin(b, s, provider);
	b->seq = le64_of(previous ? le64_get(previous->body.seq) + 1 : 1);
	b->bytes_up = le64_of(up);
	b->bytes_down = le64_of(down);
	b->hour = le64_of(hour);
	if (!total_bytes(b, &total) || !terms_amount(s->price, total, &amount))
		return false;
	b->amount = le64_of(amount);
	if (previous)
		receipt_hash(b->previous, previous);
	if (receipt_check_chain(previous, &offer) != RECEIPT_OK)
		return false;
	identity_sign(offer.provider_signature, b, sizeof(*b), provider);
	*out = offer;
	return true;
}

void receipt_cosign(struct receipt *out, const struct receipt_offer *offer,
		    const struct identity *payer)
{
	out->offer = *offer;
	identity_sign(out->payer_signature, &out->offer, sizeof(out->offer), payer);
}

void receipt_hash(uint8_t out[static KEY_LEN], const struct receipt_offer *offer)
{
	hash256(out, offer, sizeof(*offer));
}

static bool form_ok(const struct receipt_body *b)
{
	uint64_t total, seq = le64_get(b->seq);
	bool first = crypto_is_zero(b->previous, sizeof(b->previous));

	return memcmp(b->domain, DOMAIN_RECEIPT, DOMAIN_LEN) == 0 &&
	       b->version == RECEIPT_VERSION && (b->role == ROLE_RELAY || b->role == ROLE_EXIT) &&
	       crypto_is_zero(b->zero, sizeof(b->zero)) && seq > 0 && (seq == 1) == first &&
	       total_bytes(b, &total);
}

static bool terms_match(const struct receipt_body *b, const struct terms *terms)
{
	uint8_t hash[KEY_LEN];

	if (b->role != terms->body.role || le64_get(b->network) != le64_get(terms->body.network) ||
	    memcmp(b->provider, terms->body.provider, KEY_LEN) != 0)
		return false;
	terms_hash(hash, terms);
	return memcmp(b->terms, hash, KEY_LEN) == 0;
}

static bool amount_ok(const struct receipt_body *b, const struct terms *terms)
{
	uint64_t total, amount;

	return total_bytes(b, &total) &&
	       terms_amount(le64_get(terms->body.price), total, &amount) &&
	       amount == le64_get(b->amount);
}

/* Cheapest first, so that junk costs no public-key operation. */
enum receipt_verdict receipt_check_offer(const struct receipt_offer *offer,
					 const struct terms *terms)
{
	const struct receipt_body *b = &offer->body;

	if (!form_ok(b))
		return RECEIPT_BAD_FORM;
	if (!terms_match(b, terms))
		return RECEIPT_BAD_TERMS;
	if (!amount_ok(b, terms))
		return RECEIPT_BAD_AMOUNT;
	if (!identity_verify(offer->provider_signature, b, sizeof(*b), b->provider))
		return RECEIPT_BAD_PROVIDER_SIGNATURE;
	return RECEIPT_OK;
}

enum receipt_verdict receipt_check(const struct receipt *r, const struct terms *terms)
{
	enum receipt_verdict v = receipt_check_offer(&r->offer, terms);

	if (v != RECEIPT_OK)
		return v;
	if (!identity_verify(r->payer_signature, &r->offer, sizeof(r->offer), r->offer.body.payer))
		return RECEIPT_BAD_PAYER_SIGNATURE;
	return RECEIPT_OK;
}

enum receipt_verdict receipt_check_chain(const struct receipt_offer *previous,
					 const struct receipt_offer *next)
{
	uint64_t seq = le64_get(next->body.seq);
	uint8_t hash[KEY_LEN] = {0};

	if (previous) {
		if (!receipt_same_agreement(&previous->body, &next->body) ||
		    !receipt_totals_grow(&previous->body, &next->body))
			return RECEIPT_BAD_CHAIN;
		receipt_hash(hash, previous);
	}
	/* A sequence number that wrapped to 0 follows nothing. */
	if (seq == 0 || seq - 1 != (previous ? le64_get(previous->body.seq) : 0) ||
	    memcmp(next->body.previous, hash, KEY_LEN) != 0)
		return RECEIPT_BAD_CHAIN;
	return RECEIPT_OK;
}

enum receipt_verdict receipt_check_later(const struct receipt_offer *previous,
					 const struct receipt_offer *next)
{
	uint64_t last = le64_get(previous->body.seq), seq = le64_get(next->body.seq);

	if (last < UINT64_MAX && seq == last + 1)
		return receipt_check_chain(previous, next);
	if (seq <= last || memcmp(&previous->body, &next->body, FIXED_PART) != 0 ||
	    !receipt_totals_grow(&previous->body, &next->body))
		return RECEIPT_BAD_CHAIN;
	return RECEIPT_OK;
}

const char *receipt_verdict_text(enum receipt_verdict v)
{
	switch (v) {
	case RECEIPT_OK:
		return "the receipt is valid";
	case RECEIPT_BAD_FORM:
		return "this is not a receipt of version 1";
	case RECEIPT_BAD_TERMS:
		return "the receipt does not belong to these terms";
	case RECEIPT_BAD_AMOUNT:
		return "the amount is not the bytes times the price";
	case RECEIPT_BAD_PROVIDER_SIGNATURE:
		return "the provider did not sign this receipt";
	case RECEIPT_BAD_PAYER_SIGNATURE:
		return "the payer did not sign this receipt";
	case RECEIPT_BAD_CHAIN:
		return "the receipt does not follow the one before it";
	}
	return "unknown verdict";
}
