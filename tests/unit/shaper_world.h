/* Sessions on a few workers whose threads, sockets and time are made up: test_shaper.c. */
#ifndef TESTS_UNIT_SHAPER_WORLD_H
#define TESTS_UNIT_SHAPER_WORLD_H

#include "tests/lib/unit.h"

#include <stdlib.h>

#include "proto/wire.h"
#include "relay/shaper.h"
#include "tests/lib/fakewg.h"

#define SECOND RATE_SECOND
#define MS     (RATE_SECOND / 1000)

typedef unsigned __int128 wide;

enum {
	WORKERS = 3,
	SESSIONS = 64,
	EXIT_INDEX = 1000,
	CLIENT_INDEX = 2000,
	GREEDY = 1 << 30,
};
#define UP   DIRECTION_UP
#define DOWN DIRECTION_DOWN

/* What leaves, against a bucket in whole numbers: exact for all intervals at once. */
struct judge {
	uint64_t rate, burst, at;
	wide level; /* bytes times 10^9 */
};

struct user {
	unsigned worker;
	uint64_t wants; /* bytes/s */
	uint32_t size[2];
	uint64_t offered_ns; /* worth of bytes */
	uint64_t seen_ns;
	uint64_t offered, sent, packets, oldest_ns;
	uint64_t offers[DIRECTION_COUNT], last[DIRECTION_COUNT];
	struct judge judge;
};

static struct {
	struct slots *slots;
	struct shaper_shared *shared;
	struct forward forward[WORKERS];
	struct shaper *shaper[WORKERS];
	uint64_t wake[WORKERS], back[WORKERS]; /* back: from when it has not been running */
	uint64_t stall;                        /* it does not for up to so long, now and then */
	struct user user[SESSIONS];
	unsigned workers, users;
	uint64_t now, step;
	struct judge judge;
	unsigned fail; /* one of so many sends does */
	uint64_t seed;
} w;

static const struct net_addr exit_addr = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 9, 9, 9, 9},
					  51820};

static uint64_t dice(uint64_t below)
{
	w.seed ^= w.seed << 13;
	w.seed ^= w.seed >> 7;
	w.seed ^= w.seed << 17;
	return w.seed % below;
}

static struct net_addr client_addr(uint32_t who)
{
	return (struct net_addr){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 8, 8, 8, 8},
				 (uint16_t)(1000 + who)};
}

static void judge_add(struct judge *j, uint64_t bytes)
{
	wide drained = (wide)j->rate * (w.now - j->at);

	if (!j->rate)
		return;
	j->level = j->level > drained ? j->level - drained : 0;
	j->level += (wide)bytes * SECOND;
	j->at = w.now;
	if (j->level > (wide)j->burst * SECOND)
		fail_msg("%llu bytes too many at %llu ns",
			 (unsigned long long)(j->level / SECOND - j->burst),
			 (unsigned long long)w.now);
}

static const uint8_t mac1_key[KEY_LEN] = {1, 2, 3};

static void open_exit(struct forward *f, bool there)
{
	struct plane_exit exit = {.wg = exit_addr};

	memcpy(exit.mac1_key, mac1_key, KEY_LEN);
	if (!there)
		exit.wg.port = 0;
	forward_set_exit(f, 0, &exit);
}

static void install(uint32_t who, unsigned worker, uint64_t used)
{
	const struct plane_session s = {
		.handle = who,
		.client = client_addr(who),
		.limit = UINT64_MAX / 2,
		.mark = UINT64_MAX,
		.up = used,
		.exit_indices = {.index = {EXIT_INDEX + who}, .count = 1, .next = 1},
		.client_indices = {.index = {CLIENT_INDEX + who}, .count = 1, .next = 1},
	};

	assert_true(sessions_install(w.forward[worker].sessions, &s, NULL));
	w.user[who].worker = worker;
}

static void begin(unsigned workers, uint64_t rate, uint64_t peer_rate)
{
	const struct ranges allow = {0};

	memset(&w, 0, sizeof(w));
	w.seed = 88172645463325252u;
	w.workers = workers;
	w.step = MS / 4;
	w.now = 1000000 * SECOND + 12345;
	w.slots = slots_create(SESSIONS);
	w.shared = shaper_share(rate, peer_rate, workers, SESSIONS, w.now);
	w.judge = (struct judge){.rate = rate, .burst = atomic_load(&w.shared->burst), .at = w.now};
	for (unsigned i = 0; i < workers; i++) {
		assert_int_equal(forward_init(&w.forward[i], w.slots, 1, &allow), 0);
		open_exit(&w.forward[i], true);
		w.shaper[i] = shaper_create(w.shared, i, &w.forward[i]);
		w.wake[i] = SHAPER_NEVER;
	}
}

static struct user *add(unsigned worker, uint64_t wants, uint32_t size)
{
	struct user *u = &w.user[w.users];
	uint64_t peer = w.shared->peer.bytes_per_s;

	install(w.users++, worker, 0);
	u->wants = wants;
	u->size[UP] = u->size[DOWN] = size;
	u->judge.rate = peer;
	u->judge.burst = peer / 20 > 2 * SHAPER_QUANTUM ? peer / 20 : 2 * SHAPER_QUANTUM;
	u->judge.at = u->seen_ns = w.now;
	return u;
}

static struct session *session_of(uint32_t who)
{
	return sessions_at(w.forward[w.user[who].worker].sessions, who);
}

/* in = out + drops + queued, and what is queued is what the sessions have in queues. */
static void check_balance(unsigned worker)
{
	const struct relay_counters *c = &w.forward[worker].counters;
	uint64_t queued = 0;

	for (int d = 0; d < DIRECTION_COUNT; d++) {
		struct relay_tally sum = c->out[d];

		for (int r = 0; r < DROP_COUNT; r++) {
			sum.packets += c->drop[d][r].packets;
			sum.bytes += c->drop[d][r].bytes;
		}
		assert_true(sum.packets + c->queued[d].packets == c->in[d].packets);
		assert_true(sum.bytes + c->queued[d].bytes == c->in[d].bytes);
		queued += c->queued[d].bytes;
	}
	for (uint32_t i = 0; i < w.users; i++) {
		const struct session *s = w.user[i].worker == worker ? session_of(i) : NULL;

		if (s) {
			queued -= s->queued;
			assert_true(session_used(s) == w.user[i].sent);
		}
	}
	/* Handshakes that wait are billed to nobody. */
	assert_true(queued % sizeof(struct message_initiation) == 0);
}

static void count_sent(uint32_t who, enum relay_direction direction, const struct datagram *d,
		       uint64_t since_ns, bool ok)
{
	struct user *u = &w.user[who];
	uint64_t number;

	if (d->data[0] == MESSAGE_WG_RESPONSE && ok)
		u->sent += d->len;
	if (d->data[0] != MESSAGE_WG_TRANSPORT)
		return;
	number = le64_get(((const struct message_transport *)d->data)->counter);
	if (number <= u->last[direction])
		fail_msg("%u: %llu after %llu", who, (unsigned long long)number,
			 (unsigned long long)u->last[direction]);
	u->last[direction] = number;
	if (w.now - since_ns > u->oldest_ns)
		u->oldest_ns = w.now - since_ns;
	if (ok) {
		u->sent += d->len;
		u->packets++;
	}
}

static void leave(unsigned worker, enum relay_direction direction, const struct passage *p,
		  const struct datagram *d, uint64_t since_ns)
{
	bool ok = !w.fail || dice(w.fail) > 0;
	uint32_t who = p->session->state.handle;

	judge_add(&w.judge, d->len);
	judge_add(&w.user[who].judge, d->len);
	forward_sent(&w.forward[worker], direction, p, ok);
	count_sent(who, direction, d, since_ns, ok);
}

static bool offer(uint32_t who, enum relay_direction direction, const uint8_t *data, uint32_t len)
{
	unsigned worker = w.user[who].worker;
	struct forward *f = &w.forward[worker];
	const struct datagram d = {data, len, false, direction == UP ? client_addr(who) : exit_addr,
				   0};
	struct passage p;

	if (!(direction == UP ? forward_up(f, &d, &p) : forward_down(f, &d, &p)))
		return false;
	if (shaper_pass(w.shaper[worker], direction, &d, &p))
		leave(worker, direction, &p, &d, w.now);
	return true;
}

static bool offer_data(uint32_t who, enum relay_direction direction, uint32_t len)
{
	uint8_t data[UDP_BUFFER] = {0};
	struct user *u = &w.user[who];

	fakewg_transport(data, (direction == UP ? EXIT_INDEX : CLIENT_INDEX) + who,
			 ++u->offers[direction]);
	return offer(who, direction, data, len);
}

static void drain(unsigned worker)
{
	struct backlog_packet *p;

	while ((p = shaper_next(w.shaper[worker]))) {
		leave(worker, p->direction, &p->passage, &p->datagram, p->since_ns);
		shaper_sent(w.shaper[worker], p);
	}
	w.wake[worker] = shaper_wake(w.shaper[worker]);
}

/* What has accrued since it last offered, in both directions in turn; a greedy one keeps a queue of
 * some milliseconds and more. */
static bool offer_wanted(uint32_t who)
{
	struct user *u = &w.user[who];
	bool any = false;

	if (u->wants == GREEDY) {
		for (int i = 0; i < 2; i++)
			(void)offer_data(who, i & 1, u->size[i & 1]);
		u->offered += u->size[UP] + u->size[DOWN];
		return true;
	}
	u->offered_ns += u->wants * (w.now - u->seen_ns);
	u->seen_ns = w.now;
	while (u->offered_ns >= u->size[UP] * SECOND) {
		u->offered_ns -= u->size[UP] * SECOND;
		(void)offer_data(who, u->offers[UP] > u->offers[DOWN], u->size[UP]);
		u->offered += u->size[UP];
		any = true;
	}
	return any;
}

/* Workers run in no fixed order, each when something comes in or its timer does. */
static void run(uint64_t time)
{
	const uint64_t end = w.now + time;

	while (w.now < end) {
		unsigned first = (unsigned)dice(w.workers);

		w.now += w.step;
		for (unsigned i = 0; i < w.workers; i++) {
			unsigned worker = (first + i) % w.workers;
			bool busy = w.wake[worker] <= w.now;

			if (w.now < w.back[worker])
				continue;
			if (w.stall && dice(40) == 0) {
				w.back[worker] = w.now + dice(w.stall);
				continue;
			}
			shaper_begin(w.shaper[worker], w.now);
			for (uint32_t who = 0; who < w.users; who++)
				if (w.user[who].worker == worker && w.user[who].wants)
					busy |= offer_wanted(who);
			if (busy)
				drain(worker);
		}
	}
	for (unsigned i = 0; i < w.workers; i++)
		check_balance(i);
}

static void end(void)
{
	for (unsigned i = 0; i < w.workers; i++) {
		shaper_stop(w.shaper[i]);
		for (int d = 0; d < DIRECTION_COUNT; d++)
			assert_int_equal(w.forward[i].counters.queued[d].packets, 0);
		check_balance(i);
		assert_int_equal(atomic_load(&w.shared->places[i].waiting), 0);
		shaper_destroy(w.shaper[i]);
		forward_wipe(&w.forward[i]);
	}
	shaper_unshare(w.shared);
	slots_destroy(w.slots);
}

/* From when the burst is used up: what each gets. */
static uint64_t measure(uint64_t seconds)
{
	uint64_t sum = 0;

	run(SECOND);
	for (uint32_t i = 0; i < w.users; i++) {
		w.user[i].judge.level = 0;
		sum -= w.user[i].sent;
		w.user[i].offered = w.user[i].packets = 0;
		w.user[i].oldest_ns = 0;
	}
	for (uint32_t i = 0; i < w.users; i++)
		w.user[i].judge.at = w.now;
	run(seconds * SECOND);
	for (uint32_t i = 0; i < w.users; i++)
		sum += w.user[i].sent;
	return sum;
}

static void assert_near(uint64_t got, uint64_t want, uint64_t off, const char *what)
{
	if (got + off < want || got > want + off)
		fail_msg("%s: %llu, not %llu by more than %llu", what, (unsigned long long)got,
			 (unsigned long long)want, (unsigned long long)off);
}

#endif
