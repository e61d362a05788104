/* Promises of issuers this operator named: a serial works once, at this node, for its payer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accounting/pages.h"
#include "accounting/rows.h"
#include "base/text.h"

/* 1: these very bytes are booked already; 0: the serial is free. */
static int promise_known(struct store *s, const struct grant *g)
{
	struct db_stmt *q =
		db_prepare(s->db, "SELECT body FROM promise WHERE issuer = ? AND serial = ?");
	struct grant old;
	int got;
	bool ok;

	db_bind_blob(q, g->body.issuer, KEY_LEN);
	db_bind_blob(q, g->body.serial, NONCE_LEN);
	got = db_step(q);
	if (got != 1)
		return got;
	ok = db_col_blob(q, &old, sizeof(old));
	db_done(q);
	if (!ok)
		return -EIO;
	return memcmp(&old, g, sizeof(old)) == 0 ? 1 : -EEXIST;
}

static bool issuer_named(const struct store *s, const uint8_t issuer[static KEY_LEN])
{
	for (size_t i = 0; i < s->config.issuer_count; i++)
		if (memcmp(s->config.issuers[i], issuer, KEY_LEN) == 0)
			return true;
	return false;
}

static int promise_check(const struct store *s, const struct grant *g)
{
	if (memcmp(g->body.relay, s->by->id, KEY_LEN) != 0 || !issuer_named(s, g->body.issuer))
		return -EPERM;
	switch (grant_check(g, s->config.network, s->now_s)) {
	case GRANT_OK:
		return 0;
	case GRANT_EXPIRED:
		return -ETIME;
	case GRANT_BAD_FORM:
	case GRANT_OTHER_NETWORK:
	case GRANT_BAD_SIGNATURE:
		break;
	}
	return -EBADMSG;
}

static int promise_row_add(struct store *s, const struct grant *g)
{
	struct db_stmt *q = db_prepare(
		s->db, "INSERT INTO promise(issuer, serial, body, hour) VALUES(?, ?, ?, ?)");

	db_bind_blob(q, g->body.issuer, KEY_LEN);
	db_bind_blob(q, g->body.serial, NONCE_LEN);
	db_bind_blob(q, g, sizeof(*g));
	db_bind_u64(q, s->now_s / HOUR);
	return db_run(q);
}

static int issuer_good_for(struct store *s, const char *source, uint64_t limit)
{
	const struct account_made made = {.name = source, .kind = ACCOUNT_SYSTEM};
	struct account account;
	struct amount owes;
	int err = account_get(s->db, &made, &account);

	if (err)
		return err;
	if (limit > ISSUER_MAX || !amount_sub(&owes, (struct amount){0}, account.balance))
		return -ERANGE;
	return amount_u64(owes) > ISSUER_MAX - limit ? -ERANGE : 0;
}

/* With each receipt of a payer all its accounts are looked at. */
static int purse_has_room(struct store *s, const struct grant *g)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT count(*) FROM account WHERE payer = ? "
					      "AND balance > 0 AND kind = 2 AND expires > 0");
	uint64_t count = 0;
	int got;

	if (!le64_get(g->body.expires))
		return 0;
	db_bind_blob(q, g->body.payer, KEY_LEN);
	got = db_step(q);
	if (got == 1)
		count = db_col_u64(q);
	db_done(q);
	return got < 0 ? got : count >= GRANTS_MAX ? -EAGAIN : 0;
}

/* Out of what the issuer owes, under a key that is this issuer's and serial's alone. */
static int promise_book(struct store *s, const struct grant *g, struct payer *p)
{
	char source[ACCOUNT_NAME], key[ACCOUNT_NAME], hex[2 * KEY_LEN + 1];
	const struct books_promise promise = {
		.key = key,
		.source = source,
		.payer = g->body.payer,
		.amount = le64_get(g->body.limit),
		.expires_s = le64_get(g->body.expires),
	};
	uint8_t name[KEY_LEN + NONCE_LEN], hash[KEY_LEN];
	int err = payer_meet(s, g->body.payer, p);

	memcpy(name, g->body.issuer, KEY_LEN);
	memcpy(name + KEY_LEN, g->body.serial, NONCE_LEN);
	hash256(hash, name, sizeof(name));
	snprintf(source, sizeof(source), "sys:issuer:%s", text_hex(hex, g->body.issuer, KEY_LEN));
	snprintf(key, sizeof(key), "grant:%s", text_hex(hex, hash, KEY_LEN));
	if (!err)
		err = purse_has_room(s, g);
	if (!err)
		err = issuer_good_for(s, source, promise.amount);
	if (!err)
		err = promise_row_add(s, g);
	return err ? err : books_promise(s->db, &promise, s->now_s);
}

int store_promise(struct store *s, const struct grant *g, struct ledger_promised *out)
{
	struct payer p;
	int known = promise_known(s, g), err;

	/* Bytes that were taken once need no second look, whatever the configuration says by now.
	 */
	if (known == 1) {
		out->known = true;
		return store_payer(s, g->body.payer, &out->payer);
	}
	err = promise_check(s, g);
	if (!err)
		err = known;
	if (!err && db_disk_free(s->db) < STORE_RESERVE)
		err = -ENOSPC;
	if (!err)
		err = promise_book(s, g, &p);
	out->known = false;
	return err ? err : payer_view(s, &p, &out->payer);
}

static bool read_promise(struct db_stmt *q, struct query_rows *rows, size_t i)
{
	bool ok = db_col_blob(q, &rows->promise[i].grant, sizeof(struct grant));

	rows->promise[i].hour = db_col_u64(q);
	return ok;
}

int promises_query(struct store *s, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *stmt = db_prepare(
		s->db, "SELECT id, body, hour FROM promise WHERE id > ?1 ORDER BY id LIMIT ?2");

	db_bind_u64(stmt, q->after);
	db_bind_u64(stmt, QUERY_PAGE + 1);
	rows->kind = QUERY_PROMISES;
	return pages_fill(stmt, rows, read_promise);
}
