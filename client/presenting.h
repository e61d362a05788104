/*
 * What a client shows a provider before it opens a session: grants it has for that node, and the
 * newest receipts it signed there, in case the node's books were put back from an older copy. Lives
 * beside a control client; main thread only.
 */
#ifndef CLIENT_PRESENTING_H
#define CLIENT_PRESENTING_H

#include "accounting/wallet.h"
#include "control/client.h"
#include "proto/grant.h"

struct presenting;

struct presenting_config {
	struct wallet *wallet; /* outlives it, like all here */
	const char *grants;    /* directory */
	const uint8_t *payer, *node;
	uint64_t network;
};

struct presenting_ops {
	/* All is shown that is to be shown; false: the node does not answer. Last in any call. */
	void (*done)(void *arg, bool answered);
	/* A grant was taken: what the payer has there now. */
	void (*credited)(void *arg, uint64_t credit);
};

struct presenting *presenting_create(const struct presenting_config *config,
				     const struct presenting_ops *ops, void *arg);
void presenting_destroy(struct presenting *p); /* NULL is fine */

/* The channel is another one: grants are shown on it again. */
void presenting_channel(struct presenting *p);
/* A session is about to be asked for: receipts are shown again. */
void presenting_session(struct presenting *p);
/* Shows grants not shown on this channel yet, then receipts; done follows, now or later. While one
 * is under way it is that one that is meant. */
void presenting_start(struct presenting *p, struct control_client *control);
/* Only grants, such as came into the directory meanwhile; nothing follows but credited. */
void presenting_grants(struct presenting *p, struct control_client *control);
/* A provider asks for a receipt below one we have signed: it is shown that one, if it is of a
 * session of the two. */
void presenting_newer(struct presenting *p, struct control_client *control,
		      const struct receipt_offer *asked);

/* What the node said of a grant on this channel. */
enum presenting_said {
	PRESENTING_NOTHING,
	PRESENTING_TAKEN,
	PRESENTING_KNOWN,
	PRESENTING_REFUSED,
};
enum presenting_said presenting_said(const struct presenting *p, const struct grant *g);
/* "taken", "refused", ... */
const char *presenting_said_text(enum presenting_said said);

#endif
