/* Evidence: what a provider signed and should not have, or what its payer refused. Pure. */
#ifndef PROTO_EVIDENCE_H
#define PROTO_EVIDENCE_H

#include "proto/receipt.h"

/* In the books and in exports: a number is never given another meaning. */
enum evidence_kind {
	EVIDENCE_OVERCHARGE,   /* one offer, and what its payer counted: the payer's word */
	EVIDENCE_EQUIVOCATION, /* two offers: one session and number, two bodies */
	EVIDENCE_DECREASE,     /* two offers of a session: later number, lower totals */
	EVIDENCE_AMOUNT,       /* one offer: its amount is not ceil(bytes * price / 2^30) */
	EVIDENCE_FORK,    /* two offers of a session: the later one does not continue the other */
	EVIDENCE_REFUSED, /* one offer that was refused for what nobody else can check */
	EVIDENCE_KINDS,
};

struct evidence {
	enum evidence_kind kind;
	bool has_second;
	struct receipt_offer first, second; /* second contradicts first; only if has_second */
	uint64_t counted_up, counted_down;  /* by the payer's device; only of an overcharge */
};

enum evidence_verdict {
	EVIDENCE_PROOF,      /* whoever has the bytes can see it: the provider's own signatures */
	EVIDENCE_CLAIM,      /* signed by the provider, and wrong if the payer's counts are right */
	EVIDENCE_BAD_OFFERS, /* one offer where two are needed, or two where one is */
	EVIDENCE_BAD_FORM,   /* not receipts of version 1 */
	EVIDENCE_BAD_TERMS,  /* terms not signed by their provider, or not the (first) offer's */
	EVIDENCE_BAD_SIGNATURE, /* an offer the provider did not sign */
	EVIDENCE_OTHER_SESSION, /* two offers of different sessions, providers or networks */
	EVIDENCE_OTHER_NUMBER, /* two numbers for an equivocation; or not in order for the others */
	EVIDENCE_CONSISTENT,   /* the offers do not contradict each other, or the terms */
	EVIDENCE_COVERED,      /* the counts, with the loss allowed, explain the offer */
	EVIDENCE_NOTHING,      /* a kind that proves nothing by itself */
};

/* Everything it proves by itself, out of the terms of its (first) offer. */
enum evidence_verdict evidence_check(const struct evidence *e, const struct terms *terms);
/* A sentence for a person about one that is neither proof nor claim. */
const char *evidence_verdict_text(enum evidence_verdict v);

/* The bytes a provider may claim beyond what its payer counted down: lost behind its meter. */
uint64_t evidence_loss_allowed(const struct terms *terms, uint64_t down);

/* One word, as in exports ("equivocation"), and back; false if there is no such kind. */
const char *evidence_kind_name(enum evidence_kind kind);
MUST_CHECK bool evidence_kind_parse(enum evidence_kind *out, const char *name);
/* What the provider did, as part of a sentence ("it signed ..."). */
const char *evidence_kind_text(enum evidence_kind kind);

#endif
