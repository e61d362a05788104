#include "accounting/rows.h"

#include <errno.h>
#include <string.h>

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

int payer_known(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
{
	int err = payer_find(s, key, p);

	if (err != -ENOENT)
		return err ? err : books_expire(s->db, key, s->now_s);
	*p = (struct payer){.window = window_fresh(&s->config.window)};
	memcpy(p->key, key, KEY_LEN);
	return 0;
}

int payer_meet(struct store *s, const uint8_t key[static KEY_LEN], struct payer *p)
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

int payer_purse(struct store *s, const uint8_t key[static KEY_LEN], struct books_purse *out)
{
	int err = books_purse(s->db, key, out);

	return err ? err
		   : books_allowance(s->db, key, s->config.free_allowance, s->now_s,
				     &out->free_left);
}

int payer_live(struct store *s, const uint8_t key[static KEY_LEN], struct live *live)
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
int payer_view(struct store *s, const struct payer *p, struct ledger_payer *out)
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

int payer_default(struct store *s, const uint8_t key[static KEY_LEN])
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
