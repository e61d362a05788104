/* Questions about the books and the shape of their answers: the same for operator and client. Plain
 * data. */
#ifndef ACCOUNTING_QUERY_H
#define ACCOUNTING_QUERY_H

#include "proto/evidence.h"
#include "proto/grant.h"
#include "proto/receipt.h"

enum query_kind {
	QUERY_CREDITS,  /* struct query_credit, one per payer or provider */
	QUERY_SESSIONS, /* struct query_session */
	QUERY_RECEIPTS, /* struct query_receipt, co-signed ones in order of arrival */
	QUERY_TERMS,    /* struct terms that receipts refer to */
	QUERY_DISPUTES, /* struct query_dispute, in the order they were kept */
	QUERY_EXPLAIN,  /* struct query_explain: has_session's only, or -ENOENT */
	QUERY_BOOKINGS, /* struct query_booking, has_session's in order; none in a client's books */
	QUERY_EARNINGS, /* struct query_earning; only in a provider's books */
	QUERY_EPOCHS,   /* struct query_epoch; not in a client's books */
	QUERY_PROMISES, /* struct query_promise, in order of arrival; operator's books only */
};

struct query {
	enum query_kind kind;
	uint64_t after; /* cursor: rows beyond this one; 0 from the start */
	bool has_session;
	uint8_t session[SESSION_ID_LEN]; /* only of this session, if has_session */
	uint64_t since, until;           /* EARNINGS: hours since 1970, until left out */
};

struct query_credit {
	uint8_t peer[KEY_LEN]; /* payer (operator's books) or provider (client's books) */
	uint64_t balance; /* micro-credits: what the payer can still spend here; 0 in a client's
			     books */
	uint64_t free_left, granted; /* the two parts of balance: this month's allowance, and grants
					not yet spent */
	uint64_t earned, spent; /* cumulative micro-credits by role of this node towards peer */
	uint64_t bytes;         /* co-signed */
	uint64_t window, debt;  /* bytes; 0 in a client's books */
};

struct query_session {
	uint8_t session[SESSION_ID_LEN];
	uint8_t provider[KEY_LEN], payer[KEY_LEN];
	uint8_t role;                               /* the provider's: relay or exit */
	uint8_t state;                              /* enum session_state */
	uint64_t seq, bytes_up, bytes_down, amount; /* of the newest co-signed receipt */
	uint64_t opened_hour;
};

enum session_state {
	SESSION_OPEN,
	SESSION_CLOSED,
	SESSION_UNPAID, /* ended with bytes nobody signed */
	SESSION_FROZEN, /* after a dispute */
};

struct query_receipt {
	struct receipt receipt;
};

/* All that one session's credits are derived from. Micro-credits and bytes. */
struct query_explain {
	uint8_t session[SESSION_ID_LEN];
	uint8_t provider[KEY_LEN], payer[KEY_LEN];
	uint8_t role, state; /* enum role, enum session_state */
	bool has_receipt, has_offer, has_pair, has_fee_account;
	struct terms terms;
	struct receipt receipt;     /* the newest both signed */
	struct receipt_offer offer; /* issued and not signed (a client's: refused) */
	uint64_t opened_hour;
	/* The provider's: carried, as far as known. The client's: what its own device counted, and
	 * what it had counted when it signed the newest receipt. */
	uint64_t counted_up, counted_down, seen_up, seen_down;
	uint8_t pair[SESSION_ID_LEN]; /* the client's: the other session of its tunnel */
	/* The provider's. hold: set aside and not given back; posted: moved out of that; paid: of
	 * posted, what no allowance paid for. */
	uint64_t hold, posted, paid, fee_ppm;
	uint8_t fee_account[KEY_LEN];
};

enum {
	QUERY_KEY_TEXT = 80,
	QUERY_ACCOUNT_TEXT = 96,
};

/* One leg of a booking; those of one booking follow each other and sum to 0. */
struct query_booking {
	uint64_t txn, hour, bytes;
	int64_t amount;
	char key[QUERY_KEY_TEXT];
	char account[QUERY_ACCOUNT_TEXT];
	char source[QUERY_ACCOUNT_TEXT]; /* of a hold: the account it was set aside from; else "" */
};

/* What was posted of one payer's sessions in a day. Rows of one day and payer may come on several
 * pages, and add up. */
struct query_earning {
	uint64_t day; /* days since 1970, UTC */
	uint8_t payer[KEY_LEN];
	uint64_t postings, bytes;
	uint64_t amount;                 /* = allowance + fee + earned */
	uint64_t allowance, fee, earned; /* allowance: never pays out */
};

/* How far an epoch is; in its row, too. */
enum epoch_state {
	EPOCH_CLOSING, /* its receipts are being marked */
	EPOCH_CLOSED,  /* it is known what is in it */
	EPOCH_WRITTEN, /* its batch is signed */
	EPOCH_PRUNED,  /* and its receipts are gone, but for those that sessions go on from */
};

struct query_epoch {
	uint64_t epoch, hour;
	uint8_t state;          /* enum epoch_state */
	bool busy;              /* its file is being made */
	int32_t err;            /* why its file could not be made the last time; 0: it could */
	uint64_t missing;       /* receipts, for err -ENODATA */
	struct batch_head head; /* from EPOCH_WRITTEN on */
};

struct query_promise {
	struct grant grant;
	uint64_t hour; /* when it was taken */
};

struct query_dispute {
	struct evidence evidence;
	struct terms terms; /* the session's */
	uint8_t state;      /* enum session_state: closed again if the debt was forgiven */
	uint64_t hour;      /* when it was kept */
};

enum {
	QUERY_PAGE = 64,
	QUERY_PAGE_DISPUTES = 16, /* they are long */
};

struct query_rows {
	enum query_kind kind;
	uint64_t next;  /* cursor for the following page; 0: that was all */
	uint32_t count; /* at most QUERY_PAGE */
	union {
		struct query_credit credit[QUERY_PAGE];
		struct query_session session[QUERY_PAGE];
		struct query_receipt receipt[QUERY_PAGE];
		struct terms terms[QUERY_PAGE];
		struct query_dispute dispute[QUERY_PAGE_DISPUTES];
		struct query_explain explain[1];
		struct query_booking booking[QUERY_PAGE];
		struct query_earning earning[QUERY_PAGE];
		struct query_epoch epoch[QUERY_PAGE];
		struct query_promise promise[QUERY_PAGE];
	};
};

#endif
