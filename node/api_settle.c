/* Settlement: POST /v1/settle, and the rows of GET /v1/epochs, a list of api_books.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "accounting/epoch_file.h"
#include "base/text.h"
#include "node/api.h"

static const char *state_text(const struct query_epoch *e)
{
	if (e->state == EPOCH_CLOSING)
		return "closing";
	if (e->busy)
		return "writing";
	return e->state == EPOCH_PRUNED ? "pruned" : "done";
}

/* Why its file could not be made. */
static json_t *error_text(const struct node *n, const struct query_epoch *e)
{
	switch (-e->err) {
	case ENODATA:
		return json_sprintf("%" PRIu64 " of its receipts are not in the books any more "
				    "(see [Credits] Retention)",
				    e->missing);
	case ENOSPC:
		return json_string("the disk is full, or almost; make room");
	case EEXIST:
		return json_string("it has another file already, which the books know nothing of: "
				   "were they restored from an older backup? Restore a newer one");
	case EBADMSG:
		return json_string("the books give another batch than the one that was signed; "
				   "restore them from a backup");
	default:
		return json_sprintf("%s/" SETTLEMENT_DIRECTORY ": %s; mend that and ask again",
				    n->config.data_dir, strerror(-e->err));
	}
}

static json_t *path_text(const struct node *n, uint64_t epoch)
{
	return json_sprintf("%s/" SETTLEMENT_DIRECTORY "/" EPOCH_FILE_NAME, n->config.data_dir,
			    epoch);
}

json_t *api_epoch(const struct node *n, const struct query_epoch *e)
{
	const struct batch_head_body *h = &e->head.body;
	json_t *o = json_pack("{s:o, s:o, s:s, s:o}", "epoch", api_number(e->epoch), "hour",
			      api_number(e->hour), "state", state_text(e), "path",
			      path_text(n, e->epoch));

	if (e->err)
		json_object_set_new(o, "error", error_text(n, e));
	if (e->state < EPOCH_WRITTEN)
		return o;
	json_object_set_new(o, "sessions", json_integer(le32_get(h->sessions)));
	json_object_set_new(o, "receipts", json_integer(le32_get(h->receipts)));
	json_object_set_new(o, "accounts", json_integer(le32_get(h->accounts)));
	json_object_set_new(o, "earned", api_number(le64_get(h->earned)));
	json_object_set_new(o, "spent", api_number(le64_get(h->spent)));
	json_object_set_new(o, "size", api_number(le64_get(h->size)));
	json_object_set_new(o, "root", api_key(h->root));
	return o;
}

static void settled(void *arg, int err, const struct ledger_settled *s)
{
	struct api_call *call = arg;

	if (err == -EBUSY)
		api_fail(
			call, HTTP_SERVUNAVAIL,
			"an epoch is being settled already; wait until `culvert settle list` shows "
			"it as done, then ask again");
	else if (err == -ENOENT)
		api_fail(call, HTTP_NOTFOUND, "no such epoch; see culvert settle list");
	else if (err == -EEXIST)
		api_fail(call, HTTP_INTERNAL,
			 "the next epoch has a file already, of which the books know nothing: were "
			 "they restored from an older backup? Restore a newer one; signing this "
			 "epoch anew would contradict that file");
	else if (err == -ENOSPC)
		api_fail(call, HTTP_INTERNAL, "the disk is full, or almost; make room");
	else if (err)
		api_fail(call, HTTP_INTERNAL, "the ledger could not do it; see culvertd's log");
	else
		api_answer(call,
			   json_pack("{s:o, s:b}", "epoch", api_number(s->epoch), "new", s->fresh));
}

void api_settle(struct api_call *call, const char *body, size_t len)
{
	json_t *json = len ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : json_object();
	const json_t *epoch = json_object_get(json, "epoch");
	json_int_t n = json_integer_value(epoch);
	bool ok = json_is_object(json) && (!epoch || n > 0);

	json_decref(json);
	if (!ok)
		api_fail(call, HTTP_BADREQUEST,
			 "epoch is the number of one to make again; leave it out to close a new "
			 "one");
	else
		ledger_settle(call->node->ledger, (uint64_t)n, settled, call);
}
