/* Grants: an issuer's signed promise of credit for one payer at one node. Pure. */
#ifndef PROTO_GRANT_H
#define PROTO_GRANT_H

#include "proto/crypto.h"
#include "proto/messages.h"

/* One line of text: "culvert-grant-1 BASE64\n"; # lines and blank lines before it are ignored when
 * read. */
#define GRANT_TEXT_MAX 1024

struct grant_values {
	uint64_t network;
	const uint8_t *payer, *node; /* KEY_LEN bytes each */
	uint64_t limit;              /* micro-credits */
	uint64_t expires;            /* seconds since 1970; 0: never */
	const uint8_t *serial;       /* NONCE_LEN bytes */
};

void grant_make(struct grant *out, const struct grant_values *v, const struct identity *issuer);

enum grant_verdict {
	GRANT_OK,
	GRANT_BAD_FORM, /* domain, version, zero bytes, limit or expiry beyond what books hold */
	GRANT_OTHER_NETWORK,
	GRANT_EXPIRED,
	GRANT_BAD_SIGNATURE,
};
/* Cheapest first. network 0 accepts any; now_s 0 ignores expiry. Whether node and issuer are the
 * right ones is for the reader to know. */
enum grant_verdict grant_check(const struct grant *g, uint64_t network, uint64_t now_s);
/* A sentence for a person. */
const char *grant_verdict_text(enum grant_verdict v);

/* Text form; the decoder checks nothing but the length. size >= GRANT_TEXT_MAX. */
const char *grant_to_text(char *out, size_t size, const struct grant *g);
MUST_CHECK bool grant_from_text(struct grant *g, const char *text);

#endif
