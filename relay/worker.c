#include "relay/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lines.h"
#include "base/log.h"
#include "proto/lengths.h"

static_assert(sizeof(struct relay_counters) % sizeof(uint64_t) == 0, "counters are all u64");

enum {
	/* Orders before datagrams have their turn. */
	ORDERS_PER_TURN = 128,
	/* Batches of one socket before the other one and the orders get their turn; and messages of
	 * one that leaves hardly any behind. */
	BATCHES_PER_TURN = 8,
	SMALL_BATCH = 8,
};

/*
 * Nothing a worker has to say is lost, and no worker ever waits for the main thread, so that the
 * main thread may wait for a worker:
 *  - an order is taken only when the answer to the one before it is in the ring (`held` is empty);
 *    until then orders stay in their ring, and the main thread, waiting there for room, empties the
 *    ring of notices meanwhile;
 *  - a reached mark needs no memory but its place in `due`, which has one for every session.
 * A worker that finds the ring full sets `starved` and looks once more; the main thread takes that
 * flag after each emptying and wakes the worker. Both are read-modify-writes, so one of them comes
 * first: either the worker's second look sees the room, or the main thread sees the flag.
 */
static bool tell(struct worker *w, const struct notice *n)
{
	size_t size = n->lossy ? sizeof(*n) : offsetof(struct notice, losses);

	if (!ring_push(w->notices, n, size)) {
		atomic_exchange(&w->starved, true);
		if (!ring_push(w->notices, n, size))
			return false;
	}
	w->told = true;
	return true;
}

static void answer(struct worker *w, const struct notice *n)
{
	if (tell(w, n))
		return;
	w->held = *n;
	w->has_held = true;
}

/* As it is now. */
static void describe(struct worker *w, const struct session *s, struct notice *n)
{
	n->session = s->state;
	n->lossy = sessions_losses(w->forward.sessions, s, &n->losses);
}

static uint32_t *due_at(struct worker *w, uint32_t n)
{
	return &w->due[(w->due_first + n) % w->max_sessions];
}

static void due_push(struct worker *w, struct session *s)
{
	if (session_used(s) < s->state.mark || s->due)
		return;
	s->due = true;
	*due_at(w, w->due_count++) = s->state.handle;
}

/* Before its slot becomes another thread's. The queue is empty but while nobody listens. */
static void due_drop(struct worker *w, const struct session *s)
{
	uint32_t i = 0;

	if (!s->due)
		return;
	while (*due_at(w, i) != s->state.handle)
		i++;
	*due_at(w, i) = *due_at(w, --w->due_count);
}

/* What stands in the queue is looked at anew: its mark may have been moved. */
static void due_tell(struct worker *w)
{
	while (w->due_count) {
		struct session *s = sessions_at(w->forward.sessions, *due_at(w, 0));
		struct notice n = {.kind = NOTICE_MARKED};

		if (session_used(s) >= s->state.mark) {
			describe(w, s, &n);
			if (!tell(w, &n))
				return;
			s->state.mark = UINT64_MAX;
		}
		s->due = false;
		w->due_first = (w->due_first + 1) % w->max_sessions;
		w->due_count--;
	}
}

static void publish(struct worker *w)
{
	const uint64_t *counters = (const uint64_t *)&w->forward.counters;
	uint64_t edition = atomic_load_explicit(&w->edition, memory_order_relaxed);

	/* Each release keeps what was written before it before it. */
	atomic_store_explicit(&w->edition, edition + 1, memory_order_relaxed);
	for (size_t i = 0; i < WORKER_COUNTERS; i++)
		atomic_store_explicit(&w->published[i], counters[i], memory_order_release);
	atomic_store_explicit(&w->edition, edition + 2, memory_order_release);
}

/* The end of each turn of work. */
static void turn_end(struct worker *w)
{
	publish(w);
	if (!w->has_held)
		due_tell(w);
	if (w->told)
		ring_wake(w->notices);
	if (w->heard)
		ring_wake(w->control);
	w->told = w->heard = false;
}

/* ---- packets ------------------------------------------------------------------------------------
 */

static void hand_up(struct worker *w, const struct datagram *d)
{
	const bool begins = d->data[0] == MESSAGE_INITIATION;
	struct control_datagram c;

	static_assert(offsetof(struct control_initiation, data) ==
			      offsetof(struct control_datagram, data),
		      "one is the beginning of the other");
	w->forward.counters.control_in++;
	/* Nothing here knows a key; but what no key could make right needs nobody's time. */
	if (!message_type_of(d->data, d->len)) {
		w->forward.counters.control_malformed++;
		return;
	}
	c.from = d->from;
	c.len = (uint16_t)d->len;
	memcpy(c.data, d->data, d->len);
	if (ring_push(begins ? w->initiations : w->control, &c,
		      offsetof(struct control_datagram, data) + d->len))
		w->heard = true;
	else
		w->forward.counters.control_lost++;
}

/* Sends what passed, and counts it out or gives it back. */
static void flush(struct worker *w, enum relay_direction direction)
{
	const unsigned count = w->out.datagrams;

	if (!count)
		return;
	w->forward.counters.messages_out += w->out.messages;
	udp_send(direction == DIRECTION_UP ? w->sockets.exit : w->sockets.client, &w->out);
	for (unsigned i = 0; i < count; i++) {
		forward_sent(&w->forward, direction, &w->passages[i], w->out.sent[i]);
		due_push(w, w->passages[i].session);
	}
	w->forward.counters.offload_refused = w->out.refused;
}

static void carry_one(struct worker *w, enum relay_direction direction, const struct datagram *d)
{
	const bool up = direction == DIRECTION_UP;
	struct passage *p = &w->passages[w->out.datagrams];

	if (up && forward_is_control(d))
		hand_up(w, d);
	else if ((up ? forward_up(&w->forward, d, p) : forward_down(&w->forward, d, p)) &&
		 (!w->shaper || shaper_pass(w->shaper, direction, d, p)))
		udp_add(&w->out, p->lane, p->to, d);
	if (udp_full(&w->out))
		flush(w, direction);
}

/* The next few of what was received, with what judging them needs on its way from memory. */
static unsigned look_ahead(struct worker *w, enum relay_direction direction)
{
	const struct datagram *d;
	unsigned count = 0;

	while (count < WORKER_AHEAD && (d = udp_next(&w->in)))
		w->ahead[count++] = *d;
	forward_prefetch(&w->forward, direction, w->ahead, count);
	return count;
}

/* ---- what waits for Rate or PeerRate ---- */

static void send_taken(struct worker *w, enum relay_direction direction,
		       struct backlog_packet *const *taken, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct passage *p = &taken[i]->passage;

		if (taken[i]->direction != direction)
			continue;
		w->passages[w->out.datagrams] = *p;
		udp_add(&w->out, p->lane, p->to, &taken[i]->datagram);
	}
	flush(w, direction);
}

/* One that runs and ends earlier does no harm. */
static void set_timer(struct worker *w, uint64_t at_ns)
{
	const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ns / RATE_SECOND),
						   .tv_nsec = (long)(at_ns % RATE_SECOND)}};

	if (at_ns == SHAPER_NEVER || (w->timer_ns && w->timer_ns <= at_ns))
		return;
	w->timer_ns = at_ns;
	timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Sends what may go by now. */
static void send_waiting(struct worker *w)
{
	struct backlog_packet *taken[WORKER_TAKEN];
	unsigned count;

	static_assert((int)WORKER_TAKEN <= (int)UDP_OUT_MESSAGES, "all of it has room in `out`");
	do {
		count = 0;
		while (count < WORKER_TAKEN && (taken[count] = shaper_next(w->shaper)))
			count++;
		send_taken(w, DIRECTION_UP, taken, count);
		send_taken(w, DIRECTION_DOWN, taken, count);
		for (unsigned i = 0; i < count; i++)
			shaper_sent(w->shaper, taken[i]);
	} while (count == WORKER_TAKEN);
	set_timer(w, shaper_wake(w->shaper));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t times;

	(void)what;
	(void)!read(fd, &times, sizeof(times));
	w->timer_ns = 0;
	shaper_begin(w->shaper, clock_ns());
	send_waiting(w);
	turn_end(w);
}

/* What one look brought: each judged in order, out by the other socket. */
static void carry(struct worker *w, enum relay_direction direction)
{
	unsigned count;

	w->forward.counters.messages_in += w->in.count;
	if (w->shaper)
		shaper_begin(w->shaper, clock_ns());
	while ((count = look_ahead(w, direction)) > 0)
		for (unsigned i = 0; i < count; i++)
			carry_one(w, direction, &w->ahead[i]);
	flush(w, direction);
	if (w->shaper)
		send_waiting(w);
	turn_end(w);
}

static bool look(struct worker *w, enum relay_direction direction)
{
	udp_receive(direction == DIRECTION_UP ? w->sockets.client : w->sockets.exit, &w->in);
	return w->in.count > 0;
}

/* A small batch may have a next one close behind, so it may be looked for before sleeping. */
static bool look_again(struct worker *w, enum relay_direction direction)
{
	if (w->in.count > SMALL_BATCH)
		return false;
	for (unsigned looks = patience_looks(&w->patience); looks; looks--)
		if (look(w, direction)) {
			patience_paid(&w->patience);
			return true;
		}
	return false;
}

/* If more came meanwhile the loop says so; but first it is the other socket's turn, and the
 * orders'. */
static void carry_some(struct worker *w, enum relay_direction direction)
{
	bool more = look(w, direction);

	for (int i = 0; more; i++) {
		carry(w, direction);
		more = i + 1 < BATCHES_PER_TURN && look_again(w, direction);
	}
}

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	carry_some(arg, DIRECTION_UP);
}

static void on_exit_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	carry_some(arg, DIRECTION_DOWN);
}

/* ---- orders -------------------------------------------------------------------------------------
 */

static void install(struct worker *w, const struct order *o)
{
	struct notice n = {.kind = NOTICE_INSTALLED, .session.handle = o->slot};

	n.ok = sessions_install(w->forward.sessions, &o->session, &o->losses);
	answer(w, &n);
	if (n.ok)
		due_push(w, sessions_at(w->forward.sessions, o->slot));
}

/* From the answer on the slot is not ours. */
static void retire(struct worker *w, struct session *s)
{
	struct notice n = {.kind = NOTICE_RETIRED};

	if (w->shaper)
		shaper_forget(w->shaper, s);
	due_drop(w, s);
	describe(w, s, &n);
	sessions_retire(w->forward.sessions, s);
	answer(w, &n);
}

static void meter(struct worker *w, const struct session *s)
{
	struct notice n = {.kind = NOTICE_MARKED};

	describe(w, s, &n);
	answer(w, &n);
}

static void set_limit(struct worker *w, struct session *s, uint64_t limit, uint64_t mark)
{
	struct notice n = {.kind = NOTICE_LIMITED};

	/* What waits has a claim on the limit only while that is there. */
	if (w->shaper && limit < session_used(s) + s->queued)
		shaper_forget(w->shaper, s);
	s->state.limit = limit > session_used(s) ? limit : session_used(s);
	s->state.mark = mark;
	describe(w, s, &n);
	answer(w, &n);
	due_push(w, s);
}

static void obey(struct worker *w, const struct order *o)
{
	struct session *s = sessions_at(w->forward.sessions, o->slot);

	switch (o->kind) {
	case ORDER_INSTALL:
		install(w, o);
		break;
	case ORDER_RETIRE:
		if (s)
			retire(w, s);
		break;
	case ORDER_LIMIT:
		if (s)
			set_limit(w, s, o->limit, o->mark);
		break;
	case ORDER_METER:
		if (s)
			meter(w, s);
		break;
	case ORDER_EXIT:
		forward_set_exit(&w->forward, o->slot, &o->exit);
		break;
	case ORDER_TICK:
		forward_tick(&w->forward);
		break;
	case ORDER_PEER_RATE:
		shaper_set_peer(w->shaper, &o->peer);
		break;
	}
}

static void on_order(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct order o;
	int left = ORDERS_PER_TURN;

	(void)fd, (void)what;
	ring_clear(w->orders);
	if (atomic_load(&w->stop)) {
		event_base_loopbreak(w->base);
		return;
	}
	if (w->has_held)
		w->has_held = !tell(w, &w->held);
	while (left && !w->has_held && ring_pop(w->orders, &o)) {
		obey(w, &o);
		left--;
	}
	if (!left)
		ring_wake(w->orders); /* by ourselves: datagrams first, then there may be more */
	turn_end(w);
}

/* ---- its life -----------------------------------------------------------------------------------
 */

static void *run(void *arg)
{
	struct worker *w = arg;

	event_base_dispatch(w->base);
	if (w->shaper)
		shaper_stop(w->shaper);
	publish(w);
	return NULL;
}

/* NO_CACHE_TIME: without timers the loop then never asks for the time. */
static struct event_base *create_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static struct event *watch(struct worker *w, int fd, event_callback_fn fn)
{
	struct event *ev = event_new(w->base, fd, EV_READ | EV_PERSIST, fn, w);

	if (ev && event_add(ev, NULL) == 0)
		return ev;
	if (ev)
		event_free(ev);
	return NULL;
}

static bool create_loop(struct worker *w)
{
	w->orders = ring_create(WORKER_ORDERS, sizeof(struct order));
	w->notices = ring_create(WORKER_NOTICES, sizeof(struct notice));
	w->control = ring_create(WORKER_CONTROL, sizeof(struct control_datagram));
	w->initiations = ring_create(WORKER_INITIATIONS, sizeof(struct control_initiation));
	w->base = create_base();
	if (!w->orders || !w->notices || !w->control || !w->initiations || !w->base)
		return false;
	w->on_client = watch(w, w->sockets.client, on_client_readable);
	w->on_exit = watch(w, w->sockets.exit, on_exit_readable);
	w->on_orders = watch(w, ring_fd(w->orders), on_order);
	return w->on_client && w->on_exit && w->on_orders;
}

int worker_create(struct worker **out, const struct plane_config *config, struct slots *slots,
		  struct worker_sockets sockets)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	struct udp_offload towards_exit;
	int err;

	w->sockets = sockets;
	w->timer = -1;
	w->max_sessions = config->max_sessions;
	w->due = lines_alloc(config->max_sessions, sizeof(*w->due));
	w->offload = udp_offload(sockets.client);
	towards_exit = udp_offload(sockets.exit);
	w->offload.receive &= towards_exit.receive;
	w->offload.send &= towards_exit.send;
	udp_in_init(&w->in, w->offload.receive);
	udp_out_init(&w->out, w->offload.send);
	err = forward_init(&w->forward, slots, config->max_exits, &config->allow);
	if (!err && (!w->due || !create_loop(w)))
		err = -ENOMEM;
	if (err) {
		worker_destroy(w);
		return err;
	}
	*out = w;
	return 0;
}

int worker_limit(struct worker *w, struct shaper_shared *shared, unsigned number)
{
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->timer < 0)
		return -errno;
	w->on_timer = watch(w, w->timer, on_timer);
	if (!w->on_timer)
		return -ENOMEM;
	w->shaper = shaper_create(shared, number, &w->forward);
	return 0;
}

static void event_drop(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	event_drop(w->on_timer);
	event_drop(w->on_orders);
	event_drop(w->on_exit);
	event_drop(w->on_client);
	if (w->base)
		event_base_free(w->base);
	ring_destroy(w->initiations);
	ring_destroy(w->control);
	ring_destroy(w->notices);
	ring_destroy(w->orders);
	shaper_destroy(w->shaper);
	if (w->timer >= 0)
		close(w->timer);
	forward_wipe(&w->forward);
	lines_free(w->due);
	close(w->sockets.exit);
	close(w->sockets.client);
	free(w);
}

int worker_start(struct worker *w, unsigned number)
{
	sigset_t all, before;
	char name[16];
	int err;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	w->running = true;
	snprintf(name, sizeof(name), "relay-%u", number % 1000);
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

void worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	atomic_store(&w->stop, true);
	ring_wake(w->orders);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void worker_add_counters(const struct worker *w, struct relay_counters *sum)
{
	uint64_t *total = (uint64_t *)sum, one[WORKER_COUNTERS], edition;

	do {
		edition = atomic_load_explicit(&w->edition, memory_order_acquire);
		for (size_t i = 0; i < WORKER_COUNTERS; i++)
			one[i] = atomic_load_explicit(&w->published[i], memory_order_acquire);
	} while (edition % 2 || edition != atomic_load_explicit(&w->edition, memory_order_relaxed));
	for (size_t i = 0; i < WORKER_COUNTERS; i++)
		total[i] += one[i];
}
