/* What the ledger knows: /v1/credits, /v1/receipts, /v1/terms, /v1/promises, /v1/disputes,
 * /v1/epochs, and POST /v1/grants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/verify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "node/api.h"

/* ---- rows ---- */

/* The very line an export has, so that what is verified is what was shown. */
static json_t *exported(const struct query_rows *rows, uint32_t i)
{
	char *text = export_row(rows, i);
	json_t *row = json_loads(text, 0, NULL);

	free(text);
	return row;
}

static json_t *credit(const struct query_credit *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "peer", api_key(c->peer),
			 "balance", api_number(c->balance), "free_left", api_number(c->free_left),
			 "granted", api_number(c->granted), "earned", api_number(c->earned),
			 "spent", api_number(c->spent), "bytes", api_number(c->bytes), "window",
			 api_number(c->window), "debt", api_number(c->debt));
}

static json_t *promise(const struct query_promise *p)
{
	const struct grant_body *b = &p->grant.body;
	char serial[2 * NONCE_LEN + 1];

	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "issuer", api_key(b->issuer), "serial",
			 text_hex(serial, b->serial, NONCE_LEN), "payer", api_key(b->payer),
			 "limit", api_number(le64_get(b->limit)), "expires",
			 api_number(le64_get(b->expires)), "hour", api_number(p->hour * 3600));
}

static json_t *row(const struct node *n, const struct query_rows *rows, uint32_t i)
{
	switch (rows->kind) {
	case QUERY_CREDITS:
		return credit(&rows->credit[i]);
	case QUERY_PROMISES:
		return promise(&rows->promise[i]);
	case QUERY_EPOCHS:
		return api_epoch(n, &rows->epoch[i]);
	default:
		return exported(rows, i);
	}
}

static const char *list_name(enum query_kind kind)
{
	switch (kind) {
	case QUERY_CREDITS:
		return "credits";
	case QUERY_SESSIONS:
		return "sessions";
	case QUERY_RECEIPTS:
		return "receipts";
	case QUERY_TERMS:
		return "terms";
	case QUERY_PROMISES:
		return "promises";
	case QUERY_DISPUTES:
		return "disputes";
	case QUERY_EPOCHS:
		return "epochs";
	default:
		return "rows"; /* api_reports.c has the others */
	}
}

static void answer_rows(void *arg, int err, const struct query_rows *rows)
{
	struct api_call *call = arg;
	json_t *list;

	if (err) {
		api_fail(call, HTTP_INTERNAL, "the ledger could not answer; see culvertd's log");
		return;
	}
	list = json_array();
	for (uint32_t i = 0; i < rows->count; i++)
		json_array_append_new(list, row(call->node, rows, i));
	api_answer(call, json_pack("{s:o, s:o}", list_name(rows->kind), list, "next",
				   api_number(rows->next)));
}

void api_books(struct api_call *call, enum query_kind kind, const struct evkeyvalq *params)
{
	const char *after = evhttp_find_header(params, "after");
	const char *session = evhttp_find_header(params, "session");
	struct query q = {.kind = kind, .has_session = session != NULL};

	if (after && !text_u64(after, 0, INT64_MAX, &q.after))
		api_fail(call, HTTP_BADREQUEST, "after is a number, the `next` of the page before");
	else if (session && !text_unhex(q.session, SESSION_ID_LEN, session))
		api_fail(call, HTTP_BADREQUEST, "session is 32 hex digits");
	else
		ledger_query(call->node->ledger, &q, answer_rows, call);
}

/* ---- grants ---- */

static void granted(void *arg, int err)
{
	struct api_call *call = arg;

	if (err == -EEXIST)
		api_fail(call, HTTP_BADREQUEST, "this key was used for another grant");
	else if (err == -ERANGE)
		api_fail(call, HTTP_BADREQUEST, "amount is more than the books can hold");
	else if (err == -EDQUOT)
		api_fail(call, HTTP_BADREQUEST,
			 "amount is more than this node has earned and not spent");
	else if (err == -EINVAL)
		api_fail(call, HTTP_BADREQUEST, "what this node earned is its own already");
	else if (err)
		api_fail(call, HTTP_INTERNAL, "the ledger could not store it; see culvertd's log");
	if (err)
		return;
	if (call->node->relay)
		relay_payer_changed(call->node->relay, call->payer);
	if (call->node->exit)
		exit_payer_changed(call->node->exit, call->payer);
	api_answer(call, json_pack("{s:o}", "payer", api_key(call->payer)));
}

/* In base64, as they are shown, or in hex. */
static bool read_id(uint8_t id[static KEY_LEN], const json_t *text)
{
	const char *s = json_string_value(text);

	return s && (text_unhex(id, KEY_LEN, s) || key_from_base64(id, s));
}

static bool read_number(uint64_t *out, const json_t *number)
{
	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return false;
	*out = (uint64_t)json_integer_value(number);
	return true;
}

struct granting {
	bool earned; /* out of what this node earned */
	uint64_t amount, expires;
	uint8_t key[NONCE_LEN];
};

/* What is wrong with the body, or NULL. */
static const char *read_grant(struct granting *g, uint8_t payer[static KEY_LEN], const json_t *body)
{
	const json_t *expires = json_object_get(body, "expires");
	const json_t *from = json_object_get(body, "from");
	const char *key = json_string_value(json_object_get(body, "key"));

	if (!json_is_object(body))
		return "the body is no JSON object";
	if (from && (!json_is_string(from) || strcmp(json_string_value(from), "earned") != 0))
		return "from is \"earned\", or left out for a promise of the operator";
	if (!read_id(payer, json_object_get(body, "payer")))
		return "payer is a payer's id";
	if (!read_number(&g->amount, json_object_get(body, "amount")) || g->amount == 0)
		return "amount is a number of micro-credits above 0";
	if (expires && !read_number(&g->expires, expires))
		return "expires is a number of seconds since 1970, or 0 for never";
	if (g->expires && g->expires <= clock_wall())
		return "expires is in the past; give a time to come, or 0 for never";
	if (from && g->expires)
		return "what was earned does not expire; leave expires out";
	g->earned = from != NULL;
	if (!key || !text_unhex(g->key, NONCE_LEN, key))
		return "key is 32 hex digits; the same key again is the same grant";
	return NULL;
}

void api_grant(struct api_call *call, const char *body, size_t len)
{
	json_t *json = body ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	struct granting g = {0};
	const char *wrong = read_grant(&g, call->payer, json);

	json_decref(json);
	if (wrong)
		api_fail(call, HTTP_BADREQUEST, wrong);
	else if (g.earned)
		ledger_grant_earned(call->node->ledger, call->payer, g.amount, g.key, granted,
				    call);
	else
		ledger_grant(call->node->ledger, call->payer, g.amount, g.expires, g.key, granted,
			     call);
}
