/*
 * Any datagrams in both directions, mixed with orders, against a worker's tables: the balance holds
 * after each, no window is passed, and nothing goes but to a bound address or the session's exit.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/forward.h"
#include "tests/lib/fakewg.c"

enum {
	SESSIONS = 6,
	EXITS = 3,
	ADDRESSES = 8,
};

struct input {
	const uint8_t *data;
	size_t left;
};

static struct forward f;
static uint8_t mac1_keys[EXITS][KEY_LEN];
static uint8_t buffer[2048];

static void hold(bool condition)
{
	if (!condition)
		abort();
}

static uint8_t next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

static struct net_addr client_address(uint8_t n)
{
	return (struct net_addr){{0x20, 1, n % ADDRESSES}, 1000};
}

static struct plane_exit exit_entry(uint8_t n)
{
	/* 10.0.0.1 among them: refused by its range. */
	struct plane_exit e = {
		.wg = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 9, 0, 0, 1}, (uint16_t)(n % 4)}};

	if (n & 0x40)
		e.wg.ip[12] = 10;
	memcpy(e.mac1_key, mac1_keys[n % EXITS], KEY_LEN);
	return e;
}

/* The oldest is 0. */
static uint32_t nth(const struct plane_indices *p, unsigned n)
{
	return p->index[(p->next + 2U * PLANE_INDICES - p->count + n) % PLANE_INDICES];
}

static void check_sessions(void)
{
	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct session *s = sessions_at(f.sessions, i);

		if (!s)
			continue;
		hold(session_used(s) <= s->state.limit);
		hold(sessions_by_client(f.sessions, &s->state.client) == s);
		for (unsigned k = 0; k < s->state.client_indices.count; k++)
			hold(sessions_by_index(f.sessions, s->state.exit,
					       nth(&s->state.client_indices, k)) == s);
	}
}

static void check_balance(void)
{
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		struct relay_tally sum = f.counters.out[d];

		for (int r = 0; r < DROP_COUNT; r++) {
			sum.packets += f.counters.drop[d][r].packets;
			sum.bytes += f.counters.drop[d][r].bytes;
		}
		hold(sum.packets == f.counters.in[d].packets);
		hold(sum.bytes == f.counters.in[d].bytes);
	}
	hold(f.counters.unanswered.bytes ==
	     f.counters.unanswered.packets * sizeof(struct message_initiation));
}

/* Answered indices leave for no initiation but the first that is not answered yet. */
struct known {
	uint32_t index[PLANE_INDICES];
	unsigned count;
	bool pending;
	uint64_t used;
};

static struct known known_of(const struct session *s)
{
	const struct plane_indices *p = &s->state.client_indices;
	struct known k = {.pending = p->pending, .used = session_used(s)};

	for (unsigned i = 0; i < p->count; i++)
		if (!session_awaits(s, nth(p, i)))
			k.index[k.count++] = nth(p, i);
	return k;
}

static void check_known(const struct session *s, const struct known *before, bool initiation)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < before->count; i++)
		lost += sessions_by_index(f.sessions, s->state.exit, before->index[i]) != s;
	hold(lost <= (initiation && !before->pending));
	hold(!initiation || session_used(s) == before->used);
}

/* Raw bytes, or one made to pass the first checks, with few indices so that they meet. */
static uint32_t make_datagram(struct input *in)
{
	uint8_t kind = next(in), a = next(in) % 8, b = next(in) % 8;

	switch (kind % 4) {
	case 0:
		fakewg_transport(buffer, a, b);
		return 16U * (2U + b);
	case 1:
		fakewg_initiation((void *)buffer, a, mac1_keys[b % EXITS]);
		return sizeof(struct message_initiation);
	case 2:
		fakewg_response((void *)buffer, a, b);
		return sizeof(struct message_response);
	default: {
		size_t len = (size_t)a << 8 | next(in);

		for (size_t i = 0; i < len; i++)
			buffer[i] = next(in);
		return (uint32_t)len;
	}
	}
}

static void one_datagram(struct input *in)
{
	uint8_t how = next(in);
	bool up = how & 1, sent = next(in) % 4, passed;
	uint8_t who = next(in);
	uint32_t len = make_datagram(in);
	/* Exactly len bytes: reading one more is seen. */
	uint8_t *copy = malloc(len ? len : 1);
	struct datagram d = {copy, len, false, up ? client_address(who) : exit_entry(who).wg, 0};
	struct passage p;
	struct session *owner = up ? sessions_by_client(f.sessions, &d.from) : NULL;
	struct known known = {0};

	if (owner)
		known = known_of(owner);
	hold(copy != NULL);
	memcpy(copy, buffer, len);
	if (up && forward_is_control(&d)) {
		free(copy);
		return;
	}
	if (how & 2)
		forward_prefetch(&f, up ? DIRECTION_UP : DIRECTION_DOWN, &d, 1);
	passed = up ? forward_up(&f, &d, &p) : forward_down(&f, &d, &p);
	hold(memcmp(copy, buffer, len) == 0);
	if (passed) {
		const struct plane_session *s = &p.session->state;

		hold(sessions_at(f.sessions, s->handle) == p.session && p.len == len);
		hold(f.exits[s->exit].usable && p.to->ip[12] != 10);
		hold(net_addr_eq(p.to, up ? &f.exits[s->exit].exit.wg : &s->client));
		hold(net_addr_eq(&d.from, up ? &s->client : &f.exits[s->exit].exit.wg));
		forward_sent(&f, up ? DIRECTION_UP : DIRECTION_DOWN, &p, sent);
	}
	if (owner)
		check_known(owner, &known, len && copy[0] == MESSAGE_WG_INITIATION);
	free(copy);
}

static void one_order(struct input *in)
{
	uint8_t what = next(in), n = next(in);
	struct plane_session s = {.handle = n % (SESSIONS + 1)};
	struct plane_losses losses = {0};
	struct plane_exit e;
	struct session *live;

	if (what & 0x80)
		forward_tick(&f);
	switch (what % 4) {
	case 0:
		e = exit_entry(next(in));
		forward_set_exit(&f, n % EXITS, &e);
		break;
	case 1:
		live = sessions_at(f.sessions, n % (SESSIONS + 1));
		if (live) {
			s = live->state;
			(void)sessions_losses(f.sessions, live, &losses);
			sessions_retire(f.sessions, live);
		}
		s.client = client_address(next(in));
		(void)!sessions_install(f.sessions, &s, &losses);
		break;
	case 2:
		s.exit = next(in) % (EXITS + 1);
		s.client = client_address(next(in));
		s.limit = (uint64_t)next(in) << 6;
		s.client_indices.count = next(in);
		s.client_indices.next = next(in);
		s.client_indices.pending = what & 0x40;
		for (unsigned i = 0; i < PLANE_INDICES; i++)
			s.client_indices.index[i] = next(in) % 8;
		s.exit_indices = s.client_indices;
		(void)!sessions_install(f.sessions, &s, NULL);
		break;
	default:
		live = sessions_at(f.sessions, n % SESSIONS);
		if (live)
			live->state.limit = session_used(live) + next(in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ranges allow = {0};
	struct input in = {data, size};
	struct slots *slots;

	for (uint8_t i = 0; i < EXITS; i++)
		wg_mac1_key(mac1_keys[i], (const uint8_t[KEY_LEN]){i});
	slots = slots_create(SESSIONS);
	hold(slots && forward_init(&f, slots, EXITS, &allow) == 0);
	for (uint8_t i = 0; i < EXITS; i++) {
		struct plane_exit e = exit_entry((uint8_t)(i + 1));

		forward_set_exit(&f, i, &e);
	}
	while (in.left) {
		if (next(&in) % 4)
			one_datagram(&in);
		else
			one_order(&in);
		check_balance();
		check_sessions();
	}
	forward_wipe(&f);
	slots_destroy(slots);
	return 0;
}
