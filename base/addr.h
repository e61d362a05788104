/*
 * A UDP endpoint, IPv4 and IPv6 alike: IPv4 is held as ::ffff:a.b.c.d, so that one comparison and
 * one dual-stack socket serve both. No scope ids: link-local endpoints are refused where they
 * enter.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>

#include "base/base.h"

struct net_addr {
	uint8_t ip[16];
	uint16_t port; /* host byte order */
};

#define NET_ADDR_TEXT 56 /* "[" + 45 + "]:65535" + NUL */

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_v4(const struct net_addr *a);

/* From what recvmsg(2) filled in: AF_INET or AF_INET6. False for another family or a short length.
 */
MUST_CHECK bool net_addr_from_sockaddr(struct net_addr *out, const struct sockaddr *sa,
				       socklen_t len);

/* For a dual-stack AF_INET6 socket. */
void net_addr_to_sockaddr(struct sockaddr_in6 *out, const struct net_addr *a);

/* "192.0.2.1:51820" or "[2001:db8::1]:51820"; port 1..65535 required, no names are resolved. */
MUST_CHECK bool net_addr_parse(struct net_addr *out, const char *text);

/* "10.0.0.0/8" or "fd00::/8" (bare address: full length). bits counts in the family's own width. */
MUST_CHECK bool net_prefix_parse(struct net_addr *out, uint8_t *bits, const char *text);

/* True if a lies in net/bits; bits in net's own family width. Families never match each other. */
bool net_prefix_contains(const struct net_addr *net, uint8_t bits, const struct net_addr *a);

/* Writes the text form with port into out[NET_ADDR_TEXT] and returns it. For config echoes, never
 * logs. */
const char *net_addr_text(char out[static NET_ADDR_TEXT], const struct net_addr *a);
/* The same without the port and brackets. */
const char *net_ip_text(char out[static NET_ADDR_TEXT], const struct net_addr *a);

#endif
