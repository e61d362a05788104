/*
 * The main thread's table of sessions and their payers. A handle is a slot below max_sessions, the
 * same number the workers use; serial tells two sessions apart that had the same handle one after
 * the other. Allocates at creation only. Main thread only.
 */
#ifndef RELAY_REGISTRY_H
#define RELAY_REGISTRY_H

#include "base/addr.h"
#include "base/table.h"
#include "control/server.h"
#include "proto/receipt.h"
#include "relay/plane.h"
#include "relay/share.h"

enum session_phase {
	PHASE_FREE,
	PHASE_OPENING, /* the ledger has not answered yet */
	PHASE_LIVE,
	PHASE_ENDING, /* waits for its worker and the ledger */
	PHASE_ENDED,  /* counters final; waits for the signature on its last receipt */
};

/* Where the data path is. */
enum bind_place {
	BIND_NOWHERE,
	BIND_INSTALLING,
	BIND_BOUND,
	BIND_RETIRING,
};

struct bind_point {
	uint64_t counter;
	struct net_addr addr;
	uint16_t worker;
};

struct session_bind {
	uint8_t key[KEY_LEN];
	uint64_t counter; /* of the newest ANSWER accepted: only higher ones move anything */
	enum bind_place place;
	struct bind_point at;   /* unless nowhere */
	struct bind_point wish; /* done once the move in flight is over, if wanted */
	bool wanted;
	bool ever; /* was bound before: a new address is a move */
	uint32_t moves;
};

/* Somebody who asked and will be answered later. */
struct asker {
	struct control_caller caller;
	uint32_t id;
};

/* The same of a session's owner. */
struct question {
	struct control_path path;
	uint32_t channel, id;
};

/* Its receipts. Totals are bytes up and down together. */
struct session_bill {
	struct receipt_offer *offer; /* outstanding, or NULL */
	/* A receipt of an earlier, ended session of this payer, shown to this owner; or NULL. */
	struct receipt_offer *debt;
	uint64_t issued;        /* total of the newest receipt */
	uint64_t carried;       /* the ledger knows that so much was carried */
	uint64_t issued_ms;     /* when */
	uint64_t signed_seq;    /* newest co-signed */
	uint64_t signed_window; /* what WINDOW said then, for a repeated COSIGN */
	struct question cosigner;
	bool issuing, cosigning, debt_cosigning;
	bool refused; /* the ledger issues no more: disputed or frozen */
};

/* A session is in one list of each kind; the newest is first. */
enum registry_list {
	LIST_PAYER, /* all of one payer */
	LIST_OWNER, /* all of one client */
	LIST_COUNT,
};

struct relay_session {
	enum session_phase phase;
	uint32_t handle, serial;
	uint32_t payer, exit; /* slots */
	uint32_t next[LIST_COUNT];
	uint8_t id[SESSION_ID_LEN];
	uint8_t owner[KEY_LEN];
	struct ratelimit_net net;   /* where its opener shook hands */
	uint8_t statement[KEY_LEN]; /* hash of the open statement: the same OPEN is the same session
				     */
	uint64_t expires;           /* of its terms, seconds since 1970 */
	uint64_t born_ms, active_ms, ended_ms;
	uint64_t up, down, packets_up, packets_down; /* as last heard */
	struct plane_losses *losses;                 /* NULL: none but unanswered */
	uint64_t unanswered;                         /* as in plane_losses */
	uint64_t counted_ms;                         /* when they last rose, or it was bound */
	struct plane_indices client_indices, exit_indices;
	struct share_member share;
	struct session_bind bind;
	struct session_bill bill;
	struct question question; /* while OPENING: of that; later: of who closes it */
	uint32_t close_reason;
	bool asked;    /* the closer's question is not answered yet */
	bool metering; /* its worker was asked for counters that somebody waits for */
	bool told;     /* CLOSED went out */
	bool closing;  /* the ledger was told the end */
};

struct relay_payer {
	uint8_t id[KEY_LEN];
	uint32_t sessions; /* slots that name it; 0: free */
	uint32_t first;    /* of LIST_PAYER */
	struct share_group group;
	uint64_t credit, debt;
	uint64_t asked_ms; /* last time the ledger was asked how it stands */
};

struct registry;

struct registry *registry_create(uint32_t max_sessions);
void registry_destroy(struct registry *g);

/*
 * A slot in PHASE_OPENING with a fresh random id and bind key, known by id, statement, owner and
 * payer; NULL if the table is full.
 */
struct relay_session *registry_add(struct registry *g, const uint8_t owner[static KEY_LEN],
				   const uint8_t payer[static KEY_LEN],
				   const uint8_t statement[static KEY_LEN]);
/* Sets *kept to a copy of offer, or to NULL without one. */
void registry_keep(struct receipt_offer **kept, const struct receipt_offer *offer);
/* What it lost, as last heard. */
void registry_lost(struct relay_session *s, const struct plane_losses *losses);
struct plane_losses registry_losses(const struct relay_session *s);
/* Forgets it; its slot and, with the last session, its payer's are free again. */
void registry_remove(struct registry *g, struct relay_session *s);

/* NULL if there is none. */
struct relay_session *registry_by_id(struct registry *g, const uint8_t id[static SESSION_ID_LEN]);
struct relay_session *registry_by_statement(struct registry *g,
					    const uint8_t statement[static KEY_LEN]);
struct relay_session *registry_by_handle(struct registry *g, uint32_t handle);
/* The next used slot after s (NULL: the first); NULL at the end. s may have been removed. */
struct relay_session *registry_next(struct registry *g, const struct relay_session *s);
/* The first of a list, and the one behind s; NULL at the end. Neither looks at others' sessions. */
struct relay_session *registry_of_payer(struct registry *g, const struct relay_payer *payer);
struct relay_session *registry_of_owner(struct registry *g, const uint8_t owner[static KEY_LEN]);
struct relay_session *registry_behind(struct registry *g, const struct relay_session *s,
				      enum registry_list list);
/* The one that has been in PHASE_ENDED longest, or NULL. Looks at all of them. */
struct relay_session *registry_oldest_ended(struct registry *g);

struct relay_payer *registry_payer(struct registry *g, const struct relay_session *s);
struct relay_payer *registry_payer_by_id(struct registry *g, const uint8_t id[static KEY_LEN]);
uint32_t registry_count(const struct registry *g);

#endif
