/*
 * What a client signs for one provider: knows which sessions with it are ours and how many bytes
 * our own device counted in each, and lets the wallet judge every receipt against that. Main thread
 * only.
 */
#ifndef CLIENT_JUDGE_H
#define CLIENT_JUDGE_H

#include "accounting/wallet.h"

#define JUDGE_PAST 8 /* ended sessions whose last receipts may still come */

struct judge_session {
	uint8_t id[SESSION_ID_LEN];
	bool live;                   /* its count still grows */
	bool lost;                   /* bytes of it that nobody counted any more */
	struct wallet_count base;    /* the device's counters when it began */
	struct wallet_count final;   /* what it counted, once it ended */
	struct wallet_count noted;   /* what of that the wallet has */
	struct wallet_count claimed; /* the newest receipt's totals, signed or not */
	struct wallet_count signed_; /* the newest signed receipt's totals */
	uint64_t seq;                /* the newest signed receipt's */
	bool has_shown;
	struct receipt_offer shown; /* the newest one ahead of our count */
};

struct judge {
	struct wallet *wallet;
	const struct identity *payer;
	void (*count)(void *arg, struct wallet_count *out); /* the device's counters now */
	void *arg;
	struct judge_session now;
	struct judge_session past[JUDGE_PAST];
	size_t past_next;
};

enum judgement {
	JUDGE_SIGN, /* stored and signed */
	JUDGE_WAIT, /* ahead of our count: packets in flight may explain it; never signed as such */
	JUDGE_REFUSE, /* never to be signed */
	JUDGE_IGNORE, /* no session of ours that we still have a count for, one signed long ago, or
			 our books failed */
};

/* A session begins; base: the device's counters before the provider can have counted a byte of it.
 * The previous one ends if it has not yet. */
void judge_begin(struct judge *j, const uint8_t session[static SESSION_ID_LEN],
		 const struct wallet_count *base);
/* The live session ends: its count is final. Without one nothing happens. */
void judge_end(struct judge *j);

/* The device died, and what it counted last died with it: of the live session more may have been
 * carried than we know of. */
void judge_lost(struct judge *j);

/* Writes down what the live session counted, if that is news: after a crash its receipts are judged
 * by it. */
void judge_note(struct judge *j);

/* What the session in hand has counted: until now, or in all once it ended. */
void judge_count(const struct judge *j, struct wallet_count *out);

/* The session, live or one of the last ended ones; NULL if unknown. */
struct judge_session *judge_find(struct judge *j, const uint8_t session[static SESSION_ID_LEN]);

/* On JUDGE_SIGN signature is what to send. */
enum judgement judge_offer(struct judge *j, const struct receipt_offer *offer,
			   uint8_t signature[static SIGNATURE_LEN]);
/*
 * A receipt of a session that judge_find does not know: from before this process, or one that
 * ended after judge_lost. JUDGE_SIGN: fair by what the wallet has of its count, and signature is
 * what to send. JUDGE_REFUSE: the provider's own signatures prove it wrong. Otherwise JUDGE_IGNORE:
 * the last bytes before a crash were counted by nobody, which is no reason to dispute.
 */
enum judgement judge_old(struct judge *j, const struct receipt_offer *offer,
			 uint8_t signature[static SIGNATURE_LEN]);
/* Keeps the offer, and what it contradicts, as evidence. count is set to what we counted; the kind
 * tells why it is refused. */
enum evidence_kind judge_dispute(struct judge *j, const struct receipt_offer *offer,
				 struct wallet_count *count);

#endif
