/* What the client can show a provider whose books lost it. */
#include <errno.h>

#include "accounting/wallet_rows.h"

/* Rows of receipt are numbered as they are signed. By way of the sessions: a walk down the receipts
 * would be through the whole history for a provider that is not in it. */
int wallet_held(struct wallet *w, const uint8_t provider[static KEY_LEN],
		const uint8_t payer[static KEY_LEN], uint64_t mark, struct wallet_held *out)
{
	struct db_stmt *q = db_prepare(
		w->db,
		"SELECT r.id, r.body, t.body FROM receipt r JOIN session s ON s.id = r.session "
		"JOIN terms t ON t.hash = s.terms WHERE r.id = (SELECT max(n.id) FROM session o "
		"CROSS JOIN receipt n ON n.session = o.id AND n.seq = o.seq "
		"WHERE n.id < ? AND o.provider = ? AND o.payer = ?)");
	int got;
	bool ok;

	db_bind_u64(q, mark ? mark : INT64_MAX);
	db_bind_blob(q, provider, KEY_LEN);
	db_bind_blob(q, payer, KEY_LEN);
	got = db_step(q);
	if (got != 1)
		return got < 0 ? got : -ENOENT;
	out->mark = db_col_u64(q);
	ok = db_col_blob(q, &out->held.receipt, sizeof(out->held.receipt));
	ok = db_col_blob(q, &out->held.terms, sizeof(out->held.terms)) && ok;
	db_done(q);
	return ok ? 0 : -EIO;
}

int wallet_held_of(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
		   struct body_held *out)
{
	struct wallet_row row;
	int err = wallet_find(w, session, &row);

	if (err || !row.seq)
		return err ? err : -ENOENT;
	out->terms = row.terms;
	out->receipt = row.head;
	return 0;
}
