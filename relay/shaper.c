#include "relay/shaper.h"

#include <stdlib.h>

#include "base/lines.h"
#include "base/log.h"
#include "proto/wire.h"

/*
 * A session with packets stands in one list: of those with a handshake waiting, of new ones
 * (nothing waited of them before), of old ones, or asleep until its own bucket has enough. A new or
 * old one at the head of its list sends until its deficit is used up, then gets a quantum and goes
 * to the end of the old ones. One that has nothing left goes there too, and leaves when its turn
 * comes: so it is not new again before every old one had its turn.
 *
 * A round is over when all old ones had a turn. Workers keep step by their rounds: one that is
 * ahead of the slowest which has something waiting leaves it the bytes. So a session gets a quantum
 * a round whoever its worker is, and the quicker thread gets no more than the other.
 */
enum list {
	LIST_NONE,
	LIST_HANDSHAKES,
	LIST_NEW,
	LIST_OLD,
	LIST_BEDS, /* of sleepers, by the millisecond in which they are woken */
	BEDS = 256,
	LISTS = LIST_BEDS + BEDS,
};

enum {
	ROUND_SHIFT = 8, /* rounds are told in 1/256 bytes */
	FORGIVEN_BURSTS = 2,
	/* Whatever data left of its deficit, a session has a quantum for handshakes. */
	HANDSHAKE_CREDIT = 2 * SHAPER_QUANTUM,
};
#define BED_NS          (RATE_SECOND / 1000)
#define UNTOLD_NS       (RATE_SECOND / 100) /* nobody tells a worker that more is allowed */
#define AHEAD_NS        (RATE_SECOND / 1000)
#define BURST_TIME      20  /* Rate's burst: a 20th of a second, for threads that come late */
#define PEER_BURST_TIME 20  /* PeerRate's */
#define SLACK_TIME      500 /* how far ahead a worker may be */

struct shaper {
	struct shaper_shared *shared;
	struct shaper_place *place;
	struct forward *forward;
	struct backlog_pool pool;
	struct {
		uint32_t head, tail, count;
	} lists[LISTS];
	struct shaper_terms peer;
	uint64_t peer_room, peer_earned; /* what a full bucket holds; what was earned by now */
	uint64_t now_ns, bed;            /* bed: the last one that was woken */
	uint64_t pocket;                 /* bytes granted by Rate and not yet used */
	uint64_t round, slowest;
	uint32_t waiting, others, asleep; /* sessions with packets: awake, of other workers, not */
	uint32_t wanted;                  /* bytes that the first in turn has not got */
	bool ahead;
};

/* ---- what all share ---- */

/* Rate's burst holds what the workers have in their pockets: so all together stay within it. */
static uint64_t set_shares(struct shaper_shared *shared, uint64_t bytes_per_s)
{
	uint64_t chunk = bytes_per_s / 1000, burst = bytes_per_s / BURST_TIME, least;

	if (chunk < SHAPER_QUANTUM)
		chunk = SHAPER_QUANTUM;
	if (chunk > SHAPER_CHUNK_MAX || bytes_per_s == RATE_UNLIMITED)
		chunk = SHAPER_CHUNK_MAX;
	least = chunk * shared->workers + 2 * chunk;
	if (burst < least)
		burst = least;
	atomic_store_explicit(&shared->chunk, (uint32_t)chunk, memory_order_relaxed);
	atomic_store_explicit(&shared->burst, burst, memory_order_relaxed);
	atomic_store_explicit(&shared->slack, bytes_per_s / SLACK_TIME, memory_order_relaxed);
	return burst - chunk * shared->workers;
}

struct shaper_shared *shaper_share(uint64_t rate, uint64_t peer_rate, uint32_t workers,
				   uint32_t max_sessions, uint64_t now_ns)
{
	struct shaper_shared *shared = lines_alloc(1, sizeof(*shared));

	if (!shared)
		fatalx("out of memory");
	shared->workers = workers;
	shared->sessions = lines_alloc(max_sessions, sizeof(*shared->sessions));
	if (!shared->sessions)
		fatalx("relay: no memory for %u sessions' queues; lower MaxSessions", max_sessions);
	shared->peer = (struct shaper_terms){peer_rate, now_ns, 1};
	rate_init(&shared->rate, rate, set_shares(shared, rate), now_ns);
	return shared;
}

void shaper_unshare(struct shaper_shared *shared)
{
	if (!shared)
		return;
	lines_free(shared->sessions);
	lines_free(shared);
}

void shaper_set_rate(struct shaper_shared *shared, uint64_t bytes_per_s, uint64_t now_ns)
{
	rate_set(&shared->rate, bytes_per_s, set_shares(shared, bytes_per_s), now_ns);
}

/* ---- lists ---- */

static void list_add(struct shaper *s, struct backlog *b, unsigned list)
{
	uint32_t own = (uint32_t)(b - s->shared->sessions);

	b->list = (uint16_t)list;
	b->next = BACKLOG_NONE;
	b->prev = s->lists[list].count ? s->lists[list].tail : BACKLOG_NONE;
	if (s->lists[list].count++)
		s->shared->sessions[s->lists[list].tail].next = own;
	else
		s->lists[list].head = own;
	s->lists[list].tail = own;
}

static void list_leave(struct shaper *s, struct backlog *b)
{
	unsigned list = b->list;

	if (b->prev != BACKLOG_NONE)
		s->shared->sessions[b->prev].next = b->next;
	else
		s->lists[list].head = b->next;
	if (b->next != BACKLOG_NONE)
		s->shared->sessions[b->next].prev = b->prev;
	else
		s->lists[list].tail = b->prev;
	s->lists[list].count--;
	b->list = LIST_NONE;
}

static void list_move(struct shaper *s, struct backlog *b, unsigned list)
{
	list_leave(s, b);
	list_add(s, b, list);
}

/* ---- rounds ---- */

/* Written only if it is another: those who read it are many. */
static void tell_others(struct shaper *s)
{
	if (atomic_load_explicit(&s->place->round, memory_order_relaxed) != s->round)
		atomic_store_explicit(&s->place->round, s->round, memory_order_relaxed);
	if (atomic_load_explicit(&s->place->waiting, memory_order_relaxed) != s->waiting)
		atomic_store_explicit(&s->place->waiting, s->waiting, memory_order_relaxed);
}

/* Where PeerRate is all there is, nobody waits for another. */
static void ask_others(struct shaper *s)
{
	s->others = 0;
	s->slowest = UINT64_MAX;
	if (!atomic_load_explicit(&s->shared->slack, memory_order_relaxed) &&
	    rate_left(&s->shared->rate) == UINT64_MAX)
		return;
	for (uint32_t i = 0; i < s->shared->workers; i++) {
		const struct shaper_place *p = &s->shared->places[i];
		uint32_t waiting = atomic_load_explicit(&p->waiting, memory_order_relaxed);
		uint64_t round;

		if (p == s->place || !waiting)
			continue;
		round = atomic_load_explicit(&p->round, memory_order_relaxed);
		s->others += waiting;
		s->slowest = round < s->slowest ? round : s->slowest;
	}
}

/* Who begins to wait has missed no round; but what it had too many it keeps, or one that sends
 * whenever nothing of it waits would begin anew each time. */
static void begin_waiting(struct shaper *s)
{
	if (!s->waiting++ && s->others && s->round < s->slowest)
		s->round = s->slowest;
}

/* How far ahead of the slowest a worker may be, while others wait. */
static uint64_t lead(const struct shaper *s)
{
	uint64_t slack = atomic_load_explicit(&s->shared->slack, memory_order_relaxed);

	return (SHAPER_QUANTUM + slack / (s->others + s->waiting + 1)) << ROUND_SHIFT;
}

/* What may be sent now, by Rate and what is allowed. */
static uint64_t available(const struct shaper *s)
{
	uint64_t holds = rate_holds(&s->shared->rate, s->now_ns);
	uint64_t left = rate_left(&s->shared->rate);

	return holds < left ? holds : left;
}

/* Others may be slow because their threads are: nothing is left unused for them. */
static bool is_ahead(const struct shaper *s)
{
	uint64_t burst = atomic_load_explicit(&s->shared->burst, memory_order_relaxed);

	return s->others && s->round > s->slowest + lead(s) && available(s) < burst / 2;
}

/* What a worker got while others had no use for it, or were late, is held against it for so long
 * only. */
static void forgive(struct shaper *s)
{
	uint64_t burst = atomic_load_explicit(&s->shared->burst, memory_order_relaxed);
	uint64_t most = s->slowest + lead(s) +
			(FORGIVEN_BURSTS * burst / (s->others + s->waiting + 1) << ROUND_SHIFT);

	if (s->others && s->round > most)
		s->round = most;
}

/* An old one's turn is over. */
static void next_turn(struct shaper *s)
{
	s->round += ((uint64_t)SHAPER_QUANTUM << ROUND_SHIFT) / s->lists[LIST_OLD].count;
}

/* ---- buckets ---- */

static struct backlog *backlog_of(const struct shaper *s, const struct session *session)
{
	return &s->shared->sessions[session->state.handle];
}

/* As in rate.c: a byte less than the burst, and nothing that was earned while it was full. */
static bool peer_has(const struct shaper *s, struct backlog *b, uint32_t bytes)
{
	if (s->peer.bytes_per_s == RATE_UNLIMITED)
		return true;
	if (b->terms != s->peer.number || b->granted < s->peer_earned) {
		b->granted = s->peer_earned;
		b->terms = s->peer.number;
	}
	return s->peer_earned + s->peer_room >= b->granted + bytes;
}

/* Rate's bytes come in chunks, so that what all share is touched seldom. */
static bool take(struct shaper *s, uint32_t bytes)
{
	uint32_t chunk = atomic_load_explicit(&s->shared->chunk, memory_order_relaxed);

	if (s->pocket < bytes)
		s->pocket += rate_take(&s->shared->rate, s->now_ns, bytes - s->pocket, chunk);
	if (s->pocket < bytes)
		return false;
	s->pocket -= bytes;
	return true;
}

void shaper_set_peer(struct shaper *s, const struct shaper_terms *peer)
{
	uint64_t burst = peer->bytes_per_s / PEER_BURST_TIME;

	if (burst < 2 * SHAPER_QUANTUM)
		burst = 2 * SHAPER_QUANTUM;
	s->peer = *peer;
	s->peer_room = burst - 1;
	s->peer_earned = 0;
	shaper_begin(s, s->now_ns);
}

/* ---- packets ---- */

/* Nothing waits of b any more: it stays in its list until its turn, if it has one. */
static void emptied(struct shaper *s, struct backlog *b)
{
	if (b->list >= LIST_BEDS) {
		list_leave(s, b);
		s->asleep--;
	} else {
		s->waiting--;
	}
}

static struct backlog_packet *pop(struct shaper *s, struct backlog *b, unsigned queue)
{
	struct backlog_packet *packet = backlog_pop(&s->pool, b, queue);

	if (!b->packets)
		emptied(s, b);
	return packet;
}

static void drop_first(struct shaper *s, struct backlog *b, unsigned queue)
{
	struct backlog_packet *packet = pop(s, b, queue);

	forward_unqueue(s->forward, packet->direction, &packet->passage);
	backlog_free(&s->pool, packet);
}

/* Data before handshakes, and of the direction that has more of it. */
static void drop_of_longest(struct shaper *s)
{
	struct backlog *b = backlog_longest(&s->pool);
	unsigned queue =
		b->count[DIRECTION_UP] > b->count[DIRECTION_DOWN] ? DIRECTION_UP : DIRECTION_DOWN;

	drop_first(s, b, b->count[queue] ? queue : BACKLOG_HANDSHAKES);
}

static bool is_handshake(const struct datagram *d)
{
	return d->data[0] != MESSAGE_WG_TRANSPORT;
}

/* Its handshakes are paid for by its next turns, lest it has more than its share by sending nothing
 * else: an exit may send as many as it likes. */
static bool goes_first(const struct backlog *b)
{
	return b->count[BACKLOG_HANDSHAKES] && b->deficit > -HANDSHAKE_CREDIT;
}

static void hold(struct shaper *s, enum relay_direction direction, const struct datagram *d,
		 const struct passage *p)
{
	struct backlog *b = backlog_of(s, p->session);
	unsigned queue = is_handshake(d) ? BACKLOG_HANDSHAKES : direction;

	forward_queue(s->forward, direction, p);
	if (!s->pool.left)
		drop_of_longest(s);
	backlog_push(&s->pool, queue, direction, d, p, s->now_ns);
	if (b->packets == 1)
		begin_waiting(s);
	if (b->list == LIST_NONE) {
		b->deficit = SHAPER_QUANTUM;
		list_add(s, b, LIST_NEW);
	}
	if (queue == BACKLOG_HANDSHAKES && b->list != LIST_HANDSHAKES && goes_first(b)) {
		if (b->list >= LIST_BEDS) {
			s->asleep--;
			begin_waiting(s);
		}
		list_move(s, b, LIST_HANDSHAKES);
	}
}

bool shaper_pass(struct shaper *s, enum relay_direction direction, const struct datagram *d,
		 const struct passage *p)
{
	struct backlog *b = backlog_of(s, p->session);

	if (!b->packets && !s->waiting && !s->others && peer_has(s, b, d->len) && take(s, d->len)) {
		b->granted += d->len;
		return true;
	}
	hold(s, direction, d, p);
	return false;
}

/* ---- turns ---- */

/* Handshakes first; then the directions in turn, so that one's acknowledgements do not wait for the
 * other's data. */
static unsigned queue_of(const struct backlog *b)
{
	if (b->count[BACKLOG_HANDSHAKES])
		return BACKLOG_HANDSHAKES;
	return b->count[b->turn] ? b->turn : !b->turn;
}

static void drop_old(struct shaper *s, struct backlog *b)
{
	for (unsigned queue = 0; queue < DIRECTION_COUNT; queue++)
		while (b->count[queue] && b->packets > SHAPER_KEEP &&
		       s->now_ns - backlog_first(&s->pool, b, queue)->since_ns > SHAPER_DELAY)
			drop_first(s, b, queue);
	while (b->count[BACKLOG_HANDSHAKES] &&
	       s->now_ns - backlog_first(&s->pool, b, BACKLOG_HANDSHAKES)->since_ns >
		       SHAPER_HANDSHAKE_DELAY)
		drop_first(s, b, BACKLOG_HANDSHAKES);
}

static void sleep_until(struct shaper *s, struct backlog *b, uint32_t bytes)
{
	uint64_t missing = b->granted + bytes - s->peer_room - s->peer_earned;
	uint64_t beds = rate_time(s->peer.bytes_per_s, missing) / BED_NS + 1;

	list_move(s, b, LIST_BEDS + (unsigned)((s->bed + (beds < BEDS ? beds : BEDS - 1)) % BEDS));
	s->waiting--;
	s->asleep++;
}

static void wake_up(struct shaper *s)
{
	uint64_t bed = s->now_ns / BED_NS;

	if (bed > s->bed + BEDS)
		s->bed = bed - BEDS;
	while (s->bed < bed) {
		unsigned list = LIST_BEDS + (unsigned)(++s->bed % BEDS);

		while (s->lists[list].count) {
			struct backlog *b = &s->shared->sessions[s->lists[list].head];

			list_move(s, b, LIST_OLD);
			s->asleep--;
			begin_waiting(s);
		}
	}
}

/* Whose turn it is: NULL if nobody's, or others' first. */
static struct backlog *in_turn(struct shaper *s)
{
	for (;;) {
		unsigned list = LIST_HANDSHAKES;
		struct backlog *b;

		while (list <= LIST_OLD && !s->lists[list].count)
			list++;
		if (list > LIST_OLD)
			return NULL;
		b = &s->shared->sessions[s->lists[list].head];
		if (list == LIST_HANDSHAKES && goes_first(b))
			return b;
		if (list != LIST_HANDSHAKES && b->packets && b->deficit > 0)
			return b;
		/* Nor is an empty one new again before others' old ones had their turn. */
		if (list == LIST_OLD && is_ahead(s)) {
			s->ahead = true;
			return NULL;
		}
		if (list == LIST_OLD)
			next_turn(s);
		if (list == LIST_OLD && !b->packets) {
			list_leave(s, b);
			continue;
		}
		if (list != LIST_HANDSHAKES && b->packets)
			b->deficit += SHAPER_QUANTUM;
		list_move(s, b, LIST_OLD);
	}
}

/* It is paid for by both buckets. */
static struct backlog_packet *take_out(struct shaper *s, struct backlog *b, unsigned queue)
{
	struct backlog_packet *packet = pop(s, b, queue);

	b->granted += packet->datagram.len;
	b->deficit -= (int32_t)packet->datagram.len;
	b->turn = packet->direction == DIRECTION_UP ? DIRECTION_DOWN : DIRECTION_UP;
	if (forward_dequeue(s->forward, packet->direction, &packet->passage))
		return packet;
	backlog_free(&s->pool, packet);
	return NULL;
}

struct backlog_packet *shaper_next(struct shaper *s)
{
	struct backlog_packet *packet = NULL;
	struct backlog *b;

	s->wanted = 0;
	s->ahead = false;
	while (!packet && (b = in_turn(s))) {
		unsigned queue;
		uint32_t len;

		drop_old(s, b);
		if (!b->packets)
			continue;
		queue = queue_of(b);
		len = backlog_first(&s->pool, b, queue)->datagram.len;
		if (!peer_has(s, b, len)) {
			sleep_until(s, b, len);
			continue;
		}
		if (!take(s, len)) {
			s->wanted = len;
			return NULL;
		}
		packet = take_out(s, b, queue);
	}
	return packet;
}

void shaper_sent(struct shaper *s, struct backlog_packet *packet)
{
	backlog_free(&s->pool, packet);
}

/* ---- time ---- */

void shaper_begin(struct shaper *s, uint64_t now_ns)
{
	s->now_ns = now_ns;
	if (now_ns > s->peer.since_ns)
		s->peer_earned = rate_earned(s->peer.bytes_per_s, now_ns - s->peer.since_ns);
	ask_others(s);
	forgive(s);
	wake_up(s);
}

static uint64_t next_bed(const struct shaper *s)
{
	for (uint64_t bed = s->bed + 1;; bed++)
		if (s->lists[LIST_BEDS + bed % BEDS].count)
			return bed * BED_NS;
}

/* Those awake wait for Rate, or for another worker. */
static uint64_t next_turn_at(const struct shaper *s)
{
	uint64_t at, soon = s->now_ns + SHAPER_BACKOFF;

	if (s->ahead)
		return s->now_ns + AHEAD_NS;
	at = rate_next(&s->shared->rate, s->now_ns, s->wanted - s->pocket);
	if (at == RATE_NOT_YET)
		return s->now_ns + UNTOLD_NS;
	return at < soon ? soon : at;
}

uint64_t shaper_wake(struct shaper *s)
{
	uint64_t at = SHAPER_NEVER, bed;

	tell_others(s);
	if (s->waiting)
		at = next_turn_at(s);
	if (s->asleep) {
		bed = next_bed(s);
		at = bed < at ? bed : at;
	}
	return at;
}

/* ---- its life ---- */

struct shaper *shaper_create(struct shaper_shared *shared, unsigned worker, struct forward *forward)
{
	struct shaper *s = xcalloc(1, sizeof(*s));

	s->shared = shared;
	s->place = &shared->places[worker];
	s->forward = forward;
	s->bed = shared->peer.since_ns / BED_NS;
	s->now_ns = shared->peer.since_ns;
	backlog_create(&s->pool, shared->sessions, SHAPER_PACKETS);
	shaper_set_peer(s, &shared->peer);
	return s;
}

void shaper_destroy(struct shaper *s)
{
	if (!s)
		return;
	backlog_destroy(&s->pool);
	free(s);
}

static void drop_all(struct shaper *s, struct backlog *b)
{
	for (unsigned queue = 0; queue < BACKLOG_QUEUES; queue++)
		while (b->count[queue])
			drop_first(s, b, queue);
}

void shaper_forget(struct shaper *s, const struct session *session)
{
	struct backlog *b = backlog_of(s, session);

	drop_all(s, b);
	if (b->list != LIST_NONE)
		list_leave(s, b);
	tell_others(s);
}

void shaper_stop(struct shaper *s)
{
	struct backlog *b;

	while ((b = backlog_longest(&s->pool)))
		drop_all(s, b);
	tell_others(s);
}
