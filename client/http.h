/*
 * HTTP/1.0 to a daemon's unix socket: one request, one answer read to its end, one deadline.
 * Blocking; CLI only.
 */
#ifndef CLIENT_HTTP_H
#define CLIENT_HTTP_H

#include "base/base.h"

enum {
	HTTP_HEAD_MAX = 16 << 10,
	HTTP_BODY_MAX = 8 << 20,
};

struct http_reply {
	int status;       /* 100..599 */
	const char *body; /* into the buffer read, NUL-terminated */
	size_t len;
};

/*
 * Takes apart a whole answer (buf[len] must be NUL). False unless it has a status line, a head of
 * at most HTTP_HEAD_MAX bytes, and exactly the body its Content-Length (if any) promises. Pure.
 */
MUST_CHECK bool http_parse(struct http_reply *out, const char *buf, size_t len);

/*
 * Sends method and path (and a JSON body, may be NULL) and waits for the answer. 0, or -errno:
 * -ENOENT and -ECONNREFUSED nobody listens, -EACCES, -ETIMEDOUT, -EFBIG, -EBADMSG no HTTP. *buf is
 * the caller's to free when 0 is returned; out points into it.
 */
MUST_CHECK int http_request(struct http_reply *out, char **buf, const char *socket,
			    const char *request, const char *body, unsigned timeout_ms);

#endif
