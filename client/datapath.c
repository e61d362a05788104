#include "client/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/binder.h"
#include "client/timer.h"
#include "proto/crypto.h"
#include "tunnel/route.h"

#define KEEPALIVE_S     25
#define RETRY_MS        1000
#define SHAKE_LOOK_MS   50   /* between looks whether the handshake is through */
#define SHAKE_RENEW_MS  2000 /* before WireGuard is made to start over; doubles ... */
#define SHAKE_RENEW_MAX 16000

struct datapath {
	struct datapath_config config;
	struct tunnel_prefix allowed[CONFIG_PREFIXES_MAX];
	struct event_base *base;
	void (*changed)(void *arg, enum datapath_event event);
	void *arg;

	/* what is known */
	bool has_relay, has_session, has_inner, unrouted;
	struct net_addr relay;
	struct body_granted granted;
	struct body_peer inner;
	/* what is done */
	bool addressed, bound, peered, routed, shaken;
	bool unanswered; /* BIND, for DATAPATH_UNBOUND_MS */

	struct tunnel *tunnel;
	struct event *died; /* NULL: the backend has no process */
	bool dead;
	struct wallet_count carried; /* by devices that are gone */
	struct wallet_count counted; /* as of the last reading */
	uint64_t last_handshake;
	unsigned made; /* what the guard knows of */

	struct binder *binder;
	uint64_t counter;
	uint32_t binds, rebinds;
	uint64_t peered_wall, renew_at_ms, renew_ms;

	struct event *advance_timer, *unbound_timer, *shake_timer;
};

static void advance_soon(struct datapath *d, uint64_t ms)
{
	timer_set(d->advance_timer, ms);
}

static void note(struct datapath *d, unsigned made)
{
	d->made = made;
	guard_note(d->config.guard, made);
}

/* ---- device ---------------------------------------------------------------------------------- */

static enum tunnel_backend backend_of(const char *name)
{
	if (strcmp(name, "kernel") == 0)
		return TUNNEL_KERNEL;
	if (strcmp(name, "userspace") == 0)
		return TUNNEL_USERSPACE;
	return strcmp(name, "fake") == 0 ? TUNNEL_FAKE : TUNNEL_AUTO;
}

static void watch_device(struct datapath *d);

/* wireguard-go died: the same device again, with its peers, but without addresses and routes. The
 * rules stay, so that nothing passes by the tunnel meanwhile. */
static void repair(struct datapath *d)
{
	int err = tunnel_repair(d->tunnel);

	if (err < 0) {
		log_warnx("the WireGuard device died and could not be made again: %s; trying on",
			  strerror(-err));
		return;
	}
	log_info("the WireGuard device died and was made again");
	d->dead = false;
	watch_device(d);
	d->addressed = d->bound = d->peered = d->shaken = d->routed = false;
}

static void device_died(evutil_socket_t fd, short what, void *arg)
{
	struct datapath *d = arg;

	(void)fd;
	(void)what;
	event_free(d->died);
	d->died = NULL;
	d->dead = true;
	advance_soon(d, 0);
	d->changed(d->arg, DATAPATH_LOST);
}

static void watch_device(struct datapath *d)
{
	int fd = tunnel_watch_fd(d->tunnel);

	if (fd < 0)
		return;
	d->died = event_new(d->base, fd, EV_READ, device_died, d);
	if (!d->died || event_add(d->died, NULL) < 0)
		fatalx("the event loop takes no more descriptors");
}

static bool make_device(struct datapath *d)
{
	const struct config_client *c = d->config.config;
	struct tunnel_config config = {
		.backend = backend_of(c->backend), .fwmark = c->fwmark, .mtu = c->mtu};
	int err;

	memcpy(config.name, c->interface, sizeof(config.name));
	memcpy(config.private_key, d->config.private_key, KEY_LEN);
	note(d, d->made | GUARD_DEVICE);
	err = tunnel_open(&d->tunnel, &config);
	crypto_wipe(&config, sizeof(config));
	if (err < 0) {
		d->tunnel = NULL;
		note(d, d->made & ~(unsigned)GUARD_DEVICE);
		d->changed(d->arg, DATAPATH_FAILED);
		return false;
	}
	log_debug("device %s: %s", c->interface, tunnel_backend_name(d->tunnel));
	watch_device(d);
	return true;
}

static bool device_is_there(struct datapath *d)
{
	if (!d->tunnel)
		return make_device(d);
	if (d->dead)
		repair(d);
	if (!d->dead)
		return true;
	advance_soon(d, RETRY_MS);
	return false;
}

static void remove_device(struct datapath *d)
{
	struct wallet_count last;

	datapath_count(d, &last);
	d->carried = last;
	d->counted = (struct wallet_count){0};
	binder_cancel(d->binder);
	d->binder = NULL;
	if (d->died)
		event_free(d->died);
	d->died = NULL;
	d->dead = false;
	tunnel_close(d->tunnel);
	d->tunnel = NULL;
	d->addressed = d->bound = d->peered = d->shaken = d->routed = false;
	note(d, d->made & ~(unsigned)GUARD_DEVICE);
}

void datapath_unroute(struct datapath *d)
{
	d->unrouted = true;
	if (!(d->made & GUARD_RULES))
		return;
	route_clean(d->config.config->fwmark);
	d->routed = false;
	note(d, d->made & ~(unsigned)GUARD_RULES);
}

/* ---- addresses, peer, routes ----------------------------------------------------------------- */

static bool give_address(struct datapath *d, const uint8_t *ip, size_t len)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct net_addr addr = {.port = 0};

	if (crypto_is_zero(ip, len))
		return true;
	if (len == 4)
		memcpy(addr.ip, mapped, sizeof(mapped));
	memcpy(addr.ip + sizeof(addr.ip) - len, ip, len);
	return route_address(d->config.config->interface, &addr, len == 4 ? 32 : 128) == 0;
}

static bool give_addresses(struct datapath *d)
{
	d->addressed = give_address(d, d->inner.address4, sizeof(d->inner.address4)) &&
		       give_address(d, d->inner.address6, sizeof(d->inner.address6));
	if (!d->addressed)
		advance_soon(d, RETRY_MS);
	return d->addressed;
}

/* The peer comes after the port: its keepalive makes WireGuard send a handshake at once. One that
 * is there already is removed first, because only that makes WireGuard forget keys and indices that
 * the other side no longer knows. */
static bool set_peer(struct datapath *d)
{
	struct tunnel_peer peer = {.has_endpoint = true,
				   .endpoint = d->relay,
				   .keepalive = KEEPALIVE_S,
				   .allowed = d->allowed,
				   .allowed_count = d->config.config->allowed_count};
	int err;

	memcpy(peer.key, d->config.exit_key, KEY_LEN);
	err = tunnel_remove_peer(d->tunnel, peer.key);
	if (err < 0 && err != -ENOENT)
		log_debug("device: peer not removed: %s", strerror(-err));
	d->peered_wall = clock_wall();
	err = tunnel_set_peer(d->tunnel, &peer);
	if (err < 0) {
		log_warnx("the WireGuard device does not take its peer: %s", strerror(-err));
		advance_soon(d, RETRY_MS);
		return false;
	}
	log_debug("device: peer set, handshake begins");
	d->peered = true;
	d->shaken = false;
	d->renew_at_ms = clock_ms() + d->renew_ms;
	timer_set(d->shake_timer, SHAKE_LOOK_MS);
	return true;
}

static bool set_routes(struct datapath *d)
{
	const struct config_client *c = d->config.config;
	int err;

	if (d->made & GUARD_RULES)
		route_clean(c->fwmark); /* those of the device before this one */
	note(d, d->made | GUARD_RULES);
	err = route_into(c->interface, d->allowed, c->allowed_count, c->fwmark);
	if (err < 0) {
		log_warnx("the routes into %s could not be set; trying again", c->interface);
		route_clean(c->fwmark);
		advance_soon(d, RETRY_MS);
		return false;
	}
	d->routed = true;
	return true;
}

/* ---- BIND ------------------------------------------------------------------------------------ */

static void bind_done(void *arg, int err, uint16_t port)
{
	struct datapath *d = arg;

	d->binder = NULL;
	timer_stop(d->unbound_timer);
	if (!err)
		err = tunnel_set_port(d->tunnel, port);
	if (err < 0) {
		log_debug("bind: %s", strerror(-err));
		advance_soon(d, 0);
		return;
	}
	log_debug("bind: the data path moved to a fresh port");
	d->bound = true;
	d->unanswered = false;
	if (d->binds++ > 0)
		d->rebinds++;
	/* A move may have brought the session to another of the relay's workers, which the exit
	 * hears of only by a packet from there; in a download we might have nothing to say. */
	if (d->peered && tunnel_nudge(d->tunnel, d->config.exit_key) < 0)
		log_debug("device: not nudged");
	advance_soon(d, 0);
}

static void start_bind(struct datapath *d)
{
	struct binder_config config = {
		.relay = d->relay, .mark = d->config.config->fwmark, .counter = ++d->counter};
	int err;

	if (d->binder)
		return;
	memcpy(config.session, d->granted.session, SESSION_ID_LEN);
	memcpy(config.bind_key, d->granted.bind_key, KEY_LEN);
	err = binder_start(&d->binder, d->base, &config, bind_done, d);
	if (err < 0) {
		d->binder = NULL;
		log_debug("bind: %s", strerror(-err));
		advance_soon(d, RETRY_MS);
	}
	if (!timer_running(d->unbound_timer))
		timer_set(d->unbound_timer, DATAPATH_UNBOUND_MS);
}

void datapath_rebind(struct datapath *d)
{
	binder_cancel(d->binder);
	d->binder = NULL;
	d->bound = false;
	advance_soon(d, 0);
}

/* ---- what comes next ------------------------------------------------------------------------- */

static void advance(struct datapath *d)
{
	if (!d->has_relay || !d->has_session || !d->has_inner || d->unrouted)
		return;
	if (!device_is_there(d))
		return;
	if (!d->addressed && !give_addresses(d))
		return;
	if (!d->bound) {
		start_bind(d);
		return;
	}
	if (!d->peered && !set_peer(d))
		return;
	if (!d->routed)
		set_routes(d);
}

static void advance_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	advance(arg);
}

static void unbound_due(evutil_socket_t fd, short what, void *arg)
{
	struct datapath *d = arg;

	(void)fd;
	(void)what;
	if (d->bound)
		return;
	d->unanswered = true;
	timer_set(d->unbound_timer, DATAPATH_UNBOUND_MS);
	d->changed(d->arg, DATAPATH_UNBOUND);
}

static void renew_handshake(struct datapath *d)
{
	d->renew_ms = d->renew_ms * 2 < SHAKE_RENEW_MAX ? d->renew_ms * 2 : SHAKE_RENEW_MAX;
	d->peered = false;
	advance_soon(d, 0);
	d->changed(d->arg, DATAPATH_UNSHAKEN);
}

static void shake_due(evutil_socket_t fd, short what, void *arg)
{
	struct datapath *d = arg;
	struct wallet_count ignored;

	(void)fd;
	(void)what;
	if (!d->tunnel || !d->peered || d->shaken)
		return;
	timer_set(d->shake_timer, SHAKE_LOOK_MS);
	datapath_count(d, &ignored);
	if (d->last_handshake >= d->peered_wall) {
		d->shaken = true;
		d->renew_ms = SHAKE_RENEW_MS;
		timer_stop(d->shake_timer);
		d->changed(d->arg, DATAPATH_UP);
	} else if (d->bound && clock_ms() >= d->renew_at_ms) {
		renew_handshake(d);
	}
}

/* ---- what becomes known ---------------------------------------------------------------------- */

void datapath_set_relay(struct datapath *d, const struct net_addr *relay)
{
	if (d->has_relay && net_addr_eq(&d->relay, relay))
		return;
	d->has_relay = true;
	d->relay = *relay;
	if (d->tunnel && d->peered && tunnel_set_endpoint(d->tunnel, d->config.exit_key, relay) < 0)
		d->peered = false;
	datapath_rebind(d);
}

void datapath_set_session(struct datapath *d, const struct body_granted *granted)
{
	d->granted = *granted;
	d->has_session = true;
	d->counter = 0;
	d->binds = 0;
	d->peered = d->shaken = false;
	d->renew_ms = SHAKE_RENEW_MS;
	datapath_rebind(d);
}

void datapath_set_inner(struct datapath *d, const struct body_peer *peer)
{
	bool moved = d->has_inner &&
		     (memcmp(d->inner.address4, peer->address4, sizeof(peer->address4)) != 0 ||
		      memcmp(d->inner.address6, peer->address6, sizeof(peer->address6)) != 0);

	d->inner = *peer;
	d->has_inner = true;
	d->peered = d->shaken = false;
	d->renew_ms = SHAKE_RENEW_MS;
	if (moved && d->tunnel) {
		/* Old addresses must not stay: a new device has none. */
		remove_device(d);
	}
	advance_soon(d, 0);
}

void datapath_count(struct datapath *d, struct wallet_count *out)
{
	struct tunnel_stat stat;

	if (d->tunnel && tunnel_read_peer(d->tunnel, d->config.exit_key, &stat) == 0) {
		d->counted = (struct wallet_count){.up = stat.tx, .down = stat.rx};
		d->last_handshake = stat.last_handshake;
	}
	out->up = d->carried.up + d->counted.up;
	out->down = d->carried.down + d->counted.down;
}

static const char *waits_for(const struct datapath *d)
{
	if (!d->has_session || !d->has_inner)
		return "sessions";
	if (!d->tunnel || !d->addressed)
		return "the WireGuard device";
	/* While a rebind takes its round trips, the old port goes on. */
	if (!d->bound && (d->binds == 0 || d->unanswered))
		return "the relay to take our port";
	if (!d->routed)
		return "the routes";
	return d->shaken ? NULL : "a WireGuard handshake with the exit";
}

void datapath_view(struct datapath *d, struct datapath_view *view)
{
	*view = (struct datapath_view){
		.backend = d->tunnel ? tunnel_backend_name(d->tunnel) : NULL,
		.waits_for = waits_for(d),
		.last_handshake = d->last_handshake,
		.rebinds = d->rebinds,
	};
	view->up = view->waits_for == NULL;
}

struct datapath *datapath_create(struct event_base *base, const struct datapath_config *config,
				 void (*changed)(void *arg, enum datapath_event event), void *arg)
{
	struct datapath *d = xcalloc(1, sizeof(*d));

	d->config = *config;
	for (size_t i = 0; i < config->config->allowed_count; i++)
		d->allowed[i] = (struct tunnel_prefix){.net = config->config->allowed_ips[i].net,
						       .bits = config->config->allowed_ips[i].bits};
	d->base = base;
	d->changed = changed;
	d->arg = arg;
	d->renew_ms = SHAKE_RENEW_MS;
	d->advance_timer = timer_new(base, advance_due, d);
	d->unbound_timer = timer_new(base, unbound_due, d);
	d->shake_timer = timer_new(base, shake_due, d);
	return d;
}

void datapath_destroy(struct datapath *d)
{
	if (!d)
		return;
	datapath_unroute(d);
	if (d->tunnel)
		remove_device(d);
	binder_cancel(d->binder);
	event_free(d->advance_timer);
	event_free(d->unbound_timer);
	event_free(d->shake_timer);
	crypto_wipe(d, sizeof(*d));
	free(d);
}
