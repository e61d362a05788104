/* Reports out of the books: /v1/explain, /v1/bookings, /v1/earnings, /v1/reconcile. */
#include <errno.h>
#include <string.h>

#include "accounting/report_json.h"
#include "base/text.h"
#include "node/api.h"

enum {
	HOUR = 3600,
};

/* The farthest hour of a question: beyond it nothing is booked. */
#define HOURS_MAX (UINT64_C(1) << 22)

/* ---- questions ---- */

static bool read_number(uint64_t *out, const struct evkeyvalq *params, const char *name,
			uint64_t max)
{
	const char *text = evhttp_find_header(params, name);

	return !text || text_u64(text, 0, max, out);
}

/* ?session=HEX&after=N into call->query; false: answered. */
static bool read_session(struct api_call *call, enum query_kind kind,
			 const struct evkeyvalq *params)
{
	const char *session = evhttp_find_header(params, "session");
	struct query *q = &call->query;

	*q = (struct query){.kind = kind, .has_session = true};
	if (session && text_unhex(q->session, SESSION_ID_LEN, session) &&
	    read_number(&q->after, params, "after", INT64_MAX))
		return true;
	api_fail(call, HTTP_BADREQUEST, "session is 32 hex digits, after a number");
	return false;
}

static bool failed(struct api_call *call, int err)
{
	if (err == -ENOENT)
		api_fail(call, HTTP_NOTFOUND, "no such session in these books");
	else if (err == -EINVAL)
		api_fail(call, HTTP_BADREQUEST, "after is the `next` of the page before");
	else if (err)
		api_fail(call, HTTP_INTERNAL, "the ledger could not answer; see culvertd's log");
	return err != 0;
}

/* ---- explain ---- */

static void answer_explain(void *arg, int err, const struct query_rows *rows)
{
	if (!failed(arg, err))
		api_answer(arg, report_explain(&rows->explain[0], true));
}

void api_explain(struct api_call *call, const struct evkeyvalq *params)
{
	if (read_session(call, QUERY_EXPLAIN, params))
		ledger_query(call->node->ledger, &call->query, answer_explain, call);
}

static void answer_page(struct api_call *call, const char *name, const struct query_rows *rows)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < rows->count; i++)
		json_array_append_new(list, rows->kind == QUERY_BOOKINGS
						    ? report_booking(&rows->booking[i])
						    : report_earning(&rows->earning[i]));
	api_answer(call, json_pack("{s:o, s:o}", name, list, "next", api_number(rows->next)));
}

static void answer_bookings(void *arg, int err, const struct query_rows *rows)
{
	if (!failed(arg, err))
		answer_page(arg, "bookings", rows);
}

void api_bookings(struct api_call *call, const struct evkeyvalq *params)
{
	if (read_session(call, QUERY_BOOKINGS, params))
		ledger_query(call->node->ledger, &call->query, answer_bookings, call);
}

/* ---- earnings ---- */

static void answer_earnings(void *arg, int err, const struct query_rows *rows)
{
	if (!failed(arg, err))
		answer_page(arg, "earnings", rows);
}

void api_earnings(struct api_call *call, const struct evkeyvalq *params)
{
	struct query q = {.kind = QUERY_EARNINGS, .until = HOURS_MAX * HOUR - 1};

	if (!read_number(&q.since, params, "since", HOURS_MAX * HOUR - 1) ||
	    !read_number(&q.until, params, "until", HOURS_MAX * HOUR - 1) ||
	    !read_number(&q.after, params, "after", INT64_MAX)) {
		api_fail(call, HTTP_BADREQUEST, "since, until and after are numbers");
		return;
	}
	/* The books know hours: one that has begun counts whole. */
	q.since /= HOUR;
	q.until = (q.until + HOUR - 1) / HOUR;
	ledger_query(call->node->ledger, &q, answer_earnings, call);
}

/* ---- reconcile ---- */

static void answer_reconcile(void *arg, int err, const struct query_rows *rows)
{
	const struct query_explain *x = &rows->explain[0];
	struct api_call *call = arg;

	if (failed(call, err))
		return;
	reconcile_books(&call->counts, x, call->live ? &call->carried : NULL);
	api_answer(call, report_reconcile(x, call->live, &call->counts));
}

/* From what was heard of a live session to what was carried of it. */
static void find_relay(void *arg, const struct relay_session_view *v)
{
	struct api_call *call = arg;
	uint64_t free = v->losses.unanswered * sizeof(struct message_initiation);
	uint64_t heard[DIRECTION_COUNT] = {v->up + free, v->down};

	if (memcmp(v->session, call->query.session, SESSION_ID_LEN) != 0)
		return;
	for (int d = 0; d < DIRECTION_COUNT; d++)
		for (int i = 0; i < DROP_COUNT; i++)
			heard[d] += v->losses.dropped[d][i].bytes;
	call->live = true;
	call->carried = (struct reconcile_carried){v->up, v->down};
	reconcile_count(&call->counts, "heard", heard[DIRECTION_UP], heard[DIRECTION_DOWN]);
	for (int i = 0; i < DROP_COUNT; i++)
		reconcile_line(&call->counts, relay_drop_names[i],
			       -(int64_t)v->losses.dropped[DIRECTION_UP][i].bytes,
			       -(int64_t)v->losses.dropped[DIRECTION_DOWN][i].bytes);
	reconcile_line(&call->counts, "unanswered", -(int64_t)free, 0);
}

static void find_exit(void *arg, const struct exit_session_view *v)
{
	struct api_call *call = arg;

	if (memcmp(v->session, call->query.session, SESSION_ID_LEN) != 0)
		return;
	call->live = true;
	call->carried = (struct reconcile_carried){v->up, v->down};
	reconcile_count(&call->counts, "heard", v->up + v->ignored, v->down);
	reconcile_line(&call->counts, "window", -(int64_t)v->ignored, 0);
}

static void find_live(void *arg)
{
	struct api_call *call = arg;

	if (call->node->relay)
		relay_sessions(call->node->relay, find_relay, call);
	if (call->node->exit && !call->live)
		exit_sessions(call->node->exit, find_exit, call);
	ledger_query(call->node->ledger, &call->query, answer_reconcile, call);
}

void api_reconcile(struct api_call *call, const struct evkeyvalq *params)
{
	if (!read_session(call, QUERY_EXPLAIN, params))
		return;
	if (call->node->relay)
		relay_meter(call->node->relay, find_live, call);
	else
		find_live(call);
}
