#include "accounting/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/books.h"
#include "accounting/migrations.h"
#include "accounting/pages.h"
#include "base/log.h"
#include "base/text.h"

enum {
	HOUR = 3600,
	ROLES = 3, /* arrays by enum role */
};

/* A session's counters stay below this, so that sums of them fit SQLite's integers. */
#define BYTES_MAX (UINT64_C(1) << 61)

struct store {
	struct db *db;
	struct store_config config;
	const struct identity *by;
	uint64_t now_s;
	bool has_terms[ROLES];
	struct terms terms[ROLES];
	uint8_t terms_hash[ROLES][KEY_LEN];
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
	uint64_t seq, up, down, amount; /* the newest co-signed receipt's */
	uint64_t final_up, final_down;  /* carried, as far as known */
	uint64_t posted;
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

/* ---- payers ---- */

static int payer_find(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	struct db_stmt *q = db_prepare(
		s->db, "SELECT id, window, signed, bytes, earned, worked FROM payer WHERE key = ?");
	int got;

	db_bind_blob(q, key, KEY_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	memcpy(p->key, key, KEY_LEN);
	p->id = db_col_u64(q);
	p->window.bytes = db_col_u64(q);
	p->window.signed_bytes = db_col_u64(q);
	p->bytes = db_col_u64(q);
	p->earned = db_col_u64(q);
	p->worked = db_col_u64(q);
	db_done(q);
	window_clamp(&p->window, &s->config.window);
	return 0;
}

static int payer_save(struct store *s, const struct payer *p)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE payer SET window = ?, signed = ?, bytes = ?, "
					      "earned = ?, worked = ? WHERE id = ?");

	db_bind_u64(q, p->window.bytes);
	db_bind_u64(q, p->window.signed_bytes);
	db_bind_u64(q, p->bytes);
	db_bind_u64(q, p->earned);
	db_bind_u64(q, p->worked);
	db_bind_u64(q, p->id);
	return db_run(q);
}

static int payer_add(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	struct db_stmt *q = db_prepare(s->db, "INSERT INTO payer(key, window) VALUES(?, ?)");
	int err;

	*p = (struct payer){.window = window_fresh(&s->config.window)};
	memcpy(p->key, key, KEY_LEN);
	db_bind_blob(q, key, KEY_LEN);
	db_bind_u64(q, p->window.bytes);
	err = db_run(q);
	p->id = db_last_id(s->db);
	return err;
}

/* Any identity is free to make: until it has signed, defaulted, or been granted something, a payer
 * is what the policy says of an unknown one, and leaves no row. */
static int payer_known(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_find(s, key, p);

	if (err != -ENOENT)
		return err ? err : books_expire(s->db, key, s->now_s);
	*p = (struct payer){.window = window_fresh(&s->config.window)};
	memcpy(p->key, key, KEY_LEN);
	return 0;
}

/* The payer's row, made if it is new, with expired credit taken back and the month's allowance. */
static int payer_meet(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_find(s, key, p);

	if (err == -ENOENT)
		err = payer_add(s, key, p);
	if (!err)
		err = books_expire(s->db, key, s->now_s);
	if (!err)
		err = books_allow(s->db, key, s->config.free_allowance, s->now_s);
	return err;
}

/* What a payer can spend, with the month's allowance whether booked already or not. */
static int payer_purse(struct store *s, const uint8_t key[static KEY_LEN], struct books_purse *out)
{
	int err = books_purse(s->db, key, out);

	return err ? err
		   : books_allowance(s->db, key, s->config.free_allowance, s->now_s,
				     &out->free_left);
}

/* What the sessions of a payer that are not closed say together. */
struct live {
	uint64_t open, roles; /* open sessions, and in how many roles */
	uint64_t price;       /* the highest of the open ones */
	uint64_t debt;        /* bytes carried in ended sessions and unsigned */
	uint64_t due;         /* signed and not yet booked, or to be once the debt is signed */
};

static int payer_live(struct store *s, const uint8_t key[static KEY_LEN], struct live *live)
{
	struct db_stmt *q = db_prepare(
		s->db, "SELECT role, state, price, up + down, final_up + final_down, posted "
		       "FROM session WHERE payer = ? AND state <> 1");
	unsigned roles = 0;
	int got;

	*live = (struct live){0};
	db_bind_blob(q, key, KEY_LEN);
	while ((got = db_step(q)) == 1) {
		unsigned role = (unsigned)db_col_u64(q);
		uint64_t state = db_col_u64(q), price = db_col_u64(q), head = db_col_u64(q);
		uint64_t carried = db_col_u64(q), posted = db_col_u64(q), amount;

		if (state == SESSION_OPEN) {
			live->open++;
			roles |= role;
			live->price = price > live->price ? price : live->price;
			carried = head; /* the rest is what the window is for */
		}
		live->debt += carried - head;
		if (state != SESSION_FROZEN && terms_amount(price, carried, &amount) &&
		    amount > posted)
			live->due += amount - posted;
	}
	live->roles = roles == (ROLE_RELAY | ROLE_EXIT) ? 2 : 1;
	return got;
}

/* The dearest of what this node offers: for a payer with no session open yet. */
static uint64_t store_price(const struct store *s)
{
	uint64_t price = 0;

	for (int role = 0; role < ROLES; role++)
		if (s->has_terms[role] && le64_get(s->terms[role].body.price) > price)
			price = le64_get(s->terms[role].body.price);
	return price;
}

/*
 * The window is the payer's, all its sessions together, and never more bytes than its credit buys.
 * Each session's amount is rounded up on its own: n sessions can cost n - 1 micro-credits more than
 * their bytes together. Relay and exit sessions are shared out by different owners: half for each.
 */
static int payer_view(struct store *s, const struct payer *p, struct ledger_payer *out)
{
	struct books_purse purse;
	struct live live;
	uint64_t price, bytes, credit;
	int err = payer_live(s, p->key, &live);

	if (!err)
		err = payer_purse(s, p->key, &purse);
	if (err)
		return err;
	credit = purse.free_left + purse.granted;
	credit = credit > live.due ? credit - live.due : 0;
	*out = (struct ledger_payer){
		.window = window_left(&p->window, &s->config.window, live.debt - p->worked),
		.credit = credit,
		.debt = live.debt,
	};
	price = live.open ? live.price : store_price(s);
	if (price) {
		uint64_t rounding = live.open ? live.open - 1 : 0;

		bytes = credit > rounding ? terms_bytes_for(price, credit - rounding) : 0;
		out->window = bytes < out->window ? bytes : out->window;
	}
	out->window /= live.roles;
	return 0;
}

int store_payer(struct store *s, const uint8_t payer[static KEY_LEN], struct ledger_payer *out)
{
	struct payer p;
	int err = payer_known(s, payer, &p);

	return err ? err : payer_view(s, &p, out);
}

static int payer_default(struct store *s, const uint8_t key[static KEY_LEN])
{
	struct payer p;
	int err = payer_meet(s, key, &p);

	if (err)
		return err;
	p.window = window_fresh(&s->config.window);
	return payer_save(s, &p);
}

int store_grant(struct store *s, const uint8_t payer[static KEY_LEN], uint64_t amount,
		uint64_t expires_s, const uint8_t key[static NONCE_LEN])
{
	struct payer p;
	int err = payer_meet(s, payer, &p);

	return err ? err : books_grant(s->db, payer, amount, expires_s, key, s->now_s);
}

/* ---- sessions ---- */

static int session_read(struct db_stmt *q, struct session *x)
{
	bool ok;

	x->id = db_col_u64(q);
	ok = db_col_blob(q, x->key, sizeof(x->key));
	ok = db_col_blob(q, x->payer, sizeof(x->payer)) && ok;
	ok = db_col_blob(q, x->terms, sizeof(x->terms)) && ok;
	x->role = (enum role)db_col_u64(q);
	x->state = (enum session_state)db_col_u64(q);
	x->price = db_col_u64(q);
	x->seq = db_col_u64(q);
	x->up = db_col_u64(q);
	x->down = db_col_u64(q);
	x->amount = db_col_u64(q);
	x->final_up = db_col_u64(q);
	x->final_down = db_col_u64(q);
	x->posted = db_col_u64(q);
	x->outstanding = db_col_blob(q, &x->offer, sizeof(x->offer));
	db_done(q);
	return ok ? 0 : -EIO;
}

#define SESSION_SELECT                                                                        \
	"SELECT id, key, payer, terms, role, state, price, seq, up, down, amount, final_up, " \
	"final_down, posted, offer FROM session "

static int session_find(struct store *s, const uint8_t key[static SESSION_ID_LEN],
			struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, SESSION_SELECT "WHERE key = ?");
	int got;

	db_bind_blob(q, key, SESSION_ID_LEN);
	got = db_step(q);
	return got == 1 ? session_read(q, x) : got == 0 ? -EACCES : got;
}

static int session_save(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(
		s->db, "UPDATE session SET state = ?, seq = ?, up = ?, down = ?, amount = ?, "
		       "final_up = ?, final_down = ?, posted = ?, offer = ? WHERE id = ?");

	db_bind_u64(q, x->state);
	db_bind_u64(q, x->seq);
	db_bind_u64(q, x->up);
	db_bind_u64(q, x->down);
	db_bind_u64(q, x->amount);
	db_bind_u64(q, x->final_up);
	db_bind_u64(q, x->final_down);
	db_bind_u64(q, x->posted);
	if (x->outstanding)
		db_bind_blob(q, &x->offer, sizeof(x->offer));
	else
		db_bind_null(q);
	db_bind_u64(q, x->id);
	return db_run(q);
}

static int session_add(struct store *s, enum role role, const uint8_t key[static SESSION_ID_LEN],
		       const uint8_t payer[static KEY_LEN])
{
	struct db_stmt *q = db_prepare(
		s->db, "INSERT INTO session(key, provider, payer, role, state, terms, hour, price) "
		       "VALUES(?, ?, ?, ?, 0, ?, ?, ?)");

	db_bind_blob(q, key, SESSION_ID_LEN);
	db_bind_blob(q, s->by->id, KEY_LEN);
	db_bind_blob(q, payer, KEY_LEN);
	db_bind_u64(q, role);
	db_bind_blob(q, s->terms_hash[role], KEY_LEN);
	db_bind_u64(q, s->now_s / HOUR);
	db_bind_u64(q, le64_get(s->terms[role].body.price));
	return db_run(q);
}

int store_session(struct store *s, enum role role, const uint8_t session[static SESSION_ID_LEN],
		  const uint8_t payer[static KEY_LEN], struct ledger_payer *out)
{
	struct payer p;
	int err;

	if ((unsigned)role >= ROLES || !s->has_terms[role])
		return -EINVAL;
	if (db_disk_free(s->db) < STORE_RESERVE)
		return -ENOSPC;
	err = payer_known(s, payer, &p);
	if (!err)
		err = session_add(s, role, session, payer);
	return err ? err : payer_view(s, &p, out);
}

/* The newest co-signed receipt, which the next one continues. */
static int session_head(struct store *s, const struct session *x, struct receipt *out)
{
	struct db_stmt *q =
		db_prepare(s->db, "SELECT body FROM receipt WHERE session = ? AND seq = ?");
	int got;
	bool ok;

	db_bind_u64(q, x->id);
	db_bind_u64(q, x->seq);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	ok = db_col_blob(q, out, sizeof(*out));
	db_done(q);
	return ok ? 0 : -EIO;
}

/* Signs the next receipt over final_up and final_down and keeps it as the outstanding one. */
static int session_offer(struct store *s, struct session *x)
{
	struct receipt_session about = {
		.role = x->role,
		.network = s->config.network,
		.price = x->price,
	};
	struct receipt head;
	int err = x->seq ? session_head(s, x, &head) : 0;

	if (err)
		return err;
	memcpy(about.session, x->key, sizeof(about.session));
	memcpy(about.payer, x->payer, sizeof(about.payer));
	memcpy(about.terms, x->terms, sizeof(about.terms));
	if (!receipt_make(&x->offer, &about, x->seq ? &head.offer : NULL, x->final_up,
			  x->final_down, s->now_s / HOUR, s->by))
		return -ERANGE;
	x->outstanding = true;
	return 0;
}

/* Counters only ever grow; what was seen before stands if a meter was lost. */
static void session_carried(struct session *x, uint64_t up, uint64_t down)
{
	if (up > x->final_up)
		x->final_up = up;
	if (down > x->final_down)
		x->final_down = down;
}

static bool session_unsigned(const struct session *x)
{
	return x->final_up > x->up || x->final_down > x->down;
}

int store_issue(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		uint64_t down, struct receipt_offer *out)
{
	struct session x;
	int err = session_find(s, session, &x);

	if (err)
		return err;
	if (x.state != SESSION_OPEN)
		return -EACCES;
	if (up > BYTES_MAX || down > BYTES_MAX)
		return -ERANGE;
	session_carried(&x, up, down);
	if (!x.outstanding && !session_unsigned(&x))
		return -EALREADY;
	if (!x.outstanding)
		err = session_offer(s, &x);
	if (!err)
		err = session_save(s, &x);
	if (!err)
		*out = x.offer;
	return err;
}

static int receipt_add(struct store *s, const struct session *x, const struct receipt *r)
{
	struct db_stmt *q =
		db_prepare(s->db, "INSERT INTO receipt(session, seq, body) VALUES(?, ?, ?)");

	db_bind_u64(q, x->id);
	db_bind_u64(q, x->seq);
	db_bind_blob(q, r, sizeof(*r));
	return db_run(q);
}

/* Books what the receipts of a session come to, as far as the payer's purse goes. */
static int session_post(struct store *s, struct session *x, uint64_t *paid)
{
	char hex[2 * SESSION_ID_LEN + 1], key[64];
	int err;

	snprintf(key, sizeof(key), "pay:%s:%" PRIu64, text_hex(hex, x->key, SESSION_ID_LEN),
		 x->seq);
	err = books_pay(s->db, x->payer, x->amount - x->posted, key, s->now_s, paid);
	x->posted += *paid;
	return err;
}

/* Bytes signed in a live session make as many of debt good; and what is worked off may not outlast
 * the debt itself, which a late signature takes away. */
static int payer_work_off(struct store *s, struct payer *p, uint64_t bytes)
{
	struct live live;
	int err = payer_live(s, p->key, &live);

	if (!err)
		p->worked = window_work_off(p->worked, bytes, live.debt);
	return err;
}

/* The outstanding receipt is signed: head, window, debt, credits, and what comes next. */
static int session_signed(struct store *s, struct session *x, const struct receipt *r,
			  struct payer *p)
{
	const struct receipt_body *body = &r->offer.body;
	uint64_t before = x->up + x->down, bytes, paid;
	bool live = x->state == SESSION_OPEN;
	int err;

	x->seq = le64_get(body->seq);
	x->up = le64_get(body->bytes_up);
	x->down = le64_get(body->bytes_down);
	x->amount = le64_get(body->amount);
	x->outstanding = false;
	err = receipt_add(s, x, r);
	if (!err)
		err = session_post(s, x, &paid);
	if (err)
		return err;
	bytes = x->up + x->down - before;
	p->bytes += bytes;
	p->earned += paid;
	window_signed(&p->window, &s->config.window, bytes);
	if (x->state == SESSION_UNPAID && !session_unsigned(x))
		x->state = SESSION_CLOSED;
	else if (x->state == SESSION_UNPAID)
		err = session_offer(s, x);
	if (!err)
		err = session_save(s, x);
	if (!err)
		err = payer_work_off(s, p, live ? bytes : 0);
	return err ? err : payer_save(s, p);
}

/* A co-signature we have already: right only if it is the very same. */
static int session_resigned(struct store *s, struct session *x, uint64_t seq,
			    const uint8_t signature[static SIGNATURE_LEN])
{
	struct receipt old;
	int err;

	x->seq = seq;
	err = session_head(s, x, &old);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	return crypto_equal(old.payer_signature, signature, SIGNATURE_LEN) ? 0 : -EBADMSG;
}

int store_cosign(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		 const uint8_t signature[static SIGNATURE_LEN], struct ledger_payer *out)
{
	struct session x;
	struct receipt r;
	struct payer p;
	int err = session_find(s, session, &x);

	if (err)
		return err;
	if (x.state == SESSION_FROZEN)
		return -EACCES;
	if (seq >= 1 && seq <= x.seq) {
		err = session_resigned(s, &x, seq, signature);
		return err ? err : store_payer(s, x.payer, out);
	}
	if (!x.outstanding || seq != le64_get(x.offer.body.seq) ||
	    !identity_verify(signature, &x.offer, sizeof(x.offer), x.payer))
		return -EBADMSG;
	r.offer = x.offer;
	memcpy(r.payer_signature, signature, SIGNATURE_LEN);
	err = payer_meet(s, x.payer, &p);
	if (!err)
		err = session_signed(s, &x, &r, &p);
	return err ? err : payer_view(s, &p, out);
}

int store_dispute(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		  uint64_t up, uint64_t down)
{
	struct db_stmt *q;
	struct session x;
	int err = session_find(s, session, &x);

	if (err)
		return err;
	if (x.state == SESSION_FROZEN)
		return 0;
	if (!x.outstanding || seq != le64_get(x.offer.body.seq))
		return -EBADMSG;
	q = db_prepare(s->db, "INSERT INTO evidence(session, offer, up, down, hour) "
			      "VALUES(?, ?, ?, ?, ?)");
	db_bind_u64(q, x.id);
	db_bind_blob(q, &x.offer, sizeof(x.offer));
	/* The client's numbers are its own word: whatever they are, they are kept. */
	db_bind_i64(q, (int64_t)up);
	db_bind_i64(q, (int64_t)down);
	db_bind_u64(q, s->now_s / HOUR);
	err = db_run(q);
	x.state = SESSION_FROZEN;
	if (!err)
		err = session_save(s, &x);
	return err ? err : payer_default(s, x.payer);
}

/* Nothing was carried, so there never was a receipt: it leaves nothing. */
static int session_forget(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, "DELETE FROM session WHERE id = ?");

	db_bind_u64(q, x->id);
	return db_run(q);
}

/* An open session is over: closed if all is signed, else unpaid, a default, and a receipt to ask
 * for. */
static int session_end(struct store *s, struct session *x)
{
	int err = 0;

	if (!x->final_up && !x->final_down)
		return session_forget(s, x);
	x->state = session_unsigned(x) ? SESSION_UNPAID : SESSION_CLOSED;
	if (x->state == SESSION_UNPAID && !x->outstanding)
		err = session_offer(s, x);
	if (!err)
		err = session_save(s, x);
	if (!err && x->state == SESSION_UNPAID)
		err = payer_default(s, x->payer);
	return err;
}

int store_end(struct store *s, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
	      uint64_t down)
{
	struct session x;
	int err = session_find(s, session, &x);

	if (err == -EACCES && !up && !down)
		return 0; /* as when it was forgotten */
	if (err)
		return err;
	if (up > BYTES_MAX || down > BYTES_MAX)
		return -ERANGE;
	if (x.state == SESSION_CLOSED)
		return 0;
	session_carried(&x, up, down);
	return x.state == SESSION_OPEN ? session_end(s, &x) : session_save(s, &x);
}

int store_unpaid(struct store *s, const uint8_t payer[static KEY_LEN], struct receipt_offer *out)
{
	struct db_stmt *q = db_prepare(s->db, "SELECT offer FROM session WHERE payer = ? "
					      "AND state <> 1 AND state = 2 AND offer NOT NULL "
					      "ORDER BY id LIMIT 1");
	int got;
	bool ok;

	db_bind_blob(q, payer, KEY_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	ok = db_col_blob(q, out, sizeof(*out));
	db_done(q);
	return ok ? 0 : -EIO;
}

/* ---- pages ---- */

static bool read_credit(struct db_stmt *q, struct query_rows *rows, size_t i)
{
	struct query_credit *row = &rows->credit[i];
	bool ok = db_col_blob(q, row->peer, sizeof(row->peer));

	row->spent = 0;
	row->window = db_col_u64(q);
	row->bytes = db_col_u64(q);
	row->earned = db_col_u64(q);
	return ok;
}

static int query_credits(struct store *s, const struct query *q, struct query_rows *rows)
{
	struct db_stmt *stmt = db_prepare(s->db, "SELECT id, key, window, bytes, earned FROM payer "
						 "WHERE id > ?1 ORDER BY id LIMIT ?2");
	int err;

	db_bind_u64(stmt, q->after);
	db_bind_u64(stmt, QUERY_PAGE + 1);
	rows->kind = QUERY_CREDITS;
	err = pages_fill(stmt, rows, read_credit);
	for (uint32_t i = 0; !err && i < rows->count; i++) {
		struct query_credit *row = &rows->credit[i];
		struct books_purse purse;
		struct live live;

		err = payer_purse(s, row->peer, &purse);
		if (!err)
			err = payer_live(s, row->peer, &live);
		if (err)
			break;
		row->free_left = purse.free_left;
		row->granted = purse.granted;
		row->balance = purse.free_left + purse.granted;
		row->debt = live.debt;
	}
	return err;
}

int store_query(struct store *s, const struct query *q, struct query_rows *rows)
{
	return q->kind == QUERY_CREDITS ? query_credits(s, q, rows) : pages_query(s->db, q, rows);
}

/* ---- opening and transactions ---- */

static int store_end_leftover(struct store *s, uint64_t *ended)
{
	/* state <> 1 is what the index of live sessions covers. */
	struct db_stmt *q =
		db_prepare(s->db, SESSION_SELECT "WHERE state <> 1 AND state = 0 LIMIT 1");
	struct session x;
	int got = db_step(q), err;

	if (got != 1)
		return got;
	err = session_read(q, &x);
	if (err)
		return err;
	err = session_end(s, &x);
	(*ended)++;
	return err ? err : 1;
}

/* Sessions die with the process that carried them. */
static int store_recover(struct store *s, uint64_t now_s)
{
	uint64_t ended = 0;
	int err = store_begin(s, now_s);

	if (err)
		return err;
	do
		err = store_end_leftover(s, &ended);
	while (err == 1);
	if (err) {
		store_rollback(s);
		return err;
	}
	if (ended)
		log_info("%" PRIu64 " sessions of an earlier run ended", ended);
	return store_commit(s);
}

int store_open(struct store **out, const char *path, const struct store_config *config,
	       const struct identity *by, uint64_t now_s)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int err;

	s->config = *config;
	s->by = by;
	err = schema_open(&s->db, path, DB_EXCLUSIVE, &schema_ledger);
	if (!err)
		err = store_recover(s, now_s);
	if (err) {
		store_close(s);
		return err;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s)
		db_close(s->db);
	free(s);
}

bool store_lost(const struct store *s)
{
	return db_lost(s->db);
}

int store_begin(struct store *s, uint64_t now_s)
{
	s->now_s = now_s;
	return db_begin(s->db);
}

int store_commit(struct store *s)
{
	return db_commit(s->db);
}

void store_rollback(struct store *s)
{
	db_rollback(s->db);
}

int store_mark(struct store *s)
{
	return db_mark(s->db);
}

int store_unmark(struct store *s, bool keep)
{
	if (keep)
		return db_keep(s->db);
	db_undo(s->db);
	return 0;
}

int store_terms(struct store *s, const struct terms *t)
{
	struct db_stmt *q = db_prepare(s->db, "INSERT INTO terms(hash, body) VALUES(?, ?) "
					      "ON CONFLICT(hash) DO NOTHING");
	uint8_t role = t->body.role, hash[KEY_LEN];
	int err;

	if (role == 0 || role >= ROLES)
		return -EINVAL;
	terms_hash(hash, t);
	db_bind_blob(q, hash, KEY_LEN);
	db_bind_blob(q, t, sizeof(*t));
	err = db_run(q);
	if (err)
		return err;
	s->has_terms[role] = true;
	s->terms[role] = *t;
	memcpy(s->terms_hash[role], hash, KEY_LEN);
	return 0;
}
