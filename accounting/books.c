#include "accounting/books.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum {
	HOUR = 3600,
};

/* ---- accounts ---- */

#define ACCOUNT_SELECT "SELECT id, kind, balance, expires, source FROM account "

static void account_read(struct db_stmt *s, struct account *out)
{
	out->id = db_col_u64(s);
	out->kind = (enum account_kind)db_col_u64(s);
	out->balance.micro = db_col_i64(s);
	out->expires = db_col_u64(s);
	out->source = db_col_u64(s);
}

/* 1 if there is one. */
static int account_one(struct db_stmt *s, struct account *out)
{
	int got = db_step(s);

	if (got == 1) {
		account_read(s, out);
		db_done(s);
	}
	return got;
}

static void bind_id(struct db_stmt *s, uint64_t id)
{
	if (id)
		db_bind_u64(s, id);
	else
		db_bind_null(s);
}

int account_get(struct db *db, const struct account_made *made, struct account *out)
{
	struct db_stmt *s = db_prepare(db, ACCOUNT_SELECT "WHERE name = ?");
	int got;

	db_bind_text(s, made->name);
	got = account_one(s, out);
	if (got)
		return got < 0 ? got : 0;
	s = db_prepare(db, "INSERT INTO account(name, kind, payer, expires, source, session) "
			   "VALUES(?, ?, ?, ?, ?, ?)");
	db_bind_text(s, made->name);
	db_bind_u64(s, made->kind);
	if (made->payer)
		db_bind_blob(s, made->payer, KEY_LEN);
	else
		db_bind_null(s);
	db_bind_u64(s, made->expires);
	bind_id(s, made->source);
	bind_id(s, made->session);
	got = db_run(s);
	*out = (struct account){
		.id = db_last_id(db),
		.kind = made->kind,
		.expires = made->expires,
		.source = made->source,
	};
	return got;
}

int account_by_id(struct db *db, uint64_t id, struct account *out)
{
	struct db_stmt *s = db_prepare(db, ACCOUNT_SELECT "WHERE id = ?");
	int got;

	db_bind_u64(s, id);
	got = account_one(s, out);
	return got < 0 ? got : got == 1 ? 0 : -ENOENT;
}

int account_of_key(struct db *db, const uint8_t key[static KEY_LEN], struct account *out)
{
	char hex[2 * KEY_LEN + 1], name[ACCOUNT_NAME];

	snprintf(name, sizeof(name), "user:%s", text_hex(hex, key, KEY_LEN));
	return account_get(
		db, &(struct account_made){.name = name, .kind = ACCOUNT_GRANT, .payer = key}, out);
}

/* ---- bookings ---- */

/* Adds to the leg of that account. */
static int booking_leg(struct booking *b, const struct account *account, struct amount amount)
{
	size_t i = 0;

	while (i < b->count && b->account[i].id != account->id)
		i++;
	if (i == ARRAY_SIZE(b->account))
		return -ERANGE;
	if (i == b->count) {
		b->account[i] = *account;
		b->amount[i] = (struct amount){0};
		b->count++;
	}
	return amount_add(&b->amount[i], b->amount[i], amount) ? 0 : -ERANGE;
}

int booking_move(struct booking *b, const struct account *from, const struct account *to,
		 uint64_t micro)
{
	struct amount more, less;
	int err;

	if (!amount_of(&more, micro) || !amount_sub(&less, (struct amount){0}, more))
		return -ERANGE;
	err = booking_leg(b, from, less);
	return err ? err : booking_leg(b, to, more);
}

static int txn_add(struct db *db, const char *key, uint64_t bytes, uint64_t now_s, uint64_t *txn)
{
	struct db_stmt *s = db_prepare(db, "INSERT INTO txn(key, hour, bytes) VALUES(?, ?, ?)");
	int err;

	db_bind_text(s, key);
	db_bind_u64(s, now_s / HOUR);
	db_bind_u64(s, bytes);
	err = db_run(s);
	*txn = db_last_id(db);
	return err;
}

/* One leg: the entry and the balance it makes. */
static int entry_add(struct db *db, uint64_t txn, const struct account *account,
		     struct amount amount)
{
	struct amount balance;
	struct db_stmt *s;
	int err;

	if (!amount_add(&balance, account->balance, amount))
		return -ERANGE;
	s = db_prepare(db, "INSERT INTO entry(txn, account, amount) VALUES(?, ?, ?)");
	db_bind_u64(s, txn);
	db_bind_u64(s, account->id);
	db_bind_i64(s, amount.micro);
	err = db_run(s);
	if (err)
		return err;
	s = db_prepare(db, "UPDATE account SET balance = ? WHERE id = ?");
	db_bind_i64(s, balance.micro);
	db_bind_u64(s, account->id);
	return db_run(s);
}

int booking_write(struct db *db, const struct booking *b, const char *key, uint64_t now_s)
{
	uint64_t txn = 0;
	int err = 0;

	for (size_t i = 0; !err && i < b->count; i++) {
		if (b->amount[i].micro == 0)
			continue;
		if (!txn)
			err = txn_add(db, key, b->bytes, now_s, &txn);
		if (!err)
			err = entry_add(db, txn, &b->account[i], b->amount[i]);
	}
	return err;
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

static int books_move(struct db *db, const struct account *from, const struct account *to,
		      uint64_t micro, const char *key, uint64_t now_s)
{
	struct booking b = {0};
	int err = booking_move(&b, from, to, micro);

	return err ? err : booking_write(db, &b, key, now_s);
}

/* ---- promises ---- */

static int account_of_system(struct db *db, const char *name, struct account *out)
{
	return account_get(db, &(struct account_made){.name = name, .kind = ACCOUNT_SYSTEM}, out);
}

/* Did what was booked under this key do what is asked for now? */
static int promise_same(struct db *db, const struct books_promise *p, const struct account *from)
{
	struct db_stmt *s =
		db_prepare(db, "SELECT 1 FROM txn t JOIN entry e ON e.txn = t.id "
			       "JOIN account a ON a.id = e.account JOIN entry f ON f.txn = t.id "
			       "WHERE t.key = ? AND e.amount = ? AND a.payer = ? "
			       "AND a.expires = ? AND f.account = ?");
	int got;

	db_bind_text(s, p->key);
	db_bind_u64(s, p->amount);
	db_bind_blob(s, p->payer, KEY_LEN);
	db_bind_u64(s, p->expires_s);
	db_bind_u64(s, from->id);
	got = db_step(s);
	db_done(s);
	return got < 0 ? got : got == 1 ? 0 : -EEXIST;
}

static int promise_book(struct db *db, const struct books_promise *p, const struct account *from,
			uint64_t now_s)
{
	struct account to;
	int err;

	if (p->amount == 0 || p->amount > INT64_MAX || p->expires_s > INT64_MAX)
		return -ERANGE;
	if (txn_known(db, p->key, &err) || err)
		return err ? err : promise_same(db, p, from);
	if (from->kind != ACCOUNT_SYSTEM && amount_u64(from->balance) < p->amount)
		return -EDQUOT;
	if (p->expires_s) {
		const struct account_made own = {
			.name = p->key, /* its own, so that it can run out */
			.kind = ACCOUNT_GRANT,
			.payer = p->payer,
			.expires = p->expires_s,
			.source = from->id,
		};

		err = account_get(db, &own, &to);
	} else {
		err = account_of_key(db, p->payer, &to);
	}
	return err ? err : books_move(db, from, &to, p->amount, p->key, now_s);
}

int books_promise(struct db *db, const struct books_promise *p, uint64_t now_s)
{
	struct account from;
	int err = account_of_system(db, p->source, &from);

	return err ? err : promise_book(db, p, &from, now_s);
}

int books_give(struct db *db, const uint8_t from[static KEY_LEN], const struct books_promise *p,
	       uint64_t now_s)
{
	struct account own;
	int err = account_of_key(db, from, &own);

	return err ? err : promise_book(db, p, &own, now_s);
}

/* ---- allowance ---- */

/* The second after the month that now_s lies in. */
static uint64_t month_end(const struct tm *now)
{
	struct tm next = {.tm_year = now->tm_year, .tm_mon = now->tm_mon + 1, .tm_mday = 1};

	return (uint64_t)timegm(&next);
}

/* The name of a payer's allowance in the month of now_s, and that month. */
static int allowance_key(char key[static ACCOUNT_NAME], const uint8_t payer[static KEY_LEN],
			 uint64_t now_s, struct tm *tm)
{
	char hex[2 * KEY_LEN + 1];
	time_t t = (time_t)now_s;

	if (!gmtime_r(&t, tm))
		return -ERANGE;
	snprintf(key, ACCOUNT_NAME, "free:%s:%04d-%02d", text_hex(hex, payer, KEY_LEN),
		 tm->tm_year + 1900, tm->tm_mon + 1);
	return 0;
}

/* 1: this month's is not booked yet; key and tm are the month's. */
static int allowance_due(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s,
			 char key[static ACCOUNT_NAME], struct tm *tm)
{
	int err = allowance_key(key, payer, now_s, tm);

	if (err || txn_known(db, key, &err))
		return err;
	return err ? err : 1;
}

int books_allowance(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount,
		    uint64_t now_s, uint64_t *sum)
{
	char key[ACCOUNT_NAME];
	struct tm tm;
	int due = amount ? allowance_due(db, payer, now_s, key, &tm) : 0;

	if (due == 1)
		*sum = micro_add(*sum, amount);
	return due < 0 ? due : 0;
}

int books_allow(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t amount, uint64_t now_s)
{
	struct account from, to;
	char key[ACCOUNT_NAME];
	struct tm tm;
	int due = amount ? allowance_due(db, payer, now_s, key, &tm) : 0, err;

	if (due != 1)
		return due;
	err = account_of_system(db, "sys:free", &from);
	if (!err) {
		const struct account_made own = {
			.name = key,
			.kind = ACCOUNT_FREE,
			.payer = payer,
			.expires = month_end(&tm),
			.source = from.id,
		};

		err = account_get(db, &own, &to);
	}
	return err ? err : books_move(db, &from, &to, amount, key, now_s);
}

/* ---- purses ---- */

static int accounts_load(struct accounts *out, struct db_stmt *s)
{
	int got;

	out->count = 0;
	while ((got = db_step(s)) == 1) {
		account_read(s, &out->account[out->count++]);
		if (out->count == ACCOUNTS_MAX)
			break;
	}
	db_done(s);
	return got < 0 ? got : 0;
}

int books_spendable(struct db *db, const uint8_t payer[static KEY_LEN], struct accounts *out)
{
	struct db_stmt *s =
		db_prepare(db, ACCOUNT_SELECT "WHERE payer = ? AND balance > 0 AND kind < 3 "
					      "ORDER BY kind, expires = 0, expires, id");

	db_bind_blob(s, payer, KEY_LEN);
	return accounts_load(out, s);
}

static int expire_one(struct db *db, const struct account *from, uint64_t now_s)
{
	char key[ACCOUNT_NAME];
	struct account to;
	int err = account_by_id(db, from->source, &to);

	/* An account is filled once and expires once: its number is a key. */
	snprintf(key, sizeof(key), "expire:%" PRIu64, from->id);
	return err ? err : books_move(db, from, &to, amount_u64(from->balance), key, now_s);
}

int books_expire(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s)
{
	struct accounts old;
	struct db_stmt *s;
	int err;

	do {
		s = db_prepare(db, ACCOUNT_SELECT "WHERE payer = ? AND balance > 0 AND kind < 3 "
						  "AND expires BETWEEN 1 AND ?");
		db_bind_blob(s, payer, KEY_LEN);
		db_bind_u64(s, now_s);
		err = accounts_load(&old, s);
		for (size_t i = 0; !err && i < old.count; i++)
			err = expire_one(db, &old.account[i], now_s);
	} while (!err && old.count == ACCOUNTS_MAX);
	return err;
}

int books_purse(struct db *db, const uint8_t payer[static KEY_LEN], uint64_t now_s,
		struct books_purse *out)
{
	struct db_stmt *s =
		db_prepare(db, "SELECT kind, balance, expires FROM account WHERE payer = ? "
			       "AND balance > 0");
	int got;

	*out = (struct books_purse){0};
	db_bind_blob(s, payer, KEY_LEN);
	while ((got = db_step(s)) == 1) {
		enum account_kind kind = (enum account_kind)db_col_u64(s);
		uint64_t balance = db_col_u64(s), expires = db_col_u64(s);
		bool expired = expires && expires <= now_s;

		out->stale = out->stale || expired;
		if (kind == ACCOUNT_HOLD)
			out->held = micro_add(out->held, balance);
		else if (kind == ACCOUNT_FREE && !expired)
			out->free_left = micro_add(out->free_left, balance);
		else if (kind == ACCOUNT_GRANT && !expired)
			out->granted = micro_add(out->granted, balance);
	}
	return got;
}
