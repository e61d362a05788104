#include "relay/plane.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/pin.h"
#include "relay/worker.h"

enum {
	/* Notices or control datagrams of one worker before the main loop turns to others. */
	PER_TURN = 256,
	/* Of handshakes begun: each may take four public-key operations. */
	INITIATIONS_PER_TURN = 16,
};

/* A notice taken from a worker's ring while the main thread waited to give it an order. */
struct early_notice {
	struct early_notice *next;
	struct notice notice;
};

/* The main thread's end of one worker. */
struct end {
	struct plane *plane;
	unsigned number;
	uint32_t sessions;  /* on it, by what it told */
	uint16_t exit_port; /* of its socket towards exits */
	struct worker *worker;
	bool owed; /* orders were given and it was not woken yet */
	struct event *on_notices, *on_control;
	struct early_notice *early, **early_end;
};

struct plane {
	struct plane_config config;
	struct plane_ops ops;
	void *arg;
	uint16_t port;
	struct slots *slots;          /* of sessions; each is one worker's at a time */
	struct shaper_shared *limits; /* NULL: nothing is limited */
	unsigned workers;             /* ends in use */
	bool holding;
	unsigned pinned;
	struct end ends[PLANE_WORKERS_MAX];
};

/* ---- from workers -------------------------------------------------------------------------------
 */

static bool next_notice(struct end *e, struct notice *n)
{
	struct early_notice *first = e->early;

	if (!first)
		return ring_pop(e->worker->notices, n);
	memcpy(n, &first->notice,
	       first->notice.lossy ? sizeof(*n) : offsetof(struct notice, losses));
	e->early = first->next;
	if (!e->early)
		e->early_end = &e->early;
	free(first);
	return true;
}

/* The second half of a starved worker's wait: see worker.c. */
static void feed(struct end *e)
{
	if (atomic_exchange(&e->worker->starved, false))
		ring_wake(e->worker->orders);
}

static void tell_owner(const struct plane *p, const struct notice *n)
{
	static const struct plane_losses none;
	const struct plane_session *s = &n->session;

	if (p->ops.losses && n->kind != NOTICE_INSTALLED)
		p->ops.losses(p->arg, s->handle, n->lossy ? &n->losses : &none);
	switch (n->kind) {
	case NOTICE_INSTALLED:
		p->ops.installed(p->arg, s->handle, n->ok);
		break;
	case NOTICE_RETIRED:
		p->ops.retired(p->arg, s);
		break;
	case NOTICE_MARKED:
		p->ops.marked(p->arg, s->handle, s->up, s->down);
		break;
	case NOTICE_LIMITED:
		p->ops.limited(p->arg, s->handle, s->limit, s->up, s->down);
		break;
	}
}

static void on_notices(evutil_socket_t fd, short what, void *arg)
{
	struct end *e = arg;
	struct notice n;
	int left = PER_TURN;

	(void)fd, (void)what;
	ring_clear(e->worker->notices);
	while (left && next_notice(e, &n)) {
		e->sessions += n.kind == NOTICE_INSTALLED && n.ok;
		e->sessions -= n.kind == NOTICE_RETIRED;
		tell_owner(e->plane, &n);
		left--;
	}
	feed(e);
	if (!left)
		ring_wake(e->worker->notices); /* by ourselves: there may be more */
}

/* True if there may be more. What a peer sent is looked at where it stands, and not copied. */
static bool hear(struct end *e, struct ring *ring, int most)
{
	const struct plane *p = e->plane;
	const struct control_datagram *c;

	while (most-- && (c = ring_peek(ring))) {
		p->ops.control(p->arg, e->number, &c->from, c->data, c->len);
		ring_drop(ring);
	}
	return most < 0;
}

/* Those who have a channel first, so that a flood of handshakes keeps nobody from signing. */
static void on_control(evutil_socket_t fd, short what, void *arg)
{
	struct end *e = arg;
	struct worker *w = e->worker;
	bool more;

	(void)fd, (void)what;
	ring_clear(w->control);
	more = hear(e, w->control, PER_TURN);
	more |= hear(e, w->initiations, INITIATIONS_PER_TURN);
	if (more)
		ring_wake(w->control);
}

/* ---- to workers ---------------------------------------------------------------------------------
 */

/* Makes room in the ring of notices without calling anybody: we may be inside a callback. */
static void take_early(struct end *e)
{
	struct notice n;

	while (ring_pop(e->worker->notices, &n)) {
		size_t size = n.lossy ? sizeof(n) : offsetof(struct notice, losses);
		struct early_notice *early =
			xcalloc(1, offsetof(struct early_notice, notice) + size);

		memcpy(&early->notice, &n, size);
		*e->early_end = early;
		e->early_end = &early->next;
	}
	feed(e);
	if (e->early)
		ring_wake(e->worker->notices); /* tell the owner from the loop */
}

static void wake(struct end *e)
{
	if (e->owed)
		ring_wake(e->worker->orders);
	e->owed = false;
}

/* Waits for room if need be: the worker takes orders as long as its notices are taken. */
static void give(struct end *e, const struct order *o)
{
	size_t size = o->kind == ORDER_INSTALL ? sizeof(*o) : ORDER_SHORT;

	while (!ring_push(e->worker->orders, o, size)) {
		wake(e);
		take_early(e);
		sched_yield();
	}
	e->owed = true;
	if (!e->plane->holding)
		wake(e);
}

void plane_hold(struct plane *p)
{
	p->holding = true;
}

void plane_release(struct plane *p)
{
	p->holding = false;
	for (unsigned i = 0; i < p->workers; i++)
		wake(&p->ends[i]);
}

void plane_set_exit(struct plane *p, uint32_t slot, const struct plane_exit *exit)
{
	struct order o = {.kind = ORDER_EXIT, .slot = slot, .exit = *exit};

	if (slot >= p->config.max_exits)
		fatalx("relay: exit slot %u of %u", slot, p->config.max_exits);
	if (exit->wg.port && plane_is_self(p, &exit->wg))
		o.exit.wg.port = 0;
	for (unsigned i = 0; i < p->workers; i++)
		give(&p->ends[i], &o);
}

void plane_install(struct plane *p, unsigned worker, const struct plane_session *s,
		   const struct plane_losses *losses)
{
	struct order o = {.kind = ORDER_INSTALL, .slot = s->handle, .session = *s};

	if (losses)
		o.losses = *losses;
	give(&p->ends[worker], &o);
}

void plane_retire(struct plane *p, unsigned worker, uint32_t handle)
{
	give(&p->ends[worker], &(struct order){.kind = ORDER_RETIRE, .slot = handle});
}

void plane_limit(struct plane *p, unsigned worker, uint32_t handle, uint64_t limit, uint64_t mark)
{
	give(&p->ends[worker],
	     &(struct order){.kind = ORDER_LIMIT, .slot = handle, .limit = limit, .mark = mark});
}

void plane_meter(struct plane *p, unsigned worker, uint32_t handle)
{
	give(&p->ends[worker], &(struct order){.kind = ORDER_METER, .slot = handle});
}

void plane_tick(struct plane *p)
{
	for (unsigned i = 0; i < p->workers; i++)
		give(&p->ends[i], &(struct order){.kind = ORDER_TICK});
}

/* Straight to the worker's socket, whose number never changes: the kernel keeps senders apart. */
void plane_send(struct plane *p, unsigned worker, const struct net_addr *to, const void *msg,
		size_t len)
{
	struct sockaddr_in6 sa;
	ssize_t n;

	net_addr_to_sockaddr(&sa, to);
	n = sendto(p->ends[worker].worker->sockets.client, msg, len, MSG_DONTWAIT,
		   (const struct sockaddr *)&sa, sizeof(sa));
	(void)n; /* lost, as on any network: whoever needs an answer asks again */
}

int plane_set_rates(struct plane *p, uint64_t rate, uint64_t peer_rate)
{
	struct shaper_shared *l = p->limits;
	struct order o = {.kind = ORDER_PEER_RATE};

	if (!l)
		return rate || peer_rate ? -EBUSY : 0;
	if (rate != p->config.rate)
		shaper_set_rate(l, rate, clock_ns());
	p->config.rate = rate;
	if (peer_rate == p->config.peer_rate)
		return 0;
	p->config.peer_rate = peer_rate;
	l->peer = (struct shaper_terms){peer_rate, clock_ns(), (uint8_t)(l->peer.number + 1)};
	o.peer = l->peer;
	for (unsigned i = 0; i < p->workers; i++)
		give(&p->ends[i], &o);
	return 0;
}

/* ---- what it is ---------------------------------------------------------------------------------
 */

struct rate *plane_rate(struct plane *p)
{
	return p->limits ? &p->limits->rate : NULL;
}

unsigned plane_workers(const struct plane *p)
{
	return p->workers;
}

struct plane_means plane_means(const struct plane *p)
{
	struct plane_means m = {.offload = {true, true}, .pinned = p->pinned};

	for (unsigned i = 0; i < p->workers; i++) {
		m.offload.receive &= p->ends[i].worker->offload.receive;
		m.offload.send &= p->ends[i].worker->offload.send;
	}
	return m;
}

uint16_t plane_port(const struct plane *p)
{
	return p->port;
}

void plane_counters(const struct plane *p, struct relay_counters *sum)
{
	*sum = (struct relay_counters){0};
	for (unsigned i = 0; i < p->workers; i++)
		worker_add_counters(p->ends[i].worker, sum);
}

struct plane_part plane_part(const struct plane *p, unsigned worker)
{
	struct plane_part part = {.sessions = p->ends[worker].sessions};
	struct relay_counters c = {0};

	worker_add_counters(p->ends[worker].worker, &c);
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		part.in.packets += c.in[d].packets;
		part.in.bytes += c.in[d].bytes;
	}
	return part;
}

/* Whether an address is this machine's is asked of the kernel: only those can be bound to. */
static bool is_local(const struct net_addr *a)
{
	struct net_addr probe = *a;
	int fd;

	probe.port = 0;
	fd = udp_open(&probe, UDP_ALONE);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

bool plane_is_self(const struct plane *p, const struct net_addr *a)
{
	bool port = a->port == p->port;

	for (unsigned i = 0; i < p->workers; i++)
		port |= a->port == p->ends[i].exit_port;
	return port && is_local(a);
}

/* ---- its life -----------------------------------------------------------------------------------
 */

static void say_why(int err, const char *what, uint16_t port)
{
	errno = -err;
	if (err == -EAFNOSUPPORT)
		log_warnx("relay: this kernel has no IPv6 sockets, which serve IPv4 too: start it "
			  "without ipv6.disable=1");
	else if (err == -EADDRINUSE)
		log_warnx("relay: UDP port %u is in use: stop the other program (another culvertd? "
			  "wg?) or change Listen",
			  port);
	else if (err == -EADDRNOTAVAIL)
		log_warnx("relay: the address of Listen is not this machine's: change Listen");
	else
		log_warn("relay: %s (UDP port %u)", what, port);
}

/* Opens the next worker's sockets; the first one decides on the port. */
static int open_sockets(struct plane *p, struct worker_sockets *out)
{
	const struct net_addr any = {0};
	struct net_addr listen = p->config.listen;

	if (p->workers)
		listen.port = p->port;
	out->client = udp_open(&listen, p->workers ? UDP_NEXT : UDP_FIRST);
	if (out->client < 0) {
		say_why(out->client, "cannot open the public socket", listen.port);
		return out->client;
	}
	p->port = udp_port(out->client);
	out->exit = udp_open(&any, UDP_ALONE);
	if (out->exit < 0) {
		say_why(out->exit, "cannot open a socket towards exits", 0);
		close(out->client);
	}
	return out->exit < 0 ? out->exit : 0;
}

static int add_worker(struct plane *p, struct event_base *main)
{
	struct end *e = &p->ends[p->workers];
	struct worker_sockets sockets;
	int err = open_sockets(p, &sockets);

	if (err)
		return err;
	err = worker_create(&e->worker, &p->config, p->slots, sockets);
	if (err) {
		say_why(err, "cannot create a worker", p->port);
		return err;
	}
	err = p->limits ? worker_limit(e->worker, p->limits, p->workers) : 0;
	if (err) {
		say_why(err, "cannot limit a worker", p->port);
		worker_destroy(e->worker);
		e->worker = NULL;
		return err;
	}
	e->plane = p;
	e->exit_port = udp_port(sockets.exit);
	e->number = p->workers++;
	e->early_end = &e->early;
	e->on_notices =
		event_new(main, ring_fd(e->worker->notices), EV_READ | EV_PERSIST, on_notices, e);
	e->on_control =
		event_new(main, ring_fd(e->worker->control), EV_READ | EV_PERSIST, on_control, e);
	if (!e->on_notices || !e->on_control || event_add(e->on_notices, NULL) < 0 ||
	    event_add(e->on_control, NULL) < 0) {
		say_why(-ENOMEM, "cannot watch a worker", p->port);
		return -ENOMEM;
	}
	return 0;
}

int plane_create(struct plane **out, const struct plane_config *config, struct event_base *main,
		 const struct plane_ops *ops, void *arg)
{
	struct plane *p = xcalloc(1, sizeof(*p));
	int err = 0;

	*p = (struct plane){.config = *config, .ops = *ops, .arg = arg};
	if (config->workers < 1 || config->workers > PLANE_WORKERS_MAX) {
		log_warnx("relay: %u workers: 1 to %d can be had", config->workers,
			  PLANE_WORKERS_MAX);
		err = -EINVAL;
	}
	p->slots = slots_create(config->max_sessions);
	if (!p->slots)
		fatalx("relay: no memory for %u sessions; lower MaxSessions", config->max_sessions);
	if (!err && (config->limited || config->rate || config->peer_rate))
		p->limits = shaper_share(config->rate, config->peer_rate, config->workers,
					 config->max_sessions, clock_ns());
	/* Every socket is bound before any is read, so that no client's worker changes later. */
	while (!err && p->workers < config->workers)
		err = add_worker(p, main);
	for (unsigned i = 0; !err && i < p->workers; i++) {
		err = worker_start(p->ends[i].worker, i);
		if (err)
			say_why(err, "cannot start a thread", p->port);
		else
			p->pinned += pin_thread(p->ends[i].worker->thread, i, p->workers);
	}
	if (err) {
		plane_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

static void end_wipe(struct end *e)
{
	struct notice n;

	while (e->early)
		(void)next_notice(e, &n);
	if (e->on_control)
		event_free(e->on_control);
	if (e->on_notices)
		event_free(e->on_notices);
	worker_destroy(e->worker);
}

void plane_destroy(struct plane *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->workers; i++)
		worker_stop(p->ends[i].worker);
	for (unsigned i = 0; i < p->workers; i++)
		end_wipe(&p->ends[i]);
	shaper_unshare(p->limits);
	slots_destroy(p->slots);
	free(p);
}
