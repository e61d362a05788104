/*
 * The exits this relay forwards to: by slot, admitted from signed descriptors, never in a special
 * range, never this relay itself, no two at one endpoint. Main thread only.
 */
#ifndef RELAY_EXITS_H
#define RELAY_EXITS_H

#include "base/addr.h"
#include "proto/descriptor.h"
#include "proto/ranges.h"
#include "relay/plane.h"

enum {
	EXIT_NONE = UINT32_MAX,
};

struct exit_entry {
	bool present;
	uint8_t id[KEY_LEN];
	uint8_t mac1_key[KEY_LEN]; /* of its control key: what is passed to it must be for it */
	struct net_addr wg, control;
	uint64_t expires;  /* seconds since 1970 */
	uint32_t sessions; /* that name this slot: it is not given to another exit before 0 */
};

struct exits {
	struct plane *plane;
	const struct ranges *allow;
	uint64_t network;
	const struct descriptor *self;
	uint32_t capacity;
	struct exit_entry *slot;
	uint32_t refused_count;
	uint8_t (*refused)[KEY_LEN]; /* ids left out for their address */
};

typedef void (*exits_refused)(void *arg, size_t i, const char *why);

/* plane, allow and self are borrowed. Fatal when memory is gone. */
void exits_init(struct exits *e, struct plane *plane, const struct ranges *allow, uint64_t network,
		const struct descriptor *self, uint32_t capacity);
void exits_wipe(struct exits *e);

/*
 * Replaces the whole set. Exits that stay keep their slots, exits that went are `present` no more
 * and their slots tell the workers so. Those refused are told to why (may be NULL) by index.
 */
void exits_load(struct exits *e, const struct descriptor *d, size_t count, uint64_t now_s,
		exits_refused why, void *arg);

/* The slot of an exit that may be used now, or EXIT_NONE. */
uint32_t exits_find(const struct exits *e, const uint8_t id[static KEY_LEN], uint64_t now_s);
/* True if id was left out of the last load because of where it is. */
bool exits_was_refused(const struct exits *e, const uint8_t id[static KEY_LEN]);
/* The slot whose control endpoint is from, or EXIT_NONE. */
uint32_t exits_by_control(const struct exits *e, const struct net_addr *from);
/* Judged again at send time: present, and where it is may be sent to. */
bool exits_sendable(const struct exits *e, uint32_t slot);
uint32_t exits_count(const struct exits *e);

#endif
