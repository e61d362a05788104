/*
 * Configuration: WireGuard's INI dialect, one option table (options.c), parsed whole into one
 * immutable struct. Any problem is one line "FILE:LINE: Key: what is wrong; what to do" and the
 * file is refused.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/log.h"
#include "proto/messages.h"
#include "proto/ranges.h"

/* Where things are when nothing else is said. */
#define CONFIG_NODE_FILE     "/etc/culvert/culvert.conf"
#define CONFIG_CLIENT_FILE   "/etc/culvert/client.conf"
#define CONFIG_NODE_SOCKET   "/run/culvert/culvert.sock"
#define CONFIG_CLIENT_SOCKET "/run/culvert-client/client.sock"

enum {
	CONFIG_PATH_MAX = 256,
	CONFIG_EXITS_MAX = 64,
	CONFIG_PREFIXES_MAX = 32,
	CONFIG_ISSUERS_MAX = 16,
};

struct config_prefix {
	struct net_addr net;
	uint8_t bits;
};

/* culvertd: [Node] [Relay] [Exit] [Price] [Credits] [Api] [Log] */
struct config_node {
	char name[32];
	uint8_t roles;
	char identity[CONFIG_PATH_MAX], control_key[CONFIG_PATH_MAX], data_dir[CONFIG_PATH_MAX];
	uint64_t network;
	struct net_addr listen; /* [Node] Listen = [::]:51820 */
	struct net_addr announce4,
		announce6; /* [Node] Announce = addr:port, up to one per family */
	/* [Relay] */
	unsigned workers; /* 0: cores */
	uint32_t max_sessions, sessions_per_payer, sessions_per_address, idle_seconds;
	uint64_t rate, peer_rate;                      /* bytes/s; 0: none */
	uint64_t monthly_cap;                          /* bytes; 0: none */
	char exits[CONFIG_EXITS_MAX][CONFIG_PATH_MAX]; /* Exit = descriptor file, repeatable */
	size_t exit_count;
	struct ranges allow; /* [Node] AllowRange, repeatable; for the relay's exits and the exit's
				clients */
	/* [Exit] */
	char interface[16], wg_key[CONFIG_PATH_MAX], uplink[16];
	char backend[16]; /* auto, kernel, userspace */
	uint16_t wg_port;
	struct config_prefix pool4, pool6;
	struct net_addr dns4, dns6;
	bool allow_smtp;
	uint32_t max_peers;
	/* [Price] */
	uint64_t relay_price, exit_price; /* micro-credits per GiB */
	uint64_t free_allowance;
	uint64_t window_start, window_cap, loss_bytes;
	uint32_t receipt_seconds, loss_ppm, terms_days;
	/* [Credits] */
	uint8_t issuers[CONFIG_ISSUERS_MAX][KEY_LEN]; /* whose promises are taken for credit */
	size_t issuer_count;
	uint32_t retention_days; /* 0: settled receipts are kept for ever */
	uint32_t fee_ppm;
	uint8_t fee_account[KEY_LEN]; /* zero: none */
	/* [Api] [Log] */
	char socket[CONFIG_PATH_MAX];
	enum log_level log_level;
};

/* culvert up: [Client] [Api] [Log] */
struct config_client {
	char identity[CONFIG_PATH_MAX], control_key[CONFIG_PATH_MAX], wg_key[CONFIG_PATH_MAX];
	char data_dir[CONFIG_PATH_MAX];
	char relay[CONFIG_PATH_MAX], exit[CONFIG_PATH_MAX]; /* descriptor files */
	uint64_t network;
	char interface[16], backend[16];
	struct config_prefix allowed_ips[CONFIG_PREFIXES_MAX];
	size_t allowed_count;
	uint32_t fwmark; /* default 51820, as wg-quick */
	uint16_t mtu;
	uint64_t max_price; /* micro-credits per GiB, relay and exit each; 0: no limit */
	char socket[CONFIG_PATH_MAX];
	enum log_level log_level;
};

#define CONFIG_ERROR_MAX 512

/*
 * Reads and checks a file. On false error[CONFIG_ERROR_MAX] holds the one line to show. Descriptors
 * it names are read too (form, signature, network, role, and that an exit's addresses may be sent
 * to), but may have expired: that is a matter of the day, and no reason not to start.
 */
MUST_CHECK bool config_read_node(struct config_node *out, const char *path,
				 char error[static CONFIG_ERROR_MAX]);
MUST_CHECK bool config_read_client(struct config_client *out, const char *path,
				   char error[static CONFIG_ERROR_MAX]);

/* Only the [Api] Socket of either kind of file; no other file is read. */
MUST_CHECK bool config_read_socket(char out[static CONFIG_PATH_MAX], const char *path,
				   char error[static CONFIG_ERROR_MAX]);

/* Whether the file has a [Client] section: configures `culvert up`, not culvertd. */
MUST_CHECK bool config_is_client(bool *client, const char *path,
				 char error[static CONFIG_ERROR_MAX]);

/*
 * What is allowed but hardly meant (a relay without exits, an announced address nobody can reach,
 * an exit descriptor that has expired): each is told to warn as "FILE: Key: ...; what to do".
 */
typedef void (*config_warning)(void *arg, const char *text);
void config_warn_node(const struct config_node *c, const char *path, uint64_t now_s,
		      config_warning warn, void *arg);

/* A commented file of every option, for `culvert init`: its default, or the values given, of which
 * a key may have more than one. 0 or -errno of the write. */
struct config_value {
	const char *section, *key, *value;
};
MUST_CHECK int config_write(bool client, int fd, const struct config_value *given, size_t count);

#endif
