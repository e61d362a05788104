/*
 * The client agent: sessions with a relay and, through it, with an exit, and the tunnel that runs
 * over them. Keeps all of it up over network changes, restarts of either node, and the death of the
 * device. Lives in an event_base; main thread only.
 */
#ifndef CLIENT_AGENT_H
#define CLIENT_AGENT_H

#include <event2/event.h>

#include "accounting/wallet.h"
#include "client/datapath.h"
#include "client/grants.h"
#include "client/guard.h"
#include "client/provider.h"
#include "config/config.h"

enum agent_state {
	AGENT_CONNECTING,
	AGENT_CONNECTED,
	AGENT_RECONNECTING,
	AGENT_NO_CREDIT,
	AGENT_DISPUTED,
	AGENT_STOPPING,
};
/* "connected", "out of credit", ... */
const char *agent_state_text(enum agent_state state);

struct agent_setup {
	struct config_client config;
	struct descriptor relay, exit;
	struct identity identity;
	struct noise_keypair control;
	uint8_t wg_key[KEY_LEN];
};

struct agent_ops {
	/* State or text changed; text: what is being waited for, or why. */
	void (*progress)(void *arg, enum agent_state state, const char *text);
	/* The agent is through: asked to stop, or unable to start (failed; the log says why).
	 * Destroy it, but not from within. */
	void (*ended)(void *arg, bool failed);
};

struct agent;

/* setup, guard and ops outlive the agent. 0 or -errno; the log says why. */
MUST_CHECK int agent_create(struct agent **out, struct event_base *base,
			    const struct agent_setup *setup, struct guard *guard,
			    const struct agent_ops *ops, void *arg);
/* Takes routes back, settles with both providers (seconds at most), then ended. Again: at once. */
void agent_stop(struct agent *a);
/* Removes the device. NULL is fine. */
void agent_destroy(struct agent *a);

struct agent_view {
	enum agent_state state;
	const char *interface;
	uint8_t payer[KEY_LEN];
	struct provider_view relay, exit;
	struct datapath_view datapath;
	struct wallet_count counted;
	uint32_t reconnects; /* sessions beyond the first with each provider */
	uint64_t uptime_ms;
};
void agent_view(struct agent *a, struct agent_view *view);
/* What the grants directory has, and what became of each: "taken", "expired", ... The caller frees
 * *out. */
size_t agent_grants(struct agent *a, struct grant_file **out);
const char *agent_grant_text(const struct agent *a, const struct grant_file *f);
/* For queries. */
struct wallet *agent_wallet(struct agent *a);

#endif
