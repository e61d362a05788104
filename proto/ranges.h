/*
 * Which addresses a relay may send to: the IANA special-purpose registries (RFC 6890 and updates),
 * cloud metadata, and every way of writing an IPv4 address inside an IPv6 one. Pure.
 */
#ifndef PROTO_RANGES_H
#define PROTO_RANGES_H

#include "base/addr.h"

#define RANGES_MAX 16

/* Ranges the operator allowed by name (AllowRange). */
struct ranges {
	struct {
		struct net_addr net;
		uint8_t bits;
	} allow[RANGES_MAX];
	size_t count;
};

/* Adds "10.0.0.0/8"; false if unreadable or full. */
MUST_CHECK bool ranges_allow(struct ranges *r, const char *text);

/*
 * NULL if a may be sent to, else the name of the special range it is in ("loopback", "private",
 * ...). allowed may be NULL. An allowed IPv4 range covers plain (v4-mapped) addresses only; no
 * allowance covers an IPv6 form that embeds an IPv4 address (6to4, Teredo, NAT64, ...), whatever
 * that address is, and a cloud metadata address is allowed only by itself, in full length.
 */
const char *ranges_special(const struct net_addr *a, const struct ranges *allowed);

/* True for those IPv6 forms, which no allowance covers. */
MUST_CHECK bool ranges_embeds(const struct net_addr *a);

#endif
