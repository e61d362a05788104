#include "accounting/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/*
 * Receipts only raise a session's head. The money for them moves in two steps: out of the payer's
 * purse into holds of the session, one for each account it came from, and from there to whoever
 * earned it. What is held can neither expire nor be spent on something else, so that who signs in
 * time is paid for in full.
 */

/* What a session holds from one account. */
struct held {
	struct account hold, from;
};

struct helds {
	struct held held[ACCOUNTS_MAX];
	size_t count;
};

/* Room for "release:", a session in hex, and two numbers. */
static const char *move_key(char key[static ACCOUNT_NAME], const char *what,
			    const struct session *x, uint64_t n)
{
	char hex[2 * SESSION_ID_LEN + 1];

	snprintf(key, ACCOUNT_NAME, "%s:%s:%" PRIu64, what, text_hex(hex, x->key, SESSION_ID_LEN),
		 n);
	return key;
}

/* The names of a session's holds lie between these two. */
static void bind_holds(struct db_stmt *q, const struct session *x)
{
	char hex[2 * SESSION_ID_LEN + 1], name[ACCOUNT_NAME];

	text_hex(hex, x->key, SESSION_ID_LEN);
	snprintf(name, sizeof(name), "hold:%s:", hex);
	db_bind_text(q, name);
	snprintf(name, sizeof(name), "hold:%s;", hex);
	db_bind_text(q, name);
}

#define HELD_SELECT                                                                            \
	"SELECT h.id, h.balance, f.id, f.kind, f.balance, f.expires, f.source FROM account h " \
	"JOIN account f ON f.id = h.source "                                                   \
	"WHERE h.name > ? AND h.name < ? AND h.balance > 0 "

static int helds_load(struct helds *out, struct db_stmt *q)
{
	int got;

	out->count = 0;
	while ((got = db_step(q)) == 1) {
		struct held *h = &out->held[out->count++];

		*h = (struct held){.hold.kind = ACCOUNT_HOLD};
		h->hold.id = db_col_u64(q);
		h->hold.balance.micro = db_col_i64(q);
		h->from.id = db_col_u64(q);
		h->from.kind = (enum account_kind)db_col_u64(q);
		h->from.balance.micro = db_col_i64(q);
		h->from.expires = db_col_u64(q);
		h->from.source = db_col_u64(q);
		if (out->count == ACCOUNTS_MAX)
			break;
	}
	db_done(q);
	return got < 0 ? got : 0;
}

/* In the order they are spent in. */
static int helds_first(struct store *s, const struct session *x, struct helds *out)
{
	struct db_stmt *q = db_prepare(s->db, HELD_SELECT "ORDER BY f.kind, f.expires = 0, "
							  "f.expires, f.id");

	bind_holds(q, x);
	return helds_load(out, q);
}

/* In the reverse order, without the first so many. */
static int helds_last(struct store *s, const struct session *x, uint64_t skip, struct helds *out)
{
	struct db_stmt *q = db_prepare(s->db, HELD_SELECT "ORDER BY f.kind DESC, f.expires <> 0, "
							  "f.expires DESC, f.id DESC "
							  "LIMIT 64 OFFSET ?");

	bind_holds(q, x);
	db_bind_u64(q, skip);
	return helds_load(out, q);
}

/* ---- giving back ---- */

/* The account it came from; if that has run out, where that came from. An account that was seen to
 * run out is never filled again, whatever the clock says now: it could not run out twice. */
static int give_back_to(struct store *s, const struct account *from, struct account *to)
{
	char key[ACCOUNT_NAME];
	struct db_stmt *q;
	int got;

	*to = *from;
	if (!from->expires)
		return 0;
	if (from->expires > s->now_s) {
		snprintf(key, sizeof(key), "expire:%" PRIu64, from->id);
		q = db_prepare(s->db, "SELECT 1 FROM txn WHERE key = ?");
		db_bind_text(q, key);
		got = db_step(q);
		db_done(q);
		if (got != 1)
			return got;
	}
	return account_by_id(s->db, from->source, to);
}

static bool is_expired(const struct store *s, const struct account *a)
{
	return a->expires && a->expires <= s->now_s;
}

/* What is still to be given back, and of what. */
struct giving {
	uint64_t excess;
	bool expired_only; /* only what came from accounts that ran out; the rest is kept */
	uint64_t kept;     /* holds passed over */
};

static int give_back_some(struct store *s, struct session *x, const struct helds *h,
			  struct giving *g)
{
	struct booking b = {0};
	char key[ACCOUNT_NAME];
	uint64_t sum = 0;
	int err = 0;

	for (size_t i = 0; !err && i < h->count && g->excess; i++) {
		uint64_t part = amount_u64(h->held[i].hold.balance);
		struct account to;

		part = part < g->excess ? part : g->excess;
		g->excess -= part;
		if (g->expired_only && !is_expired(s, &h->held[i].from)) {
			g->kept++;
			continue;
		}
		err = give_back_to(s, &h->held[i].from, &to);
		if (!err)
			err = booking_move(&b, &h->held[i].hold, &to, part);
		sum += part;
	}
	if (err || sum == 0)
		return err;
	x->hold -= sum;
	return booking_write(s->db, &b, move_key(key, "release", x, ++x->moves), s->now_s);
}

static int give_back(struct store *s, struct session *x, uint64_t keep, bool expired_only)
{
	struct giving g = {.expired_only = expired_only};
	struct helds h;
	int err = 0;

	keep = keep > x->posted ? keep : x->posted;
	g.excess = x->hold > keep ? x->hold - keep : 0;
	while (!err && g.excess) {
		err = helds_last(s, x, g.kept, &h);
		if (!err && h.count == 0)
			return -EIO; /* the session says it holds more than there is */
		if (!err)
			err = give_back_some(s, x, &h, &g);
	}
	return err;
}

int session_give_back(struct store *s, struct session *x, uint64_t keep)
{
	return give_back(s, x, keep, false);
}

int session_release(struct store *s, struct session *x)
{
	int err = session_post(s, x);

	return err ? err : session_give_back(s, x, 0);
}

/* ---- setting aside ---- */

/* When what an unpaid session holds goes back: in the books is no time below an hour. */
static uint64_t unpaid_until(const struct store *s)
{
	return (s->now_s + HOUR - 1) / HOUR * HOUR + HOLD_UNPAID_S;
}

/* Moves up to want from the purse, the first to be spent first; *got is what it had. */
static int hold_some(struct store *s, struct session *x, uint64_t want, uint64_t *got)
{
	struct booking b = {0};
	struct accounts purse;
	char key[ACCOUNT_NAME], hex[2 * SESSION_ID_LEN + 1];
	int err = books_spendable(s->db, x->payer, &purse);

	*got = 0;
	text_hex(hex, x->key, SESSION_ID_LEN);
	for (size_t i = 0; !err && i < purse.count && *got < want; i++) {
		const struct account *from = &purse.account[i];
		uint64_t part = amount_u64(from->balance);
		struct account_made made = {
			.name = key,
			.kind = ACCOUNT_HOLD,
			.payer = x->payer,
			.expires = x->state == SESSION_UNPAID ? unpaid_until(s) : from->expires,
			.source = from->id,
			.session = x->id,
		};
		struct account hold;

		part = part < want - *got ? part : want - *got;
		snprintf(key, sizeof(key), "hold:%s:%" PRIu64, hex, from->id);
		err = account_get(s->db, &made, &hold);
		if (!err)
			err = booking_move(&b, from, &hold, part);
		*got += part;
	}
	if (err || *got == 0)
		return err;
	x->hold += *got;
	return booking_write(s->db, &b, move_key(key, "hold", x, ++x->moves), s->now_s);
}

static uint64_t session_need(const struct session *x)
{
	uint64_t offered = x->outstanding ? le64_get(x->offer.body.amount) : 0;

	return offered > x->amount ? offered : x->amount;
}

/* Of the payer's other open sessions: whatever they hold beyond what they signed or were asked to.
 */
static int others_give_back(struct store *s, const struct session *x, uint64_t lack)
{
	struct db_stmt *q;
	struct session other = {0};
	int err;

	while (lack) {
		uint64_t held;

		q = db_prepare(s->db, SESSION_SELECT "WHERE payer = ? AND state <> 1 AND "
						     "state = 0 AND hold > amount AND id > ? AND "
						     "id <> ? ORDER BY id LIMIT 1");
		db_bind_blob(q, x->payer, KEY_LEN);
		db_bind_u64(q, other.id);
		db_bind_u64(q, x->id);
		err = db_step(q);
		if (err != 1)
			return err;
		err = session_row_read(q, &other);
		held = other.hold;
		if (!err)
			err = session_give_back(s, &other, session_need(&other));
		if (!err && other.hold < held)
			err = session_row_save(s, &other);
		if (err)
			return err;
		lack -= held - other.hold < lack ? held - other.hold : lack;
	}
	return 0;
}

/* What to set aside at once: as much as is needed, and in an open session what another window will
 * cost, unless that would take it from the payer's other sessions. */
static int hold_plan(struct store *s, const struct session *x, const struct payer *p, uint64_t need,
		     uint64_t *want)
{
	struct books_purse purse;
	uint64_t have, ahead;
	int err = books_purse(s->db, x->payer, s->now_s, &purse);

	if (err)
		return err;
	have = micro_add(purse.free_left, purse.granted);
	*want = need - x->hold;
	if (x->state == SESSION_OPEN && terms_amount(x->price, p->window.bytes, &ahead) &&
	    micro_add(*want, ahead) <= have)
		*want += ahead;
	return *want > have ? others_give_back(s, x, *want - have) : 0;
}

int session_hold(struct store *s, struct session *x, uint64_t need)
{
	uint64_t want, got;
	struct payer p;
	int err;

	if (need <= x->hold)
		return 0;
	err = payer_meet(s, x->payer, &p);
	if (!err)
		err = hold_plan(s, x, &p, need, &want);
	for (got = 1; !err && want && got; want -= got)
		err = hold_some(s, x, want, &got);
	return err;
}

/* ---- posting ---- */

/* Where the parts of a posting go. */
struct earners {
	struct account given, node, fee;
};

static int earners_get(struct store *s, const struct session *x, struct earners *out)
{
	const struct account_made given = {.name = "sys:given", .kind = ACCOUNT_GIVEN};
	int err = account_get(s->db, &given, &out->given);

	if (!err)
		err = account_of_key(s->db, s->by->id, &out->node);
	if (!err && x->fee_ppm)
		err = account_of_key(s->db, x->fee_account, &out->fee);
	return err;
}

/* One hold's part of a posting: what the allowance pays is given, of the rest the fee is taken so
 * that over the session's life it is the share of the whole, rounded once. */
static int post_part(struct booking *b, struct session *x, const struct held *h,
		     const struct earners *to, uint64_t part)
{
	uint64_t fee;
	int err;

	if (h->from.kind == ACCOUNT_FREE)
		return booking_move(b, &h->hold, &to->given, part);
	fee = micro_fee(x->paid + part, x->fee_ppm) - micro_fee(x->paid, x->fee_ppm);
	x->paid += part;
	err = booking_move(b, &h->hold, &to->node, part - fee);
	return err || !fee ? err : booking_move(b, &h->hold, &to->fee, fee);
}

static int post_some(struct store *s, struct session *x, uint64_t target)
{
	struct booking b = {.bytes = x->up + x->down - x->posted_bytes};
	uint64_t before = x->posted;
	struct earners to;
	struct helds h;
	char key[ACCOUNT_NAME];
	int err = helds_first(s, x, &h);

	if (!err && h.count == 0)
		return -EIO; /* the session says it holds more than there is */
	if (!err)
		err = earners_get(s, x, &to);
	for (size_t i = 0; !err && i < h.count && x->posted < target; i++) {
		uint64_t part = amount_u64(h.held[i].hold.balance);

		part = part < target - x->posted ? part : target - x->posted;
		err = post_part(&b, x, &h.held[i], &to, part);
		x->posted += part;
	}
	x->posted_bytes += b.bytes;
	if (!err)
		err = booking_write(s->db, &b, move_key(key, "pay", x, x->posted), s->now_s);
	return err ? err : payer_earned(s, x->payer, x->posted - before);
}

int session_post(struct store *s, struct session *x)
{
	uint64_t target;
	int err = session_hold(s, x, x->amount);

	target = x->amount < x->hold ? x->amount : x->hold;
	while (!err && x->posted < target)
		err = post_some(s, x, target);
	x->posted_hour = s->now_s / HOUR;
	return err;
}

/* ---- holds that end by time ---- */

int session_hold_unpaid(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE account SET expires = ? "
					      "WHERE name > ? AND name < ?");

	db_bind_u64(q, unpaid_until(s));
	bind_holds(q, x);
	return db_run(q);
}

/* They were seen to. */
static int holds_seen(struct store *s, const struct session *x)
{
	struct db_stmt *q = db_prepare(s->db, "UPDATE account SET expires = 0 WHERE name > ? "
					      "AND name < ? AND expires <= ?");

	bind_holds(q, x);
	db_bind_u64(q, s->now_s);
	return db_run(q);
}

/* What is signed or asked for stays, whatever it came from; what was only taken ahead does not
 * outlive its source. */
static int session_holds_expire(struct store *s, uint64_t id)
{
	struct db_stmt *q = db_prepare(s->db, SESSION_SELECT "WHERE id = ?");
	struct session x;
	int got, err;

	db_bind_u64(q, id);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -EIO;
	err = session_row_read(q, &x);
	if (!err && x.state == SESSION_OPEN)
		err = give_back(s, &x, session_need(&x), true);
	else if (!err)
		err = session_release(s, &x);
	if (!err)
		err = holds_seen(s, &x);
	return err ? err : session_row_save(s, &x);
}

int payer_holds_expire(struct store *s, const uint8_t key[static KEY_LEN])
{
	int got;

	for (;;) {
		struct db_stmt *q = db_prepare(
			s->db, "SELECT session FROM account WHERE payer = ? AND balance > 0 "
			       "AND kind = 4 AND expires BETWEEN 1 AND ? LIMIT 1");
		uint64_t id;
		int err;

		db_bind_blob(q, key, KEY_LEN);
		db_bind_u64(q, s->now_s);
		got = db_step(q);
		if (got != 1)
			return got;
		id = db_col_u64(q);
		db_done(q);
		err = session_holds_expire(s, id);
		if (err)
			return err;
	}
}
