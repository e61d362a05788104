/* BIND, CHALLENGE, ANSWER, BOUND: the only way a session's address moves. Pure: time is passed in.
 */
#ifndef PROTO_BIND_H
#define PROTO_BIND_H

#include "base/addr.h"
#include "proto/crypto.h"
#include "proto/messages.h"

#define BIND_TOKEN_MS 10000

/* The relay's secret for address-bound tokens; nothing is kept per challenge. */
struct bind_challenger {
	uint8_t secret[KEY_LEN];
};
void bind_challenger_init(struct bind_challenger *c);

/* Any of the four, MACed with the session's bind key. token may be NULL (zero). */
void bind_make(struct message_bind *out, enum message_type type,
	       const uint8_t session[static SESSION_ID_LEN], uint64_t counter, const uint8_t *token,
	       const uint8_t bind_key[static KEY_LEN]);
/* Zero bytes zero and MAC right. The type and session are the caller's to look at. */
MUST_CHECK bool bind_valid(const struct message_bind *msg, const uint8_t bind_key[static KEY_LEN]);

/* A token for (session, counter, from), good for BIND_TOKEN_MS to twice that. */
void bind_token(const struct bind_challenger *c, uint8_t token[static NONCE_LEN],
		const struct message_bind *msg, const struct net_addr *from, uint64_t now_ms);
MUST_CHECK bool bind_token_valid(const struct bind_challenger *c, const struct message_bind *answer,
				 const struct net_addr *from, uint64_t now_ms);

#endif
