#include "proto/grant.h"

#include <string.h>

#include "proto/oneline.h"

#define GRANT_VERSION 1
#define TEXT_WORD     "culvert-grant-1"

void grant_make(struct grant *out, const struct grant_values *v, const struct identity *issuer)
{
	struct grant_body *b = &out->body;

	memset(out, 0, sizeof(*out));
	memcpy(b->domain, DOMAIN_GRANT, DOMAIN_LEN);
	b->version = GRANT_VERSION;
	b->network = le64_of(v->network);
	memcpy(b->issuer, issuer->id, KEY_LEN);
	memcpy(b->payer, v->payer, KEY_LEN);
	memcpy(b->relay, v->node, KEY_LEN);
	b->limit = le64_of(v->limit);
	b->expires = le64_of(v->expires);
	memcpy(b->serial, v->serial, NONCE_LEN);
	identity_sign(out->signature, b, sizeof(*b), issuer);
}

static bool form_ok(const struct grant_body *b)
{
	uint64_t limit = le64_get(b->limit);

	return memcmp(b->domain, DOMAIN_GRANT, DOMAIN_LEN) == 0 && b->version == GRANT_VERSION &&
	       crypto_is_zero(b->zero, sizeof(b->zero)) && limit > 0 && limit <= INT64_MAX &&
	       le64_get(b->expires) <= INT64_MAX;
}

enum grant_verdict grant_check(const struct grant *g, uint64_t network, uint64_t now_s)
{
	const struct grant_body *b = &g->body;
	uint64_t expires = le64_get(b->expires);

	if (!form_ok(b))
		return GRANT_BAD_FORM;
	if (network && le64_get(b->network) != network)
		return GRANT_OTHER_NETWORK;
	if (now_s && expires && now_s >= expires)
		return GRANT_EXPIRED;
	if (!identity_verify(g->signature, b, sizeof(*b), b->issuer))
		return GRANT_BAD_SIGNATURE;
	return GRANT_OK;
}

const char *grant_verdict_text(enum grant_verdict v)
{
	switch (v) {
	case GRANT_OK:
		return "the grant is valid";
	case GRANT_BAD_FORM:
		return "this is not a grant of version 1";
	case GRANT_OTHER_NETWORK:
		return "the grant belongs to another network";
	case GRANT_EXPIRED:
		return "the grant has expired; ask its issuer for a new one";
	case GRANT_BAD_SIGNATURE:
		return "the grant is not signed by the issuer it names";
	}
	return "unknown verdict";
}

const char *grant_to_text(char *out, size_t size, const struct grant *g)
{
	return oneline_write(out, size, TEXT_WORD, g, sizeof(*g));
}

bool grant_from_text(struct grant *g, const char *text)
{
	return oneline_read(g, sizeof(*g), TEXT_WORD, text);
}
