/* SIGHUP: exits are read anew, limits and the log level follow; what else changed is named. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/keyfile.h"
#include "node/node.h"
#include "node/notify.h"

struct loaded {
	const struct config_node *config;
	size_t from[CONFIG_EXITS_MAX]; /* index into config->exits of each descriptor read */
};

static void refused(void *arg, size_t i, const char *why)
{
	const struct loaded *l = arg;

	log_warnx("%s: this exit is not used: %s; remove it from [Relay] Exit or get another "
		  "descriptor (`culvert check` says more)",
		  l->config->exits[l->from[i]], why);
}

void reload_exits(struct node *n)
{
	struct descriptor *exits = xcalloc(CONFIG_EXITS_MAX, sizeof(*exits));
	struct loaded l = {.config = &n->config};
	char error[CONFIG_ERROR_MAX];
	size_t count = 0;

	for (size_t i = 0; i < n->config.exit_count; i++) {
		if (!descriptor_file_read(&exits[count], n->config.exits[i], n->config.network, 0,
					  error)) {
			log_warnx("%s", error);
			continue;
		}
		l.from[count++] = i;
	}
	relay_set_exits(n->relay, exits, count, refused, &l);
	free(exits);
}

/* Every option that only a restart can change, by where it is kept. */
#define FIXED(key, member)                                           \
	{                                                            \
		key, offsetof(struct config_node, member),           \
			sizeof(((struct config_node *)NULL)->member) \
	}
static const struct {
	const char *key;
	size_t at, len;
} fixed[] = {
	FIXED("[Node] Name", name),
	FIXED("[Node] Roles", roles),
	FIXED("[Node] Identity", identity),
	FIXED("[Node] ControlKey", control_key),
	FIXED("[Node] DataDir", data_dir),
	FIXED("[Node] Network", network),
	FIXED("[Node] Listen", listen),
	FIXED("[Node] Announce", announce4),
	FIXED("[Node] Announce", announce6),
	FIXED("[Node] AllowRange", allow),
	FIXED("[Relay] Workers", workers),
	FIXED("[Relay] MaxSessions", max_sessions),
	FIXED("[Relay] SessionsPerPayer", sessions_per_payer),
	FIXED("[Relay] SessionsPerAddress", sessions_per_address),
	FIXED("[Relay] Idle", idle_seconds),
	FIXED("[Exit] Interface", interface),
	FIXED("[Exit] WireGuardKey", wg_key),
	FIXED("[Exit] Uplink", uplink),
	FIXED("[Exit] Backend", backend),
	FIXED("[Exit] WireGuardPort", wg_port),
	FIXED("[Exit] AddressPool", pool4),
	FIXED("[Exit] AddressPool", pool6),
	FIXED("[Exit] DNS", dns4),
	FIXED("[Exit] DNS", dns6),
	FIXED("[Exit] AllowSmtp", allow_smtp),
	FIXED("[Exit] MaxPeers", max_peers),
	FIXED("[Price] RelayPerGiB", relay_price),
	FIXED("[Price] ExitPerGiB", exit_price),
	FIXED("[Price] FreeAllowance", free_allowance),
	FIXED("[Price] WindowStart", window_start),
	FIXED("[Price] WindowCap", window_cap),
	FIXED("[Price] LossConstant", loss_bytes),
	FIXED("[Price] ReceiptEvery", receipt_seconds),
	FIXED("[Price] LossShare", loss_ppm),
	FIXED("[Price] TermsDays", terms_days),
	FIXED("[Credits] Issuer", issuers),
	FIXED("[Credits] Retention", retention_days),
	FIXED("[Credits] FeePpm", fee_ppm),
	FIXED("[Credits] FeeAccount", fee_account),
	FIXED("[Api] Socket", socket),
};

static void name_fixed(const struct config_node *old, const struct config_node *new)
{
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (memcmp((const char *)old + fixed[i].at, (const char *)new + fixed[i].at,
			   fixed[i].len) != 0)
			log_warnx("%s changed: it takes effect when culvertd is restarted",
				  fixed[i].key);
}

static void reload_rates(struct node *n, const struct config_node *new)
{
	if (relay_set_rates(n->relay, new->rate, new->peer_rate) < 0) {
		log_warnx("[Relay] Rate or PeerRate given where neither was: it takes effect when "
			  "culvertd is restarted");
		return;
	}
	n->config.rate = new->rate;
	n->config.peer_rate = new->peer_rate;
}

static void reload_cap(struct node *n, uint64_t bytes)
{
	if (relay_set_cap(n->relay, bytes) == 0)
		n->config.monthly_cap = bytes;
	else
		log_warnx(
			"[Relay] MonthlyCap changed from or to none: it takes effect when culvertd "
			"is restarted");
}

static void take(struct node *n, const struct config_node *new)
{
	name_fixed(&n->config, new);
	n->config.log_level = new->log_level;
	log_set_level(new->log_level);
	n->config.exit_count = new->exit_count;
	memcpy(n->config.exits, new->exits, sizeof(n->config.exits));
	if (n->relay) {
		reload_exits(n);
		reload_rates(n, new);
		reload_cap(n, new->monthly_cap);
	}
	log_info("configuration read again");
}

void reload(struct node *n)
{
	struct config_node *new = xcalloc(1, sizeof(*new));
	char error[CONFIG_ERROR_MAX];

	notify_send("RELOADING=1");
	if (config_read_node(new, n->config_path, error))
		take(n, new);
	else
		log_warnx("%s (the old configuration stays)", error);
	free(new);
	notify_send("READY=1");
}
