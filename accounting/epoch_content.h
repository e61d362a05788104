/*
 * What belongs to a settlement epoch, read out of the books a little at a time: its sessions, the
 * terms they are under, how many receipts, and what every account earned and spent up to it. The
 * ledger process, between requests.
 */
#ifndef ACCOUNTING_EPOCH_CONTENT_H
#define ACCOUNTING_EPOCH_CONTENT_H

#include "accounting/db.h"
#include "accounting/ordered.h"
#include "proto/messages.h"

/* A session of this epoch. */
struct epoch_session {
	uint8_t key[SESSION_ID_LEN];
	uint64_t id, first, last, paid, before;
	uint32_t fee_ppm;
	uint8_t fee_account[KEY_LEN];
};

/* Over all epochs up to this one. */
struct epoch_total {
	uint8_t key[KEY_LEN];
	uint64_t earned, spent;
};

struct epoch_content {
	struct ordered *sessions, *terms, *accounts; /* by key; terms: hashes alone */
	uint32_t receipts;
	/* The rest is epoch_content.c's: whose books, and how far it is. */
	struct db *db;
	const uint8_t *node;
	uint64_t epoch;
	size_t part;
	uint64_t epoch_at, session_at, seq;
	bool any;
	uint8_t key[SESSION_ID_LEN];
};

/* Of node's books; db and node outlive it. Nothing is read yet. */
struct epoch_content *epoch_content_begin(struct db *db, const uint8_t node[static KEY_LEN],
					  uint64_t epoch);
/* Reads on: 1, 0 once all of it is there, -ERANGE for sums no batch holds, or as db_step. */
MUST_CHECK int epoch_content_read(struct epoch_content *c);
void epoch_content_free(struct epoch_content *c);

#endif
