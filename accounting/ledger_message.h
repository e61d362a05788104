/*
 * What the node and its ledger process say to each other: one struct a SOCK_SEQPACKET message, both
 * ends the same binary, so plain C structs in host order. Lengths are exact or the message is
 * refused.
 */
#ifndef ACCOUNTING_LEDGER_MESSAGE_H
#define ACCOUNTING_LEDGER_MESSAGE_H

#include "accounting/ledger.h"
#include "accounting/store.h"

enum ledger_kind {
	LEDGER_READY, /* unasked, id 0: at start and after each renewal */
	LEDGER_OPEN,
	LEDGER_ISSUE,
	LEDGER_COSIGN,
	LEDGER_DISPUTE,
	LEDGER_FORGIVE,
	LEDGER_CLOSE,
	LEDGER_UNPAID,
	LEDGER_PAYER,
	LEDGER_GRANT,
	LEDGER_GRANT_EARNED,
	LEDGER_QUERY,
	LEDGER_SETTLE, /* seq: the epoch, or 0 */
	LEDGER_PROMISE,
	LEDGER_ADOPT,
	LEDGER_CARRY,
	LEDGER_KINDS,
};

struct ledger_request {
	uint64_t id; /* repeated in the answer */
	uint32_t kind;
	uint32_t role;
	uint8_t session[SESSION_ID_LEN];
	uint8_t payer[KEY_LEN];
	uint64_t seq, up, down;
	uint64_t amount, expires;
	uint8_t key[NONCE_LEN];
	uint8_t signature[SIGNATURE_LEN];
	struct query query;
	union {
		struct grant grant;
		struct body_held held;
		struct ledger_carry carry;
	};
};

struct ledger_answer {
	uint64_t id;
	uint32_t kind;
	int32_t err; /* 0 or -errno; without a body unless 0 */
	union {
		struct ledger_payer payer;
		uint8_t key[KEY_LEN]; /* a payer's */
		struct receipt_offer offer;
		struct ledger_settled settled;
		struct ledger_promised promised;
		struct ledger_adopted adopted;
		struct ledger_carried carried;
		struct query_rows rows; /* cut after the last row in use */
		struct ledger_identity identity;
	};
};

enum {
	LEDGER_BATCH = 256,             /* requests that share one commit */
	LEDGER_SOCKET_BUFFER = 1 << 18, /* holds the largest message several times */
};

/* An answer's exact length: header, and for err 0 the body of its kind. */
size_t ledger_answer_length(const struct ledger_answer *a);

/* The child's half, in pieces that tests and the fuzz target drive without a fork. ----------------
 */

/* One request within the store's transaction; fills a whole answer. Malformed ones: -EPROTO. */
void ledger_answer_request(struct store *store, const void *msg, size_t len,
			   struct ledger_answer *a);
/* Serves until the other end closes; never returns. */
void ledger_process(int socket, const struct ledger_config *config, pid_t parent)
	__attribute__((noreturn));
/* Terms and descriptor as of now: the same bytes all through a UTC day. */
void ledger_describe(struct ledger_identity *out, const struct ledger_config *config,
		     const struct identity *by, uint64_t now_s);

#endif
