#include "proto/bind.h"

#include <string.h>

void bind_challenger_init(struct bind_challenger *c)
{
	crypto_random(c->secret, sizeof(c->secret));
}

static void make_mac(uint8_t out[static MAC_LEN], const struct message_bind *msg,
		     const uint8_t bind_key[static KEY_LEN])
{
	mac128(out, bind_key, msg, offsetof(struct message_bind, mac));
}

void bind_make(struct message_bind *out, enum message_type type,
	       const uint8_t session[static SESSION_ID_LEN], uint64_t counter, const uint8_t *token,
	       const uint8_t bind_key[static KEY_LEN])
{
	memset(out, 0, sizeof(*out));
	out->type = le32_of(type);
	memcpy(out->session, session, SESSION_ID_LEN);
	out->counter = le64_of(counter);
	if (token)
		memcpy(out->token, token, NONCE_LEN);
	make_mac(out->mac, out, bind_key);
}

bool bind_valid(const struct message_bind *msg, const uint8_t bind_key[static KEY_LEN])
{
	uint8_t mac[MAC_LEN];

	make_mac(mac, msg, bind_key);
	return crypto_equal(mac, msg->mac, MAC_LEN) && crypto_is_zero(msg->zero, sizeof(msg->zero));
}

/* period: which stretch of BIND_TOKEN_MS the token was made in. */
static void make_token(const struct bind_challenger *c, uint8_t token[static NONCE_LEN],
		       const struct message_bind *msg, const struct net_addr *from, uint64_t period)
{
	struct {
		le64 period;
		uint8_t session[SESSION_ID_LEN];
		le64 counter;
		uint8_t ip[16];
		le16 port;
	} what;

	static_assert(sizeof(what) == 8 + SESSION_ID_LEN + 8 + 16 + 2, "padding would be hashed");
	static_assert(NONCE_LEN == MAC_LEN, "a token is a MAC");
	what.period = le64_of(period);
	memcpy(what.session, msg->session, SESSION_ID_LEN);
	what.counter = msg->counter;
	memcpy(what.ip, from->ip, sizeof(what.ip));
	what.port = le16_of(from->port);
	mac128(token, c->secret, &what, sizeof(what));
}

void bind_token(const struct bind_challenger *c, uint8_t token[static NONCE_LEN],
		const struct message_bind *msg, const struct net_addr *from, uint64_t now_ms)
{
	make_token(c, token, msg, from, now_ms / BIND_TOKEN_MS);
}

bool bind_token_valid(const struct bind_challenger *c, const struct message_bind *answer,
		      const struct net_addr *from, uint64_t now_ms)
{
	uint64_t period = now_ms / BIND_TOKEN_MS;
	uint8_t token[NONCE_LEN];

	make_token(c, token, answer, from, period);
	if (crypto_equal(token, answer->token, NONCE_LEN))
		return true;
	if (period == 0)
		return false;
	make_token(c, token, answer, from, period - 1);
	return crypto_equal(token, answer->token, NONCE_LEN);
}
