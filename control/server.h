/*
 * The answering end of the control channel: handshakes, cookies under load, channels, and the
 * verbs' way in and out. Knows nothing of what verbs mean. Main thread only; lives in an
 * event_base.
 *
 * Order of work on a datagram: length, mac1, (under load) cookie and its network's share of
 * handshakes, public-key operation, timestamp newer than that client's last, slot. Nothing is
 * allocated and nothing answered before it is authenticated, but for cookies, of which there are so
 * many a second and no more.
 */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <event2/event.h>

#include "control/ratelimit.h"
#include "proto/channel.h"
#include "proto/cookie.h"

struct control_server;

enum {
	CONTROL_COSTLY_BURST = 16,
	CONTROL_COSTLY_PER_SECOND = 4,
	CONTROL_COOKIES_PER_SECOND = 50000,
};

/* Where a datagram came from and where its answer goes: an address, and the socket it is reached
 * by. */
struct control_path {
	struct net_addr addr;
	uint32_t via; /* the owner's number for a socket */
};

/* Who asks: valid during the handler only; client (the authenticated X25519 key) is the lasting
 * name. */
struct control_caller {
	uint8_t client[KEY_LEN];
	uint32_t channel;
	struct control_path path;
	struct ratelimit_net net; /* where it shook hands, which nobody can fake */
};

struct control_server_ops {
	/* Sends one datagram; loss is the network's. */
	void (*send)(void *arg, const struct control_path *to, const void *msg, size_t len);
	/* A request or one-way body whose verb and length are right. */
	void (*handle)(void *arg, const struct control_caller *caller, uint8_t verb, uint32_t id,
		       const uint8_t *body, size_t len);
};

struct control_server_config {
	struct noise_keypair keys;
	uint64_t network;
	uint32_t max_channels;
	uint32_t initiations_per_second; /* above this, cookies are asked for; 0: default 200 */
	/* Channels of one network, once more than half of them are in use; 0: all. */
	uint32_t channels_per_network;
};

/*
 * What happened, for metrics and status. rate_limited: under load, with a cookie, from a network
 * that had its share; cookie_withheld: no cookie was left to give; crowded: a new client, of a
 * network that has its part of a table more than half full; too_costly: see control_server_afford;
 * handshakes: initiations answered, confirmed or not; bad_transport: forged,
 * replayed, or a body of wrong shape; requests: bodies handed to handle.
 */
/* clang-format off */
#define CONTROL_COUNTERS(X) \
	X(bad_length) \
	X(bad_mac1) \
	X(cookie_sent) \
	X(cookie_withheld) \
	X(rate_limited) \
	X(bad_handshake) \
	X(replayed_handshake) \
	X(table_full) \
	X(crowded) \
	X(unknown_channel) \
	X(bad_transport) \
	X(too_costly) \
	X(handshakes) \
	X(requests)
/* clang-format on */

struct control_counters {
#define X(name) uint64_t name;
	CONTROL_COUNTERS(X)
#undef X
};

/* NULL if memory is not to be had. base and ops outlive the server. */
struct control_server *control_server_create(struct event_base *base,
					     const struct control_server_config *config,
					     const struct control_server_ops *ops, void *arg);
void control_server_destroy(struct control_server *s);

/* Any datagram with a type in 0x11..0x14. */
void control_server_input(struct control_server *s, const struct control_path *from,
			  const uint8_t *msg, size_t len);

/*
 * Answers the caller of a request, within its handler or later by a kept copy of the caller: on the
 * channel it asked on, or the client's current one if that is gone; nothing if there is neither.
 */
void control_server_reply(struct control_server *s, const struct control_caller *to, uint8_t verb,
			  uint32_t id, const void *body, size_t len);

/*
 * Within the handler, before what takes a signature check: false once this channel has asked for
 * more than CONTROL_COSTLY_BURST of them at once, or CONTROL_COSTLY_PER_SECOND for long. Silence is
 * the answer then.
 */
MUST_CHECK bool control_server_afford(struct control_server *s,
				      const struct control_caller *caller);

/* Sends a body unasked to a client's newest confirmed channel, where it last spoke from. False if
 * it has none. */
bool control_server_push(struct control_server *s, const uint8_t client[static KEY_LEN],
			 uint8_t verb, const void *body, size_t len);

const struct control_counters *control_server_counters(const struct control_server *s);

#endif
