/*
 * What a kind of WireGuard device must be able to do, and what all kinds share. Private to tunnel/.
 * Backends count from zero with every new device and peer; device.c makes that cumulative.
 */
#ifndef TUNNEL_BACKEND_H
#define TUNNEL_BACKEND_H

#include "tunnel/device.h"
#include "tunnel/memory.h"

/* One peer as the device shows it now. */
struct backend_stat {
	uint8_t key[KEY_LEN];
	bool has_endpoint;
	struct net_addr endpoint;
	uint64_t rx, tx;
	uint64_t last_handshake;
};
typedef void (*backend_each)(void *arg, const struct backend_stat *stat);

struct tunnel_ops {
	const char *name;
	/* Makes the device of t->config with its key, port and mark, no peers, link up; notes the
	 * port the device really has. Leaves nothing behind when it fails. */
	int (*open)(struct tunnel *t);
	/* Removes it; fine when it is dead already. */
	void (*close)(struct tunnel *t);
	int (*set_port)(struct tunnel *t, uint16_t port);
	/* exists: the peer is on the device and must not be made anew if it is not. */
	int (*set_peer)(struct tunnel *t, const struct tunnel_peer *peer, bool exists);
	int (*set_endpoint)(struct tunnel *t, const uint8_t *key, const struct net_addr *endpoint);
	int (*remove_peer)(struct tunnel *t, const uint8_t *key);
	int (*read)(struct tunnel *t, backend_each each, void *arg);
};

struct tunnel {
	const struct tunnel_ops *ops;
	struct tunnel_config config; /* its private_key stays zero: see private_key */
	uint8_t *private_key;        /* in locked memory */
	struct memory *memory;
	int watch_fd; /* -1: none */
	pid_t pid;    /* userspace */
	struct fake *fake;
};

extern const struct tunnel_ops kernel_ops, userspace_ops, fake_ops;

/* Removes a kernel WireGuard device, and nothing else, of that name. */
void kernel_remove_stale(const char *name);
/* Waits a moment for a dying wireguard-go of that name, then removes the socket it left. */
void userspace_remove_stale(const char *name);

#endif
