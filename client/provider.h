/*
 * One session with one provider, relay or exit: opens it under terms the person accepted, keeps it
 * alive, signs what our own device counted, refuses what it did not, closes it. Retries by itself;
 * says through `changed` what became of it. Main thread only.
 */
#ifndef CLIENT_PROVIDER_H
#define CLIENT_PROVIDER_H

#include "accounting/wallet.h"
#include "client/presenting.h"
#include "proto/descriptor.h"

#define PROVIDER_KEEPALIVE_MS 20000
#define PROVIDER_JUDGE_MS     10     /* between looks at a receipt that is ahead of our count */
#define PROVIDER_PATIENCE_MS  10000  /* after which it is refused */
#define PROVIDER_LOSS_PPM     200000 /* terms that let a payer bear more loss are no terms */
#define PROVIDER_LOSS_BYTES   (64ull << 20)
#define PROVIDER_CLOSE_MS     2000 /* for the final receipt */
#define PROVIDER_NOTE_MS      2000 /* between counts written down */

struct provider;

enum provider_state {
	PROVIDER_IDLE,
	PROVIDER_OPENING,
	PROVIDER_OPEN,
	PROVIDER_CLOSING,
	PROVIDER_CLOSED,
	PROVIDER_DISPUTED, /* a receipt was refused: never opened again */
};

enum provider_event {
	PROVIDER_OPENED,
	PROVIDER_GONE,   /* it does not know the session any more; now idle */
	PROVIDER_SILENT, /* it has not answered for a while; asking goes on */
	PROVIDER_LEFT,   /* disputed */
	PROVIDER_ENDED,  /* provider_close is through */
};

struct provider_ops {
	/* Carries a datagram to the provider. */
	void (*send)(void *arg, struct provider *p, const void *msg, size_t len);
	/* The device's counters now: tx as up, rx as down. */
	void (*count)(void *arg, struct wallet_count *out);
	/* Not called from within the functions below. */
	void (*changed)(void *arg, struct provider *p, enum provider_event event);
	/* A control datagram of the exit that came through this relay's session. */
	void (*passed)(void *arg, const uint8_t *msg, size_t len);
};

struct provider_config {
	enum role role;
	struct descriptor descriptor;
	struct noise_keypair control; /* ours */
	const struct identity *payer; /* outlives the provider */
	uint8_t subject[KEY_LEN]; /* the exit's node id (to a relay), our WireGuard key (to an exit)
				   */
	uint64_t network, max_price;
	struct wallet *wallet;
	const char *grants; /* the directory they are in; outlives the provider */
};

/* Why a person should not pay by these terms ("its price is above MaxPrice"), or NULL. max_price 0:
 * no limit. */
const char *provider_terms_unfair(const struct terms *t, uint64_t max_price);

struct provider *provider_create(struct event_base *base, const struct provider_config *config,
				 const struct provider_ops *ops, void *arg);
void provider_destroy(struct provider *p); /* without a word to anybody. NULL is fine */

/* Starts opening unless open, opening, or disputed. */
void provider_open(struct provider *p);
/* Asks for the final receipt and leaves; PROVIDER_ENDED follows in any case. */
void provider_close(struct provider *p);
/* Datagrams of the provider. */
void provider_input(struct provider *p, const uint8_t *msg, size_t len);
/* The way to the provider changed: a fresh handshake, then a check that the session is still known.
 */
void provider_restart(struct provider *p);
/* Checks that the session is still known, now. */
void provider_probe(struct provider *p);
/* The device died, and its last counts with it. What the open session's receipts claim beyond what
 * is known is not disputed then: the session is given up for a new one. */
void provider_lost_count(struct provider *p);
/* To a relay: carry this control datagram to the exit. Dropped unless open. */
void provider_pass(struct provider *p, const void *msg, size_t len);

struct provider_view {
	enum provider_state state;
	struct descriptor descriptor;
	uint8_t session[SESSION_ID_LEN];
	bool has_session;
	struct wallet_count counted; /* by our own device, in this session */
	struct wallet_count claimed; /* totals of its newest receipt */
	uint64_t signed_bytes;
	uint64_t window, credit;
	bool out_of_credit;
	uint32_t opens;      /* sessions opened in all */
	uint64_t age_ms;     /* of the session */
	const char *trouble; /* why it is not open, a sentence part; NULL: nothing known */
};
void provider_view(const struct provider *p, struct provider_view *view);

/* What the open session was granted; NULL unless open, or of the other role. */
const struct body_granted *provider_granted(const struct provider *p);
const struct body_peer *provider_peer(const struct provider *p);

/* What it said of a grant that names it. */
enum presenting_said provider_said(const struct provider *p, const struct grant *g);

#endif
