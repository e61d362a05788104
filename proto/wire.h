/* WireGuard's public header, all a relay reads of a datagram (WireGuard paper, section 5.4). Pure.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "proto/crypto.h"
#include "proto/lengths.h"

/* The fields a type does not have are 0. */
struct wire_header {
	enum message_type type; /* MESSAGE_WG_*; 0: not a WireGuard datagram of right length */
	uint32_t sender;        /* types 1, 2 */
	uint32_t receiver;      /* types 2, 3, 4 */
};

/* Reads the header of a WireGuard datagram; type 0 for anything else. */
struct wire_header wire_read(const uint8_t *msg, size_t len);

/* True if mac1 of an initiation or response (len says which) is right for mac1_key (wg_mac1_key).
 */
MUST_CHECK bool wire_mac1_valid(const uint8_t *msg, size_t len,
				const uint8_t mac1_key[static KEY_LEN]);

#endif
