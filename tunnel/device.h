/*
 * A WireGuard device: kernel (netlink), userspace (wireguard-go over its UAPI socket) or fake
 * (tests). Main thread only; calls block for milliseconds. Counters are cumulative over
 * incarnations: a device that died and was repaired, or a peer that was removed and added, goes on
 * counting where it stopped.
 */
#ifndef TUNNEL_DEVICE_H
#define TUNNEL_DEVICE_H

#include "base/addr.h"
#include "proto/messages.h"

enum tunnel_backend {
	TUNNEL_AUTO, /* kernel if it has WireGuard, else wireguard-go */
	TUNNEL_KERNEL,
	TUNNEL_USERSPACE,
	TUNNEL_FAKE,
};

struct tunnel;

struct tunnel_config {
	char name[16]; /* interface */
	enum tunnel_backend backend;
	uint8_t private_key[KEY_LEN];
	uint16_t port;   /* 0: chosen by the device */
	uint32_t fwmark; /* 0: none */
	uint16_t mtu;    /* 0: 1420 */
};

struct tunnel_prefix {
	struct net_addr net; /* port unused */
	uint8_t bits;
};

struct tunnel_peer {
	uint8_t key[KEY_LEN];
	bool has_endpoint;
	struct net_addr endpoint;
	uint16_t keepalive; /* seconds; 0: off */
	const struct tunnel_prefix *allowed;
	size_t allowed_count;
};

struct tunnel_stat {
	uint8_t key[KEY_LEN];
	uint64_t rx, tx;         /* bytes of WireGuard datagrams, cumulative */
	uint64_t last_handshake; /* wall seconds; 0: never */
};

/* Makes the device and brings it up. -EEXIST if the name is taken; -EPERM, -EOPNOTSUPP as the probe
 * says; what and what to do is said by log_warn. */
MUST_CHECK int tunnel_open(struct tunnel **out, const struct tunnel_config *config);
/* Removes the device. NULL is fine. */
void tunnel_close(struct tunnel *t);

/*
 * Before tunnel_open, at a start after a crash: removes a kernel WireGuard device of that name, or
 * the socket of a wireguard-go that is gone (waits up to a second for one that is going). Never
 * touches another kind of interface or a process that stays.
 */
void tunnel_remove_stale(const char *name);

/* "kernel", "userspace (wireguard-go)" or "fake". */
const char *tunnel_backend_name(const struct tunnel *t);
const char *tunnel_name(const struct tunnel *t);
/* The UDP port the device listens on, also when it chose by itself. */
uint16_t tunnel_port(const struct tunnel *t);

MUST_CHECK int tunnel_set_port(struct tunnel *t, uint16_t port);
/* Adds the peer or replaces all it has. */
MUST_CHECK int tunnel_set_peer(struct tunnel *t, const struct tunnel_peer *peer);
/* Moves an existing peer's endpoint (update_only). */
MUST_CHECK int tunnel_set_endpoint(struct tunnel *t, const uint8_t key[static KEY_LEN],
				   const struct net_addr *endpoint);
MUST_CHECK int tunnel_remove_peer(struct tunnel *t, const uint8_t key[static KEY_LEN]);

/* Makes the device send the peer an empty packet now, so that whoever is on the way learns the path
 * it takes: a device that only receives would stay silent until its next keepalive. The peer must
 * have one. */
MUST_CHECK int tunnel_nudge(struct tunnel *t, const uint8_t key[static KEY_LEN]);

typedef void (*tunnel_each)(void *arg, const struct tunnel_stat *stat);
MUST_CHECK int tunnel_read(struct tunnel *t, tunnel_each each, void *arg);
/* One peer; -ENOENT if never seen. Works for a removed peer too: its last counters. */
MUST_CHECK int tunnel_read_peer(struct tunnel *t, const uint8_t key[static KEY_LEN],
				struct tunnel_stat *stat);

/* A descriptor that becomes readable when the device's process dies; -1 for backends without one.
 */
int tunnel_watch_fd(const struct tunnel *t);
/* Makes the device anew with all its peers; counters carry on. Addresses and routes are the
 * caller's. */
MUST_CHECK int tunnel_repair(struct tunnel *t);

#endif
