#include "tunnel/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "tunnel/backend.h"

struct memory {
	struct table *by_key; /* key -> place in peers */
	struct known_peer **peers;
	size_t count, room;
	size_t removed; /* of peers: how many are not present */
	uint64_t removals_ever;
};

/* Makes room by doubling: tables have a fixed capacity. */
static void grow(struct memory *m)
{
	size_t room = m->room ? m->room * 2 : 64;
	struct known_peer **peers = xcalloc(room, sizeof(struct known_peer *));
	struct table *by_key = table_create(room, KEY_LEN);

	if (!by_key)
		fatalx("out of memory (table of %zu peers)", room);
	for (size_t i = 0; i < m->count; i++) {
		peers[i] = m->peers[i];
		if (!table_put(by_key, peers[i]->settings.key, (uint32_t)i))
			fatalx("the table of peers is smaller than made");
	}
	free(m->peers);
	table_destroy(m->by_key);
	m->peers = peers;
	m->by_key = by_key;
	m->room = room;
}

struct memory *memory_create(void)
{
	struct memory *m = xcalloc(1, sizeof(*m));

	grow(m);
	return m;
}

static void peer_free(struct known_peer *k)
{
	free((void *)k->settings.allowed);
	free(k);
}

void memory_destroy(struct memory *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		peer_free(m->peers[i]);
	free(m->peers);
	table_destroy(m->by_key);
	free(m);
}

struct known_peer *memory_find(struct memory *m, const uint8_t key[static KEY_LEN])
{
	uint32_t at = table_find(m->by_key, key);

	return at == TABLE_NONE ? NULL : m->peers[at];
}

static struct known_peer *add(struct memory *m, const uint8_t key[static KEY_LEN])
{
	struct known_peer *k = xcalloc(1, sizeof(*k));

	if (m->count == m->room)
		grow(m);
	memcpy(k->settings.key, key, KEY_LEN);
	if (!table_put(m->by_key, key, (uint32_t)m->count))
		fatalx("the table of peers is smaller than made");
	m->peers[m->count++] = k;
	return k;
}

/* The last entry takes the place of the one that goes. */
static void forget(struct memory *m, size_t at)
{
	struct known_peer *k = m->peers[at];

	table_remove(m->by_key, k->settings.key);
	m->peers[at] = m->peers[--m->count];
	if (at < m->count && !table_put(m->by_key, m->peers[at]->settings.key, (uint32_t)at))
		fatalx("the table of peers is smaller than made");
	peer_free(k);
}

void memory_set(struct memory *m, const struct tunnel_peer *peer)
{
	struct known_peer *k = memory_find(m, peer->key);
	struct tunnel_prefix *allowed = xcalloc(peer->allowed_count, sizeof(*allowed));
	struct tunnel_peer last;

	if (!k)
		k = add(m, peer->key);
	else if (!k->present)
		m->removed--;
	last = k->settings;
	if (peer->allowed_count)
		memcpy(allowed, peer->allowed, peer->allowed_count * sizeof(*allowed));
	k->settings = *peer;
	k->settings.allowed = allowed;
	if (!peer->has_endpoint && k->present) { /* the device keeps the one it has, so do we */
		k->settings.has_endpoint = last.has_endpoint;
		k->settings.endpoint = last.endpoint;
	}
	k->present = true;
	free((void *)last.allowed);
}

static void ended(struct known_peer *k)
{
	k->past_rx += k->rx;
	k->past_tx += k->tx;
	k->rx = 0;
	k->tx = 0;
}

static size_t oldest_removed(const struct memory *m)
{
	size_t oldest = m->count;

	for (size_t i = 0; i < m->count; i++) {
		if (!m->peers[i]->present &&
		    (oldest == m->count || m->peers[i]->removed < m->peers[oldest]->removed))
			oldest = i;
	}
	return oldest;
}

void memory_remove(struct memory *m, struct known_peer *k)
{
	if (!k->present)
		return;
	ended(k);
	k->present = false;
	k->removed = m->removals_ever++;
	if (++m->removed > MEMORY_REMOVED_MAX) {
		forget(m, oldest_removed(m));
		m->removed--;
	}
}

void memory_count(struct known_peer *k, const struct backend_stat *stat)
{
	if (stat->rx < k->rx || stat->tx < k->tx)
		ended(k);
	k->rx = stat->rx;
	k->tx = stat->tx;
	if (stat->last_handshake)
		k->last_handshake = stat->last_handshake;
	if (stat->has_endpoint) {
		k->settings.has_endpoint = true;
		k->settings.endpoint = stat->endpoint;
	}
}

void memory_ended(struct memory *m)
{
	for (size_t i = 0; i < m->count; i++)
		ended(m->peers[i]);
}

struct known_peer *memory_at(struct memory *m, size_t i)
{
	return i < m->count ? m->peers[i] : NULL;
}

void memory_stat(const struct known_peer *k, struct tunnel_stat *out)
{
	memcpy(out->key, k->settings.key, KEY_LEN);
	out->rx = k->past_rx + k->rx;
	out->tx = k->past_tx + k->tx;
	out->last_handshake = k->last_handshake;
}
