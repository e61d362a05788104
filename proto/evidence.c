#include "proto/evidence.h"

#include <string.h>

static const struct {
	const char *name, *text;
	bool two; /* offers */
} kinds[EVIDENCE_KINDS] = {
	[EVIDENCE_OVERCHARGE] = {"overcharge", "it claims more than this machine counted", false},
	[EVIDENCE_EQUIVOCATION] = {"equivocation",
				   "it signed two different receipts with one number", true},
	[EVIDENCE_DECREASE] = {"decrease", "it signed lower totals than in an earlier receipt",
			       true},
	[EVIDENCE_AMOUNT] = {"amount", "it signed an amount that is not the bytes times the price",
			     false},
	[EVIDENCE_FORK] = {"fork", "it signed a receipt that does not continue its last one", true},
	[EVIDENCE_REFUSED] = {"refused", "its receipt is not one of the session", false},
};

/* What makes signed bytes a receipt: with these, every other field means what it says. */
static bool is_receipt(const struct receipt_offer *offer)
{
	const struct receipt_body *b = &offer->body;

	return memcmp(b->domain, DOMAIN_RECEIPT, DOMAIN_LEN) == 0 && b->version == RECEIPT_VERSION;
}

static bool terms_are_its(const struct receipt_offer *offer, const struct terms *terms)
{
	const struct receipt_body *b = &offer->body;
	uint8_t hash[KEY_LEN];

	if (!terms_valid(terms) || memcmp(b->provider, terms->body.provider, KEY_LEN) != 0)
		return false;
	terms_hash(hash, terms);
	return memcmp(b->terms, hash, KEY_LEN) == 0;
}

static bool is_signed(const struct receipt_offer *offer)
{
	return identity_verify(offer->provider_signature, &offer->body, sizeof(offer->body),
			       offer->body.provider);
}

uint64_t evidence_loss_allowed(const struct terms *terms, uint64_t down)
{
	unsigned __int128 share =
		(unsigned __int128)down * le32_get(terms->body.loss_ppm) / 1000000;
	uint64_t allowed;

	if (share > UINT64_MAX ||
	    __builtin_add_overflow((uint64_t)share, le64_get(terms->body.loss_bytes), &allowed))
		return UINT64_MAX;
	return allowed;
}

static enum evidence_verdict check_overcharge(const struct evidence *e, const struct terms *terms)
{
	uint64_t up = le64_get(e->first.body.bytes_up), down = le64_get(e->first.body.bytes_down);

	if (up > e->counted_up)
		return EVIDENCE_CLAIM;
	if (down > e->counted_down && down - e->counted_down > evidence_loss_allowed(terms, down))
		return EVIDENCE_CLAIM;
	return EVIDENCE_COVERED;
}

/* An amount no bytes can come to is as wrong as one of other bytes. */
static enum evidence_verdict check_amount(const struct receipt_body *b, const struct terms *terms)
{
	uint64_t total, amount;

	if (__builtin_add_overflow(le64_get(b->bytes_up), le64_get(b->bytes_down), &total) ||
	    !terms_amount(le64_get(terms->body.price), total, &amount) ||
	    amount != le64_get(b->amount))
		return EVIDENCE_PROOF;
	return EVIDENCE_CONSISTENT;
}

/* The later one is of the same parties and terms, and if it is the very next, names the first. */
static bool continues(const struct receipt_offer *first, const struct receipt_offer *second)
{
	uint8_t hash[KEY_LEN];

	if (!receipt_same_agreement(&first->body, &second->body))
		return false;
	receipt_hash(hash, first);
	return le64_get(second->body.seq) - le64_get(first->body.seq) != 1 ||
	       memcmp(second->body.previous, hash, KEY_LEN) == 0;
}

static enum evidence_verdict check_two(const struct evidence *e)
{
	const struct receipt_body *a = &e->first.body, *b = &e->second.body;
	uint64_t from = le64_get(a->seq), to = le64_get(b->seq);

	if (memcmp(a->provider, b->provider, KEY_LEN) != 0 ||
	    memcmp(a->session, b->session, SESSION_ID_LEN) != 0 ||
	    le64_get(a->network) != le64_get(b->network))
		return EVIDENCE_OTHER_SESSION;
	if (!is_receipt(&e->second))
		return EVIDENCE_BAD_FORM;
	if (!is_signed(&e->second))
		return EVIDENCE_BAD_SIGNATURE;
	if (e->kind == EVIDENCE_EQUIVOCATION)
		return from != to                      ? EVIDENCE_OTHER_NUMBER
		       : memcmp(a, b, sizeof(*a)) == 0 ? EVIDENCE_CONSISTENT
						       : EVIDENCE_PROOF;
	if (from >= to)
		return EVIDENCE_OTHER_NUMBER;
	if (e->kind == EVIDENCE_DECREASE)
		return receipt_totals_grow(a, b) ? EVIDENCE_CONSISTENT : EVIDENCE_PROOF;
	return continues(&e->first, &e->second) ? EVIDENCE_CONSISTENT : EVIDENCE_PROOF;
}

enum evidence_verdict evidence_check(const struct evidence *e, const struct terms *terms)
{
	if ((unsigned)e->kind >= EVIDENCE_KINDS || e->kind == EVIDENCE_REFUSED)
		return EVIDENCE_NOTHING;
	if (e->has_second != kinds[e->kind].two)
		return EVIDENCE_BAD_OFFERS;
	if (!is_receipt(&e->first))
		return EVIDENCE_BAD_FORM;
	if (!terms_are_its(&e->first, terms))
		return EVIDENCE_BAD_TERMS;
	if (!is_signed(&e->first))
		return EVIDENCE_BAD_SIGNATURE;
	if (e->has_second)
		return check_two(e);
	return e->kind == EVIDENCE_AMOUNT ? check_amount(&e->first.body, terms)
					  : check_overcharge(e, terms);
}

const char *evidence_verdict_text(enum evidence_verdict v)
{
	switch (v) {
	case EVIDENCE_PROOF:
		return "the provider's own signatures prove it";
	case EVIDENCE_CLAIM:
		return "the provider signed it, the payer says it counted less";
	case EVIDENCE_BAD_OFFERS:
		return "it proves nothing: this kind of evidence has another number of receipts";
	case EVIDENCE_BAD_FORM:
		return "it proves nothing: this is not a receipt of version 1";
	case EVIDENCE_BAD_TERMS:
		return "it proves nothing: the terms are not signed, or not those of the receipt";
	case EVIDENCE_BAD_SIGNATURE:
		return "it proves nothing: the provider did not sign this receipt";
	case EVIDENCE_OTHER_SESSION:
		return "it proves nothing: the two receipts are of different sessions";
	case EVIDENCE_OTHER_NUMBER:
		return "it proves nothing: the numbers of the two receipts do not fit its kind";
	case EVIDENCE_CONSISTENT:
		return "it proves nothing: there is no contradiction in it";
	case EVIDENCE_COVERED:
		return "it proves nothing: the counts, with the loss allowed, explain the receipt";
	case EVIDENCE_NOTHING:
		return "it proves nothing: why it was refused is the payer's word alone";
	}
	return "unknown verdict";
}

const char *evidence_kind_name(enum evidence_kind kind)
{
	return (unsigned)kind < EVIDENCE_KINDS ? kinds[kind].name : "unknown";
}

bool evidence_kind_parse(enum evidence_kind *out, const char *name)
{
	for (unsigned i = 0; i < EVIDENCE_KINDS; i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*out = (enum evidence_kind)i;
			return true;
		}
	}
	return false;
}

const char *evidence_kind_text(enum evidence_kind kind)
{
	return kinds[(unsigned)kind < EVIDENCE_KINDS ? kind : EVIDENCE_REFUSED].text;
}
