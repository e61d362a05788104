/* POST /v1/disputes/forgive; GET /v1/disputes is one of the lists of api_books.c. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "node/api.h"

static void forgiven(void *arg, int err, const uint8_t *payer)
{
	struct api_call *call = arg;

	if (err == -EACCES)
		api_fail(call, HTTP_NOTFOUND, "no such session in these books");
	else if (err == -EALREADY)
		api_fail(call, HTTP_BADREQUEST,
			 "the session is not frozen: there is nothing to forgive");
	else if (err)
		api_fail(call, HTTP_INTERNAL, "the ledger could not store it; see culvertd's log");
	if (err)
		return;
	if (call->node->relay)
		relay_payer_changed(call->node->relay, payer);
	if (call->node->exit)
		exit_payer_changed(call->node->exit, payer);
	api_answer(call, json_pack("{s:o, s:o}", "session", api_session_id(call->query.session),
				   "payer", api_key(payer)));
}

void api_forgive(struct api_call *call, const char *body, size_t len)
{
	json_t *json = body ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *session = json_string_value(json_object_get(json, "session"));
	bool ok = session && text_unhex(call->query.session, SESSION_ID_LEN, session);

	json_decref(json);
	if (ok)
		ledger_forgive(call->node->ledger, call->query.session, forgiven, call);
	else
		api_fail(call, HTTP_BADREQUEST, "session is 32 hex digits");
}
