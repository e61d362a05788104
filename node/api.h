/*
 * The API: HTTP and JSON on a unix socket, for culvert and for scripts (docs/api.md). Every answer
 * is one object with "schema": 1; keys are base64, sessions hex, bytes and micro-credits are
 * integers. Main thread only.
 */
#ifndef NODE_API_H
#define NODE_API_H

#include <event2/http.h>
#include <jansson.h>

#include "accounting/reconcile.h"
#include "node/node.h"

struct api;

/* Listens on [Api] Socket. A dead daemon's socket is replaced; -EADDRINUSE if one answers there. */
MUST_CHECK int api_create(struct api **out, struct node *n);
void api_destroy(struct api *api); /* NULL is fine */

/* One question on its way: the connection may be gone by the time the answer is there. */
struct api_call {
	struct api_call *prev, *next;
	struct api *api;
	struct node *node;
	struct evhttp_request *request; /* NULL: nobody waits any more */
	uint8_t payer[KEY_LEN];         /* POST /v1/grants */
	struct query query;             /* GET /v1/reconcile, /v1/explain; the session of a POST */
	bool live;                      /* GET /v1/reconcile: carried and counts are the node's */
	struct reconcile_carried carried;
	struct reconcile counts;
};

/* Keeps the request beyond its handler; ended by api_answer or api_fail with it. */
struct api_call *api_later(struct api *api, struct evhttp_request *request);
/* Consumes answer, to which "schema" is added, and call. */
void api_answer(struct api_call *call, json_t *answer);
void api_fail(struct api_call *call, int status, const char *why);

/* ---- by noun: each answers call, now or later ---- */
struct evkeyvalq;
void api_status(struct api_call *call);
void api_sessions(struct api_call *call);
void api_descriptor(struct api_call *call);
void api_books(struct api_call *call, enum query_kind kind, const struct evkeyvalq *params);
void api_settle(struct api_call *call, const char *body, size_t len);
void api_forgive(struct api_call *call, const char *body, size_t len);
void api_grant(struct api_call *call, const char *body, size_t len);
void api_explain(struct api_call *call, const struct evkeyvalq *params);
void api_bookings(struct api_call *call, const struct evkeyvalq *params);
void api_earnings(struct api_call *call, const struct evkeyvalq *params);
void api_reconcile(struct api_call *call, const struct evkeyvalq *params);

/* A settlement epoch, as lists have it. */
json_t *api_epoch(const struct node *n, const struct query_epoch *e);

/* Ids as JSON strings: of nodes, payers and providers in base64, of sessions in hex. */
json_t *api_key(const uint8_t key[static KEY_LEN]);
json_t *api_session_id(const uint8_t id[static SESSION_ID_LEN]);
/* Numbers of the wire as JSON has them: 63 bits, and anything above is shown as the highest. */
json_t *api_number(uint64_t n);

#endif
