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

enum {
	CONFIG_PATH_MAX = 256,
	CONFIG_EXITS_MAX = 64,
	CONFIG_PREFIXES_MAX = 32,
};

struct config_prefix {
	struct net_addr net;
	uint8_t bits;
};

/* culvertd: [Node] [Relay] [Exit] [Price] [Api] [Log] */
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
	uint32_t max_sessions, sessions_per_payer, idle_seconds;
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

/* Reads and checks a file. On false error[CONFIG_ERROR_MAX] holds the one line to show. */
MUST_CHECK bool config_read_node(struct config_node *out, const char *path,
				 char error[static CONFIG_ERROR_MAX]);
MUST_CHECK bool config_read_client(struct config_client *out, const char *path,
				   char error[static CONFIG_ERROR_MAX]);

/* A commented file of every option with its default, for `culvert init`. Returned memory is static.
 */
void config_write_template(bool client, int fd);

#endif
