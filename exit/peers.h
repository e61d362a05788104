/*
 * The exit's sessions: each is a client's WireGuard key with its inner addresses, its counters and
 * its receipts. A fixed number of slots, found by session id or by key. Main thread only.
 */
#ifndef EXIT_PEERS_H
#define EXIT_PEERS_H

#include "control/server.h"
#include "exit/nat.h"

enum peer_state {
	PEER_FREE,
	PEER_OPENING, /* the ledger is registering it; not on the device yet */
	PEER_LIVE,
	PEER_CLOSING, /* off the device; waiting for the last receipt's signature */
	PEER_ENDING,  /* the ledger is closing it */
};

struct exit_role;

/* A request whose answer has to wait. */
struct peer_request {
	bool waiting;
	struct control_caller caller;
	uint32_t id;
};

struct exit_peer {
	enum peer_state state;
	struct exit_role *exit;
	uint8_t session[SESSION_ID_LEN];
	uint8_t owner[KEY_LEN]; /* authenticated control key of whoever opened it */
	uint8_t payer[KEY_LEN];
	uint8_t wg_key[KEY_LEN];
	uint8_t nonce[NONCE_LEN];
	uint32_t number; /* in the pool; 0: handed on to a newer session */
	struct nat_pair inner;

	/* what the device counts; up and down leave out what was there before, and up what came
	 * while held */
	uint64_t base_rx, base_tx, rx, tx;
	uint64_t up, down;
	uint64_t ignored; /* what came while held: nobody pays for it */
	uint64_t polled;  /* up + down at the last poll */
	uint64_t last_handshake;

	uint64_t window;       /* bytes it may have unsigned: its share of its payer's */
	uint64_t told_window;  /* what its owner last heard of that */
	uint64_t signed_bytes; /* of the newest co-signed receipt */
	uint64_t seq;          /* of that receipt; 0: none */
	uint64_t issued_bytes; /* of the newest issued one */
	uint64_t credit;
	bool held, holding; /* holding: out of window as hold_all began */
	bool outstanding;   /* offer waits for its signature */
	struct receipt_offer offer;
	uint64_t pushed_ms, issued_ms, asked_ms;
	uint64_t again_ms; /* no receipt is asked for before, the ledger could not write one */
	bool frozen;       /* disputed, or the ledger gives no more receipts: none are asked for */
	bool has_debt;     /* debt is an unsigned receipt of an earlier session of its payer */
	struct receipt_offer debt;
	unsigned pending; /* ledger calls whose answer will name this peer */

	uint64_t expires; /* of its terms, wall seconds */
	uint64_t receipt_ms;
	uint64_t opened_ms, active_ms, deadline_ms; /* deadline: of closing */
	enum close_reason reason;
	struct peer_request opening, cosigning, closing;
};

struct peers;

/* NULL if memory is not to be had. */
struct peers *peers_create(uint32_t max);
void peers_destroy(struct peers *p);

/* A zeroed peer in PEER_OPENING, in neither index; NULL when all slots are taken. */
struct exit_peer *peers_add(struct peers *p);
void peers_free(struct peers *p, struct exit_peer *peer);

/* Session ids are ours and unique. A key names its newest session. */
void peers_index(struct peers *p, const struct exit_peer *peer);
/* The key no longer names this session. */
void peers_forget_key(struct peers *p, const struct exit_peer *peer);

/* NULL if there is none. */
struct exit_peer *peers_by_session(struct peers *p, const uint8_t session[static SESSION_ID_LEN]);
struct exit_peer *peers_by_key(struct peers *p, const uint8_t wg_key[static KEY_LEN]);

/* Walks all that are not free, in slot order: start with NULL. */
struct exit_peer *peers_next(struct peers *p, const struct exit_peer *after);
uint32_t peers_count(const struct peers *p);

#endif
