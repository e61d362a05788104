/* As much of a TURN client (RFC 8656) as a benchmark needs: no authentication, IPv4 peers, one
 * channel. */
#ifndef TESTS_LIB_TURN_H
#define TESTS_LIB_TURN_H

#include "base/addr.h"

enum {
	TURN_CHANNEL = 0x4000,
	TURN_CHANNEL_HEADER = 4,
};

/* Both wait for the server's answer; false if refused or not answered. fd: a connected UDP socket.
 */
MUST_CHECK bool turn_allocate(int fd); /* for an hour */
/* Binds TURN_CHANNEL to peer, or keeps it so: that, and the permission, lasts for five minutes. */
MUST_CHECK bool turn_bind(int fd, const struct net_addr *peer);

/* The header of len bytes of channel data. */
void turn_channel_header(uint8_t out[static TURN_CHANNEL_HEADER], size_t len);

#endif
