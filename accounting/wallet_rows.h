/*
 * The insides of the client's books, for the files that make up the wallet. Errors are those of
 * wallet.h. One thread.
 */
#ifndef ACCOUNTING_WALLET_ROWS_H
#define ACCOUNTING_WALLET_ROWS_H

#include "accounting/db.h"
#include "accounting/wallet.h"

struct wallet {
	struct db *db;
};

/* One row of table session, with what its terms say. */
struct wallet_row {
	uint64_t id;
	enum session_state state;
	uint64_t seq, up, down, amount;
	uint8_t payer[KEY_LEN];
	struct terms terms;
	struct receipt head; /* if seq > 0 */
};

MUST_CHECK int wallet_find(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
			   struct wallet_row *row); /* -ENOENT: none */
/* The receipt both signed with this number; -ENOENT: none. */
MUST_CHECK int wallet_receipt(struct wallet *w, const struct wallet_row *row, uint64_t seq,
			      struct receipt *out);
MUST_CHECK int wallet_state(struct wallet *w, uint64_t id, enum session_state state);
/* Commits what err says is right, else takes it back. */
MUST_CHECK int wallet_finish(struct wallet *w, int err);

#endif
