/*
 * An established control channel: seals bodies into transport messages and opens them again, with a
 * sliding replay window (RFC 6479). Pure. One thread per object.
 */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include "proto/noise.h"

#define CHANNEL_REPLAY_BITS 1024

struct channel {
	struct noise_keys keys;
	uint64_t send_counter;
	uint64_t receive_top; /* highest counter seen + 1; 0: none yet */
	uint64_t receive_seen[CHANNEL_REPLAY_BITS / 64];
	uint32_t local_index;
	uint32_t remote_index;
};

void channel_init(struct channel *ch, const struct noise_keys *keys, uint32_t local,
		  uint32_t remote);
void channel_wipe(struct channel *ch);

/*
 * Seals header and body (body_len <= CONTROL_BODY_MAX - 8) into out[CONTROL_DATAGRAM_MAX] and
 * returns the datagram's length, or 0 if the channel has sent all it may.
 */
MUST_CHECK size_t channel_seal(struct channel *ch, uint8_t out[static CONTROL_DATAGRAM_MAX],
			       uint8_t verb, uint32_t id, const void *body, size_t body_len);

/*
 * Opens a transport datagram already checked by message_type_of. On true plain[CONTROL_BODY_MAX]
 * holds a body_header whose length and verb are right, and its body right behind it.
 */
MUST_CHECK bool channel_open(struct channel *ch, uint8_t plain[static CONTROL_BODY_MAX],
			     const uint8_t *msg, size_t len);

#endif
