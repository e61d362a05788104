#include "exit/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "proto/crypto.h"

struct peers {
	struct table *by_session, *by_key;
	uint32_t max, count;
	struct exit_peer slots[];
};

struct peers *peers_create(uint32_t max)
{
	struct peers *p = xcalloc(1, sizeof(*p) + max * sizeof(p->slots[0]));

	p->max = max;
	p->by_session = table_create(max, SESSION_ID_LEN);
	p->by_key = table_create(max, KEY_LEN);
	if (p->by_session && p->by_key)
		return p;
	peers_destroy(p);
	return NULL;
}

void peers_destroy(struct peers *p)
{
	if (!p)
		return;
	table_destroy(p->by_session);
	table_destroy(p->by_key);
	free(p);
}

struct exit_peer *peers_add(struct peers *p)
{
	for (uint32_t i = 0; p->count < p->max && i < p->max; i++) {
		if (p->slots[i].state != PEER_FREE)
			continue;
		memset(&p->slots[i], 0, sizeof(p->slots[i]));
		p->slots[i].state = PEER_OPENING;
		p->count++;
		return &p->slots[i];
	}
	return NULL;
}

static uint32_t slot_of(const struct peers *p, const struct exit_peer *peer)
{
	return (uint32_t)(peer - p->slots);
}

void peers_forget_key(struct peers *p, const struct exit_peer *peer)
{
	if (table_find(p->by_key, peer->wg_key) == slot_of(p, peer))
		table_remove(p->by_key, peer->wg_key);
}

void peers_free(struct peers *p, struct exit_peer *peer)
{
	table_remove(p->by_session, peer->session);
	peers_forget_key(p, peer);
	memset(peer, 0, sizeof(*peer));
	p->count--;
}

void peers_index(struct peers *p, const struct exit_peer *peer)
{
	uint32_t slot = slot_of(p, peer);

	if (!table_put(p->by_session, peer->session, slot) ||
	    !table_put(p->by_key, peer->wg_key, slot))
		fatalx("the exit's tables hold fewer peers than there are slots");
}

struct exit_peer *peers_by_session(struct peers *p, const uint8_t session[static SESSION_ID_LEN])
{
	uint32_t slot = table_find(p->by_session, session);

	return slot == TABLE_NONE ? NULL : &p->slots[slot];
}

struct exit_peer *peers_by_key(struct peers *p, const uint8_t wg_key[static KEY_LEN])
{
	uint32_t slot = table_find(p->by_key, wg_key);

	return slot == TABLE_NONE ? NULL : &p->slots[slot];
}

struct exit_peer *peers_next(struct peers *p, const struct exit_peer *after)
{
	for (uint32_t i = after ? slot_of(p, after) + 1 : 0; i < p->max; i++) {
		if (p->slots[i].state != PEER_FREE)
			return &p->slots[i];
	}
	return NULL;
}

uint32_t peers_count(const struct peers *p)
{
	return p->count;
}
