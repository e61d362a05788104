/*
 * The asking end of the control channel to one node: keeps a channel up (handshake with retries and
 * cookies, a fresh one every CONTROL_REKEY_MS or when answers stop), retransmits requests by id
 * until answered. Main thread only; lives in an event_base. How datagrams travel is the owner's
 * affair, so the channel to an exit can run inside the channel to a relay (PASS).
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <event2/event.h>

#include "proto/channel.h"

#define CONTROL_REKEY_MS (15 * 60 * 1000)
#define CONTROL_RETRY_MS 500 /* first retransmission; doubles up to 4 s */

struct control_client;

struct control_client_ops {
	void (*send)(void *arg, const void *msg, size_t len);
	/* A body that answers none of our requests: RECEIPT, CLOSED, PASSED, late answers. */
	void (*handle)(void *arg, uint8_t verb, uint32_t id, const uint8_t *body, size_t len);
	/* The channel came up (true), or nothing came for 10 s though something was outstanding
	 * (false: retrying goes on by itself, also when every request has timed out). */
	void (*state)(void *arg, bool up);
};

/* The body lives until the callback returns. verb is the answer's (VERB_REFUSED included), or 0
 * when timeout_ms passed without one. */
typedef void (*control_answer)(void *arg, uint8_t verb, const uint8_t *body, size_t len);

/* keys, remote and ops are copied; never NULL. */
struct control_client *control_client_create(struct event_base *base,
					     const struct noise_keypair *keys,
					     const uint8_t remote[static KEY_LEN], uint64_t network,
					     const struct control_client_ops *ops, void *arg);
/* Answers outstanding are dropped silently. Allowed from any of the callbacks; NULL is nothing. */
void control_client_destroy(struct control_client *c);

/* Any datagram from the node. */
void control_client_input(struct control_client *c, const uint8_t *msg, size_t len);

/* Sends a request, bringing the channel up first if need be. At most 16 at a time: false beyond. */
MUST_CHECK bool control_client_request(struct control_client *c, uint8_t verb, const void *body,
				       size_t len, uint64_t timeout_ms, control_answer answer,
				       void *arg);

/* Sends once, expecting nothing; dropped when the channel is down. */
void control_client_post(struct control_client *c, uint8_t verb, const void *body, size_t len);

/*
 * Start over now, e.g. after the network changed: the next message is a fresh handshake, at once if
 * something is outstanding. state(true) comes again when the channel is up.
 */
void control_client_restart(struct control_client *c);

#endif
