#include "accounting/rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

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

int payer_save(struct store *s, const struct payer *p)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE payer SET window = ?, signed = ?, bytes = ?, "
					      "worked = ? WHERE id = ?");

	db_bind_u64(q, p->window.bytes);
	db_bind_u64(q, p->window.signed_bytes);
	db_bind_u64(q, p->bytes);
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

int payer_earned(struct store *s, const uint8_t key[static KEY_LEN], uint64_t micro)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE payer SET earned = earned + ? WHERE key = ?");

	db_bind_u64(q, micro);
	db_bind_blob(q, key, KEY_LEN);
	return db_run(q);
}

int payer_known(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_find(s, key, p);

	if (err != -ENOENT)
		return err;
	*p = (struct payer){.window = window_fresh(&s->config.window)};
	memcpy(p->key, key, KEY_LEN);
	return 0;
}

int payer_row(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_find(s, key, p);

	return err == -ENOENT ? payer_add(s, key, p) : err;
}

int payer_meet(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_row(s, key, p);

	if (!err)
		err = books_expire(s->db, key, s->now_s);
	if (!err)
		err = books_allow(s->db, key, s->config.free_allowance, s->now_s);
	return err;
}

/* What the sessions of a payer hold beyond what they were signed for, back where it is from. */
static int purse_add_held(struct store *s, const uint8_t key[static KEY_LEN],
			  struct books_purse *out)
{
	struct db_stmt *q = db_prepare(
		s->db, "SELECT x.amount, x.hold, x.posted, "
		       "coalesce(sum(h.balance) FILTER (WHERE f.kind = 1), 0), "
		       "coalesce(sum(h.balance) FILTER (WHERE f.kind <> 1), 0) "
		       "FROM account h JOIN account f ON f.id = h.source "
		       "JOIN session x ON x.id = h.session "
		       "WHERE h.payer = ? AND h.balance > 0 AND h.kind = 4 GROUP BY x.id");
	int got;

	db_bind_blob(q, key, KEY_LEN);
	while ((got = db_step(q)) == 1) {
		uint64_t amount = db_col_u64(q), hold = db_col_u64(q), posted = db_col_u64(q);
		uint64_t given = db_col_u64(q), granted = db_col_u64(q), due, part;

		due = amount < hold ? amount : hold;
		due = due > posted ? due - posted : 0;
		part = due < given ? due : given; /* as it will be posted */
		due -= part;
		out->free_left = micro_add(out->free_left, given - part);
		out->granted = micro_add(out->granted, granted - (due < granted ? due : granted));
	}
	return got;
}

int payer_purse(struct store *s, const uint8_t key[static KEY_LEN], struct books_purse *out)
{
	int err = books_purse(s->db, key, s->now_s, out);

	if (!err)
		err = books_allowance(s->db, key, s->config.free_allowance, s->now_s,
				      &out->free_left);
	return !err && out->held ? purse_add_held(s, key, out) : err;
}

int payer_live(struct store *s, const uint8_t key[static KEY_LEN], struct live *live)
{
	struct db_stmt *q = db_prepare(
		s->db, "SELECT role, state, price, up + down, final_up + final_down, amount, "
		       "hold, posted FROM session WHERE payer = ? AND state <> 1");
	unsigned roles = 0;
	int got;

	*live = (struct live){0};
	db_bind_blob(q, key, KEY_LEN);
	while ((got = db_step(q)) == 1) {
		unsigned role = (unsigned)db_col_u64(q);
		uint64_t state = db_col_u64(q), price = db_col_u64(q), head = db_col_u64(q);
		uint64_t carried = db_col_u64(q), amount = db_col_u64(q), hold = db_col_u64(q);
		uint64_t posted = db_col_u64(q), ready = amount < hold ? amount : hold;

		if (state == SESSION_OPEN) {
			live->open++;
			roles |= role;
			live->price = price > live->price ? price : live->price;
			carried = head; /* the rest is what the window is for */
		} else {
			live->ended++;
		}
		live->debt += carried - head;
		if (state != SESSION_FROZEN && terms_amount(price, carried, &amount) &&
		    amount > posted)
			live->due = micro_add(live->due, amount - posted);
		if (ready > posted)
			live->pending = micro_add(live->pending, ready - posted);
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
 * Each request looks at all that was left unsigned: who has left so much carries nothing that could
 * become more of it.
 */
static void payer_window(const struct store *s, const struct payer *p, const struct live *live,
			 struct ledger_payer *out)
{
	uint64_t price = live->open ? live->price : store_price(s);
	uint64_t rounding = live->open ? live->open - 1 : 0, bytes;

	out->window = window_left(&p->window, &s->config.window, live->debt - p->worked);
	if (price) {
		bytes = out->credit > rounding ? terms_bytes_for(price, out->credit - rounding) : 0;
		out->window = bytes < out->window ? bytes : out->window;
	}
	if (live->ended >= ENDED_MAX)
		out->window = 0;
	out->window /= live->roles;
}

/* What a payer can spend, expired credit taken back; *changed if there was some, and with it,
 * perhaps, what sessions hold. */
static int payer_purse_now(struct store *s, const uint8_t key[static KEY_LEN],
			   struct books_purse *out, bool *changed)
{
	int err = books_purse(s->db, key, s->now_s, out);

	*changed = !err && out->stale;
	if (*changed)
		err = payer_holds_expire(s, key);
	if (!err && *changed)
		err = books_expire(s->db, key, s->now_s);
	if (!err && *changed)
		err = books_purse(s->db, key, s->now_s, out);
	return err ? err
		   : books_allowance(s->db, key, s->config.free_allowance, s->now_s,
				     &out->free_left);
}

int payer_view_live(struct store *s, const struct payer *p, struct live *live,
		    struct ledger_payer *out)
{
	struct books_purse purse;
	uint64_t credit;
	bool changed;
	int err = payer_purse_now(s, p->key, &purse, &changed);

	if (!err && changed)
		err = payer_live(s, p->key, live);
	if (err)
		return err;
	credit = micro_add(micro_add(purse.free_left, purse.granted), purse.held);
	*out = (struct ledger_payer){
		.credit = credit > live->due ? credit - live->due : 0,
		.debt = live->debt,
	};
	payer_window(s, p, live, out);
	return 0;
}

int payer_view(struct store *s, const struct payer *p, struct ledger_payer *out)
{
	struct live live;
	int err = payer_live(s, p->key, &live);

	return err ? err : payer_view_live(s, p, &live, out);
}

int store_payer(struct store *s, const uint8_t payer[static KEY_LEN], struct ledger_payer *out)
{
	struct payer p;
	int err = payer_known(s, payer, &p);

	return err ? err : payer_view(s, &p, out);
}

int payer_default(struct store *s, const uint8_t key[static KEY_LEN])
{
	struct payer p;
	int err = payer_meet(s, key, &p);

	if (err)
		return err;
	p.window = window_fresh(&s->config.window);
	return payer_save(s, &p);
}

static const char *grant_key(char out[static ACCOUNT_NAME], const uint8_t key[static NONCE_LEN])
{
	char hex[2 * NONCE_LEN + 1];

	snprintf(out, ACCOUNT_NAME, "grant:%s", text_hex(hex, key, NONCE_LEN));
	return out;
}

int store_grant(struct store *s, const uint8_t payer[static KEY_LEN], uint64_t amount,
		uint64_t expires_s, const uint8_t key[static NONCE_LEN])
{
	char name[ACCOUNT_NAME];
	const struct books_promise promise = {
		.key = grant_key(name, key),
		.source = "sys:grant",
		.payer = payer,
		.amount = amount,
		.expires_s = expires_s,
	};
	struct payer p;
	int err = payer_meet(s, payer, &p);

	return err ? err : books_promise(s->db, &promise, s->now_s);
}

int store_grant_earned(struct store *s, const uint8_t payer[static KEY_LEN], uint64_t amount,
		       const uint8_t key[static NONCE_LEN])
{
	char name[ACCOUNT_NAME];
	const struct books_promise promise = {
		.key = grant_key(name, key),
		.payer = payer,
		.amount = amount,
	};
	struct payer p;
	int err = crypto_equal(payer, s->by->id, KEY_LEN) ? -EINVAL : payer_meet(s, payer, &p);

	return err ? err : books_give(s->db, s->by->id, &promise, s->now_s);
}
