/* Terms: what a provider asks, signed by it and fixed for a session. Pure. */
#ifndef PROTO_TERMS_H
#define PROTO_TERMS_H

#include "proto/crypto.h"
#include "proto/messages.h"

struct terms_values {
	enum role role;
	uint64_t network;
	uint64_t price;
	uint64_t window_start, window_cap;
	uint32_t receipt_seconds, loss_ppm;
	uint64_t loss_bytes;
	uint64_t expires;
};

void terms_make(struct terms *out, const struct terms_values *v, const struct identity *provider);
void terms_values(struct terms_values *out, const struct terms *t);
/* Domain, version, role, zero bytes, sane numbers (0 < start <= cap <= 2^40, loss <= 10^6 ppm),
 * provider's signature. Not expiry. */
MUST_CHECK bool terms_valid(const struct terms *t);
void terms_hash(uint8_t out[static KEY_LEN], const struct terms *t);

/*
 * ceil(bytes * price / 2^30) in 128-bit arithmetic: the one place where bytes become micro-credits.
 * False if it does not fit 64 bits.
 */
MUST_CHECK bool terms_amount(uint64_t price, uint64_t bytes, uint64_t *amount);
/* The other way: how many bytes amount buys, rounded down so that terms_amount of it is <= amount.
 */
uint64_t terms_bytes_for(uint64_t price, uint64_t amount);

#endif
