/* The handles by which tests move a TUNNEL_FAKE device. */
#ifndef TUNNEL_FAKE_H
#define TUNNEL_FAKE_H

#include "tunnel/device.h"

/* Adds to what the device counts for a peer it has; false if it has none of this key. */
bool fake_count(struct tunnel *t, const uint8_t key[static KEY_LEN], uint64_t rx, uint64_t tx);
/* The device dies as a process does: tunnel_watch_fd becomes readable, everything fails. */
void fake_die(struct tunnel *t);
/* Lets the next so many openings (repairs) fail. */
void fake_fail_open(unsigned times);
/* Lets the next so many readings fail. */
void fake_fail_read(unsigned times);
/* True if the device itself (not the tunnel's memory) has the peer; settings may be NULL. allowed
 * is not told. */
bool fake_has_peer(struct tunnel *t, const uint8_t key[static KEY_LEN],
		   struct tunnel_peer *settings);

#endif
