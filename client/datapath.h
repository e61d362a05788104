/*
 * The tunnel on this host: WireGuard device, inner addresses, the port proven to the relay (BIND),
 * and routes, brought up in the one order in which nothing leaks and nothing is sent into a dead
 * tunnel: device, addresses, BIND, port, peer, routes. Told what is known, it does whatever is
 * missing, and does it again when something breaks. Main thread only.
 */
#ifndef CLIENT_DATAPATH_H
#define CLIENT_DATAPATH_H

#include <event2/event.h>

#include "accounting/wallet.h"
#include "client/guard.h"
#include "config/config.h"
#include "tunnel/device.h"

#define DATAPATH_UNBOUND_MS 1000 /* without an answer to BIND, before that is told */

struct datapath;

enum datapath_event {
	DATAPATH_UP,       /* a WireGuard handshake came through */
	DATAPATH_UNBOUND,  /* the relay does not answer BIND; trying goes on */
	DATAPATH_LOST,     /* the device died; what it counted last is not known */
	DATAPATH_UNSHAKEN, /* the exit does not answer handshakes; trying goes on */
	DATAPATH_FAILED,   /* the device cannot be made; the log says why */
};

struct datapath_config {
	const struct config_client *config; /* outlives the data path, as does guard */
	struct guard *guard;
	uint8_t private_key[KEY_LEN];
	uint8_t exit_key[KEY_LEN];
};

/* changed is not called from within the functions below. */
struct datapath *datapath_create(struct event_base *base, const struct datapath_config *config,
				 void (*changed)(void *arg, enum datapath_event event), void *arg);
/* Routes and rules first, then the device, then the guard is told. NULL is fine. */
void datapath_destroy(struct datapath *d);

/* Where the relay is reached; another address moves the device's peer and binds again. */
void datapath_set_relay(struct datapath *d, const struct net_addr *relay);
/* A new session with the relay: it knows neither our port nor WireGuard's indices. */
void datapath_set_session(struct datapath *d, const struct body_granted *granted);
/* A new session with the exit: inner addresses, a new handshake. */
void datapath_set_inner(struct datapath *d, const struct body_peer *peer);
/* BIND from a fresh port. */
void datapath_rebind(struct datapath *d);
/* Takes the routes back, so that nothing enters the tunnel any more. */
void datapath_unroute(struct datapath *d);

/* The device's counters: tx as up, rx as down, over all its incarnations. */
void datapath_count(struct datapath *d, struct wallet_count *out);

struct datapath_view {
	const char *backend;     /* NULL: no device yet */
	const char *waits_for;   /* a sentence part; NULL: nothing, it is up */
	uint64_t last_handshake; /* wall seconds; 0: never */
	uint32_t rebinds;        /* beyond each session's first */
	bool up;
};
void datapath_view(struct datapath *d, struct datapath_view *view);

#endif
