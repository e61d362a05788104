/*
 * The provider's books: payers with their windows and debts, sessions with their heads, receipts,
 * credits. Everything happens inside a transaction that the caller begins and commits, so that many
 * requests share one commit; each call is all or nothing. One thread: the ledger process.
 */
#ifndef ACCOUNTING_STORE_H
#define ACCOUNTING_STORE_H

#include "accounting/ledger.h"
#include "accounting/window.h"

struct store;

struct store_config {
	uint64_t network;
	struct window_policy window;
	uint64_t free_allowance; /* micro-credits a payer, once a month */
	/* Whose share of what is paid: ppm millionths go to user:fee_account. 0: none. */
	uint32_t fee_ppm;
	uint8_t fee_account[KEY_LEN];
	const char *settlement;  /* directory of the batches, outlives the store; NULL: no epochs */
	uint64_t retention_days; /* how long settled receipts are kept; 0: for ever */
	uint8_t issuers[LEDGER_ISSUERS_MAX][KEY_LEN];
	size_t issuer_count;
};

/* Below this much free disk no session is opened: what is promised must fit. */
#define STORE_RESERVE (16u << 20)

/* by outlives the store. Sessions an earlier run left open are ended: unsigned bytes are debt. */
MUST_CHECK int store_open(struct store **out, const char *path, const struct store_config *config,
			  const struct identity *by, uint64_t now_s);
/* Before store_close: writes all home; after an error ask store_lost. */
MUST_CHECK int store_finish(struct store *s);
void store_close(struct store *s);
/* As db_lost: the process must end. */
bool store_lost(const struct store *s);

/* now_s is the wall clock for everything in this transaction. */
MUST_CHECK int store_begin(struct store *s, uint64_t now_s);
MUST_CHECK int store_commit(struct store *s);
void store_rollback(struct store *s);
/* Around one request in the transaction: store_unmark with keep false takes its changes back. */
MUST_CHECK int store_mark(struct store *s);
MUST_CHECK int store_unmark(struct store *s, bool keep);
/* As db_changes: whether a request has left anything to take back. */
uint64_t store_changes(const struct store *s);

/*
 * Around store_query and what else only asks, outside the transaction: a connection that only reads
 * sees one moment of what was committed, and works on a disk that can no longer be written.
 */
MUST_CHECK int store_begin_reading(struct store *s, uint64_t now_s);
void store_end_reading(struct store *s);

/* The terms new sessions of their role get; stored, since receipts name them by hash. */
MUST_CHECK int store_terms(struct store *s, const struct terms *t);

/* As the calls of ledger.h, which says what they do and which errors they give. */
MUST_CHECK int store_session(struct store *s, enum role role,
			     const uint8_t session[static SESSION_ID_LEN],
			     const uint8_t payer[static KEY_LEN], struct ledger_payer *out);
MUST_CHECK int store_issue(struct store *s, const uint8_t session[static SESSION_ID_LEN],
			   uint64_t up, uint64_t down, struct receipt_offer *out);
MUST_CHECK int store_cosign(struct store *s, const uint8_t session[static SESSION_ID_LEN],
			    uint64_t seq, const uint8_t signature[static SIGNATURE_LEN],
			    struct ledger_payer *out);
MUST_CHECK int store_dispute(struct store *s, const uint8_t session[static SESSION_ID_LEN],
			     uint64_t seq, uint64_t up, uint64_t down);
/* payer: whose debt it was, KEY_LEN bytes. */
MUST_CHECK int store_forgive(struct store *s, const uint8_t session[static SESSION_ID_LEN],
			     uint8_t payer[static KEY_LEN]);
MUST_CHECK int store_end(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
			 uint64_t down);
MUST_CHECK int store_unpaid(struct store *s, const uint8_t payer[static KEY_LEN],
			    struct receipt_offer *out);
MUST_CHECK int store_payer(struct store *s, const uint8_t payer[static KEY_LEN],
			   struct ledger_payer *out);
MUST_CHECK int store_grant(struct store *s, const uint8_t payer[static KEY_LEN], uint64_t amount,
			   uint64_t expires_s, const uint8_t key[static NONCE_LEN]);
MUST_CHECK int store_grant_earned(struct store *s, const uint8_t payer[static KEY_LEN],
				  uint64_t amount, const uint8_t key[static NONCE_LEN]);
MUST_CHECK int store_settle(struct store *s, uint64_t epoch, struct ledger_settled *out);
MUST_CHECK int store_promise(struct store *s, const struct grant *g, struct ledger_promised *out);
MUST_CHECK int store_adopt(struct store *s, const struct body_held *held,
			   struct ledger_adopted *out);
MUST_CHECK int store_carry(struct store *s, const struct ledger_carry *c,
			   struct ledger_carried *out);
MUST_CHECK int store_query(struct store *s, const struct query *q, struct query_rows *rows);

/*
 * What is to be done between requests, outside any transaction: how many milliseconds until there
 * is something (UINT64_MAX: nothing), and one slice of it, of some ten milliseconds.
 */
uint64_t store_idle_ms(const struct store *s);
void store_work(struct store *s, uint64_t now_s);

#endif
