#include "control/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/table.h"
#include "control/crowd.h"
#include "proto/lengths.h"

enum {
	UNUSED_MS = 10 * 60 * 1000, /* a channel nobody uses */
	/*
	 * A handshake whose initiator never spoke on its channel. Long, because a client need not
	 * have anything to say at once; when slots are short the oldest of these go first.
	 */
	UNCONFIRMED_MS = 60 * 1000,
	REPLACED_MS = 5000, /* for messages in flight while a newer channel takes over */
	LOADED_MS = 1000,
	SWEEP_MS = 100,
	SWEEPS = 10, /* until all slots were looked at */
	DEFAULT_INITIATIONS = 200,
	/* So many clients are remembered for each channel; those without a channel give way. */
	PEERS_PER_CHANNEL = 2,
	TIMESTAMP_LEN = 12,
	/* Networks whose handshakes are counted under load; more at once are refused. */
	RATELIMIT_NETWORKS = 8192,
	/* When slots are short, a network with so many unconfirmed ones pays with its own. */
	UNCONFIRMED_PER_NETWORK = 4,
	COSTLY_MS = 1000 / CONTROL_COSTLY_PER_SECOND,
	COOKIES_PER_MS = CONTROL_COOKIES_PER_SECOND / 1000,
	COOKIES_AT_ONCE = CONTROL_COOKIES_PER_SECOND / 20,
};

/* What a channel is to its client, which has at most one of each. */
enum standing {
	UNCONFIRMED, /* answered; the client has not yet shown that it has the keys */
	CURRENT,
	PREVIOUS,
	STANDINGS,
};

struct slot {
	struct channel ch;
	enum standing standing;
	uint32_t peer;
	uint64_t dies_ms;
	struct control_path path; /* last authenticated */
	struct ratelimit_net net; /* where the handshake came from */
	uint64_t costly_ms;       /* when it may do CONTROL_COSTLY_BURST costly things again */
};

struct peer {
	uint8_t key[KEY_LEN];
	uint8_t timestamp[TIMESTAMP_LEN]; /* greatest seen: older initiations are replays */
	uint32_t held[STANDINGS];         /* slots, TABLE_NONE: none */
};

/* A doubly linked list through an array; an element is on one list at most. */
struct link {
	uint32_t before, after;
};
struct list {
	uint32_t first, last;
};

struct control_server {
	const struct control_server_ops *ops;
	void *arg;
	struct noise_keypair *keys; /* guarded memory */
	uint64_t network;
	struct event *sweep;
	uint32_t sweeps;
	struct cookie_checker cookies;
	struct ratelimit *limit;
	struct crowd *crowd; /* confirmed slots: others' addresses can be faked */
	struct control_counters counters;

	uint64_t second_ms; /* when the second being counted began */
	uint32_t initiations, max_initiations;
	uint64_t loaded_until_ms;
	uint64_t cookies_left, cookies_ms; /* so many could be given, as of then */

	uint32_t max_slots, max_peers;
	struct slot *slots;
	struct link *slot_links;
	struct list free_slots, unconfirmed; /* oldest first */
	struct table *by_index;              /* le32 local index -> slot */
	struct peer *peers;
	struct link *peer_links;
	struct list free_peers, idle_peers; /* idle: no slot held; longest so first */
	struct table *by_key;
};

/* ---- lists ---------------------------------------------------------------------------------- */

static void list_append(struct list *l, struct link *links, uint32_t i)
{
	links[i] = (struct link){l->last, TABLE_NONE};
	if (l->last == TABLE_NONE)
		l->first = i;
	else
		links[l->last].after = i;
	l->last = i;
}

static void list_remove(struct list *l, struct link *links, uint32_t i)
{
	const struct link at = links[i];

	if (at.before == TABLE_NONE)
		l->first = at.after;
	else
		links[at.before].after = at.after;
	if (at.after == TABLE_NONE)
		l->last = at.before;
	else
		links[at.after].before = at.before;
}

static void list_fill(struct list *l, struct link *links, uint32_t count)
{
	*l = (struct list){TABLE_NONE, TABLE_NONE};
	for (uint32_t i = 0; i < count; i++)
		list_append(l, links, i);
}

/* ---- peers and slots ------------------------------------------------------------------------ */

static bool peer_idle(const struct peer *p)
{
	for (int i = 0; i < STANDINGS; i++)
		if (p->held[i] != TABLE_NONE)
			return false;
	return true;
}

static void slot_hold(struct control_server *s, uint32_t i, enum standing standing)
{
	struct peer *p = &s->peers[s->slots[i].peer];

	if (peer_idle(p))
		list_remove(&s->idle_peers, s->peer_links, s->slots[i].peer);
	s->slots[i].standing = standing;
	p->held[standing] = i;
	if (standing == UNCONFIRMED)
		list_append(&s->unconfirmed, s->slot_links, i);
	else
		crowd_enter(s->crowd, &s->slots[i].net);
}

static void slot_release(struct control_server *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	struct peer *p = &s->peers[slot->peer];

	p->held[slot->standing] = TABLE_NONE;
	if (slot->standing == UNCONFIRMED)
		list_remove(&s->unconfirmed, s->slot_links, i);
	else
		crowd_leave(s->crowd, &slot->net);
	if (peer_idle(p))
		list_append(&s->idle_peers, s->peer_links, slot->peer);
}

static void slot_free(struct control_server *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	le32 index = le32_of(slot->ch.local_index);

	slot_release(s, i);
	table_remove(s->by_index, &index);
	crypto_wipe(slot, sizeof(*slot));
	list_append(&s->free_slots, s->slot_links, i);
}

static void slot_drop(struct control_server *s, uint32_t i)
{
	if (i != TABLE_NONE)
		slot_free(s, i);
}

/* The slot with this local index, or TABLE_NONE. */
static uint32_t slot_find(const struct control_server *s, uint32_t local_index, uint64_t now_ms)
{
	le32 index = le32_of(local_index);
	uint32_t i = table_find(s->by_index, &index);

	return i != TABLE_NONE && s->slots[i].dies_ms > now_ms ? i : TABLE_NONE;
}

/*
 * The unconfirmed slot that makes room for a newcomer from there: the oldest, but of its own
 * network if that has its share of them. So nobody turns out others' handshakes by doing many.
 */
static uint32_t slot_to_drop(const struct control_server *s, const struct net_addr *from)
{
	const struct ratelimit_net net = ratelimit_net(from);
	uint32_t own = TABLE_NONE, count = 0;

	for (uint32_t i = s->unconfirmed.first; i != TABLE_NONE && count < UNCONFIRMED_PER_NETWORK;
	     i = s->slot_links[i].after) {
		if (memcmp(&s->slots[i].net, &net, sizeof(net)) != 0)
			continue;
		if (!count++)
			own = i;
	}
	return count < UNCONFIRMED_PER_NETWORK ? s->unconfirmed.first : own;
}

/* A slot off every list: a free one, else one that never was confirmed. */
static uint32_t slot_take(struct control_server *s, const struct net_addr *from)
{
	uint32_t i;

	if (s->free_slots.first == TABLE_NONE)
		slot_drop(s, slot_to_drop(s, from));
	i = s->free_slots.first;
	if (i != TABLE_NONE)
		list_remove(&s->free_slots, s->slot_links, i);
	return i;
}

/* The peer with this key, made if need be: known but idle. TABLE_NONE when all are busy. */
static uint32_t peer_take(struct control_server *s, const uint8_t key[static KEY_LEN])
{
	uint32_t i = table_find(s->by_key, key);
	struct peer *p;

	if (i != TABLE_NONE)
		return i;
	i = s->free_peers.first;
	if (i != TABLE_NONE) {
		list_remove(&s->free_peers, s->peer_links, i);
	} else {
		i = s->idle_peers.first;
		if (i == TABLE_NONE)
			return TABLE_NONE;
		list_remove(&s->idle_peers, s->peer_links, i);
		table_remove(s->by_key, s->peers[i].key);
	}
	p = &s->peers[i];
	memset(p, 0, sizeof(*p));
	memset(p->held, 0xff, sizeof(p->held));
	memcpy(p->key, key, KEY_LEN);
	if (!table_put(s->by_key, key, i)) {
		list_append(&s->free_peers, s->peer_links, i);
		return TABLE_NONE;
	}
	list_append(&s->idle_peers, s->peer_links, i);
	return i;
}

/* ---- handshakes ----------------------------------------------------------------------------- */

/* Counts an initiation that knew our key; true while there are more of them than we care to serve.
 */
static bool under_load(struct control_server *s, uint64_t now_ms)
{
	if (now_ms - s->second_ms >= 1000) {
		s->second_ms = now_ms;
		s->initiations = 0;
	}
	if (++s->initiations > s->max_initiations)
		s->loaded_until_ms = now_ms + LOADED_MS;
	return now_ms < s->loaded_until_ms;
}

static uint32_t fresh_index(const struct control_server *s)
{
	le32 index;

	do {
		index = le32_of(crypto_random_u32());
	} while (table_find(s->by_index, &index) != TABLE_NONE);
	return le32_get(index);
}

static bool is_replay(const struct control_server *s, const uint8_t key[static KEY_LEN],
		      const uint8_t timestamp[static TIMESTAMP_LEN])
{
	uint32_t i = table_find(s->by_key, key);

	return i != TABLE_NONE && memcmp(timestamp, s->peers[i].timestamp, TIMESTAMP_LEN) <= 0;
}

/* True if a client from there may not have a channel, unless it has one already. */
static bool crowded(struct control_server *s, const struct ratelimit_net *net,
		    const uint8_t key[static KEY_LEN])
{
	uint32_t peer = table_find(s->by_key, key);

	if (crowd_admits(s->crowd, net) ||
	    (peer != TABLE_NONE && s->peers[peer].held[CURRENT] != TABLE_NONE))
		return false;
	s->counters.crowded++;
	return true;
}

/* A slot for a handshake of this client, replacing its last unconfirmed one. */
static struct slot *slot_for(struct control_server *s, const struct control_path *from,
			     const uint8_t key[static KEY_LEN],
			     const uint8_t timestamp[static TIMESTAMP_LEN])
{
	uint32_t peer = table_find(s->by_key, key), i;

	if (peer != TABLE_NONE)
		slot_drop(s, s->peers[peer].held[UNCONFIRMED]);
	i = slot_take(s, &from->addr);
	if (i == TABLE_NONE)
		return NULL;
	peer = peer_take(s, key);
	if (peer == TABLE_NONE) {
		list_append(&s->free_slots, s->slot_links, i);
		return NULL;
	}
	memcpy(s->peers[peer].timestamp, timestamp, TIMESTAMP_LEN);
	s->slots[i].peer = peer;
	s->slots[i].path = *from;
	s->slots[i].net = ratelimit_net(&from->addr);
	slot_hold(s, i, UNCONFIRMED);
	return &s->slots[i];
}

static void answer_initiation(struct control_server *s, const struct control_path *from,
			      struct noise_handshake *hs, struct slot *slot, uint32_t remote_index)
{
	struct message_response out;
	struct cookie_signer signer;
	struct noise_keys keys;
	uint64_t now_ms = clock_ms();
	uint32_t i = (uint32_t)(slot - s->slots);
	le32 index = le32_of(fresh_index(s));

	out.type = le32_of(MESSAGE_RESPONSE);
	out.sender = index;
	out.receiver = le32_of(remote_index);
	cookie_signer_init(&signer, hs->remote_static);
	if (!noise_response_create(hs, &out, &keys) || !table_put(s->by_index, &index, i)) {
		slot_release(s, i);
		list_append(&s->free_slots, s->slot_links, i);
		s->counters.bad_handshake++;
		return;
	}
	cookie_sign(&signer, &out, sizeof(out), now_ms);
	channel_init(&slot->ch, &keys, le32_get(index), remote_index);
	crypto_wipe(&keys, sizeof(keys));
	slot->dies_ms = now_ms + UNCONFIRMED_MS;
	s->counters.handshakes++;
	s->ops->send(s->arg, from, &out, sizeof(out));
}

/* Each takes a few microseconds to make and send: more in a second would be time that data lacks.
 */
static bool cookie_left(struct control_server *s, uint64_t now_ms)
{
	s->cookies_left += (now_ms - s->cookies_ms) * COOKIES_PER_MS;
	if (s->cookies_left > COOKIES_AT_ONCE)
		s->cookies_left = COOKIES_AT_ONCE;
	s->cookies_ms = now_ms;
	if (s->cookies_left == 0)
		return false;
	s->cookies_left--;
	return true;
}

static void give_cookie(struct control_server *s, const struct control_path *from,
			const struct message_initiation *msg, uint64_t now_ms)
{
	struct message_cookie cookie;

	if (!cookie_left(s, now_ms)) {
		s->counters.cookie_withheld++;
		return;
	}
	cookie_reply(&s->cookies, &cookie, msg, sizeof(*msg), &from->addr, now_ms);
	s->counters.cookie_sent++;
	s->ops->send(s->arg, from, &cookie, sizeof(cookie));
}

/* The cheap checks: true if this initiation is worth a public-key operation. */
static bool admit(struct control_server *s, const struct control_path *from,
		  const struct message_initiation *msg)
{
	uint64_t now_ms = clock_ms();
	enum cookie_verdict verdict =
		cookie_check(&s->cookies, msg, sizeof(*msg), &from->addr, now_ms);

	if (verdict == COOKIE_BAD_MAC1) {
		s->counters.bad_mac1++;
		return false;
	}
	if (!under_load(s, now_ms))
		return true;
	if (verdict != COOKIE_MAC2) {
		give_cookie(s, from, msg, now_ms);
		return false;
	}
	/* Only now is the address known to be its own: nobody uses up another's share. */
	if (ratelimit_allow(s->limit, &from->addr, now_ms))
		return true;
	s->counters.rate_limited++;
	return false;
}

static void on_initiation(struct control_server *s, const struct control_path *from,
			  const struct message_initiation *msg)
{
	const struct ratelimit_net net = ratelimit_net(&from->addr);
	struct noise_handshake hs;
	uint8_t timestamp[TIMESTAMP_LEN];
	struct slot *slot;

	if (!admit(s, from, msg))
		return;
	if (!noise_initiation_consume(&hs, msg, s->keys, s->network, timestamp)) {
		s->counters.bad_handshake++;
	} else if (is_replay(s, hs.remote_static, timestamp)) {
		s->counters.replayed_handshake++;
	} else if (!crowded(s, &net, hs.remote_static)) {
		slot = slot_for(s, from, hs.remote_static, timestamp);
		if (slot)
			answer_initiation(s, from, &hs, slot, le32_get(msg->sender));
		else
			s->counters.table_full++;
	}
	crypto_wipe(&hs, sizeof(hs));
}

/* ---- transport ------------------------------------------------------------------------------ */

/*
 * The client has shown that it holds the keys of this handshake: only now does it replace. False if
 * its network has its part by now, for others of its handshakes were answered at the same time.
 */
static bool slot_confirm(struct control_server *s, uint32_t i, uint64_t now_ms)
{
	struct peer *p = &s->peers[s->slots[i].peer];
	uint32_t last = p->held[CURRENT];

	if (crowded(s, &s->slots[i].net, p->key)) {
		slot_free(s, i);
		return false;
	}
	slot_release(s, i);
	slot_drop(s, p->held[PREVIOUS]);
	if (last != TABLE_NONE) {
		slot_release(s, last);
		slot_hold(s, last, PREVIOUS);
		s->slots[last].dies_ms = now_ms + REPLACED_MS;
	}
	slot_hold(s, i, CURRENT);
	return true;
}

static void on_transport(struct control_server *s, const struct control_path *from,
			 const uint8_t *msg, size_t len)
{
	const struct message_transport *head = (const void *)msg;
	uint64_t now_ms = clock_ms();
	uint32_t i = slot_find(s, le32_get(head->receiver), now_ms);
	uint8_t plain[CONTROL_BODY_MAX];
	const struct body_header *header = (const void *)plain;
	struct control_caller caller;
	struct slot *slot;

	if (i == TABLE_NONE) {
		s->counters.unknown_channel++;
		return;
	}
	slot = &s->slots[i];
	if (!channel_open(&slot->ch, plain, msg, len)) {
		s->counters.bad_transport++;
		return;
	}
	/* A straggler from where the client was before does not move the path back. */
	if (le64_get(head->counter) + 1 == slot->ch.receive_top)
		slot->path = *from;
	if (slot->standing == UNCONFIRMED && !slot_confirm(s, i, now_ms))
		return;
	if (slot->standing == CURRENT)
		slot->dies_ms = now_ms + UNUSED_MS;
	s->counters.requests++;
	memcpy(caller.client, s->peers[slot->peer].key, KEY_LEN);
	caller.channel = slot->ch.local_index;
	caller.path = *from;
	caller.net = slot->net;
	s->ops->handle(s->arg, &caller, header->verb, le32_get(header->id), plain + sizeof(*header),
		       le16_get(header->length));
}

void control_server_input(struct control_server *s, const struct control_path *from,
			  const uint8_t *msg, size_t len)
{
	switch ((int)message_type_of(msg, len)) {
	case MESSAGE_INITIATION:
		on_initiation(s, from, (const void *)msg);
		break;
	case MESSAGE_TRANSPORT:
		on_transport(s, from, msg, len);
		break;
	case MESSAGE_RESPONSE:
	case MESSAGE_COOKIE:
		/* We begin no handshakes, so no index in one of these can be ours. */
		s->counters.unknown_channel++;
		break;
	default:
		s->counters.bad_length++;
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool send_body(struct control_server *s, uint32_t slot, const struct control_path *to,
		      const struct body_header *header, const void *body)
{
	uint8_t out[CONTROL_DATAGRAM_MAX];
	size_t len = channel_seal(&s->slots[slot].ch, out, header->verb, le32_get(header->id), body,
				  le16_get(header->length));

	if (len == 0)
		return false;
	s->ops->send(s->arg, to, out, len);
	return true;
}

/* The client's confirmed channel, or TABLE_NONE. */
static uint32_t current_of(const struct control_server *s, const uint8_t client[static KEY_LEN],
			   uint64_t now_ms)
{
	uint32_t peer = table_find(s->by_key, client);
	uint32_t i = peer == TABLE_NONE ? TABLE_NONE : s->peers[peer].held[CURRENT];

	return i != TABLE_NONE && s->slots[i].dies_ms > now_ms ? i : TABLE_NONE;
}

void control_server_reply(struct control_server *s, const struct control_caller *to, uint8_t verb,
			  uint32_t id, const void *body, size_t len)
{
	const struct body_header header = {
		.verb = verb, .length = le16_of((uint16_t)len), .id = le32_of(id)};
	uint64_t now_ms = clock_ms();
	uint32_t i = slot_find(s, to->channel, now_ms);

	/* The channel asked on may be gone by the time the answer is there. */
	if (i == TABLE_NONE || memcmp(s->peers[s->slots[i].peer].key, to->client, KEY_LEN) != 0)
		i = current_of(s, to->client, now_ms);
	if (i != TABLE_NONE)
		send_body(s, i, &to->path, &header, body);
}

bool control_server_push(struct control_server *s, const uint8_t client[static KEY_LEN],
			 uint8_t verb, const void *body, size_t len)
{
	const struct body_header header = {.verb = verb, .length = le16_of((uint16_t)len)};
	uint32_t i = current_of(s, client, clock_ms());

	return i != TABLE_NONE && send_body(s, i, &s->slots[i].path, &header, body);
}

bool control_server_afford(struct control_server *s, const struct control_caller *caller)
{
	uint64_t now_ms = clock_ms();
	uint32_t i = slot_find(s, caller->channel, now_ms);
	uint64_t *full_ms;

	if (i == TABLE_NONE)
		return false;
	full_ms = &s->slots[i].costly_ms;
	if (*full_ms < now_ms)
		*full_ms = now_ms;
	if (*full_ms - now_ms > (CONTROL_COSTLY_BURST - 1) * COSTLY_MS) {
		s->counters.too_costly++;
		return false;
	}
	*full_ms += COSTLY_MS;
	return true;
}

const struct control_counters *control_server_counters(const struct control_server *s)
{
	return &s->counters;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct control_server *s = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	/* dies_ms is 0 in free slots only. */
	for (uint32_t i = s->sweeps++ % SWEEPS; i < s->max_slots; i += SWEEPS)
		if (s->slots[i].dies_ms && s->slots[i].dies_ms <= now_ms)
			slot_free(s, i);
}

static bool allocate(struct control_server *s, uint32_t channels_per_network)
{
	s->limit = ratelimit_create(RATELIMIT_NETWORKS);
	s->crowd = crowd_create(s->max_slots, channels_per_network);
	s->slots = calloc(s->max_slots, sizeof(*s->slots));
	s->slot_links = calloc(s->max_slots, sizeof(*s->slot_links));
	s->by_index = table_create(s->max_slots, sizeof(le32));
	s->peers = calloc(s->max_peers, sizeof(*s->peers));
	s->peer_links = calloc(s->max_peers, sizeof(*s->peer_links));
	if (!s->peers)
		return false;
	s->by_key = table_create_over(s->max_peers, KEY_LEN, s->peers->key, sizeof(*s->peers));
	return s->limit && s->crowd && s->slots && s->slot_links && s->by_index && s->peer_links &&
	       s->by_key;
}

struct control_server *control_server_create(struct event_base *base,
					     const struct control_server_config *config,
					     const struct control_server_ops *ops, void *arg)
{
	const struct timeval every = {SWEEP_MS / 1000, SWEEP_MS % 1000 * 1000};
	struct control_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = ops;
	s->arg = arg;
	s->network = config->network;
	s->keys = crypto_secret_alloc(sizeof(*s->keys));
	*s->keys = config->keys;
	s->max_slots = config->max_channels ? config->max_channels : 1;
	s->max_peers = s->max_slots * PEERS_PER_CHANNEL;
	s->max_initiations = config->initiations_per_second ? config->initiations_per_second
							    : DEFAULT_INITIATIONS;
	cookie_checker_init(&s->cookies, s->keys->pub);
	s->sweep = event_new(base, -1, EV_PERSIST, on_sweep, s);
	if (!allocate(s, config->channels_per_network) || !s->sweep ||
	    event_add(s->sweep, &every) != 0) {
		control_server_destroy(s);
		return NULL;
	}
	list_fill(&s->free_slots, s->slot_links, s->max_slots);
	list_fill(&s->unconfirmed, s->slot_links, 0);
	list_fill(&s->free_peers, s->peer_links, s->max_peers);
	list_fill(&s->idle_peers, s->peer_links, 0);
	return s;
}

void control_server_destroy(struct control_server *s)
{
	if (!s)
		return;
	if (s->sweep)
		event_free(s->sweep);
	/* Free ones are clean, and may never have been in memory. */
	for (uint32_t i = 0; s->slots && i < s->max_slots; i++)
		if (s->slots[i].dies_ms)
			crypto_wipe(&s->slots[i], sizeof(s->slots[i]));
	table_destroy(s->by_key);
	free(s->peer_links);
	free(s->peers);
	table_destroy(s->by_index);
	free(s->slot_links);
	free(s->slots);
	crypto_secret_free(s->keys);
	crowd_destroy(s->crowd);
	ratelimit_destroy(s->limit);
	crypto_wipe(s, sizeof(*s));
	free(s);
}
