/* A node's signed description of itself: who, where, which roles, at what price. Pure. */
#ifndef PROTO_DESCRIPTOR_H
#define PROTO_DESCRIPTOR_H

#include "base/addr.h"
#include "proto/terms.h"

/* One line of text: "culvert-node-1 BASE64\n"; # lines and blank lines before it are ignored when
 * read. */
#define DESCRIPTOR_TEXT_MAX 4096

/* The parts of d in host form; addresses, keys, ports and terms are the caller's to fill in. A name
 * that is too long is left out. descriptor_sign adds the node id and the signature. */
void descriptor_begin(struct descriptor *d, uint64_t network, uint8_t roles, const char *name,
		      uint64_t issued, uint64_t expires);
void descriptor_sign(struct descriptor *d, const struct identity *node);

enum descriptor_verdict {
	DESCRIPTOR_OK,
	DESCRIPTOR_BAD_FORM, /* domain, version, zero bytes, roles, name, missing keys or addresses
				for its roles */
	DESCRIPTOR_BAD_TERMS,
	DESCRIPTOR_BAD_SIGNATURE,
	DESCRIPTOR_EXPIRED,
	DESCRIPTOR_OTHER_NETWORK,
};
/* network 0 accepts any; now_s 0 ignores expiry. Address ranges are not judged here: see ranges.h.
 */
enum descriptor_verdict descriptor_check(const struct descriptor *d, uint64_t network,
					 uint64_t now_s);
const char *descriptor_verdict_text(enum descriptor_verdict v);

/* Endpoints; false if it has none in that family. port: data and control, or WireGuard's. */
MUST_CHECK bool descriptor_endpoint(const struct descriptor *d, bool v6, bool wireguard,
				    struct net_addr *out);

/* Text form; the decoder checks form only. out_size >= DESCRIPTOR_TEXT_MAX. */
const char *descriptor_to_text(char *out, size_t out_size, const struct descriptor *d);
MUST_CHECK bool descriptor_from_text(struct descriptor *d, const char *text);

#endif
