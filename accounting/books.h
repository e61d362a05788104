/*
 * Double-entry bookkeeping in micro-credits, inside the caller's transaction. Every booking has a
 * key that can be used once; its entries sum to 0; an account's balance is the sum of its entries;
 * only the system's own accounts go below 0. One thread.
 */
#ifndef ACCOUNTING_BOOKS_H
#define ACCOUNTING_BOOKS_H

#include "accounting/amount.h"
#include "accounting/db.h"
#include "proto/messages.h"

enum account_kind {
	ACCOUNT_SYSTEM, /* sys:free, sys:grant: where promised credit comes from */
	ACCOUNT_FREE,   /* a payer's allowance of one month: expires, never pays out */
	ACCOUNT_GRANT,  /* what the operator promised a payer */
	ACCOUNT_EARNED, /* this node's earnings */
};

/* The month's allowance of a payer, once a month; 0 also if it was booked before. */
MUST_CHECK int books_allow(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			   uint64_t now_s);
/* Adds to *sum what books_allow would book now: amount, or 0 if this month's was booked before. */
MUST_CHECK int books_allowance(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			       uint64_t now_s, uint64_t *sum);
/* A grant until expires_s (0: never). -EEXIST if key was used for another one. */
MUST_CHECK int books_grant(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			   uint64_t expires_s, const uint8_t key[static NONCE_LEN], uint64_t now_s);
/* Takes back what expired before now. */
MUST_CHECK int books_expire(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s);

/* What a payer can spend: allowance and grants. */
struct books_purse {
	uint64_t free_left, granted;
};
MUST_CHECK int books_purse(struct db *db, const uint8_t payer[static KEY_LEN],
			   struct books_purse *out);

/*
 * Pays the node up to amount out of the payer's purse: allowance first, then grants, the soonest to
 * expire first. *paid is what the purse had. key names the booking: -EEXIST if it was done before.
 */
MUST_CHECK int books_pay(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			 const char *key, uint64_t now_s, uint64_t *paid);

#endif
