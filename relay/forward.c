#include "relay/forward.h"

#include <errno.h>
#include <stdlib.h>

#include "base/table.h"
#include "proto/wire.h"

int forward_init(struct forward *f, struct slots *slots, uint32_t max_exits,
		 const struct ranges *allow)
{
	*f = (struct forward){.max_exits = max_exits, .allow = *allow};
	f->sessions = sessions_create(slots);
	f->exits = calloc(max_exits, sizeof(*f->exits));
	f->exit_slots = table_create(max_exits, sizeof(struct net_addr));
	if (f->sessions && f->exits && f->exit_slots)
		return 0;
	forward_wipe(f);
	return -ENOMEM;
}

void forward_wipe(struct forward *f)
{
	table_destroy(f->exit_slots);
	free(f->exits);
	sessions_destroy(f->sessions);
	*f = (struct forward){0};
}

void forward_set_exit(struct forward *f, uint32_t slot, const struct plane_exit *exit)
{
	struct forward_exit *e = &f->exits[slot];

	/* Its old address may be another slot's by now. */
	if (e->usable && table_find(f->exit_slots, &e->exit.wg) == slot)
		table_remove(f->exit_slots, &e->exit.wg);
	e->exit = *exit;
	f->recent = slot;
	e->lane = (struct udp_lane){0};
	e->usable = exit->wg.port != 0 && !ranges_special(&exit->wg, &f->allow) &&
		    table_put(f->exit_slots, &exit->wg, slot);
}

void forward_tick(struct forward *f)
{
	f->period++;
}

/*
 * Read from here down for the order of things: count in, judge, reserve, (the worker sends), count
 * out. Cheap checks come first, and an exit's absence before whatever would be measured by it, so
 * that the name of a drop is its true reason.
 */

static void tally(struct relay_tally *t, uint32_t bytes)
{
	t->packets++;
	t->bytes += bytes;
}

static bool drop(struct forward *f, enum relay_direction direction, enum relay_drop why,
		 uint32_t len)
{
	tally(&f->counters.drop[direction][why], len);
	return false;
}

/* The same, of a session's datagram where it is known whose it is (s may be NULL). */
static bool drop_of(struct forward *f, struct session *s, enum relay_direction direction,
		    enum relay_drop why, uint32_t len)
{
	if (s)
		tally(&sessions_drops(f->sessions, s)->dropped[direction][why], len);
	return drop(f, direction, why, len);
}

bool forward_is_control(const struct datagram *d)
{
	return d->len >= 4 && d->len <= PLANE_CONTROL_MAX && !d->truncated &&
	       d->data[0] >= MESSAGE_INITIATION && d->data[0] <= MESSAGE_BOUND &&
	       (d->data[1] | d->data[2] | d->data[3]) == 0;
}

/* ---- looking ahead ---- */

/* The slot of the usable exit with this address, or TABLE_NONE. Mostly it is the one it was last.
 */
static uint32_t exit_at(const struct forward *f, const struct net_addr *from)
{
	const struct forward_exit *e = &f->exits[f->recent];

	if (e->usable && net_addr_eq(&e->exit.wg, from))
		return f->recent;
	return table_find(f->exit_slots, from);
}

static uint32_t hash_up(const struct forward *f, const struct datagram *d,
			const struct datagram *before)
{
	if (before && net_addr_eq(&before->from, &d->from))
		return before->hash;
	return sessions_hash_client(f->sessions, &d->from);
}

static uint32_t hash_down(const struct forward *f, const struct datagram *d)
{
	struct wire_header header;
	uint32_t exit;

	if (d->truncated)
		return 0;
	header = wire_read(d->data, d->len);
	exit = header.type ? exit_at(f, &d->from) : TABLE_NONE;
	return exit == TABLE_NONE ? 0 : sessions_hash_index(f->sessions, exit, header.receiver);
}

void forward_prefetch(const struct forward *f, enum relay_direction direction, struct datagram *d,
		      unsigned count)
{
	const bool up = direction == DIRECTION_UP;

	for (unsigned i = 0; i < count; i++)
		d[i].hash = up ? hash_up(f, &d[i], i ? &d[i - 1] : NULL) : hash_down(f, &d[i]);
	for (unsigned i = 0; i < count; i++) {
		if (!d[i].hash || (i && d[i].hash == d[i - 1].hash))
			continue;
		if (up)
			sessions_prefetch_client(f->sessions, d[i].hash);
		else
			sessions_prefetch_index(f->sessions, d[i].hash);
	}
}

/* ---- judging ---- */

/* used + queued <= limit holds always, so the difference cannot wrap. */
static bool window_has(const struct session *s, uint32_t len)
{
	return len <= s->state.limit - session_used(s) - s->queued;
}

/* Is this initiation for the session's exit, and may the client call itself by that index? */
static bool initiation_ok(struct forward *f, const struct datagram *d,
			  const struct wire_header *header, const struct session *s,
			  enum relay_drop *why)
{
	const struct session *owner;

	*why = DROP_bad_mac1;
	if (!wire_mac1_valid(d->data, d->len, f->exits[s->state.exit].exit.mac1_key))
		return false;
	*why = DROP_index_taken;
	owner = sessions_by_index(f->sessions, s->state.exit, header->sender);
	if (owner && owner != s)
		return false;
	*why = DROP_initiation_flood;
	return s->period != f->period || s->unanswered < FORWARD_UNANSWERED_MAX;
}

static void tally_initiation(struct forward *f, struct session *s)
{
	s->unpaid++;
	tally(&f->counters.unanswered, sizeof(struct message_initiation));
}

/* Goes out unbilled until it is answered. Learnt only from what passes: a client out of window that
 * keeps trying must not push out the indices it lives by. */
static void count_initiation(struct forward *f, struct session *s, uint32_t index)
{
	sessions_learn_client(f->sessions, s, index);
	if (s->period != f->period)
		s->unanswered = 0;
	s->period = f->period;
	s->unanswered++;
	tally_initiation(f, s);
}

static void untally_initiation(struct forward *f, struct session *s)
{
	s->unpaid--;
	f->counters.unanswered.packets--;
	f->counters.unanswered.bytes -= sizeof(struct message_initiation);
}

static void bill_initiation(struct forward *f, struct session *s)
{
	session_answered(s);
	s->state.up += sizeof(struct message_initiation);
	s->state.packets_up++;
	if (s->unanswered)
		s->unanswered--;
	untally_initiation(f, s);
}

/* True: pass, with *s set. False: *why not. Changes nothing. */
static bool judge_up(struct forward *f, const struct datagram *d, const struct wire_header *header,
		     struct session **session, enum relay_drop *why)
{
	struct session *s;

	*why = DROP_malformed;
	if (!header->type)
		return false;
	*why = DROP_unknown_client;
	*session = s = sessions_by_client_hashed(f->sessions, &d->from, d->hash);
	if (!s)
		return false;
	*why = DROP_wrong_direction;
	if (header->type != MESSAGE_WG_INITIATION && header->type != MESSAGE_WG_TRANSPORT)
		return false;
	*why = DROP_exit_refused;
	if (s->state.exit >= f->max_exits || !f->exits[s->state.exit].usable)
		return false;
	if (header->type == MESSAGE_WG_INITIATION && !initiation_ok(f, d, header, s, why))
		return false;
	*why = DROP_unknown_index;
	if (header->type == MESSAGE_WG_TRANSPORT && !session_knows_exit(s, header->receiver))
		return false;
	*why = DROP_window;
	return window_has(s, d->len);
}

bool forward_up(struct forward *f, const struct datagram *d, struct passage *out)
{
	struct wire_header header;
	struct forward_exit *e;
	enum relay_drop why;
	struct session *s = NULL;

	tally(&f->counters.in[DIRECTION_UP], d->len);
	if (d->truncated)
		return drop(f, DIRECTION_UP, DROP_truncated, d->len);
	header = wire_read(d->data, d->len);
	if (!judge_up(f, d, &header, &s, &why))
		return drop_of(f, s, DIRECTION_UP, why, d->len);
	e = &f->exits[s->state.exit];
	*out = (struct passage){s, &e->lane, &e->exit.wg, d->len, d->len, 0};
	if (header.type == MESSAGE_WG_INITIATION) {
		out->billed = 0;
		out->index = header.sender;
		count_initiation(f, s, header.sender);
		return true;
	}
	s->state.up += d->len;
	s->state.packets_up++;
	return true;
}

/* A cookie answers nothing: an exit under load sends one before it looks at who asks. */
static bool is_answer(const struct session *s, const struct wire_header *header)
{
	return header->type != MESSAGE_WG_COOKIE && session_awaits(s, header->receiver);
}

static bool judge_down(struct forward *f, const struct datagram *d,
		       const struct wire_header *header, struct session **session,
		       enum relay_drop *why)
{
	uint32_t exit, billed = d->len;

	*why = DROP_malformed;
	if (!header->type)
		return false;
	*why = DROP_unknown_exit;
	exit = exit_at(f, &d->from);
	if (exit == TABLE_NONE)
		return false;
	f->recent = exit;
	*why = DROP_exit_initiation;
	if (header->type == MESSAGE_WG_INITIATION)
		return false;
	*why = DROP_unknown_index;
	*session = sessions_by_index_hashed(f->sessions, exit, header->receiver, d->hash);
	if (!*session)
		return false;
	if (is_answer(*session, header))
		billed += (uint32_t)sizeof(struct message_initiation);
	*why = DROP_window;
	return window_has(*session, billed);
}

bool forward_down(struct forward *f, const struct datagram *d, struct passage *out)
{
	struct wire_header header;
	enum relay_drop why;
	struct session *s = NULL;

	tally(&f->counters.in[DIRECTION_DOWN], d->len);
	if (d->truncated)
		return drop(f, DIRECTION_DOWN, DROP_truncated, d->len);
	header = wire_read(d->data, d->len);
	if (!judge_down(f, d, &header, &s, &why))
		return drop_of(f, s, DIRECTION_DOWN, why, d->len);
	if (is_answer(s, &header))
		bill_initiation(f, s);
	/* Its mac1 is keyed by the client's public key, which a relay does not know; that it
	 * answers an initiation of this session is what the receiver index said. */
	if (header.type == MESSAGE_WG_RESPONSE)
		session_learn_exit(s, header.sender);
	s->state.down += d->len;
	s->state.packets_down++;
	*out = (struct passage){s, &s->lane, &s->state.client, d->len, d->len, 0};
	return true;
}

/* Takes a passage back out of what its session used, or was not billed for. */
static void unuse(struct forward *f, enum relay_direction direction, const struct passage *p)
{
	struct plane_session *s = &p->session->state;

	if (!p->billed) {
		untally_initiation(f, p->session);
	} else if (direction == DIRECTION_UP) {
		s->up -= p->len;
		s->packets_up--;
	} else {
		s->down -= p->len;
		s->packets_down--;
	}
}

/* It is not sent: nobody will answer it. */
static bool lose(struct forward *f, enum relay_direction direction, const struct passage *p,
		 enum relay_drop why)
{
	if (!p->billed)
		sessions_forget_pending(f->sessions, p->session, p->index);
	return drop_of(f, p->session, direction, why, p->len);
}

void forward_sent(struct forward *f, enum relay_direction direction, const struct passage *p,
		  bool ok)
{
	if (ok) {
		tally(&f->counters.out[direction], p->len);
		return;
	}
	unuse(f, direction, p);
	(void)lose(f, direction, p, DROP_send_failed);
}

/* An initiation that waits cannot have been answered: whatever comes for its index meanwhile is no
 * answer, and another session may take it. */
void forward_queue(struct forward *f, enum relay_direction direction, const struct passage *p)
{
	unuse(f, direction, p);
	if (!p->billed)
		sessions_forget_pending(f->sessions, p->session, p->index);
	p->session->queued += p->billed;
	tally(&f->counters.queued[direction], p->len);
}

static void leave_queue(struct forward *f, enum relay_direction direction, const struct passage *p)
{
	p->session->queued -= p->billed;
	f->counters.queued[direction].packets--;
	f->counters.queued[direction].bytes -= p->len;
}

static bool still_passes(struct forward *f, enum relay_direction direction, const struct passage *p,
			 enum relay_drop *why)
{
	const struct plane_session *s = &p->session->state;
	const struct session *owner;

	if (direction == DIRECTION_DOWN)
		return true;
	*why = DROP_exit_refused;
	if (!f->exits[s->exit].usable)
		return false;
	*why = DROP_index_taken;
	owner = p->billed ? NULL : sessions_by_index(f->sessions, s->exit, p->index);
	return !owner || owner == p->session;
}

bool forward_dequeue(struct forward *f, enum relay_direction direction, const struct passage *p)
{
	struct plane_session *s = &p->session->state;
	enum relay_drop why;

	leave_queue(f, direction, p);
	if (!still_passes(f, direction, p, &why))
		return lose(f, direction, p, why);
	if (!p->billed) {
		sessions_learn_client(f->sessions, p->session, p->index);
		tally_initiation(f, p->session);
	} else if (direction == DIRECTION_UP) {
		s->up += p->len;
		s->packets_up++;
	} else {
		s->down += p->len;
		s->packets_down++;
	}
	return true;
}

void forward_unqueue(struct forward *f, enum relay_direction direction, const struct passage *p)
{
	leave_queue(f, direction, p);
	(void)lose(f, direction, p, DROP_queue);
}
