#include "exit/exit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "exit/role.h"
#include "tunnel/route.h"

static void arm(struct event *ev, uint64_t ms)
{
	struct timeval t = {.tv_sec = (time_t)(ms / 1000),
			    .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	evtimer_add(ev, &t);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct exit_role *e = arg;

	(void)fd;
	(void)what;
	arm(e->poll, metering_poll(e));
}

/* ---- the device, and its death ---- */

static int add_addresses(struct exit_role *e)
{
	const char *name = tunnel_name(e->tunnel);
	struct net_addr own;
	int err = 0;

	if (pool_address4(e->pool, POOL_OWN, &own))
		err = route_address(name, &own, e->config.pool4.bits);
	if (!err && pool_address6(e->pool, POOL_OWN, &own))
		err = route_address(name, &own, e->config.pool6.bits);
	return err;
}

static void on_death(evutil_socket_t fd, short what, void *arg);

static int watch_device(struct exit_role *e)
{
	int fd = tunnel_watch_fd(e->tunnel);

	if (e->death)
		event_free(e->death);
	e->death = NULL;
	if (fd < 0)
		return 0;
	e->death = event_new(e->base, fd, EV_READ, on_death, e);
	return e->death && event_add(e->death, NULL) == 0 ? 0 : -ENOMEM;
}

static void on_repair(evutil_socket_t fd, short what, void *arg)
{
	struct exit_role *e = arg;
	int err;

	(void)fd;
	(void)what;
	e->repaired_ms = clock_ms();
	err = tunnel_repair(e->tunnel);
	if (!err)
		err = add_addresses(e);
	if (!err)
		err = watch_device(e);
	if (err) {
		arm(e->repair, EXIT_REPAIR_MS);
		return;
	}
	e->device_down = false;
	e->repairs++;
	log_warnx("the exit's WireGuard process had died: the device was made anew with all its "
		  "peers");
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
	struct exit_role *e = arg;
	uint64_t since = clock_ms() - e->repaired_ms;

	(void)fd;
	(void)what;
	e->device_down = true;
	/* not more often than once a second, should it die again and again */
	arm(e->repair, since < EXIT_REPAIR_MS ? EXIT_REPAIR_MS - since : 0);
}

/* ---- life ---- */

static void nat_config_of(struct exit_role *e)
{
	struct nat_config *n = &e->nat;
	const struct exit_config *c = &e->config;

	snprintf(n->interface, sizeof(n->interface), "%s", c->tunnel.name);
	snprintf(n->uplink, sizeof(n->uplink), "%s", c->uplink);
	n->pool4 = c->pool4;
	n->pool6 = c->pool6;
	pool_address4(e->pool, POOL_OWN, &n->own4);
	pool_address6(e->pool, POOL_OWN, &n->own6);
	n->dns4 = memcmp(c->dns4.ip, n->own4.ip, sizeof(n->own4.ip)) == 0;
	n->dns6 = memcmp(c->dns6.ip, n->own6.ip, sizeof(n->own6.ip)) == 0;
	n->allow_smtp = c->allow_smtp;
	n->allow = e->allow;
	n->allow_count = c->allow_count;
}

static int start_events(struct exit_role *e)
{
	e->poll = evtimer_new(e->base, on_poll, e);
	e->repair = evtimer_new(e->base, on_repair, e);
	if (!e->poll || !e->repair)
		return -ENOMEM;
	e->polled_ms = e->checked_ms = clock_ms();
	arm(e->poll, EXIT_POLL_IDLE_MS);
	return watch_device(e);
}

static int start(struct exit_role *e)
{
	int err = nat_forwarding(e->config.pool4.bits != 0, e->config.pool6.bits != 0);

	if (err)
		return err;
	/* the rules first: from the device's first packet on they hold */
	nat_config_of(e);
	err = nat_apply(&e->nat);
	if (err)
		return err;
	tunnel_remove_stale(e->config.tunnel.name);
	err = tunnel_open(&e->tunnel, &e->config.tunnel);
	if (!err)
		err = add_addresses(e);
	if (!err)
		err = start_events(e);
	return err;
}

int exit_create(struct exit_role **out, const struct exit_config *config, struct event_base *base,
		struct ledger *ledger, const struct descriptor *self)
{
	struct exit_role *e = xcalloc(1, sizeof(*e));
	int err;

	e->config = *config;
	e->allow = xcalloc(config->allow_count, sizeof(*e->allow));
	if (config->allow_count)
		memcpy(e->allow, config->allow, config->allow_count * sizeof(*e->allow));
	e->base = base;
	e->ledger = ledger;
	exit_set_self(e, self);
	x25519_public(e->wg_key, config->tunnel.private_key);
	e->pool = pool_create(&config->pool4, &config->pool6);
	e->peers = peers_create(2 * config->max_peers);
	if (!e->pool)
		log_warnx("the exit's address pools have no room for a client: give Pool4 at "
			  "most /29 and Pool6 at most /64");
	err = e->pool && e->peers ? start(e) : -EINVAL;
	if (err) {
		exit_destroy(e);
		return err;
	}
	crypto_wipe(e->config.tunnel.private_key, KEY_LEN); /* the tunnel keeps its own */
	*out = e;
	return 0;
}

void exit_set_self(struct exit_role *e, const struct descriptor *self)
{
	e->self = *self;
}

void exit_payer_changed(struct exit_role *e, const uint8_t id[static KEY_LEN])
{
	struct exit_peer *p = NULL;
	bool asked = false;

	while ((p = peers_next(e->peers, p))) {
		if (p->state != PEER_LIVE || memcmp(p->payer, id, KEY_LEN) != 0)
			continue;
		if (!asked)
			metering_ask(p); /* one answer is for all its sessions */
		asked = true;
		if (p->has_debt)
			session_unpaid(e, id, p->debt.body.session);
	}
}

void exit_set_control(struct exit_role *e, struct control_server *control)
{
	e->control = control;
}

void exit_stop(struct exit_role *e, void (*done)(void *arg), void *arg)
{
	struct exit_peer *p = NULL;

	e->stopping = true;
	e->stopped = done;
	e->stopped_arg = arg;
	while ((p = peers_next(e->peers, p)))
		session_close(p, CLOSE_STOPPING);
	session_check_stopped(e);
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void exit_destroy(struct exit_role *e)
{
	if (!e)
		return;
	free_event(e->death);
	free_event(e->repair);
	free_event(e->poll);
	tunnel_close(e->tunnel);
	if (e->nat.interface[0])
		nat_remove(e->nat.interface);
	peers_destroy(e->peers);
	pool_destroy(e->pool);
	free(e->allow);
	crypto_wipe(e->config.tunnel.private_key, KEY_LEN);
	free(e);
}

/* ---- views ---- */

static void view_of(struct exit_session_view *v, const struct exit_peer *p, uint64_t now)
{
	memset(v, 0, sizeof(*v));
	memcpy(v->session, p->session, SESSION_ID_LEN);
	memcpy(v->payer, p->payer, KEY_LEN);
	v->inner4 = p->inner.v4;
	v->inner6 = p->inner.v6;
	v->up = p->up;
	v->down = p->down;
	v->signed_bytes = p->signed_bytes;
	v->window = p->window;
	v->idle_ms = now - p->active_ms;
	v->age_ms = now - p->opened_ms;
	v->last_handshake = p->last_handshake;
	v->held = p->held;
	v->ignored = p->ignored;
}

/* Whoever asks sees the device as it is now; if it cannot be read, as it was at the last poll. */
static void refresh(struct exit_role *e)
{
	if (metering_read(e) != 0)
		log_debug("the exit's device cannot be read: what is shown is a little old");
}

void exit_sessions(struct exit_role *e, exit_session_each each, void *arg)
{
	struct exit_session_view view;
	const struct exit_peer *p = NULL;

	refresh(e);
	while ((p = peers_next(e->peers, p))) {
		if (p->state != PEER_LIVE)
			continue;
		view_of(&view, p, clock_ms());
		each(arg, &view);
	}
}

void exit_status(struct exit_role *e, struct exit_status *out)
{
	const struct exit_peer *p = NULL;

	refresh(e);
	*out = (struct exit_status){.repairs = e->repairs,
				    .backend = tunnel_backend_name(e->tunnel),
				    .up = e->up,
				    .down = e->down,
				    .receipts_issued = e->receipts_issued,
				    .receipts_signed = e->receipts_signed,
				    .disputes = e->disputes};
	while ((p = peers_next(e->peers, p)))
		out->peers += p->state == PEER_LIVE;
}
