/*
 * The exit role: a WireGuard device whose peers are clients, each with inner addresses, forwarding
 * and masquerade, metering by the device's counters, receipts of its own. Main thread only.
 */
#ifndef EXIT_EXIT_H
#define EXIT_EXIT_H

#include <event2/event.h>

#include "accounting/ledger.h"
#include "control/server.h"
#include "tunnel/device.h"

struct exit_role;

struct exit_config {
	struct tunnel_config tunnel;
	struct tunnel_prefix pool4,
		pool6;              /* inner addresses; the first of each is the exit's own */
	struct net_addr dns4, dns6; /* given to clients; all-zero ip: none */
	char uplink[16];            /* interface to masquerade to; empty: any but the tunnel */
	bool allow_smtp;            /* TCP/25 */
	uint32_t max_peers;
	uint64_t network, idle_ms;
	const struct tunnel_prefix
		*allow; /* private ranges clients may reach all the same (AllowRange) */
	size_t allow_count;
};

/*
 * Puts the nftables table in place (replacing one a crash left), removes a stale device of that
 * name, makes the device and starts metering in base. config and self are copied; base and ledger
 * outlive the exit. 0 or -errno, said by log_warnx, with nothing left behind.
 */
MUST_CHECK int exit_create(struct exit_role **out, const struct exit_config *config,
			   struct event_base *base, struct ledger *ledger,
			   const struct descriptor *self);
/* The channel its answers and receipts go by. */
void exit_set_control(struct exit_role *e, struct control_server *control);
/* A renewed descriptor: ADD_PEER asks for its terms from now on. */
void exit_set_self(struct exit_role *e, const struct descriptor *self);
/* A payer was given credit, or showed receipts the books did not have: its windows are looked at
 * again, who was held may be released, and what it is asked to sign of earlier sessions may have
 * changed. */
void exit_payer_changed(struct exit_role *e, const uint8_t id[static KEY_LEN]);
/* Takes every peer off the device, shows the last receipts, waits up to two seconds for their
 * signatures, then calls done from the loop; done may destroy the exit. Once. */
void exit_stop(struct exit_role *e, void (*done)(void *arg), void *arg);
void exit_destroy(struct exit_role *e); /* removes device and nftables table */

/* Verbs: ADD_PEER COSIGN DISPUTE CLOSE KEEPALIVE for exit sessions; false if it is not for us. */
bool exit_handle(struct exit_role *e, const struct control_caller *caller, uint8_t verb,
		 uint32_t id, const uint8_t *body, size_t len);

struct exit_session_view {
	uint8_t session[SESSION_ID_LEN], payer[KEY_LEN];
	struct net_addr inner4, inner6;
	uint64_t up, down, signed_bytes, window, idle_ms, age_ms, last_handshake;
	uint64_t ignored; /* heard while held, and dropped */
	bool held;
};
typedef void (*exit_session_each)(void *arg, const struct exit_session_view *view);
/* Live sessions, with the device's counters of this moment. */
void exit_sessions(struct exit_role *e, exit_session_each each, void *arg);

struct exit_status {
	uint32_t peers;
	uint32_t repairs; /* times the device died and was made anew */
	const char *backend;
	uint64_t up, down, receipts_issued, receipts_signed, disputes;
};
/* Totals since the start, of this moment. */
void exit_status(struct exit_role *e, struct exit_status *out);

#endif
