/* Datagrams with WireGuard's public header and random insides: what a relay can tell from real ones
 * is nothing. */
#ifndef TESTS_LIB_FAKEWG_H
#define TESTS_LIB_FAKEWG_H

#include "proto/crypto.h"
#include "proto/messages.h"

/* mac1_key: wg_mac1_key of the recipient. */
void fakewg_initiation(struct message_initiation *out, uint32_t sender,
		       const uint8_t mac1_key[static KEY_LEN]);
void fakewg_response(struct message_response *out, uint32_t sender, uint32_t receiver);
/* size: at least WG_TRANSPORT_MIN; the payload is left as it is. */
void fakewg_transport(uint8_t *out, uint32_t receiver, uint64_t counter);

#endif
