/*
 * One BIND exchange: proves to the relay that a fresh port of this host is ours, so that the
 * session's data path moves there (BIND, CHALLENGE, ANSWER, BOUND: docs/protocol.md). Main thread
 * only.
 */
#ifndef CLIENT_BINDER_H
#define CLIENT_BINDER_H

#include <event2/event.h>

#include "base/addr.h"
#include "proto/messages.h"

#define BINDER_RETRY_MS 200 /* doubles with every try */
#define BINDER_TRIES    5

struct binder;

struct binder_config {
	struct net_addr relay;
	uint32_t mark;
	uint8_t session[SESSION_ID_LEN];
	uint8_t bind_key[KEY_LEN];
	uint64_t counter; /* higher than any this session was bound with */
};

/* 0: the port is proven, its socket is closed again and free for the WireGuard device. -ETIMEDOUT:
 * no answer. The binder is gone when this is called. */
typedef void (*binder_done)(void *arg, int err, uint16_t port);

/* Starts; *out is ours until done or binder_cancel. 0 or -errno of the socket. */
MUST_CHECK int binder_start(struct binder **out, struct event_base *base,
			    const struct binder_config *config, binder_done done, void *arg);
/* Gives up without calling done. NULL is fine. */
void binder_cancel(struct binder *b);

#endif
