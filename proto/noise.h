/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2b (Noise Protocol Framework rev 34), the control channel's
 * handshake. Pure: no sockets, no clocks. One thread per object.
 *
 *   -> e, es, s, ss, timestamp     message_initiation without its macs
 *   <- e, ee, se                   message_response without its macs
 *
 * The prologue is NOISE_PROLOGUE followed by the network id as le64.
 */
#ifndef PROTO_NOISE_H
#define PROTO_NOISE_H

#include "proto/crypto.h"
#include "proto/messages.h"

#define NOISE_PROLOGUE "culvert control 1"

struct noise_keypair {
	uint8_t priv[KEY_LEN];
	uint8_t pub[KEY_LEN];
};

struct noise_handshake {
	uint8_t chaining_key[64];
	uint8_t hash[64];
	struct noise_keypair ephemeral;
	uint8_t remote_ephemeral[KEY_LEN];
	uint8_t remote_static[KEY_LEN];
};

/* Transport keys after the split. */
struct noise_keys {
	uint8_t send[KEY_LEN];
	uint8_t receive[KEY_LEN];
};

/* Initiator. Fills everything but type, sender, and the macs. False if a key is of small order. */
MUST_CHECK bool noise_initiation_create(struct noise_handshake *hs, struct message_initiation *msg,
					const struct noise_keypair *local,
					const uint8_t remote[static KEY_LEN], uint64_t network,
					const uint8_t timestamp[static 12]);
/* Responder. On true hs->remote_static is authenticated and timestamp is set. */
MUST_CHECK bool noise_initiation_consume(struct noise_handshake *hs,
					 const struct message_initiation *msg,
					 const struct noise_keypair *local, uint64_t network,
					 uint8_t timestamp[static 12]);
/* Responder: fills everything but type, indices and macs; sets keys and wipes hs. */
MUST_CHECK bool noise_response_create(struct noise_handshake *hs, struct message_response *msg,
				      struct noise_keys *keys);
/* Initiator: sets keys and wipes hs on true; hs stays usable on false. */
MUST_CHECK bool noise_response_consume(struct noise_handshake *hs,
				       const struct message_response *msg,
				       const struct noise_keypair *local, struct noise_keys *keys);

#endif
