#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config/keyfile.h"
#include "node/node.h"

static bool read_pair(struct noise_keypair *out, const char *path,
		      char error[static CONFIG_ERROR_MAX])
{
	if (!keyfile_read(out->priv, path, error))
		return false;
	x25519_public(out->pub, out->priv);
	return true;
}

bool settings_keys(struct node_keys *out, const struct config_node *c,
		   char error[static CONFIG_ERROR_MAX])
{
	if (!read_pair(&out->control, c->control_key, error))
		return false;
	return !(c->roles & ROLE_EXIT) || read_pair(&out->wg, c->wg_key, error);
}

static bool in_data_dir(char *out, size_t size, const struct config_node *c, const char *name)
{
	return (size_t)snprintf(out, size, "%s/%s", c->data_dir, name) < size;
}

int settings_ledger(struct ledger_config *out, const struct config_node *c,
		    const struct node_keys *keys)
{
	*out = (struct ledger_config){
		.network = c->network,
		.roles = c->roles,
		.announce4 = c->announce4,
		.announce6 = c->announce6,
		.wg_port = c->roles & ROLE_EXIT ? c->wg_port : 0,
		.price = {[ROLE_RELAY] = c->relay_price, [ROLE_EXIT] = c->exit_price},
		.window_start = c->window_start,
		.window_cap = c->window_cap,
		.receipt_seconds = c->receipt_seconds,
		.loss_ppm = c->loss_ppm,
		.loss_bytes = c->loss_bytes,
		.terms_days = c->terms_days,
		.free_allowance = c->free_allowance,
		.retention_days = c->retention_days,
		.fee_ppm = c->fee_ppm,
	};
	if (!in_data_dir(out->database, sizeof(out->database), c, "ledger.db") ||
	    !in_data_dir(out->descriptor_file, sizeof(out->descriptor_file), c,
			 "node.descriptor") ||
	    !in_data_dir(out->settlement, sizeof(out->settlement), c, SETTLEMENT_DIRECTORY)) {
		log_warnx("[Node] DataDir is too long; choose a shorter path");
		return -ENAMETOOLONG;
	}
	snprintf(out->identity_file, sizeof(out->identity_file), "%s", c->identity);
	memcpy(out->name, c->name, sizeof(out->name));
	static_assert(sizeof(out->issuers) == sizeof(c->issuers), "not the same issuers");
	memcpy(out->issuers, c->issuers, sizeof(out->issuers));
	out->issuer_count = c->issuer_count;
	memcpy(out->control_key, keys->control.pub, KEY_LEN);
	memcpy(out->wg_key, keys->wg.pub, KEY_LEN);
	memcpy(out->fee_account, c->fee_account, KEY_LEN);
	return 0;
}

/* Those this process may use. */
static unsigned cores(void)
{
	cpu_set_t allowed;
	long n = sched_getaffinity(0, sizeof(allowed), &allowed) == 0
			 ? CPU_COUNT(&allowed)
			 : sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > PLANE_WORKERS_MAX ? PLANE_WORKERS_MAX : (unsigned)n;
}

uint32_t settings_per_address(const struct config_node *c)
{
	return c->sessions_per_address ? c->sessions_per_address : (c->max_sessions + 3) / 4;
}

void settings_relay(struct relay_config *out, const struct config_node *c)
{
	*out = (struct relay_config){
		.plane =
			{
				.listen = c->listen,
				.workers = c->workers ? c->workers : cores(),
				.max_sessions = c->max_sessions,
				.max_exits = NODE_EXIT_SLOTS,
				.allow = c->allow,
				.rate = c->rate,
				.peer_rate = c->peer_rate,
				.limited = c->monthly_cap != 0,
			},
		.network = c->network,
		.max_sessions = c->max_sessions,
		.sessions_per_payer = c->sessions_per_payer,
		.sessions_per_address = settings_per_address(c),
		.idle_ms = 1000ull * c->idle_seconds,
		.monthly_cap = c->monthly_cap,
	};
}

static enum tunnel_backend backend_of(const char *name)
{
	if (strcmp(name, "kernel") == 0)
		return TUNNEL_KERNEL;
	if (strcmp(name, "userspace") == 0)
		return TUNNEL_USERSPACE;
	return TUNNEL_AUTO;
}

void settings_exit(struct exit_config *out, const struct config_node *c,
		   const struct node_keys *keys, struct tunnel_prefix *allow)
{
	*out = (struct exit_config){
		.tunnel = {.backend = backend_of(c->backend), .port = c->wg_port},
		.pool4 = {c->pool4.net, c->pool4.bits},
		.pool6 = {c->pool6.net, c->pool6.bits},
		.dns4 = c->dns4,
		.dns6 = c->dns6,
		.allow_smtp = c->allow_smtp,
		.max_peers = c->max_peers,
		.network = c->network,
		.idle_ms = 1000ull * c->idle_seconds,
		.allow = allow,
		.allow_count = c->allow.count,
	};
	memcpy(out->tunnel.name, c->interface, sizeof(out->tunnel.name));
	memcpy(out->tunnel.private_key, keys->wg.priv, KEY_LEN);
	memcpy(out->uplink, c->uplink, sizeof(out->uplink));
	for (size_t i = 0; i < c->allow.count; i++)
		allow[i] = (struct tunnel_prefix){c->allow.allow[i].net, c->allow.allow[i].bits};
}
