/* A batch in the middle of being checked: what batch_verify.c and batch_records.c share. */
#ifndef ACCOUNTING_BATCH_CHECK_H
#define ACCOUNTING_BATCH_CHECK_H

#include "accounting/batch_totals.h"
#include "accounting/batch_verify.h"

/* A session as of its last receipt. */
struct batch_settled {
	struct batch_session session;
	struct receipt_offer last;
	uint64_t epoch; /* of that receipt */
	bool seen;      /* in the file being checked */
};

struct batch_listed {
	uint8_t hash[KEY_LEN];
	struct terms terms;
	bool used;
};

struct batch_chain {
	const struct batch_rules *rules;
	struct batch_head head;      /* of the file before */
	bool any;                    /* there is one */
	uint64_t since;              /* from this epoch to it no file is missing */
	struct batch_settled *known; /* by id: sessions of all files before */
	size_t known_count;
	struct batch_totals totals; /* after the file before */
};

/* One file being checked. */
struct batch_check {
	struct batch_chain *chain;
	struct batch_file file;
	struct batch_fault *fault;
	struct merkle tree;
	struct batch_listed *terms;
	struct batch_settled *sessions;
	uint32_t at;                     /* the session receipts are read of */
	uint64_t read;                   /* records of this kind, the one being judged included */
	uint64_t since;                  /* as in the chain, with this file */
	bool exact;                      /* the totals before are known */
	struct batch_totals totals;      /* what they must be after: these, or at least these */
	unsigned __int128 earned, spent; /* by all accounts: wide enough for any file */
};

/* Sessions are sorted by their id. */
int batch_settled_order(const void *a, const void *b);
/* Every record of the file and its sums, the tree growing along; after: the accounts as they stand
 * in it. 0, -EBADMSG, -ENOMEM or -errno of the stream. */
MUST_CHECK int batch_check_records(struct batch_check *k, struct batch_totals *after);

#endif
