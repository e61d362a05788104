#include "relay/exits.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/crypto.h"

#define MAC1_LABEL "mac1----"

void exits_init(struct exits *e, struct plane *plane, const struct ranges *allow, uint64_t network,
		const struct descriptor *self, uint32_t capacity)
{
	*e = (struct exits){
		.plane = plane,
		.allow = allow,
		.network = network,
		.self = self,
		.capacity = capacity,
		.slot = xcalloc(capacity, sizeof(*e->slot)),
	};
}

void exits_wipe(struct exits *e)
{
	free(e->slot);
	free(e->refused);
	*e = (struct exits){0};
}

static bool is_announced(const struct descriptor *self, const struct net_addr *a)
{
	struct net_addr own;

	return (descriptor_endpoint(self, false, false, &own) && net_addr_eq(&own, a)) ||
	       (descriptor_endpoint(self, true, false, &own) && net_addr_eq(&own, a));
}

static const char *judge_address(const struct exits *e, const struct net_addr *a)
{
	const char *range = ranges_special(a, e->allow);

	if (range)
		return range;
	if (plane_is_self(e->plane, a) || is_announced(e->self, a))
		return "own address";
	return NULL;
}

/* Every endpoint it names is judged, used or not: a descriptor is trusted whole or not at all. */
static const char *judge_addresses(const struct exits *e, const struct descriptor *d)
{
	for (int i = 0; i < 4; i++) {
		struct net_addr a;
		const char *why;

		if (!descriptor_endpoint(d, (i & 1) != 0, (i & 2) != 0, &a))
			continue;
		why = judge_address(e, &a);
		if (why)
			return why;
	}
	return NULL;
}

static void endpoint(const struct descriptor *d, bool wireguard, struct net_addr *out)
{
	if (!descriptor_endpoint(d, false, wireguard, out) &&
	    !descriptor_endpoint(d, true, wireguard, out))
		*out = (struct net_addr){0};
}

static struct exit_entry entry_of(const struct descriptor *d)
{
	struct exit_entry x = {.present = true, .expires = le64_get(d->body.expires)};
	uint8_t labelled[sizeof(MAC1_LABEL) - 1 + KEY_LEN];

	memcpy(x.id, d->body.node, KEY_LEN);
	memcpy(labelled, MAC1_LABEL, sizeof(MAC1_LABEL) - 1);
	memcpy(labelled + sizeof(MAC1_LABEL) - 1, d->body.control, KEY_LEN);
	hash256(x.mac1_key, labelled, sizeof(labelled));
	endpoint(d, true, &x.wg);
	endpoint(d, false, &x.control);
	return x;
}

static void tell_plane(const struct exits *e, uint32_t slot, const uint8_t *wg_key)
{
	struct plane_exit x = {0};

	if (wg_key) {
		x.wg = e->slot[slot].wg;
		wg_mac1_key(x.mac1_key, wg_key);
	}
	plane_set_exit(e->plane, slot, &x);
}

static uint32_t slot_of(const struct exits *e, const uint8_t *id)
{
	for (uint32_t i = 0; i < e->capacity; i++)
		if ((e->slot[i].present || e->slot[i].sessions) &&
		    memcmp(e->slot[i].id, id, KEY_LEN) == 0)
			return i;
	return EXIT_NONE;
}

static uint32_t free_slot(const struct exits *e)
{
	for (uint32_t i = 0; i < e->capacity; i++)
		if (!e->slot[i].present && !e->slot[i].sessions)
			return i;
	return EXIT_NONE;
}

static bool endpoint_taken(const struct exits *e, const struct exit_entry *x)
{
	for (uint32_t i = 0; i < e->capacity; i++)
		if (e->slot[i].present && (net_addr_eq(&e->slot[i].wg, &x->wg) ||
					   net_addr_eq(&e->slot[i].control, &x->control)))
			return true;
	return false;
}

static void refuse_address(struct exits *e, const struct descriptor *d)
{
	memcpy(e->refused[e->refused_count++], d->body.node, KEY_LEN);
}

/* NULL if d was admitted, else why not. */
static const char *admit(struct exits *e, const struct descriptor *d, uint64_t now_s)
{
	enum descriptor_verdict verdict = descriptor_check(d, e->network, now_s);
	struct exit_entry x;
	const char *why;
	uint32_t slot;

	if (verdict != DESCRIPTOR_OK)
		return descriptor_verdict_text(verdict);
	if (!(d->body.roles & ROLE_EXIT))
		return "it is no exit";
	why = memcmp(d->body.node, e->self->body.node, KEY_LEN) == 0 ? "own address"
								     : judge_addresses(e, d);
	if (why) {
		refuse_address(e, d);
		return why;
	}
	x = entry_of(d);
	slot = slot_of(e, x.id);
	if (slot != EXIT_NONE && e->slot[slot].present)
		return "it is listed twice";
	if (endpoint_taken(e, &x))
		return "another exit has its address";
	if (slot == EXIT_NONE)
		slot = free_slot(e);
	if (slot == EXIT_NONE)
		return "there is no room for more exits";
	x.sessions = e->slot[slot].sessions;
	e->slot[slot] = x;
	tell_plane(e, slot, d->body.wg_key);
	return NULL;
}

void exits_load(struct exits *e, const struct descriptor *d, size_t count, uint64_t now_s,
		exits_refused why, void *arg)
{
	bool *was = xcalloc(e->capacity, sizeof(*was));

	free(e->refused);
	e->refused = xcalloc(count + 1, sizeof(*e->refused));
	e->refused_count = 0;
	/* Exits that stay take their slots back: a slot is kept by its id while it has sessions. */
	for (uint32_t i = 0; i < e->capacity; i++) {
		was[i] = e->slot[i].present;
		e->slot[i].sessions += was[i];
		e->slot[i].present = false;
	}
	for (size_t i = 0; i < count; i++) {
		const char *text = admit(e, &d[i], now_s);

		if (text && why)
			why(arg, i, text);
	}
	for (uint32_t i = 0; i < e->capacity; i++) {
		e->slot[i].sessions -= was[i];
		if (was[i] && !e->slot[i].present)
			tell_plane(e, i, NULL);
	}
	free(was);
}

uint32_t exits_find(const struct exits *e, const uint8_t id[static KEY_LEN], uint64_t now_s)
{
	uint32_t slot = slot_of(e, id);

	if (slot == EXIT_NONE || e->slot[slot].expires <= now_s || !exits_sendable(e, slot))
		return EXIT_NONE;
	return slot;
}

bool exits_was_refused(const struct exits *e, const uint8_t id[static KEY_LEN])
{
	for (uint32_t i = 0; i < e->refused_count; i++)
		if (memcmp(e->refused[i], id, KEY_LEN) == 0)
			return true;
	return memcmp(id, e->self->body.node, KEY_LEN) == 0;
}

uint32_t exits_by_control(const struct exits *e, const struct net_addr *from)
{
	for (uint32_t i = 0; i < e->capacity; i++)
		if (e->slot[i].present && net_addr_eq(&e->slot[i].control, from))
			return i;
	return EXIT_NONE;
}

bool exits_sendable(const struct exits *e, uint32_t slot)
{
	const struct exit_entry *x = &e->slot[slot];

	return x->present && !judge_address(e, &x->control) && !judge_address(e, &x->wg);
}

uint32_t exits_count(const struct exits *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->capacity; i++)
		n += e->slot[i].present;
	return n;
}
