/* What a payer signs in OPEN and ADD_PEER, put together from the bodies and who talks to whom.
 * Pure.
 */
#ifndef PROTO_STATEMENT_H
#define PROTO_STATEMENT_H

#include "proto/crypto.h"
#include "proto/messages.h"

struct statement_values {
	uint64_t network;
	const uint8_t *provider;       /* node id */
	const uint8_t *client_control; /* the caller's X25519 key */
	const uint8_t *subject;        /* OPEN: exit's node id; ADD_PEER: WireGuard key */
	const uint8_t *terms;          /* their hash */
	const uint8_t *payer;
	const uint8_t *nonce; /* NONCE_LEN bytes; all others KEY_LEN */
};

void statement_make(struct open_statement *out, const struct statement_values *v);

#endif
