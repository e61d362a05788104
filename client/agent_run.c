#include "client/agent_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "client/agent_api.h"
#include "client/provider.h"
#include "client/timer.h"
#include "client/verbs.h"
#include "config/keyfile.h"

/* ---- files ----------------------------------------------------------------------------------- */

static bool terms_ok(const struct agent_setup *s, const char *path, const struct terms *t,
		     char error[static CONFIG_ERROR_MAX])
{
	const char *unfair = provider_terms_unfair(t, s->config.max_price);

	if (unfair)
		snprintf(error, CONFIG_ERROR_MAX, "%s: %s; choose another, or ask its operator",
			 path, unfair);
	return !unfair;
}

static bool has_role(const struct descriptor *d, enum role role, const char *path,
		     char error[static CONFIG_ERROR_MAX])
{
	if (d->body.roles & role)
		return true;
	snprintf(error, CONFIG_ERROR_MAX, "%s: describes no %s; choose another", path,
		 role == ROLE_RELAY ? "relay" : "exit");
	return false;
}

bool agent_setup_read(struct agent_setup *s, const char *path, char error[static CONFIG_ERROR_MAX])
{
	const struct config_client *c = &s->config;
	uint8_t seed[KEY_LEN];

	if (!config_read_client(&s->config, path, error) || !keyfile_read(seed, c->identity, error))
		return false;
	identity_from_seed(&s->identity, seed);
	crypto_wipe(seed, sizeof(seed));
	if (!keyfile_read(s->control.priv, c->control_key, error) ||
	    !keyfile_read(s->wg_key, c->wg_key, error))
		return false;
	x25519_public(s->control.pub, s->control.priv);
	/* One that has expired may still say where to ask for its successor. */
	return descriptor_file_read(&s->relay, c->relay, c->network, 0, error) &&
	       descriptor_file_read(&s->exit, c->exit, c->network, 0, error) &&
	       has_role(&s->relay, ROLE_RELAY, c->relay, error) &&
	       has_role(&s->exit, ROLE_EXIT, c->exit, error) &&
	       terms_ok(s, c->relay, &s->relay.body.relay_terms, error) &&
	       terms_ok(s, c->exit, &s->exit.body.exit_terms, error);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static const int end_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct running {
	const struct agent_run *run;
	struct event_base *base;
	struct agent *agent;
	struct agent_api *api;
	struct event *signals[ARRAY_SIZE(end_signals)];
	struct event *deadline;
	int status;
};

static void progress(void *arg, enum agent_state state, const char *text)
{
	struct running *r = arg;

	if (state == AGENT_CONNECTED)
		timer_stop(r->deadline);
	r->run->progress(r->run->arg, state, text);
}

static void ended(void *arg, bool failed)
{
	struct running *r = arg;

	if (failed)
		r->status = STATUS_FAILED;
	event_base_loopexit(r->base, NULL);
}

static void end_asked(evutil_socket_t fd, short what, void *arg)
{
	struct running *r = arg;

	(void)fd;
	(void)what;
	agent_stop(r->agent);
}

static void deadline_due(evutil_socket_t fd, short what, void *arg)
{
	struct running *r = arg;

	(void)fd;
	(void)what;
	r->status = STATUS_TIMEOUT;
	agent_stop(r->agent);
}

static void watch_signals(struct running *r)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(end_signals); i++) {
		r->signals[i] = evsignal_new(r->base, end_signals[i], end_asked, r);
		if (!r->signals[i] || event_add(r->signals[i], NULL) < 0)
			fatalx("out of memory for signals");
	}
}

static void serve(struct running *r)
{
	const char *socket = r->run->setup->config.socket;
	int err = agent_api_start(&r->api, r->base, r->agent, socket);

	if (err < 0) {
		log_warnx("%s: %s; choose another Socket in [Api]", socket, strerror(-err));
		r->status = STATUS_FAILED;
		return;
	}
	watch_signals(r);
	if (r->run->wait_ms)
		timer_set(r->deadline, r->run->wait_ms);
	if (event_base_dispatch(r->base) < 0)
		r->status = STATUS_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(end_signals); i++)
		event_free(r->signals[i]);
	agent_api_stop(r->api);
}

int agent_run(const struct agent_run *run)
{
	static const struct agent_ops ops = {.progress = progress, .ended = ended};
	const struct config_client *c = &run->setup->config;
	struct running r = {.run = run, .status = STATUS_OK};
	struct guard *guard;
	int err;

	err = guard_start(&guard, run->lock, c->socket, c->interface, c->fwmark);
	if (err < 0) {
		log_warnx("no guard could be started: %s", strerror(-err));
		guard_unlock(run->lock, c->socket);
		return STATUS_FAILED;
	}
	r.base = event_base_new();
	if (!r.base)
		fatalx("no event loop could be made");
	r.deadline = timer_new(r.base, deadline_due, &r);
	if (agent_create(&r.agent, r.base, run->setup, guard, &ops, &r) < 0) {
		r.status = STATUS_FAILED;
	} else {
		serve(&r);
		agent_destroy(r.agent);
	}
	event_free(r.deadline);
	event_base_free(r.base);
	guard_end(guard);
	return r.status;
}
