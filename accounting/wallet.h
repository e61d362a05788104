/*
 * The client's books: which providers it pays, what it agreed to, every receipt it signed. One
 * process, one writer (WAL, synchronous=FULL). Main thread only; calls are synchronous and durable
 * on return.
 */
#ifndef ACCOUNTING_WALLET_H
#define ACCOUNTING_WALLET_H

#include "accounting/query.h"
#include "proto/evidence.h"

struct wallet;

/* Creates or opens the database; readonly for queries while an agent runs. 0 or -errno, said by
 * log_warn. */
MUST_CHECK int wallet_open(struct wallet **out, const char *path, bool readonly);
void wallet_close(struct wallet *w);

/* A session agreed with a provider, under terms already checked. */
MUST_CHECK int wallet_session(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
			      const struct terms *terms, const uint8_t payer[static KEY_LEN]);
/* These two carry one tunnel now: reports put their counts side by side. Their newest pair is kept.
 */
MUST_CHECK int wallet_pair(struct wallet *w, const uint8_t relay[static SESSION_ID_LEN],
			   const uint8_t exit[static SESSION_ID_LEN]);

/* What the client itself has counted for a session, as upper bounds for what it will sign. */
struct wallet_count {
	uint64_t up, down;
};

/* Writes down what was counted so far, so that it outlives the process; never lowered. */
MUST_CHECK int wallet_counted(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
			      const struct wallet_count *count);
/* What was last written down; -ENOENT: no session of ours. */
MUST_CHECK int wallet_count_of(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
			       struct wallet_count *out);

/*
 * Judges an offer: parties, terms, chain, amount, provider's signature, and bytes against count
 * with the terms' loss allowance. Says yes or no; stores nothing. -EAGAIN: only the down bytes are
 * ahead of the count, which packets in flight may still explain; -EALREADY: signed before, and a
 * later one since, so that nothing is left to say; -EBADMSG: never to be signed.
 */
MUST_CHECK int wallet_judge(struct wallet *w, const struct receipt_offer *offer,
			    const struct wallet_count *count);

/* Signs, stores durably together with the count it was judged by, then returns the signature to
 * send. The same offer again gives the same signature. */
MUST_CHECK int wallet_cosign(struct wallet *w, const struct receipt_offer *offer,
			     const struct wallet_count *count, const struct identity *payer,
			     uint8_t signature[static SIGNATURE_LEN]);

/* An offer that is not signed, and what it is held against. */
struct dispute {
	const struct receipt_offer *offer;
	const struct receipt_offer *shown; /* an earlier one of the session, unsigned; NULL: none */
	struct wallet_count count;         /* what our own device counted */
};

/* What speaks against a refused offer: the receipt it contradicts, itself, or the count. Stores
 * nothing. -EALREADY: the session was disputed before; -ENOENT: it is none of ours. */
MUST_CHECK int wallet_accuse(struct wallet *w, const struct dispute *d, struct evidence *out);
/* Keeps that as evidence; the session signs nothing more. Errors as wallet_accuse. */
MUST_CHECK int wallet_dispute(struct wallet *w, const struct dispute *d, struct evidence *out);
MUST_CHECK int wallet_ended(struct wallet *w, const uint8_t session[static SESSION_ID_LEN]);

/* The newest receipt of a session, and the terms it names. */
struct wallet_held {
	uint64_t mark; /* for the one before it */
	struct body_held held;
};
/* The sessions of a payer with a provider by their newest receipt, the one signed last first: that
 * of the first below mark (0: of all). -ENOENT: none. */
MUST_CHECK int wallet_held(struct wallet *w, const uint8_t provider[static KEY_LEN],
			   const uint8_t payer[static KEY_LEN], uint64_t mark,
			   struct wallet_held *out);
/* That of one session. -ENOENT: none of ours, or nothing signed in it. */
MUST_CHECK int wallet_held_of(struct wallet *w, const uint8_t session[static SESSION_ID_LEN],
			      struct body_held *out);

/* One page of rows; QUERY_EXPLAIN: -ENOENT if there is no such session. */
MUST_CHECK int wallet_query(struct wallet *w, const struct query *q, struct query_rows *rows);

#endif
