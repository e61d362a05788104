/*
 * culvertd's node process: one event loop that holds relay, exit, control channel, ledger and API
 * together. Roles are optional; nothing else knows of both. Main thread only.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <event2/event.h>

#include "base/siphash.h"
#include "config/config.h"
#include "control/server.h"
#include "exit/exit.h"
#include "relay/relay.h"

enum {
	NODE_EXIT_SLOTS = 2 * CONFIG_EXITS_MAX, /* old ones may still have sessions */
	NODE_WATCHED = 4,
	NODE_SHARES = 4096,
};

/* In the DataDir: where the settlement batches are. */
#define SETTLEMENT_DIRECTORY "settlement"

/* The secrets read at start, in locked memory. */
struct node_keys {
	struct noise_keypair control;
	struct noise_keypair wg; /* zero unless an exit */
};

struct api;
struct presented;

/* How much clients show in a second, by a hash of their keys that is another one in the next. */
struct presented_shares {
	uint64_t since_ms;
	struct siphash_key hash;
	uint8_t used[NODE_SHARES];
};

struct node {
	const char *config_path;
	struct config_node config;
	struct node_keys *keys;
	struct tunnel_prefix allow[RANGES_MAX]; /* what the exit's configuration points to */
	struct event_base *base;
	struct ledger *ledger;
	struct ledger_identity identity;
	struct control_server *control;
	struct relay *relay;    /* NULL without the role */
	struct exit_role *exit; /* NULL without the role */
	struct api *api;
	struct presented *presented; /* questions to the ledger on their way */
	struct presented_shares shares;
	int public_fd; /* exit without relay: the node opens the public port itself; else -1 */
	struct event *public_event, *ledger_read, *ledger_write, *watchdog;
	struct event *signals[NODE_WATCHED];
	uint64_t started_ms;
	unsigned stopping; /* roles that have not said yet that they stopped */
	bool stop_asked, finished;
};

/* Runs until told to stop; the process's exit status. config is copied. */
int node_run(const struct config_node *config, const char *config_path);

/* ---- settings.c: what the configuration means for each part ---- */

/* False if a key file cannot be used: error[CONFIG_ERROR_MAX] is the line to show. */
MUST_CHECK bool settings_keys(struct node_keys *out, const struct config_node *c,
			      char error[static CONFIG_ERROR_MAX]);
/* 0, or -ENAMETOOLONG (said by log_warn). */
MUST_CHECK int settings_ledger(struct ledger_config *out, const struct config_node *c,
			       const struct node_keys *keys);
/* Sessions of one address at a relay, as [Relay] SessionsPerAddress has it. */
uint32_t settings_per_address(const struct config_node *c);
void settings_relay(struct relay_config *out, const struct config_node *c);
/* allow[RANGES_MAX] backs out->allow. */
void settings_exit(struct exit_config *out, const struct config_node *c,
		   const struct node_keys *keys, struct tunnel_prefix *allow);

/* ---- verbs.c: who answers what ---- */
void verbs_handle(void *arg, const struct control_caller *caller, uint8_t verb, uint32_t id,
		  const uint8_t *body, size_t len);

/* ---- presented.c: what a client shows for its payer ---- */
/* GRANT and HELD. */
void presented_handle(struct node *n, const struct control_caller *caller, uint8_t verb,
		      uint32_t id, const uint8_t *body);
/* Answers on their way to the ledger are forgotten: it is not dispatched any more. */
void presented_end(struct node *n);

/* ---- public.c: the public port of a node that is an exit only ---- */
MUST_CHECK int public_open(struct node *n);
void public_close(struct node *n);
void public_send(struct node *n, const struct net_addr *to, const void *msg, size_t len);

/* ---- reload.c ---- */
void reload_exits(struct node *n);
void reload(struct node *n);

#endif
