/* The one table of exact lengths: of datagrams by type, of control bodies by verb. Pure. */
#ifndef PROTO_LENGTHS_H
#define PROTO_LENGTHS_H

#include "proto/messages.h"

/*
 * The datagram's type if its first four bytes name one and len is exactly what that type has
 * (transport types: at least the minimum); 0 otherwise. WireGuard pads to 16 bytes, but never
 * beyond its MTU, so a full packet of an MTU of 1420 makes 1452: no multiple of anything to check.
 */
MUST_CHECK enum message_type message_type_of(const uint8_t *msg, size_t len);

/* True if a body of this verb has len bytes (without its header). */
MUST_CHECK bool verb_length_ok(uint8_t verb, size_t len);

/* The answer a request expects (VERB_OPEN -> VERB_GRANTED), 0 for verbs that expect none: RECEIPT
 * is pushed, and COSIGN or DISPUTE a request of its own. */
uint8_t verb_answer(uint8_t verb);

/* "OPEN", for debug lines and docs; "?" if unknown. */
const char *verb_name(uint8_t verb);

/* One lower-case sentence for a person, e.g. "the relay does not know this exit". */
const char *refusal_text(uint32_t code);

/* Why a provider ended a session, in the same way: "it closed the session as idle". */
const char *close_text(uint32_t reason);

#endif
