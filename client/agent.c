#include "client/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "client/grants.h"
#include "client/link.h"
#include "client/liveness.h"
#include "client/timer.h"
#include "tunnel/route.h"

#define TICK_MS         500
#define NETWORK_WAIT_MS 100   /* changes come in bursts */
#define NETWORK_BACK_MS 1000  /* between tries without any route */
#define REOPEN_MS       500   /* a provider that ended our session gets a moment */
#define REOPEN_MAX_MS   30000 /* and more of them if it does so again and again, up to this */
#define REOPEN_LIVED_MS 2000  /* a session that lived so long was worth having */
#define TEXT_ROOM       256

/* The next session with a provider that ended the last one. */
struct reopening {
	struct event *timer;
	uint64_t wait_ms; /* after another one that did not live; 0: the last one did */
};

struct agent {
	const struct agent_setup *setup;
	const struct agent_ops *ops;
	void *arg;
	struct event_base *base;

	struct wallet *wallet;
	char grants[GRANTS_PATH];
	struct provider *relay, *exit;
	struct datapath *datapath;

	struct link *link; /* NULL until there is a route to the relay */
	bool v6;           /* the family to try first */
	struct net_addr source;
	int watch_fd;
	struct event *watch, *network_timer;
	bool network_forced; /* start over even if our address is the same */

	struct liveness liveness;
	struct event *tick_timer, *progress_timer;
	struct reopening relay_again, exit_again;
	bool connected_once, stopping, ended;
	uint64_t started_ms;
	enum agent_state told_state;
	char told_text[TEXT_ROOM];
};

const char *agent_state_text(enum agent_state state)
{
	static const char *const texts[] = {
		[AGENT_CONNECTING] = "connecting",     [AGENT_CONNECTED] = "connected",
		[AGENT_RECONNECTING] = "reconnecting", [AGENT_NO_CREDIT] = "out of credit",
		[AGENT_DISPUTED] = "disputed",         [AGENT_STOPPING] = "stopping",
	};

	return texts[state];
}

/* ---- state for people ------------------------------------------------------------------------ */

static enum agent_state state_of(const struct agent *a, const struct agent_view *v)
{
	if (a->stopping)
		return AGENT_STOPPING;
	if (v->relay.state == PROVIDER_DISPUTED || v->exit.state == PROVIDER_DISPUTED)
		return AGENT_DISPUTED;
	if (v->relay.out_of_credit || v->exit.out_of_credit)
		return AGENT_NO_CREDIT;
	if (v->relay.state == PROVIDER_OPEN && v->exit.state == PROVIDER_OPEN && v->datapath.up)
		return AGENT_CONNECTED;
	return a->connected_once ? AGENT_RECONNECTING : AGENT_CONNECTING;
}

void agent_view(struct agent *a, struct agent_view *view)
{
	*view = (struct agent_view){.interface = a->setup->config.interface};
	memcpy(view->payer, a->setup->identity.id, KEY_LEN);
	provider_view(a->relay, &view->relay);
	provider_view(a->exit, &view->exit);
	datapath_count(a->datapath, &view->counted);
	datapath_view(a->datapath, &view->datapath);
	view->reconnects = (view->relay.opens ? view->relay.opens - 1 : 0) +
			   (view->exit.opens ? view->exit.opens - 1 : 0);
	view->uptime_ms = clock_ms() - a->started_ms;
	view->state = state_of(a, view);
}

static void provider_text(char *out, const char *role, const struct provider_view *v)
{
	snprintf(out, TEXT_ROOM, "waiting for %s %.32s%s%s", role,
		 (const char *)v->descriptor.body.name, v->trouble ? ": " : "",
		 v->trouble ? v->trouble : "");
}

static void state_text(const struct agent *a, const struct agent_view *v, char *out)
{
	if (!a->link)
		snprintf(out, TEXT_ROOM, "waiting for a network with a route to the relay");
	else if (v->relay.state != PROVIDER_OPEN)
		provider_text(out, "relay", &v->relay);
	else if (v->exit.state != PROVIDER_OPEN)
		provider_text(out, "exit", &v->exit);
	else if (v->relay.out_of_credit)
		provider_text(out, "relay", &v->relay);
	else if (v->exit.out_of_credit)
		provider_text(out, "exit", &v->exit);
	else if (v->datapath.waits_for)
		snprintf(out, TEXT_ROOM, "waiting for %s", v->datapath.waits_for);
	else
		snprintf(out, TEXT_ROOM, "through %.32s to %.32s",
			 (const char *)v->relay.descriptor.body.name,
			 (const char *)v->exit.descriptor.body.name);
}

static void tell_progress(struct agent *a)
{
	struct agent_view v;
	char text[TEXT_ROOM];

	agent_view(a, &v);
	state_text(a, &v, text);
	a->connected_once |= v.state == AGENT_CONNECTED;
	if (v.state == a->told_state && strcmp(text, a->told_text) == 0)
		return;
	log_debug("agent: %s, %s", agent_state_text(v.state), text);
	a->told_state = v.state;
	memcpy(a->told_text, text, sizeof(text));
	a->ops->progress(a->arg, v.state, a->told_text);
}

static void progress_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_progress(arg);
}

/* ---- the way to the relay -------------------------------------------------------------------- */

static void link_heard(void *arg, const uint8_t *msg, size_t len)
{
	struct agent *a = arg;

	provider_input(a->relay, msg, len);
}

/* A socket towards whichever of the relay's addresses this host has a route to. */
static bool open_link(struct agent *a, struct link **out, struct net_addr *relay)
{
	for (int i = 0; i < 2; i++) {
		bool v6 = a->v6 ^ (i == 1);

		if (!descriptor_endpoint(&a->setup->relay, v6, false, relay) ||
		    link_open(out, a->base, relay, a->setup->config.fwmark, link_heard, a) < 0)
			continue;
		a->v6 = v6;
		return true;
	}
	return false;
}

/* The network is not what it was: a new socket, a fresh handshake, a fresh port. If our address
 * towards the relay is the same, asking whether all is well is enough. */
static void network_due(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;
	struct net_addr relay, source = {.port = 0};
	struct link *fresh;

	(void)fd;
	(void)what;
	if (a->stopping)
		return;
	if (!open_link(a, &fresh, &relay)) {
		log_debug("network: no route to the relay");
		timer_set(a->network_timer, NETWORK_BACK_MS);
		a->network_forced = true;
		return;
	}
	if (!link_source(fresh, &source))
		a->network_forced = true;
	if (a->link && !a->network_forced && memcmp(source.ip, a->source.ip, 16) == 0) {
		link_close(fresh);
		provider_probe(a->relay);
		return;
	}
	log_debug("network: control channel starts over");
	link_close(a->link);
	a->link = fresh;
	a->source = source;
	a->network_forced = false;
	datapath_set_relay(a->datapath, &relay);
	datapath_rebind(a->datapath);
	provider_open(a->relay);
	provider_restart(a->relay);
}

static void network_event(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;

	(void)what;
	if (route_watch_changed(fd, a->setup->config.interface) && !timer_running(a->network_timer))
		timer_set(a->network_timer, NETWORK_WAIT_MS);
}

/* The relay is silent at this address: the other one, if it has two. */
static void try_other_address(struct agent *a)
{
	struct net_addr other;

	if (!descriptor_endpoint(&a->setup->relay, !a->v6, false, &other))
		return;
	a->v6 = !a->v6;
	a->network_forced = true;
	timer_set(a->network_timer, 0);
}

/* ---- what the parts say ---------------------------------------------------------------------- */

static void to_provider(void *arg, struct provider *p, const void *msg, size_t len)
{
	struct agent *a = arg;

	if (p == a->exit)
		provider_pass(a->relay, msg, len);
	else if (a->link)
		link_send(a->link, msg, len);
}

static void from_exit(void *arg, const uint8_t *msg, size_t len)
{
	struct agent *a = arg;

	provider_input(a->exit, msg, len);
}

static void count(void *arg, struct wallet_count *out)
{
	struct agent *a = arg;

	datapath_count(a->datapath, out);
}

static void finish(struct agent *a, bool failed)
{
	if (a->ended)
		return;
	a->ended = true;
	a->ops->ended(a->arg, failed);
}

/* For the books only: a tunnel works as well without. */
static void pair_sessions(struct agent *a)
{
	struct provider_view relay, exit;

	provider_view(a->relay, &relay);
	provider_view(a->exit, &exit);
	if (relay.state == PROVIDER_OPEN && exit.state == PROVIDER_OPEN &&
	    wallet_pair(a->wallet, relay.session, exit.session) < 0)
		log_debug("wallet: which sessions belong together was not written down");
}

static void opened(struct agent *a, struct provider *p)
{
	pair_sessions(a);
	if (p == a->exit) {
		datapath_set_inner(a->datapath, provider_peer(p));
		return;
	}
	datapath_set_session(a->datapath, provider_granted(p));
	/* The relay carries control datagrams of a handshake it has seen: the exit's starts over.
	 */
	provider_open(a->exit);
	provider_restart(a->exit);
}

/* A relay is wanted back at once, for nothing moves without it; but one that grants and ends, over
 * and over, must not keep us and it busy. */
static void reopen_later(struct agent *a, const struct provider *p)
{
	struct reopening *again = p == a->relay ? &a->relay_again : &a->exit_again;
	struct provider_view v;

	provider_view(p, &v);
	if (v.age_ms >= REOPEN_LIVED_MS)
		again->wait_ms = 0;
	else if (again->wait_ms == 0)
		again->wait_ms = REOPEN_MS;
	else
		again->wait_ms =
			again->wait_ms < REOPEN_MAX_MS / 2 ? again->wait_ms * 2 : REOPEN_MAX_MS;
	timer_set(again->timer, again->wait_ms == 0 && p == a->exit ? REOPEN_MS : again->wait_ms);
}

static void provider_changed(void *arg, struct provider *p, enum provider_event event)
{
	struct agent *a = arg;

	if (a->stopping) {
		if (event == PROVIDER_ENDED && p == a->exit)
			provider_close(a->relay);
		else if (event == PROVIDER_ENDED)
			finish(a, false);
		return;
	}
	switch (event) {
	case PROVIDER_OPENED:
		opened(a, p);
		break;
	case PROVIDER_GONE:
		reopen_later(a, p);
		break;
	case PROVIDER_SILENT:
		if (p == a->relay)
			try_other_address(a);
		break;
	case PROVIDER_LEFT:
	case PROVIDER_ENDED:
		break;
	}
	timer_set(a->progress_timer, 0);
}

static void relay_due(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;

	(void)fd;
	(void)what;
	if (!a->stopping)
		provider_open(a->relay);
}

/* Without a session with the relay it waits for that: see opened. */
static void exit_due(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;

	(void)fd;
	(void)what;
	if (!a->stopping && provider_granted(a->relay))
		provider_open(a->exit);
}

static void datapath_changed(void *arg, enum datapath_event event)
{
	struct agent *a = arg;
	struct wallet_count c;

	timer_set(a->progress_timer, 0);
	switch (event) {
	case DATAPATH_UP:
		datapath_count(a->datapath, &c);
		liveness_start(&a->liveness, clock_ms(), c.up, c.down);
		break;
	case DATAPATH_UNBOUND:
		provider_probe(a->relay);
		break;
	case DATAPATH_LOST:
		provider_lost_count(a->relay);
		provider_lost_count(a->exit);
		break;
	case DATAPATH_UNSHAKEN:
		provider_probe(a->exit);
		break;
	case DATAPATH_FAILED:
		finish(a, true);
		break;
	}
}

/* ---- do packets come back? ------------------------------------------------------------------- */

static void watch_packets(struct agent *a, const struct agent_view *v)
{
	uint64_t now = clock_ms();

	/* Held back for want of credit or signatures is not a broken path. */
	if (v->state != AGENT_CONNECTED) {
		liveness_start(&a->liveness, now, v->counted.up, v->counted.down);
		return;
	}
	switch (liveness_step(&a->liveness, now, v->counted.up, v->counted.down)) {
	case LIVENESS_FINE:
		break;
	case LIVENESS_PROBE:
		log_debug("agent: no packets come back, asking the relay");
		provider_probe(a->relay);
		break;
	case LIVENESS_REBIND:
		log_debug("agent: no packets come back, binding a fresh port");
		datapath_rebind(a->datapath);
		provider_probe(a->relay);
		provider_probe(a->exit);
		break;
	}
}

static void tick_due(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;
	struct agent_view v;

	(void)fd;
	(void)what;
	timer_set(a->tick_timer, TICK_MS);
	agent_view(a, &v);
	watch_packets(a, &v);
	tell_progress(a);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static int open_wallet(struct agent *a)
{
	char path[CONFIG_PATH_MAX + 16];
	int err = dir_make(a->setup->config.data_dir, 0700);

	if (err < 0) {
		log_warnx("%s cannot be made: %s; choose another DataDir",
			  a->setup->config.data_dir, strerror(-err));
		return err;
	}
	snprintf(path, sizeof(path), "%s/wallet.db", a->setup->config.data_dir);
	return wallet_open(&a->wallet, path, false);
}

static void make_providers(struct agent *a)
{
	static const struct provider_ops ops = {
		.send = to_provider,
		.count = count,
		.changed = provider_changed,
		.passed = from_exit,
	};
	const struct agent_setup *s = a->setup;
	struct provider_config config = {
		.role = ROLE_RELAY,
		.descriptor = s->relay,
		.control = s->control,
		.payer = &s->identity,
		.network = s->config.network,
		.max_price = s->config.max_price,
		.wallet = a->wallet,
		.grants = a->grants,
	};

	memcpy(config.subject, s->exit.body.node, KEY_LEN);
	a->relay = provider_create(a->base, &config, &ops, a);
	config.role = ROLE_EXIT;
	config.descriptor = s->exit;
	x25519_public(config.subject, s->wg_key);
	a->exit = provider_create(a->base, &config, &ops, a);
	crypto_wipe(&config, sizeof(config));
}

static void make_datapath(struct agent *a, struct guard *guard)
{
	struct datapath_config config = {.config = &a->setup->config, .guard = guard};

	memcpy(config.private_key, a->setup->wg_key, KEY_LEN);
	memcpy(config.exit_key, a->setup->exit.body.wg_key, KEY_LEN);
	a->datapath = datapath_create(a->base, &config, datapath_changed, a);
	crypto_wipe(&config, sizeof(config));
}

static void watch_network(struct agent *a)
{
	a->watch_fd = route_watch_open();
	if (a->watch_fd < 0) {
		log_warnx("network changes cannot be watched: %s; they are noticed only when "
			  "packets stop coming",
			  strerror(-a->watch_fd));
		return;
	}
	a->watch = event_new(a->base, a->watch_fd, EV_READ | EV_PERSIST, network_event, a);
	if (!a->watch || event_add(a->watch, NULL) < 0)
		fatalx("the event loop takes no more descriptors");
}

int agent_create(struct agent **out, struct event_base *base, const struct agent_setup *setup,
		 struct guard *guard, const struct agent_ops *ops, void *arg)
{
	struct agent *a = xcalloc(1, sizeof(*a));
	int err;

	a->setup = setup;
	a->ops = ops;
	a->arg = arg;
	a->base = base;
	a->started_ms = clock_ms();
	a->told_state = AGENT_CONNECTING;
	err = open_wallet(a);
	if (err < 0) {
		free(a);
		return err;
	}
	a->tick_timer = timer_new(base, tick_due, a);
	a->progress_timer = timer_new(base, progress_due, a);
	a->relay_again.timer = timer_new(base, relay_due, a);
	a->exit_again.timer = timer_new(base, exit_due, a);
	a->network_timer = timer_new(base, network_due, a);
	grants_path(a->grants, setup->config.data_dir);
	make_datapath(a, guard);
	make_providers(a);
	watch_network(a);
	liveness_start(&a->liveness, a->started_ms, 0, 0);
	timer_set(a->network_timer, 0);
	timer_set(a->tick_timer, 0);
	*out = a;
	return 0;
}

void agent_stop(struct agent *a)
{
	if (a->stopping) {
		finish(a, false);
		return;
	}
	a->stopping = true;
	datapath_unroute(a->datapath);
	tell_progress(a);
	provider_close(a->exit);
}

void agent_destroy(struct agent *a)
{
	if (!a)
		return;
	datapath_unroute(a->datapath);
	provider_destroy(a->exit);
	provider_destroy(a->relay);
	datapath_destroy(a->datapath);
	link_close(a->link);
	if (a->watch)
		event_free(a->watch);
	if (a->watch_fd >= 0)
		close(a->watch_fd);
	event_free(a->tick_timer);
	event_free(a->progress_timer);
	event_free(a->relay_again.timer);
	event_free(a->exit_again.timer);
	event_free(a->network_timer);
	wallet_close(a->wallet);
	free(a);
}

size_t agent_grants(struct agent *a, struct grant_file **out)
{
	return grants_load(out, a->grants);
}

const char *agent_grant_text(const struct agent *a, const struct grant_file *f)
{
	const struct grant_body *b = &f->grant.body;
	enum grant_verdict v = grant_check(&f->grant, a->setup->config.network, clock_wall());
	const struct provider *named =
		memcmp(b->relay, a->setup->relay.body.node, KEY_LEN) == 0  ? a->relay
		: memcmp(b->relay, a->setup->exit.body.node, KEY_LEN) == 0 ? a->exit
									   : NULL;

	if (v != GRANT_OK)
		return grant_verdict_text(v);
	if (memcmp(b->payer, a->setup->identity.id, KEY_LEN) != 0)
		return "for another payer";
	return named ? presenting_said_text(provider_said(named, &f->grant)) : "for another node";
}

struct wallet *agent_wallet(struct agent *a)
{
	return a->wallet;
}
