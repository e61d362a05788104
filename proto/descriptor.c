#include "proto/descriptor.h"

#include <string.h>

#include "proto/oneline.h"

#define DESCRIPTOR_VERSION 1
#define TEXT_WORD          "culvert-node-1"

void descriptor_begin(struct descriptor *d, uint64_t network, uint8_t roles, const char *name,
		      uint64_t issued, uint64_t expires)
{
	struct descriptor_body *b = &d->body;
	size_t n = strlen(name);

	memset(d, 0, sizeof(*d));
	memcpy(b->domain, DOMAIN_DESCRIPTOR, DOMAIN_LEN);
	b->version = DESCRIPTOR_VERSION;
	b->roles = roles;
	b->network = le64_of(network);
	if (n < sizeof(b->name))
		memcpy(b->name, name, n);
	b->issued = le64_of(issued);
	b->expires = le64_of(expires);
}

void descriptor_sign(struct descriptor *d, const struct identity *node)
{
	memcpy(d->body.node, node->id, KEY_LEN);
	identity_sign(d->signature, &d->body, sizeof(d->body), node);
}

static bool name_char_ok(uint8_t c, bool first)
{
	return (c >= 'a' && c <= 'z') || (!first && ((c >= '0' && c <= '9') || c == '-'));
}

/* A letter, then letters, digits and dashes, then zeros to the end, at least one. */
static bool name_ok(const uint8_t name[static 32])
{
	size_t n = strnlen((const char *)name, 32);

	if (n == 0 || n == 32 || !crypto_is_zero(name + n, 32 - n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!name_char_ok(name[i], i == 0))
			return false;
	}
	return true;
}

static bool addresses_ok(const struct descriptor_body *b)
{
	struct net_addr six = {.port = 0};

	/* An IPv4 address has a field of its own; in the other one it would be a disguise. */
	memcpy(six.ip, b->ip6, sizeof(six.ip));
	if (net_addr_is_v4(&six))
		return false;
	return !crypto_is_zero(b->ip4, sizeof(b->ip4)) || !crypto_is_zero(b->ip6, sizeof(b->ip6));
}

static bool keys_ok(const struct descriptor_body *b)
{
	bool exit = b->roles & ROLE_EXIT;

	return !crypto_is_zero(b->node, KEY_LEN) && !crypto_is_zero(b->control, KEY_LEN) &&
	       le16_get(b->port) != 0 && exit == !crypto_is_zero(b->wg_key, KEY_LEN) &&
	       exit == (le16_get(b->wg_port) != 0);
}

static bool form_ok(const struct descriptor_body *b)
{
	return memcmp(b->domain, DOMAIN_DESCRIPTOR, DOMAIN_LEN) == 0 &&
	       b->version == DESCRIPTOR_VERSION && b->roles != 0 &&
	       (b->roles & ~(ROLE_RELAY | ROLE_EXIT)) == 0 &&
	       crypto_is_zero(b->zero, sizeof(b->zero)) && name_ok(b->name) && keys_ok(b) &&
	       addresses_ok(b) && le64_get(b->issued) < le64_get(b->expires);
}

static bool terms_ok(const struct descriptor_body *b, const struct terms *t, enum role role)
{
	if (!(b->roles & role))
		return crypto_is_zero(t, sizeof(*t));
	return t->body.role == role && le64_get(t->body.network) == le64_get(b->network) &&
	       memcmp(t->body.provider, b->node, KEY_LEN) == 0 && terms_valid(t);
}

enum descriptor_verdict descriptor_check(const struct descriptor *d, uint64_t network,
					 uint64_t now_s)
{
	const struct descriptor_body *b = &d->body;

	if (!form_ok(b))
		return DESCRIPTOR_BAD_FORM;
	if (network && le64_get(b->network) != network)
		return DESCRIPTOR_OTHER_NETWORK;
	if (now_s && now_s >= le64_get(b->expires))
		return DESCRIPTOR_EXPIRED;
	if (!identity_verify(d->signature, b, sizeof(*b), b->node))
		return DESCRIPTOR_BAD_SIGNATURE;
	if (!terms_ok(b, &b->relay_terms, ROLE_RELAY) || !terms_ok(b, &b->exit_terms, ROLE_EXIT))
		return DESCRIPTOR_BAD_TERMS;
	return DESCRIPTOR_OK;
}

const char *descriptor_verdict_text(enum descriptor_verdict v)
{
	switch (v) {
	case DESCRIPTOR_OK:
		return "the descriptor is valid";
	case DESCRIPTOR_BAD_FORM:
		return "this is not a complete node descriptor of version 1";
	case DESCRIPTOR_BAD_TERMS:
		return "the terms in the descriptor are not valid for this node";
	case DESCRIPTOR_BAD_SIGNATURE:
		return "the descriptor is not signed by the node it names";
	case DESCRIPTOR_EXPIRED:
		return "the descriptor has expired; ask the operator for a new one";
	case DESCRIPTOR_OTHER_NETWORK:
		return "the descriptor belongs to another network";
	}
	return "unknown verdict";
}

bool descriptor_endpoint(const struct descriptor *d, bool v6, bool wireguard, struct net_addr *out)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct descriptor_body *b = &d->body;

	out->port = le16_get(wireguard ? b->wg_port : b->port);
	if (v6) {
		memcpy(out->ip, b->ip6, sizeof(b->ip6));
		return out->port != 0 && !crypto_is_zero(b->ip6, sizeof(b->ip6));
	}
	memcpy(out->ip, v4_mapped, sizeof(v4_mapped));
	memcpy(out->ip + sizeof(v4_mapped), b->ip4, sizeof(b->ip4));
	return out->port != 0 && !crypto_is_zero(b->ip4, sizeof(b->ip4));
}

const char *descriptor_to_text(char *out, size_t out_size, const struct descriptor *d)
{
	return oneline_write(out, out_size, TEXT_WORD, d, sizeof(*d));
}

bool descriptor_from_text(struct descriptor *d, const char *text)
{
	return oneline_read(d, sizeof(*d), TEXT_WORD, text);
}
