#include "proto/cookie.h"

#include <string.h>

/* Where the macs of a message of len bytes start. */
#define MAC1_AT(len) ((len)-2 * (size_t)MAC_LEN)
#define MAC2_AT(len) ((len) - (size_t)MAC_LEN)

enum {
	/* The signer lets go of a cookie a little before the checker's secret can have changed. */
	COOKIE_LATENCY_MS = 5000,
};

static void derive(uint8_t out[static KEY_LEN], const char label[static 8],
		   const uint8_t public_key[static KEY_LEN])
{
	uint8_t msg[8 + KEY_LEN];

	memcpy(msg, label, 8);
	memcpy(msg + 8, public_key, KEY_LEN);
	hash256(out, msg, sizeof(msg));
}

/* The cookie is the MAC's key, zero-padded to a key's length. */
static void make_mac2(uint8_t out[static MAC_LEN], const uint8_t cookie[static MAC_LEN],
		      const void *msg, size_t len)
{
	uint8_t key[KEY_LEN] = {0};

	memcpy(key, cookie, MAC_LEN);
	mac128(out, key, msg, MAC2_AT(len));
	crypto_wipe(key, sizeof(key));
}

/* ---- responder ------------------------------------------------------------------------------ */

void cookie_checker_init(struct cookie_checker *c, const uint8_t own_public[static KEY_LEN])
{
	memset(c, 0, sizeof(*c));
	derive(c->mac1_key, "mac1----", own_public);
	derive(c->cookie_key, "cookie--", own_public);
}

static bool secret_live(const struct cookie_checker *c, uint64_t now_ms)
{
	return c->secret_born_ms && now_ms - c->secret_born_ms < COOKIE_SECRET_MS;
}

static void make_cookie(const struct cookie_checker *c, uint8_t out[static MAC_LEN],
			const struct net_addr *from)
{
	uint8_t who[sizeof(from->ip) + sizeof(le16)];
	le16 port = le16_of(from->port);

	memcpy(who, from->ip, sizeof(from->ip));
	memcpy(who + sizeof(from->ip), &port, sizeof(port));
	mac128(out, c->secret, who, sizeof(who));
}

enum cookie_verdict cookie_check(struct cookie_checker *c, const void *msg, size_t len,
				 const struct net_addr *from, uint64_t now_ms)
{
	const uint8_t *bytes = msg;
	uint8_t mac[MAC_LEN], cookie[MAC_LEN];

	mac128(mac, c->mac1_key, bytes, MAC1_AT(len));
	if (!crypto_equal(mac, bytes + MAC1_AT(len), MAC_LEN))
		return COOKIE_BAD_MAC1;
	if (!secret_live(c, now_ms) || crypto_is_zero(bytes + MAC2_AT(len), MAC_LEN))
		return COOKIE_MAC1_ONLY;
	make_cookie(c, cookie, from);
	make_mac2(mac, cookie, msg, len);
	return crypto_equal(mac, bytes + MAC2_AT(len), MAC_LEN) ? COOKIE_MAC2 : COOKIE_MAC1_ONLY;
}

void cookie_reply(struct cookie_checker *c, struct message_cookie *out, const void *msg, size_t len,
		  const struct net_addr *from, uint64_t now_ms)
{
	/* Type and sender index start both messages that carry macs. */
	const struct message_response *asked = msg;
	const struct bytes mac1 = {(const uint8_t *)msg + MAC1_AT(len), MAC_LEN};
	uint8_t cookie[MAC_LEN];

	if (!secret_live(c, now_ms)) {
		crypto_random(c->secret, sizeof(c->secret));
		c->secret_born_ms = now_ms ? now_ms : 1;
	}
	make_cookie(c, cookie, from);
	out->type = le32_of(MESSAGE_COOKIE);
	out->receiver = asked->sender;
	crypto_random(out->nonce, sizeof(out->nonce));
	cookie_seal(out->cookie, c->cookie_key, out->nonce, &mac1, cookie);
	crypto_wipe(cookie, sizeof(cookie));
}

/* ---- initiator ------------------------------------------------------------------------------ */

void cookie_signer_init(struct cookie_signer *s, const uint8_t peer_public[static KEY_LEN])
{
	memset(s, 0, sizeof(*s));
	derive(s->mac1_key, "mac1----", peer_public);
	derive(s->cookie_key, "cookie--", peer_public);
}

void cookie_sign(struct cookie_signer *s, void *msg, size_t len, uint64_t now_ms)
{
	uint8_t *bytes = msg;

	mac128(bytes + MAC1_AT(len), s->mac1_key, bytes, MAC1_AT(len));
	memcpy(s->last_mac1, bytes + MAC1_AT(len), MAC_LEN);
	if (s->cookie_born_ms && now_ms - s->cookie_born_ms < COOKIE_SECRET_MS - COOKIE_LATENCY_MS)
		make_mac2(bytes + MAC2_AT(len), s->cookie, msg, len);
	else
		memset(bytes + MAC2_AT(len), 0, MAC_LEN);
}

bool cookie_consume(struct cookie_signer *s, const struct message_cookie *msg, uint64_t now_ms)
{
	const struct bytes mac1 = {s->last_mac1, MAC_LEN};
	uint8_t cookie[MAC_LEN];

	if (crypto_is_zero(s->last_mac1, MAC_LEN) ||
	    !cookie_open(cookie, s->cookie_key, msg->nonce, &mac1, msg->cookie))
		return false;
	memcpy(s->cookie, cookie, MAC_LEN);
	s->cookie_born_ms = now_ms ? now_ms : 1;
	/* One cookie for each message signed: the same reply again says nothing new. */
	memset(s->last_mac1, 0, MAC_LEN);
	crypto_wipe(cookie, sizeof(cookie));
	return true;
}
