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
	ACCOUNT_SYSTEM, /* sys:free, sys:grant, sys:issuer:KEY: where promised credit comes from */
	ACCOUNT_FREE,   /* free:PAYER:MONTH, an allowance: expires, never pays out */
	ACCOUNT_GRANT,  /* user:KEY, what somebody was promised or earned; grant:..., if it expires
			 */
	ACCOUNT_EARNED, /* node:earned, of books before holds: emptied */
	ACCOUNT_HOLD,   /* hold:SESSION:ACCOUNT, set aside for a session from one account */
	ACCOUNT_GIVEN,  /* sys:given, what allowances paid for: it never pays out */
};

enum {
	ACCOUNT_NAME = 96, /* room for a name or a booking's key, with its NUL */
	ACCOUNTS_MAX = 64, /* looked at together; then come the next */
};

struct account {
	uint64_t id;
	enum account_kind kind;
	struct amount balance;
	uint64_t expires; /* seconds since 1970; 0: never */
	uint64_t source;  /* the account it was filled from; 0: many, or none */
};

/* What an account is made with. */
struct account_made {
	const char *name;
	enum account_kind kind;
	const uint8_t *payer; /* whose; NULL: nobody's */
	uint64_t expires, source;
	uint64_t session; /* of a hold; else 0 */
};

/* The account of that name, made if it is new. */
MUST_CHECK int account_get(struct db *db, const struct account_made *made, struct account *out);
MUST_CHECK int account_by_id(struct db *db, uint64_t id, struct account *out);
/* Where anybody's credit without expiry is: user:KEY. */
MUST_CHECK int account_of_key(struct db *db, const uint8_t key[static KEY_LEN],
			      struct account *out);

/* A booking being put together: one leg an account, however often it is named. */
struct booking {
	struct account account[2 * ACCOUNTS_MAX + 4];
	struct amount amount[2 * ACCOUNTS_MAX + 4];
	size_t count;
	uint64_t bytes; /* co-signed ones that it pays for */
};

/* From one account to another, >= 0. -ERANGE: does not fit. */
MUST_CHECK int booking_move(struct booking *b, const struct account *from, const struct account *to,
			    uint64_t micro);
/* Writes it; nothing if nothing moved. -EEXIST if key was used, -ERANGE if an account would be
 * overdrawn. */
MUST_CHECK int booking_write(struct db *db, const struct booking *b, const char *key,
			     uint64_t now_s);

/* A promise of credit: in an account of its own named like key if it expires, else in user:KEY. */
struct books_promise {
	const char *key;    /* of the booking */
	const char *source; /* sys:... */
	const uint8_t *payer;
	uint64_t amount, expires_s; /* expires_s 0: never */
};
/* The same key again is the same promise (0, nothing moves) or -EEXIST. -ERANGE: amount 0, or
 * beyond what the books hold. */
MUST_CHECK int books_promise(struct db *db, const struct books_promise *p, uint64_t now_s);
/* amount out of user:FROM, never more than is there: -EDQUOT. key as for books_promise. */
MUST_CHECK int books_give(struct db *db, const uint8_t from[static KEY_LEN],
			  const struct books_promise *p, uint64_t now_s);

/* The month's allowance of a payer, once a month; 0 also if it was booked before. */
MUST_CHECK int books_allow(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			   uint64_t now_s);
/* Adds to *sum what books_allow would book now: amount, or 0 if this month's was booked before. */
MUST_CHECK int books_allowance(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
			       uint64_t now_s, uint64_t *sum);
/* Takes back what expired before now; not what sessions hold. */
MUST_CHECK int books_expire(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s);

/* What a payer can spend: allowance and grants, and what is set aside for its sessions. Sums that
 * do not fit stay at the most that does. */
struct books_purse {
	uint64_t free_left, granted, held;
	bool stale; /* something expired and is not taken back; it is not in the sums, unless held
		     */
};
MUST_CHECK int books_purse(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s,
			   struct books_purse *out);

/* A payer's accounts with money in them, the one to spend first first: allowance, then the soonest
 * to expire. The first ACCOUNTS_MAX of them. */
struct accounts {
	struct account account[ACCOUNTS_MAX];
	size_t count;
};
MUST_CHECK int books_spendable(struct db *db, const uint8_t payer[static KEY_LEN],
			       struct accounts *out);

#endif
