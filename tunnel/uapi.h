/*
 * WireGuard's cross-platform configuration protocol (www.wireguard.com/xplatform): requests
 * composed and answers read as text. Private to tunnel/. Pure. Unknown keys are ignored, known ones
 * must be well-formed; an endpoint that cannot be held (a scope id) counts as none.
 */
#ifndef TUNNEL_UAPI_H
#define TUNNEL_UAPI_H

#include "tunnel/backend.h"

/* A request being composed: failure is sticky, seen once at the end by uapi_end. */
struct uapi_text {
	char *text;
	size_t size, len;
	bool full;
};

/* A buffer of this size holds a request for one peer with so many prefixes, or for the device. */
#define UAPI_REQUEST_MAX(prefixes) (1024 + 64 * (prefixes))

void uapi_begin(struct uapi_text *out, char *text, size_t size);
void uapi_put_device(struct uapi_text *out, const uint8_t key[static KEY_LEN], uint32_t fwmark);
void uapi_put_port(struct uapi_text *out, uint16_t port);
/* exists: with update_only, so that a peer removed meanwhile stays removed. */
void uapi_put_peer(struct uapi_text *out, const struct tunnel_peer *peer, bool exists);
void uapi_put_endpoint(struct uapi_text *out, const uint8_t key[static KEY_LEN],
		       const struct net_addr *endpoint);
void uapi_put_removal(struct uapi_text *out, const uint8_t key[static KEY_LEN]);
/* Adds the blank line; false if the buffer was too small. */
MUST_CHECK bool uapi_end(struct uapi_text *out);

/* True once text holds a whole answer: its blank line is there. */
MUST_CHECK bool uapi_complete(const char *text, size_t len);
/*
 * Reads a whole answer to get or set: port (may be NULL) is set if the device told one, each peer
 * goes to each (may be NULL). 0, the -errno the device answered, or -EBADMSG if it is not one
 * answer.
 */
MUST_CHECK int uapi_parse(const char *text, size_t len, uint16_t *port, backend_each each,
			  void *arg);

#endif
