#include "accounting/books.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum {
	NAME_MAX_LEN = 96,
	PURSE_MAX = 64, /* accounts looked at together; then come the next */
	HOUR = 3600,
};

struct account {
	uint64_t id;
	struct amount balance;
};

/* The account of that name, made if it is new. payer NULL: nobody's. */
static int account_get(struct db *db, const char *name, enum account_kind kind,
		       const uint8_t *payer, uint64_t expires, struct account *out)
{
	struct db_stmt *s = db_prepare(db, "SELECT id, balance FROM account WHERE name = ?");
	int got;

	db_bind_text(s, name);
	got = db_step(s);
	if (got == 1) {
		out->id = db_col_u64(s);
		out->balance.micro = db_col_i64(s);
		db_done(s);
	}
	if (got)
		return got < 0 ? got : 0;
	s = db_prepare(db, "INSERT INTO account(name, kind, payer, expires) VALUES(?, ?, ?, ?)");
	db_bind_text(s, name);
	db_bind_u64(s, kind);
	if (payer)
		db_bind_blob(s, payer, KEY_LEN);
	else
		db_bind_null(s);
	db_bind_u64(s, expires);
	got = db_run(s);
	out->id = db_last_id(db);
	out->balance.micro = 0;
	return got;
}

/* Begins a booking; -EEXIST if key was used. */
static int txn_begin(struct db *db, const char *key, uint64_t now_s, uint64_t *txn)
{
	struct db_stmt *s = db_prepare(db, "INSERT INTO txn(key, hour) VALUES(?, ?)");
	int err;

	db_bind_text(s, key);
	db_bind_u64(s, now_s / HOUR);
	err = db_run(s);
	*txn = db_last_id(db);
	return err;
}

/* One leg: the entry and the balance it makes. */
static int txn_entry(struct db *db, uint64_t txn, struct account *account, struct amount amount)
{
	struct db_stmt *s;
	int err;

	if (!amount_add(&account->balance, account->balance, amount))
		return -ERANGE;
	s = db_prepare(db, "INSERT INTO entry(txn, account, amount) VALUES(?, ?, ?)");
	db_bind_u64(s, txn);
	db_bind_u64(s, account->id);
	db_bind_i64(s, amount.micro);
	err = db_run(s);
	if (err)
		return err;
	s = db_prepare(db, "UPDATE account SET balance = ? WHERE id = ?");
	db_bind_i64(s, account->balance.micro);
	db_bind_u64(s, account->id);
	return db_run(s);
}

/* amount > 0 from one account to another. */
static int txn_move(struct db *db, uint64_t txn, struct account *from, struct account *to,
		    struct amount amount)
{
	struct amount less;
	int err;

	if (!amount_sub(&less, (struct amount){0}, amount))
		return -ERANGE;
	err = txn_entry(db, txn, from, less);
	return err ? err : txn_entry(db, txn, to, amount);
}

static bool txn_known(struct db *db, const char *key, int *err)
{
	struct db_stmt *s = db_prepare(db, "SELECT 1 FROM txn WHERE key = ?");
	int got;

	db_bind_text(s, key);
	got = db_step(s);
	db_done(s);
	*err = got < 0 ? got : 0;
	return got == 1;
}

static int books_fund(struct db *db, const char *source, const char *key, struct account *to,
		      struct amount amount, uint64_t now_s)
{
	struct account from;
	uint64_t txn;
	int err = account_get(db, source, ACCOUNT_SYSTEM, NULL, 0, &from);

	if (!err)
		err = txn_begin(db, key, now_s, &txn);
	return err ? err : txn_move(db, txn, &from, to, amount);
}

/* The second after the month that now_s lies in. */
static uint64_t month_end(const struct tm *now)
{
	struct tm next = {.tm_year = now->tm_year, .tm_mon = now->tm_mon + 1, .tm_mday = 1};

	return (uint64_t)timegm(&next);
}

/* The name of a payer's allowance in the month of now_s, and that month. */
static int allowance_key(char key[static NAME_MAX_LEN], const uint8_t payer[static KEY_LEN],
			 uint64_t now_s, struct tm *tm)
{
	char hex[2 * KEY_LEN + 1];
	time_t t = (time_t)now_s;

	if (!gmtime_r(&t, tm))
		return -ERANGE;
	snprintf(key, NAME_MAX_LEN, "free:%s:%04d-%02d", text_hex(hex, payer, KEY_LEN),
		 tm->tm_year + 1900, tm->tm_mon + 1);
	return 0;
}

int books_allowance(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
		    uint64_t now_s, uint64_t *sum)
{
	char key[NAME_MAX_LEN];
	struct tm tm;
	int err = allowance_key(key, payer, now_s, &tm);

	if (!err && !txn_known(db, key, &err) && !err)
		*sum += amount;
	return err;
}

int books_allow(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount, uint64_t now_s)
{
	char key[NAME_MAX_LEN];
	struct account to;
	struct amount sum;
	struct tm tm;
	int err;

	if (amount == 0)
		return 0;
	if (!amount_of(&sum, amount))
		return -ERANGE;
	err = allowance_key(key, payer, now_s, &tm);
	if (err || txn_known(db, key, &err) || err)
		return err;
	err = account_get(db, key, ACCOUNT_FREE, payer, month_end(&tm), &to);
	return err ? err : books_fund(db, "sys:free", key, &to, sum, now_s);
}

/* The same key again is the same grant only if it moved the same amount to the same payer. */
static int grant_check(struct db *db, const char *key, const uint8_t payer[static KEY_LEN],
		       struct amount amount)
{
	struct db_stmt *s = db_prepare(db, "SELECT 1 FROM txn t JOIN entry e ON e.txn = t.id "
					   "JOIN account a ON a.id = e.account "
					   "WHERE t.key = ? AND a.payer = ? AND e.amount = ?");
	int got;

	db_bind_text(s, key);
	db_bind_blob(s, payer, KEY_LEN);
	db_bind_i64(s, amount.micro);
	got = db_step(s);
	db_done(s);
	return got < 0 ? got : got == 1 ? 0 : -EEXIST;
}

int books_grant(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
		uint64_t expires_s, const uint8_t key[static NONCE_LEN], uint64_t now_s)
{
	char hex[2 * KEY_LEN + 1], name[NAME_MAX_LEN], txn[NAME_MAX_LEN];
	struct account to;
	struct amount sum;
	int err;

	if (!amount_of(&sum, amount) || amount == 0 || expires_s > INT64_MAX)
		return -ERANGE;
	snprintf(txn, sizeof(txn), "grant:%s", text_hex(hex, key, NONCE_LEN));
	if (txn_known(db, txn, &err) || err)
		return err ? err : grant_check(db, txn, payer, sum);
	if (expires_s)
		memcpy(name, txn, sizeof(name)); /* its own account, so that it can run out */
	else
		snprintf(name, sizeof(name), "user:%s", text_hex(hex, payer, KEY_LEN));
	err = account_get(db, name, ACCOUNT_GRANT, payer, expires_s, &to);
	return err ? err : books_fund(db, "sys:grant", txn, &to, sum, now_s);
}

/* A payer's accounts with money in them: allowance first, then grants, soonest to expire first. */
struct purse {
	struct account account[PURSE_MAX];
	enum account_kind kind[PURSE_MAX];
	size_t count;
};

static int purse_load(struct purse *p, struct db_stmt *s)
{
	int got;

	p->count = 0;
	while ((got = db_step(s)) == 1 && p->count < PURSE_MAX) {
		p->account[p->count].id = db_col_u64(s);
		p->account[p->count].balance.micro = db_col_i64(s);
		p->kind[p->count++] = (enum account_kind)db_col_u64(s);
	}
	db_done(s);
	return got < 0 ? got : 0;
}

static int expire_one(struct db *db, struct account *from, enum account_kind kind, uint64_t now_s)
{
	const char *back = kind == ACCOUNT_FREE ? "sys:free" : "sys:grant";
	char key[NAME_MAX_LEN];
	struct account to;
	uint64_t txn;
	int err = account_get(db, back, ACCOUNT_SYSTEM, NULL, 0, &to);

	/* An account is funded once and expires once: its number is a key. */
	snprintf(key, sizeof(key), "expire:%" PRIu64, from->id);
	if (!err)
		err = txn_begin(db, key, now_s, &txn);
	return err ? err : txn_move(db, txn, from, &to, from->balance);
}

int books_expire(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s)
{
	struct db_stmt *s;
	struct purse old;
	int err;

	do {
		s = db_prepare(db, "SELECT id, balance, kind FROM account WHERE payer = ? "
				   "AND balance > 0 AND expires BETWEEN 1 AND ?");
		db_bind_blob(s, payer, KEY_LEN);
		db_bind_u64(s, now_s);
		err = purse_load(&old, s);
		for (size_t i = 0; !err && i < old.count; i++)
			err = expire_one(db, &old.account[i], old.kind[i], now_s);
	} while (!err && old.count == PURSE_MAX);
	return err;
}

int books_purse(struct db *db, const uint8_t payer[static KEY_LEN], struct books_purse *out)
{
	struct db_stmt *s =
		db_prepare(db, "SELECT coalesce(sum(balance) FILTER (WHERE kind = 1), 0),"
			       " coalesce(sum(balance) FILTER (WHERE kind = 2), 0) "
			       "FROM account WHERE payer = ? AND balance > 0");
	int got;

	db_bind_blob(s, payer, KEY_LEN);
	got = db_step(s);
	if (got == 1) {
		out->free_left = db_col_u64(s);
		out->granted = db_col_u64(s);
		db_done(s);
	}
	return got < 0 ? got : 0;
}

/* What a purse can pay with now. */
static int purse_find(struct db *db, const uint8_t payer[static KEY_LEN], struct purse *p)
{
	struct db_stmt *s = db_prepare(
		db, "SELECT id, balance, kind FROM account WHERE payer = ? AND balance > 0 "
		    "ORDER BY kind, expires = 0, expires, id");

	db_bind_blob(s, payer, KEY_LEN);
	return purse_load(p, s);
}

/* Draws on these accounts until *rest is 0. */
static int pay_from(struct db *db, struct purse *p, uint64_t txn, struct amount *rest)
{
	int err = 0;

	for (size_t i = 0; !err && i < p->count && rest->micro > 0; i++) {
		struct amount part = amount_min(*rest, p->account[i].balance), less;

		if (!amount_sub(rest, *rest, part) || !amount_sub(&less, (struct amount){0}, part))
			return -ERANGE;
		err = txn_entry(db, txn, &p->account[i], less);
	}
	return err;
}

/* One leg for the node, however many accounts it was drawn from. */
static int earn(struct db *db, uint64_t txn, struct amount total)
{
	struct account node;
	int err = account_get(db, "node:earned", ACCOUNT_EARNED, NULL, 0, &node);

	return err ? err : txn_entry(db, txn, &node, total);
}

int books_pay(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount, const char *key,
	      uint64_t now_s, uint64_t *paid)
{
	struct amount due, rest, got;
	struct purse p;
	uint64_t txn;
	int err;

	*paid = 0;
	if (!amount_of(&due, amount))
		return -ERANGE;
	err = purse_find(db, payer, &p);
	if (err || amount == 0 || p.count == 0)
		return err;
	rest = due;
	err = txn_begin(db, key, now_s, &txn);
	if (!err)
		err = pay_from(db, &p, txn, &rest);
	while (!err && rest.micro > 0 && p.count == PURSE_MAX) {
		err = purse_find(db, payer, &p);
		if (!err)
			err = pay_from(db, &p, txn, &rest);
	}
	if (!err && !amount_sub(&got, due, rest))
		err = -ERANGE;
	if (!err)
		err = earn(db, txn, got);
	if (!err)
		*paid = amount_u64(got);
	return err;
}
