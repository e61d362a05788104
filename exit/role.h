/* The exit's state and what its files call of each other. Private to exit/. Main thread only. */
#ifndef EXIT_ROLE_H
#define EXIT_ROLE_H

#include "exit/exit.h"
#include "exit/peers.h"
#include "exit/pool.h"

enum {
	EXIT_UNPAID_MAX = 64,
	EXIT_POLL_IDLE_MS = 250, /* nobody may send */
	EXIT_POLL_MS = 20,       /* somebody may; earlier if half the rest of a window could go */
	EXIT_POLL_MIN_MS = 5,
	EXIT_POLL_REST =
		3, /* so many times what a reading took until the next one, unless it is close */
	EXIT_CLOSE_WAIT_MS = 2000, /* for the last receipt's signature */
	EXIT_PUSH_MS = 1000,       /* between repetitions of an unsigned receipt */
	EXIT_AGAIN_MS = 500,       /* after a receipt the ledger could not write */
	EXIT_ASK_MS = 1000,        /* between looks at the books for a held client's top-up */
	EXIT_CHECK_MS = 5000,      /* between looks whether the nftables table is there */
	EXIT_REPAIR_MS = 1000,     /* between repairs of the device */
};

/* Somebody was shown a receipt of an ended session: its signature is welcome. */
struct exit_unpaid {
	bool used;
	uint8_t session[SESSION_ID_LEN];
	uint8_t owner[KEY_LEN], payer[KEY_LEN];
};

struct exit_role {
	struct exit_config config;
	struct tunnel_prefix *allow; /* owned copy of config.allow */
	struct event_base *base;
	struct ledger *ledger;
	struct descriptor self;
	struct control_server *control;
	struct tunnel *tunnel;
	struct nat_config nat;
	struct pool *pool;
	struct peers *peers;
	uint8_t wg_key[KEY_LEN]; /* public */
	struct exit_unpaid unpaid[EXIT_UNPAID_MAX];
	unsigned unpaid_next;

	struct event *poll, *death, *repair;
	uint64_t polled_ms, checked_ms, repaired_ms;
	bool device_down; /* dead and not yet made anew */
	bool table_dirty; /* a change of the held sets failed: compose the table anew */

	bool stopping, told; /* told: stopped is called or about to be */
	void (*stopped)(void *arg);
	void *stopped_arg;

	uint32_t repairs;
	uint64_t up, down, receipts_issued, receipts_signed, disputes;
};

/* ---- session.c: a session's life ---- */
/* Answers ADD_PEER, now or when the ledger has registered the session. */
void session_add(struct exit_role *e, const struct control_caller *caller, uint32_t id,
		 const struct body_add_peer *body);
/* Final counters, off the device, last receipt, then the ledger's word and CLOSED. Harmless on a
 * session that is closing already. */
void session_close(struct exit_peer *p, enum close_reason reason);
/* Drives a closing session on; may end and free it. */
void session_closing(struct exit_peer *p, uint64_t now);
/* Shares the window of the payer with this id among its live sessions and releases those that may
 * go on by it; those that may not any more are held by the next poll. */
void session_window(struct exit_role *e, const uint8_t id[static KEY_LEN],
		    const struct ledger_payer *payer);
/* That receipt of an earlier session is signed: on to the next one there may be. */
void session_unpaid(struct exit_role *e, const uint8_t payer[static KEY_LEN],
		    const uint8_t session[static SESSION_ID_LEN]);
/* Answers without a peer. */
void session_refuse(struct exit_role *e, const struct control_caller *caller, uint32_t id,
		    enum refusal code);
/* After exit_stop: calls stopped once no session is left. */
void session_check_stopped(struct exit_role *e);

/* ---- metering.c: counters, receipts, holding ---- */
/* Reads the device now; -errno if it is not to be read. */
MUST_CHECK int metering_read(struct exit_role *e);
/* Reads, holds who is out of window, issues what is due, ends what is over; returns how many
 * milliseconds may pass until the next time. */
uint64_t metering_poll(struct exit_role *e);
/* Asks for a receipt. */
void metering_issue(struct exit_peer *p);
/* The same, if one is due. */
void metering_issue_due(struct exit_peer *p, uint64_t now);
/* Shows the owner what waits for a signature: this session's receipt, an earlier one's, or both. */
void metering_push(struct exit_peer *p);
/* Asks the ledger where p's payer stands; its sessions are shared out anew by that, and told. */
void metering_ask(struct exit_peer *p);
/* If it has window again. */
void metering_release(struct exit_peer *p);
void metering_cosign(struct exit_peer *p, const struct control_caller *caller, uint32_t id,
		     const struct body_cosign *body);
/* A signature on a receipt of an ended session that was shown to this caller. */
void metering_cosign_unpaid(struct exit_role *e, const struct exit_unpaid *u,
			    const struct control_caller *caller, uint32_t id,
			    const struct body_cosign *body);

static inline uint64_t peer_bytes(const struct exit_peer *p)
{
	return p->up + p->down;
}

static inline uint64_t peer_unsigned(const struct exit_peer *p)
{
	return peer_bytes(p) - p->signed_bytes;
}

#endif
