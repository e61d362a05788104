/*
 * What a tunnel knows of its peers beyond the life of a device: their settings, for repair, and
 * their counters, over incarnations. Removed peers are remembered too, the last
 * MEMORY_REMOVED_MAX of them. Private to tunnel/. Pure. Main thread only.
 */
#ifndef TUNNEL_MEMORY_H
#define TUNNEL_MEMORY_H

#include "tunnel/device.h"

enum {
	MEMORY_REMOVED_MAX = 256
};

struct known_peer {
	struct tunnel_peer settings; /* allowed is owned by the memory */
	bool present;                /* false: removed */
	uint64_t past_rx, past_tx;   /* of incarnations that ended */
	uint64_t rx, tx;             /* of this one, as last read */
	uint64_t last_handshake;
	uint64_t removed; /* order of removal */
};

struct memory;
struct backend_stat;

struct memory *memory_create(void);
void memory_destroy(struct memory *m);

/* NULL if never seen or forgotten. Valid until that peer is forgotten. */
struct known_peer *memory_find(struct memory *m, const uint8_t key[static KEY_LEN]);
/* Adds a peer or replaces its settings (allowed is copied); present from now on. */
void memory_set(struct memory *m, const struct tunnel_peer *peer);
/* Its incarnation ended; the oldest removed peer may be forgotten. Consumes k. */
void memory_remove(struct memory *m, struct known_peer *k);

/* A reading of the device. A counter that went down means an incarnation ended unseen. */
void memory_count(struct known_peer *k, const struct backend_stat *stat);
/* The device died: all incarnations ended. */
void memory_ended(struct memory *m);

/* Entries 0..: NULL at the end. */
struct known_peer *memory_at(struct memory *m, size_t i);
void memory_stat(const struct known_peer *k, struct tunnel_stat *out);

#endif
