#include "proto/terms.h"

#include <string.h>

#define TERMS_VERSION  1
#define WINDOW_CAP_MAX (UINT64_C(1) << 40)
#define PPM            1000000
#define PRICE_SHIFT    30 /* prices are per 2^30 bytes */

void terms_make(struct terms *out, const struct terms_values *v, const struct identity *provider)
{
	struct terms_body *b = &out->body;

	memset(out, 0, sizeof(*out));
	memcpy(b->domain, DOMAIN_TERMS, DOMAIN_LEN);
	b->version = TERMS_VERSION;
	b->role = (uint8_t)v->role;
	b->network = le64_of(v->network);
	memcpy(b->provider, provider->id, KEY_LEN);
	b->price = le64_of(v->price);
	b->window_start = le64_of(v->window_start);
	b->window_cap = le64_of(v->window_cap);
	b->receipt_seconds = le32_of(v->receipt_seconds);
	b->loss_ppm = le32_of(v->loss_ppm);
	b->loss_bytes = le64_of(v->loss_bytes);
	b->expires = le64_of(v->expires);
	identity_sign(out->signature, b, sizeof(*b), provider);
}

void terms_values(struct terms_values *out, const struct terms *t)
{
	const struct terms_body *b = &t->body;

	*out = (struct terms_values){
		.role = (enum role)b->role,
		.network = le64_get(b->network),
		.price = le64_get(b->price),
		.window_start = le64_get(b->window_start),
		.window_cap = le64_get(b->window_cap),
		.receipt_seconds = le32_get(b->receipt_seconds),
		.loss_ppm = le32_get(b->loss_ppm),
		.loss_bytes = le64_get(b->loss_bytes),
		.expires = le64_get(b->expires),
	};
}

static bool form_ok(const struct terms_body *b)
{
	uint64_t start = le64_get(b->window_start), cap = le64_get(b->window_cap);

	return memcmp(b->domain, DOMAIN_TERMS, DOMAIN_LEN) == 0 && b->version == TERMS_VERSION &&
	       (b->role == ROLE_RELAY || b->role == ROLE_EXIT) &&
	       crypto_is_zero(b->zero, sizeof(b->zero)) && start > 0 && start <= cap &&
	       cap <= WINDOW_CAP_MAX && le32_get(b->loss_ppm) <= PPM;
}

bool terms_valid(const struct terms *t)
{
	return form_ok(&t->body) &&
	       identity_verify(t->signature, &t->body, sizeof(t->body), t->body.provider);
}

void terms_hash(uint8_t out[static KEY_LEN], const struct terms *t)
{
	hash256(out, t, sizeof(*t));
}

bool terms_amount(uint64_t price, uint64_t bytes, uint64_t *amount)
{
	/* (2^64 - 1)^2 + 2^30 - 1 < 2^128: neither step can wrap. */
	unsigned __int128 v = (unsigned __int128)price * bytes;

	v = (v + ((1U << PRICE_SHIFT) - 1)) >> PRICE_SHIFT;
	if (v > UINT64_MAX)
		return false;
	*amount = (uint64_t)v;
	return true;
}

uint64_t terms_bytes_for(uint64_t price, uint64_t amount)
{
	unsigned __int128 v;

	if (price == 0)
		return UINT64_MAX;
	v = ((unsigned __int128)amount << PRICE_SHIFT) / price;
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}
