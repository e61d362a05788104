/*
 * mac1 and the cookie (WireGuard paper, section 5.4.4 and 5.4.7, with BLAKE2b): the cheap checks
 * that come before any public-key operation. Pure: the caller passes the time. One thread per
 * object.
 */
#ifndef PROTO_COOKIE_H
#define PROTO_COOKIE_H

#include "base/addr.h"
#include "proto/crypto.h"
#include "proto/messages.h"

#define COOKIE_SECRET_MS 120000

/*
 * mac1 = BLAKE2b-128 keyed by hash256("mac1----" || recipient's public key) over all before it;
 * cookie = BLAKE2b-128 keyed by the checker's secret over source address and port; mac2 =
 * BLAKE2b-128 keyed by the cookie (zero-padded to KEY_LEN) over all before it.
 */

/* Responder. */
struct cookie_checker {
	uint8_t mac1_key[KEY_LEN];
	uint8_t cookie_key[KEY_LEN];
	uint8_t secret[KEY_LEN];
	uint64_t secret_born_ms; /* 0: none yet */
};

enum cookie_verdict {
	COOKIE_BAD_MAC1,
	COOKIE_MAC1_ONLY, /* fine unless under load */
	COOKIE_MAC2,      /* also proves the source address */
};

void cookie_checker_init(struct cookie_checker *c, const uint8_t own_public[static KEY_LEN]);
/* msg ends in mac1 and mac2 (an initiation or a response). */
enum cookie_verdict cookie_check(struct cookie_checker *c, const void *msg, size_t len,
				 const struct net_addr *from, uint64_t now_ms);
/* The reply that hands a cookie to from; mac1 is taken from msg. */
void cookie_reply(struct cookie_checker *c, struct message_cookie *out, const void *msg, size_t len,
		  const struct net_addr *from, uint64_t now_ms);

/* Initiator: signs what it sends to one peer. */
struct cookie_signer {
	uint8_t mac1_key[KEY_LEN];
	uint8_t cookie_key[KEY_LEN];
	uint8_t last_mac1[MAC_LEN];
	uint8_t cookie[MAC_LEN];
	uint64_t cookie_born_ms; /* 0: none */
};
void cookie_signer_init(struct cookie_signer *s, const uint8_t peer_public[static KEY_LEN]);
/* Fills mac1 and, with a live cookie, mac2 at the end of msg. */
void cookie_sign(struct cookie_signer *s, void *msg, size_t len, uint64_t now_ms);
MUST_CHECK bool cookie_consume(struct cookie_signer *s, const struct message_cookie *msg,
			       uint64_t now_ms);

#endif
