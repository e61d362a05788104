/*
 * The insides of the provider's books, for the files that make up the store: the rows of its tables
 * and what reads and writes them. Everything happens inside the caller's transaction. Errors are
 * those of store.h. One thread.
 */
#ifndef ACCOUNTING_ROWS_H
#define ACCOUNTING_ROWS_H

#include "accounting/books.h"
#include "accounting/store.h"
#include "proto/evidence.h"

enum {
	HOUR = 3600,
	ROLES = 3, /* arrays by enum role */
	HOLD_UNPAID_S = 30 * 24 * HOUR,
	ENDED_MAX = 1024, /* sessions of a payer left unsigned, or disputed, until it is held */
	GRANTS_MAX = 256, /* of issuers, of one payer, that expire and are not spent */
};

/* What an issuer can owe at once: dozens of them together fit any account, the node's own too. */
#define ISSUER_MAX (UINT64_C(1) << 57)

/* A session's counters stay below this, so that sums of them fit SQLite's integers. */
#define BYTES_MAX (UINT64_C(1) << 61)

struct store {
	struct db *db;
	struct db *reader; /* for questions; db itself where it is in memory */
	struct store_config config;
	const struct identity *by;
	uint64_t now_s;
	bool has_terms[ROLES];
	struct terms terms[ROLES];
	uint8_t terms_hash[ROLES][KEY_LEN];
	struct epochs *epochs; /* NULL: none are closed here */
};

/* One row of table session. */
struct session {
	uint64_t id;
	uint8_t key[SESSION_ID_LEN];
	uint8_t payer[KEY_LEN];
	uint8_t terms[KEY_LEN];
	enum role role;
	enum session_state state;
	uint64_t price;
	uint64_t seq, up, down, amount;     /* the newest co-signed receipt's */
	uint64_t final_up, final_down;      /* carried, as far as known */
	uint64_t hold;                      /* set aside so far, less given back; >= posted */
	uint64_t posted, paid;              /* booked; of it, what no allowance paid for */
	uint64_t posted_hour, posted_bytes; /* when last, and signed bytes by then */
	uint64_t moves;                     /* bookings of its hold so far */
	uint32_t fee_ppm;                   /* 0: no fee */
	uint8_t fee_account[KEY_LEN];       /* if fee_ppm */
	uint64_t settled, settled_seq;      /* paid and seq, as of its last epoch */
	bool outstanding;
	struct receipt_offer offer; /* if outstanding */
};

/* One row of table payer. */
struct payer {
	uint64_t id;
	uint8_t key[KEY_LEN];
	struct window window;
	uint64_t bytes, earned;
	uint64_t worked; /* bytes of debt worked off; never more than there is */
};

/* ---- payers.c ---- */

MUST_CHECK int payer_save(struct store *s, const struct payer *p);
/* Any identity is free to make: until something was carried for it, or it has been granted
 * something, a payer is what the policy says of an unknown one, and leaves no row. */
MUST_CHECK int payer_known(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p);
/* The payer's row, made if it is new. */
MUST_CHECK int payer_row(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p);
/* The same, with expired credit taken back and the month's allowance booked. */
MUST_CHECK int payer_meet(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p);
/* What a payer can spend, with the month's allowance whether booked already or not, and what its
 * sessions hold beyond what they were signed for. held is the whole of that. */
MUST_CHECK int payer_purse(struct store *s, const uint8_t key[static KEY_LEN],
			   struct books_purse *out);
/* Of the payer's row; earned is not touched by payer_save. */
MUST_CHECK int payer_earned(struct store *s, const uint8_t key[static KEY_LEN], uint64_t micro);

/* What the sessions of a payer that are not closed say together. */
struct live {
	uint64_t open, roles; /* open sessions, and in how many roles */
	uint64_t ended;       /* the others */
	uint64_t price;       /* the highest of the open ones */
	uint64_t debt;        /* bytes carried in ended sessions and unsigned */
	uint64_t due;         /* signed and not yet posted, or to be once the debt is signed */
	uint64_t pending;     /* signed, set aside and not yet posted */
};
MUST_CHECK int payer_live(struct store *s, const uint8_t key[static KEY_LEN], struct live *live);
/* Where the payer stands: its window, credit and debt. live: as just read. */
MUST_CHECK int payer_view(struct store *s, const struct payer *p, struct ledger_payer *out);
MUST_CHECK int payer_view_live(struct store *s, const struct payer *p, struct live *live,
			       struct ledger_payer *out);
/* It left bytes unsigned: back to the starting window. */
MUST_CHECK int payer_default(struct store *s, const uint8_t key[static KEY_LEN]);

/* ---- session_rows.c ---- */

#define SESSION_SELECT                                                                        \
	"SELECT id, key, payer, terms, role, state, price, seq, up, down, amount, final_up, " \
	"final_down, hold, posted, paid, posted_hour, posted_bytes, moves, fee_ppm, "         \
	"fee_account, settled, settled_seq, offer FROM session "

/* Out of a stepped SESSION_SELECT, which it ends. */
MUST_CHECK int session_row_read(struct db_stmt *q, struct session *x);
MUST_CHECK int session_row_find(struct store *s, const uint8_t key[static SESSION_ID_LEN],
				struct session *x); /* -EACCES: none */
MUST_CHECK int session_row_save(struct store *s, const struct session *x);
/* A new row with x's key, payer, role, state, terms and price; nothing signed yet. */
MUST_CHECK int session_row_insert(struct store *s, const struct session *x);
/* The same for an open session under the terms on offer. */
MUST_CHECK int session_row_add(struct store *s, enum role role,
			       const uint8_t key[static SESSION_ID_LEN],
			       const uint8_t payer[static KEY_LEN]);
/* Nothing was carried, so there never was a receipt: it leaves nothing. */
MUST_CHECK int session_row_forget(struct store *s, const struct session *x);
/* The newest co-signed receipt, which the next one continues. */
MUST_CHECK int session_row_head(struct store *s, const struct session *x, struct receipt *out);
/* What all that was carried comes to. -ERANGE. */
MUST_CHECK int session_row_cost(const struct session *x, uint64_t *cost);
/* Signs the next receipt over final_up and final_down, after setting aside what it comes to, and
 * keeps it as the outstanding one. */
MUST_CHECK int session_row_offer(struct store *s, struct session *x);
/* Counters only ever grow; what was seen before stands if a meter was lost. */
void session_row_carried(struct session *x, uint64_t up, uint64_t down);
bool session_row_unsigned(const struct session *x);

/* ---- posting.c: money moves purse -> hold -> earner. All change *x and leave saving it to the
 * caller; the payer's row and other sessions they save themselves. ---- */

/* Sets aside until the session's hold is need, or as much as the purse has. In an open session
 * somewhat more, so that not every receipt is a booking. The payer's row is made if it is new. */
MUST_CHECK int session_hold(struct store *s, struct session *x, uint64_t need);
/* Moves min(amount, hold) - posted out of the hold to who earned it; what is signed and not set
 * aside is first, if the purse has it by now. Again: nothing moves. */
MUST_CHECK int session_post(struct store *s, struct session *x);
/* Gives back what is held beyond keep (or beyond what is posted), the last to be spent first. */
MUST_CHECK int session_give_back(struct store *s, struct session *x, uint64_t keep);
/* All is signed that ever will be: posts it and gives the rest of the hold back. */
MUST_CHECK int session_release(struct store *s, struct session *x);
/* What an unpaid session holds goes back after 30 days, with its payer's next request. */
MUST_CHECK int session_hold_unpaid(struct store *s, const struct session *x);
/* Sees to what a payer's sessions hold from accounts that expired, or have held too long. Reads and
 * saves rows of sessions: none may be in anybody's hand. payer_view does it too. */
MUST_CHECK int payer_holds_expire(struct store *s, const uint8_t key[static KEY_LEN]);

/* ---- sessions.c ---- */

/* An open session is over: closed if all is signed, else unpaid, and a default. */
MUST_CHECK int session_row_end(struct store *s, struct session *x);
/* A receipt both signed, beyond the session's head: it is the head now, is posted, and counts for
 * the payer's window and debt. An offer that waited goes. */
MUST_CHECK int session_signed(struct store *s, struct session *x, const struct receipt *r,
			      struct payer *p, struct live *live);

/* ---- promises.c ---- */

MUST_CHECK int promises_query(struct store *s, const struct query *q, struct query_rows *rows);

/* ---- evidence.c ---- */

/*
 * Keeps offer, with other, which contradicts it (NULL: none), and the payer's counts; x is frozen
 * and saved. Once a session and kind: 0 again changes nothing. Two offers are this node's own
 * contradiction, as after a restored backup, and are said by log_warn, once.
 */
MUST_CHECK int evidence_keep(struct store *s, struct session *x, enum evidence_kind kind,
			     const struct receipt_offer *offer, const struct receipt_offer *other,
			     uint64_t up, uint64_t down);

/* ---- earnings.c ---- */

/* Postings of q->since to q->until by day and payer, a bounded number of them a page. */
MUST_CHECK int earnings_query(struct store *s, const struct query *q, struct query_rows *rows);

#endif
