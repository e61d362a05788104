/* Receipts: cumulative, hash-chained, signed by provider and payer. Pure. */
#ifndef PROTO_RECEIPT_H
#define PROTO_RECEIPT_H

#include "proto/terms.h"

enum {
	RECEIPT_VERSION = 1
};

/* What a provider knows of a session when it issues the next receipt. */
struct receipt_session {
	enum role role;
	uint64_t network;
	uint8_t session[SESSION_ID_LEN];
	uint8_t payer[KEY_LEN];
	uint8_t terms[KEY_LEN]; /* hash */
	uint64_t price;
};

/* seq 1: previous is NULL. False if the amount overflows or totals would go down, or if previous is
 * of another session. */
MUST_CHECK bool receipt_make(struct receipt_offer *out, const struct receipt_session *s,
			     const struct receipt_offer *previous, uint64_t up, uint64_t down,
			     uint64_t hour, const struct identity *provider);
void receipt_cosign(struct receipt *out, const struct receipt_offer *offer,
		    const struct identity *payer);
void receipt_hash(uint8_t out[static KEY_LEN], const struct receipt_offer *offer);

enum receipt_verdict {
	RECEIPT_OK,
	RECEIPT_BAD_FORM,   /* domain, version, role, zero bytes, seq 0, seq 1 with a previous, u64
			       sum overflow */
	RECEIPT_BAD_TERMS,  /* not of these terms, or another provider/network/role than the terms'
			     */
	RECEIPT_BAD_AMOUNT, /* not ceil(bytes * price / 2^30) */
	RECEIPT_BAD_PROVIDER_SIGNATURE,
	RECEIPT_BAD_PAYER_SIGNATURE,
	RECEIPT_BAD_CHAIN, /* seq, previous hash, session, parties, or totals do not follow */
};
/* Everything one receipt proves by itself, with its terms; that these are valid (terms_valid) is
 * for the caller to know: once a session is enough. */
enum receipt_verdict receipt_check_offer(const struct receipt_offer *offer,
					 const struct terms *terms);
enum receipt_verdict receipt_check(const struct receipt *r, const struct terms *terms);
/* next follows previous (NULL: next must be seq 1). */
enum receipt_verdict receipt_check_chain(const struct receipt_offer *previous,
					 const struct receipt_offer *next);
/* Both are of one session, provider, payer, role, network and terms. */
bool receipt_same_agreement(const struct receipt_body *a, const struct receipt_body *b);
/* No total of `to` is below that of `from`. */
bool receipt_totals_grow(const struct receipt_body *from, const struct receipt_body *to);
/* next came after previous in the same session, with those between perhaps missing. */
enum receipt_verdict receipt_check_later(const struct receipt_offer *previous,
					 const struct receipt_offer *next);
/* A sentence for a person. */
const char *receipt_verdict_text(enum receipt_verdict v);

#endif
