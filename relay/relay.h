/*
 * The relay role on the main thread: sessions, their windows and receipts, BIND, PASS. The data
 * path is plane.h; the books are accounting/ledger.h; how clients' requests arrive is
 * control/server.h.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <event2/event.h>

#include "accounting/ledger.h"
#include "control/server.h"
#include "relay/cap.h"
#include "relay/plane.h"

struct relay;

struct relay_config {
	struct plane_config plane;
	uint64_t network;
	uint32_t max_sessions;
	uint32_t sessions_per_payer;
	uint32_t sessions_per_address; /* once more than half of max_sessions are there; 0: all */
	uint64_t idle_ms;     /* a session without traffic or KEEPALIVE for so long is closed */
	uint64_t monthly_cap; /* bytes; 0: none */
};

/* control may be handed over after creation with relay_set_control: the two need each other. */
MUST_CHECK int relay_create(struct relay **out, const struct relay_config *config,
			    struct event_base *base, struct ledger *ledger,
			    const struct descriptor *self);
void relay_set_control(struct relay *r, struct control_server *control);
/* Retires every session and shows the last receipts; calls done, never at once, when all are
 * settled with the ledger. After two seconds what has no signature is handed over as it is. */
void relay_stop(struct relay *r, void (*done)(void *arg), void *arg);
/* The ledger is not dispatched any more by then: answers outstanding are forgotten. NULL is fine.
 */
void relay_destroy(struct relay *r);

/* A renewed descriptor: OPEN asks for its terms from now on. */
void relay_set_self(struct relay *r, const struct descriptor *self);
/* Other limits (plane_config). -EBUSY: from none to some only by a new start. */
MUST_CHECK int relay_set_rates(struct relay *r, uint64_t rate, uint64_t peer_rate);
/* Another MonthlyCap. -EBUSY: from none to some, or back, only by a new start. */
MUST_CHECK int relay_set_cap(struct relay *r, uint64_t bytes);
/* A payer was given credit, or showed receipts the books did not have: its windows are looked at
 * again, and what it is asked to sign of earlier sessions. */
void relay_payer_changed(struct relay *r, const uint8_t id[static KEY_LEN]);

/*
 * The exits this relay forwards to, whole and anew at each load. Refused ones (special address, own
 * address, expired, no exit) are reported by index, with the reason, through `why` (may be NULL)
 * and left out; sessions of exits that went away are closed.
 */
typedef void (*relay_exit_refused)(void *arg, size_t i, const char *why);
void relay_set_exits(struct relay *r, const struct descriptor *exits, size_t count,
		     relay_exit_refused why, void *arg);

/* Verbs of the relay: OPEN COSIGN DISPUTE CLOSE KEEPALIVE PASS for relay sessions. True if it was
 * for us: a session verb naming no relay session of the caller's returns false (it may be the
 * exit's). */
bool relay_handle(struct relay *r, const struct control_caller *caller, uint8_t verb, uint32_t id,
		  const uint8_t *body, size_t len);

/* Datagrams of types 0x11..0x14 heard on the public port are handed up through this. */
void relay_set_control_input(struct relay *r,
			     void (*input)(void *arg, const struct control_path *from,
					   const uint8_t *msg, size_t len),
			     void *arg);
/* Sends a control datagram by the public port; path.via is the worker. */
void relay_send_control(struct relay *r, const struct control_path *to, const void *msg,
			size_t len);

/* Asks the workers for counters; done when all have answered, or 100 ms later. Never within the
 * call. */
void relay_meter(struct relay *r, void (*done)(void *arg), void *arg);

/* What status and sessions show. Counters as of the last meter reading (at most a second old), or
 * fresh within the done of relay_meter. */
struct relay_session_view {
	uint8_t session[SESSION_ID_LEN], payer[KEY_LEN], exit[KEY_LEN];
	uint64_t up, down, signed_bytes, window, idle_ms, age_ms;
	unsigned worker;
	bool bound, held;           /* held: out of window */
	struct plane_losses losses; /* as fresh as up and down */
	uint32_t moves;             /* BINDs that changed its address */
};
typedef void (*relay_session_each)(void *arg, const struct relay_session_view *view);
void relay_sessions(struct relay *r, relay_session_each each, void *arg);

struct relay_status {
	uint32_t sessions, exits;
	struct relay_counters counters;
	struct plane_means means;
	uint64_t rate, peer_rate; /* bytes/s, 0: not limited */
	uint64_t binds, bad_binds, replayed_binds, moves;
	uint64_t receipts_issued, receipts_signed, disputes;
	uint64_t passed_up, passed_down, pass_dropped; /* control datagrams to and from exits */
};
void relay_status(struct relay *r, struct relay_status *out);
/* False: there is no MonthlyCap. */
MUST_CHECK bool relay_month(const struct relay *r, struct cap_status *out);
uint16_t relay_port(const struct relay *r);
unsigned relay_workers(const struct relay *r);
struct plane_part relay_part(const struct relay *r, unsigned worker);

#endif
