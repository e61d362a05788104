/* Questions about the books and the shape of their answers: the same for operator and client. Plain
 * data. */
#ifndef ACCOUNTING_QUERY_H
#define ACCOUNTING_QUERY_H

#include "proto/receipt.h"

enum query_kind {
	QUERY_CREDITS,  /* struct query_credit, one per payer or provider */
	QUERY_SESSIONS, /* struct query_session */
	QUERY_RECEIPTS, /* struct query_receipt, co-signed ones in order of arrival */
	QUERY_TERMS,    /* struct terms that receipts refer to */
};

struct query {
	enum query_kind kind;
	uint64_t after; /* cursor: rows beyond this one; 0 from the start */
	bool has_session;
	uint8_t session[SESSION_ID_LEN]; /* only of this session, if has_session */
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

enum {
	QUERY_PAGE = 64
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
	};
};

#endif
