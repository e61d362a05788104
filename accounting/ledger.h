/*
 * The ledger process: the only holder of the identity key, the only opener of the database. Forked
 * before any thread exists; spoken to over one SOCK_SEQPACKET socketpair in fixed, length-checked
 * structs (ledger_message.h). This header is the node's end: asynchronous calls with callbacks,
 * main thread only. If the ledger dies, ledger_dispatch returns -EPIPE and the node must exit:
 * nothing can be promised.
 */
#ifndef ACCOUNTING_LEDGER_H
#define ACCOUNTING_LEDGER_H

#include <errno.h>

#include "accounting/query.h"
#include "proto/descriptor.h"
#include "proto/receipt.h"

enum {
	LEDGER_ISSUERS_MAX = 16,
};

struct ledger_config {
	char database[256];        /* path of ledger.db */
	char identity_file[256];   /* read by the ledger after the fork */
	char descriptor_file[256]; /* written at start and at renewal; empty: none */
	uint64_t network;
	uint8_t roles;
	char name[32];
	struct net_addr announce4, announce6; /* port 0: none */
	uint16_t wg_port;
	uint8_t control_key[KEY_LEN], wg_key[KEY_LEN];
	uint64_t price[3]; /* by enum role */
	uint64_t window_start, window_cap;
	uint32_t receipt_seconds, loss_ppm;
	uint64_t loss_bytes;
	uint64_t terms_days;     /* validity of terms and descriptor */
	uint64_t free_allowance; /* micro-credits each payer may spend every month */
	char settlement[256];    /* directory of the settlement batches; empty: none are made */
	uint64_t retention_days; /* how long settled receipts are kept; 0: for ever */
	uint32_t fee_ppm;        /* of what is paid in new sessions, to fee_account; 0: none */
	uint8_t fee_account[KEY_LEN];
	uint8_t issuers[LEDGER_ISSUERS_MAX][KEY_LEN]; /* whose promises are taken for credit */
	size_t issuer_count;
};

struct ledger;

/* What the ledger says once it is ready, and after each renewal. */
struct ledger_identity {
	struct descriptor descriptor; /* holds node id and signed terms */
};

/* Forks. In the child never returns. In the parent: waits until ready; 0 or -errno (-ECHILD: the
 * child said why). */
MUST_CHECK int ledger_start(struct ledger **out, const struct ledger_config *config,
			    struct ledger_identity *id);
/* Hands over what still waits, closes the socket, which ends the child after its last commit, and
 * reaps it. Callbacks outstanding are not called. */
void ledger_stop(struct ledger *l);

/* Poll this for reading (and writing while ledger_wants_write), then call ledger_dispatch. */
int ledger_fd(const struct ledger *l);
bool ledger_wants_write(const struct ledger *l);
MUST_CHECK int ledger_dispatch(struct ledger *l); /* runs callbacks; 0 or -EPIPE */
pid_t ledger_pid(const struct ledger *l);
/* As at the start, or as last renewed: look again before showing it to anybody. */
const struct ledger_identity *ledger_identity_now(const struct ledger *l);

/* A payer as the provider's books see it. */
struct ledger_payer {
	uint64_t window; /* slow-start window in bytes, narrowed by debt not worked off, and not
			  * more than credit buys: 0 only for lack of credit */
	uint64_t credit; /* micro-credits it can still spend here */
	uint64_t debt;   /* bytes carried in ended sessions and never signed */
};

/* What became of a wish to settle. */
struct ledger_settled {
	uint64_t epoch; /* the one that is closed or made again; the last one if nothing is new */
	bool fresh;     /* false: there is nothing new since */
};

/* An issuer's promise was booked, now or (known) before. */
struct ledger_promised {
	struct ledger_payer payer; /* the one it names */
	bool known;
};

/* A receipt was shown again. */
struct ledger_adopted {
	uint64_t seq; /* of the session's newest receipt by now */
	bool news;    /* the books did not have the one that was shown */
	bool frozen;  /* it contradicts another one of its session: both are kept */
};

/* What the relay may carry in a month (12 * year + 0..11), in bytes: so many more and, first, so
 * many less than is booked, but no more than limit in all. */
struct ledger_carry {
	uint64_t month, more, less, limit;
};

struct ledger_carried {
	uint64_t total;  /* of that month, booked by anybody */
	uint64_t booked; /* of `more`: the part there was room for */
};

/* err: 0, or -errno: -EACCES unknown, ended or frozen session, -EBADMSG bad signature or not the
 * outstanding receipt, -EALREADY nothing to issue a receipt for, -EEXIST a session id or grant key
 * used before, -ERANGE numbers beyond what the books hold, or one that passes (below). The pointer
 * is NULL unless err is 0. */
typedef void (*ledger_opened)(void *arg, int err, const struct ledger_payer *payer);
typedef void (*ledger_issued)(void *arg, int err, const struct receipt_offer *offer);
typedef void (*ledger_signed)(void *arg, int err, const struct ledger_payer *payer);
typedef void (*ledger_done)(void *arg, int err);
typedef void (*ledger_settled)(void *arg, int err, const struct ledger_settled *settled);
typedef void (*ledger_took_promise)(void *arg, int err, const struct ledger_promised *promised);
typedef void (*ledger_took_receipt)(void *arg, int err, const struct ledger_adopted *adopted);
typedef void (*ledger_has_carried)(void *arg, int err, const struct ledger_carried *carried);
typedef void (*ledger_forgiven)(void *arg, int err, const uint8_t *payer);
typedef void (*ledger_rows)(void *arg, int err, const struct query_rows *rows);

/* A full or read-only disk, a write that failed, no memory: nothing was committed, the ledger says
 * why in its log, and the same may work later. */
static inline bool ledger_error_passes(int err)
{
	return err == -ENOSPC || err == -EROFS || err == -EIO || err == -ENOMEM || err == -ENOLCK;
}

/* Registers a session durably before it may carry a byte. The terms are this node's for the role.
 */
void ledger_open(struct ledger *l, enum role role, const uint8_t session[static SESSION_ID_LEN],
		 const uint8_t payer[static KEY_LEN], ledger_opened done, void *arg);
/* The next receipt over cumulative counters. While one is outstanding (unsigned) the same one is
 * returned. */
void ledger_issue(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_issued done, void *arg);
/* The payer's signature on the outstanding receipt: verified, chained, posted and durable before
 * done. */
void ledger_cosign(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		   const uint8_t signature[static SIGNATURE_LEN], ledger_signed done, void *arg);
/* A refused receipt: kept as evidence, the session frozen. */
void ledger_dispute(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t seq,
		    uint64_t up, uint64_t down, ledger_done done, void *arg);
/* The operator ends a dispute: what a frozen session carried beyond its last signed receipt is
 * written off, and no debt any more; the evidence and the payer's window stay. -EALREADY: it is not
 * frozen. payer: whose session it was. */
void ledger_forgive(struct ledger *l, const uint8_t session[static SESSION_ID_LEN],
		    ledger_forgiven done, void *arg);
/* The session's final counters; unsigned bytes become debt, and default ends the slow-start window.
 * A session that carried nothing is forgotten. After an error that passes the ledger does it by
 * itself as soon as it can; asking again is fine too. */
void ledger_close(struct ledger *l, const uint8_t session[static SESSION_ID_LEN], uint64_t up,
		  uint64_t down, ledger_done done, void *arg);
/* An outstanding (issued, unsigned) receipt of an ended session of this payer; -ENOENT if none. */
void ledger_unpaid(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_issued done,
		   void *arg);
/* Where a payer stands now. */
void ledger_payer_now(struct ledger *l, const uint8_t payer[static KEY_LEN], ledger_opened done,
		      void *arg);
/* The operator's promise: amount micro-credits for a payer until expires (0: never). key makes it
 * idempotent. */
void ledger_grant(struct ledger *l, const uint8_t payer[static KEY_LEN], uint64_t amount,
		  uint64_t expires, const uint8_t key[static NONCE_LEN], ledger_done done,
		  void *arg);
/*
 * epoch 0: closes a new epoch over all that was signed since the last; else makes the file of that
 * one again. Done when it is begun; the rest happens between requests, and QUERY_EPOCHS tells how
 * far it is. -EBUSY while another one is worked on, -ENOENT no such epoch, -EEXIST there is a file
 * of the new one, which the books know nothing of, -ENOTSUP without a directory for them.
 */
void ledger_settle(struct ledger *l, uint64_t epoch, ledger_settled done, void *arg);
/* The same out of what this node earned, never more than it has: -EDQUOT; -EINVAL to itself. */
void ledger_grant_earned(struct ledger *l, const uint8_t payer[static KEY_LEN], uint64_t amount,
			 const uint8_t key[static NONCE_LEN], ledger_done done, void *arg);
/* An issuer's promise. -EPERM: not at this node, or no issuer of ours; -ETIME: expired; -EBADMSG:
 * not valid; -EEXIST: its serial was used for another one; -ERANGE: more than an issuer may owe;
 * -EAGAIN: its payer has too many of them now. */
void ledger_promise(struct ledger *l, const struct grant *g, ledger_took_promise done, void *arg);
/* A receipt both signed, with its terms, which the books may have lost: taken over if it is newer
 * than what they have of its session. -EBADMSG: not ours or not valid. */
void ledger_adopt(struct ledger *l, const struct body_held *held, ledger_took_receipt done,
		  void *arg);
/* Books what may be carried, durably before done; or, with more 0, gives back or only asks. */
void ledger_carry(struct ledger *l, const struct ledger_carry *c, ledger_has_carried done,
		  void *arg);
/* One page of rows for the API. */
void ledger_query(struct ledger *l, const struct query *q, ledger_rows done, void *arg);

#endif
