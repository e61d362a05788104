#include "client/agent_api.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <grp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "accounting/verify.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "client/agent_reports.h"

#define API_BACKLOG   16
#define API_TIMEOUT_S 10
#define API_HEAD_MAX  8192
#define API_BODY_MAX  1024
#define SOCKET_GROUP  "culvert"

struct agent_api {
	struct agent *agent;
	struct evhttp *http;
	char path[CONFIG_PATH_MAX];
};

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Counters stay far below 2^63 where JSON readers lose precision or sign. */
static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *key(const uint8_t bytes[static KEY_LEN])
{
	char text[KEY_TEXT];

	return json_string(key_to_base64(text, bytes));
}

static json_t *session_id(const uint8_t id[static SESSION_ID_LEN])
{
	char text[2 * SESSION_ID_LEN + 1];

	return json_string(text_hex(text, id, SESSION_ID_LEN));
}

static const char *role_text(uint8_t role)
{
	return role == ROLE_RELAY ? "relay" : "exit";
}

static json_t *provider_json(const struct provider_view *v)
{
	char name[sizeof(v->descriptor.body.name) + 1] = "";
	json_t *o = json_object();

	memcpy(name, v->descriptor.body.name, sizeof(v->descriptor.body.name));
	json_object_set_new(o, "id", key(v->descriptor.body.node));
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "session", v->has_session ? session_id(v->session) : json_null());
	json_object_set_new(o, "up", number(v->claimed.up));
	json_object_set_new(o, "down", number(v->claimed.down));
	json_object_set_new(o, "signed", number(v->signed_bytes));
	json_object_set_new(o, "window", number(v->window));
	json_object_set_new(o, "credit", number(v->credit));
	if (v->trouble)
		json_object_set_new(o, "trouble", json_string(v->trouble));
	return o;
}

static json_t *get_status(struct agent *agent)
{
	struct agent_view v;
	json_t *o = json_object(), *counted = json_object();

	agent_view(agent, &v);
	json_object_set_new(counted, "up", number(v.counted.up));
	json_object_set_new(counted, "down", number(v.counted.down));
	json_object_set_new(o, "role", json_string("client"));
	json_object_set_new(o, "state", json_string(agent_state_text(v.state)));
	json_object_set_new(o, "id", key(v.payer));
	json_object_set_new(o, "interface", json_string(v.interface));
	json_object_set_new(o, "backend",
			    v.datapath.backend ? json_string(v.datapath.backend) : json_null());
	json_object_set_new(o, "relay", provider_json(&v.relay));
	json_object_set_new(o, "exit", provider_json(&v.exit));
	json_object_set_new(o, "counted", counted);
	json_object_set_new(o, "last_handshake", number(v.datapath.last_handshake));
	json_object_set_new(o, "rebinds", number(v.datapath.rebinds));
	json_object_set_new(o, "reconnects", number(v.reconnects));
	json_object_set_new(o, "uptime_s", number(v.uptime_ms / 1000));
	json_object_set_new(o, "version", json_string(CULVERT_VERSION));
	return o;
}

static void add_session(json_t *rows, const struct agent_view *v, const struct provider_view *p,
			uint8_t role)
{
	json_t *o;

	if (p->state != PROVIDER_OPEN)
		return;
	o = json_object();
	json_object_set_new(o, "session", session_id(p->session));
	json_object_set_new(o, "role", json_string(role_text(role)));
	json_object_set_new(o, "provider", key(p->descriptor.body.node));
	json_object_set_new(o, "up", number(p->claimed.up));
	json_object_set_new(o, "down", number(p->claimed.down));
	json_object_set_new(o, "signed", number(p->signed_bytes));
	json_object_set_new(o, "window", number(p->window));
	json_object_set_new(o, "bound", json_boolean(v->datapath.up));
	json_object_set_new(o, "held", json_boolean(p->out_of_credit));
	json_object_set_new(o, "moves", number(role == ROLE_RELAY ? v->datapath.rebinds : 0));
	json_object_set_new(o, "age_ms", number(p->age_ms));
	json_array_append_new(rows, o);
}

static json_t *get_sessions(struct agent *agent)
{
	json_t *rows = json_array(), *o = json_object();
	struct agent_view v;

	agent_view(agent, &v);
	add_session(rows, &v, &v.relay, ROLE_RELAY);
	add_session(rows, &v, &v.exit, ROLE_EXIT);
	json_object_set_new(o, "sessions", rows);
	return o;
}

static json_t *credit_row(const struct query_credit *c)
{
	json_t *o = json_object();

	json_object_set_new(o, "peer", key(c->peer));
	json_object_set_new(o, "balance", number(c->balance));
	json_object_set_new(o, "free_left", number(c->free_left));
	json_object_set_new(o, "granted", number(c->granted));
	json_object_set_new(o, "earned", number(c->earned));
	json_object_set_new(o, "spent", number(c->spent));
	json_object_set_new(o, "bytes", number(c->bytes));
	json_object_set_new(o, "window", number(c->window));
	json_object_set_new(o, "debt", number(c->debt));
	return o;
}

/* The very line an export has, so that what is verified is what was shown. */
static json_t *exported(const struct query_rows *rows, uint32_t i)
{
	char *text = export_row(rows, i);
	json_t *row = json_loads(text, 0, NULL);

	free(text);
	return row;
}

/* One page of the wallet. NULL if it fails. */
static json_t *get_rows(struct agent *agent, const struct query *q, const char *name)
{
	struct query_rows rows;
	json_t *list, *o;

	if (wallet_query(agent_wallet(agent), q, &rows) < 0)
		return NULL;
	list = json_array();
	for (uint32_t i = 0; i < rows.count; i++)
		json_array_append_new(list, rows.kind == QUERY_CREDITS ? credit_row(&rows.credit[i])
								       : exported(&rows, i));
	o = json_object();
	json_object_set_new(o, name, list);
	json_object_set_new(o, "next", number(rows.next));
	return o;
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

/* Takes o. */
static void reply(struct evhttp_request *req, int code, const char *reason, json_t *o)
{
	struct evbuffer *out = evbuffer_new();
	char *text;

	json_object_set_new(o, "schema", json_integer(1));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!out || !text)
		fatalx("out of memory for an answer");
	evbuffer_add(out, text, strlen(text));
	free(text);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
			  "application/json");
	evhttp_send_reply(req, code, reason, out);
	evbuffer_free(out);
}

static void reply_error(struct evhttp_request *req, int code, const char *why)
{
	json_t *o = json_object();

	json_object_set_new(o, "error", json_string(why));
	reply(req, code, "refused", o);
}

/* ?after=N&session=HEX */
static bool read_query(struct query *q, const struct evhttp_uri *uri)
{
	const char *text = evhttp_uri_get_query(uri), *value;
	struct evkeyvalq pairs;
	bool ok = true;

	if (!text)
		return true;
	if (evhttp_parse_query_str(text, &pairs) < 0)
		return false;
	value = evhttp_find_header(&pairs, "after");
	if (value)
		ok = text_u64(value, 0, UINT64_MAX, &q->after);
	value = evhttp_find_header(&pairs, "session");
	if (value) {
		q->has_session = true;
		ok = ok && text_unhex(q->session, SESSION_ID_LEN, value);
	}
	evhttp_clear_headers(&pairs);
	return ok;
}

static const struct {
	const char *path, *name;
	enum query_kind kind;
} lists[] = {
	{"/v1/credits", "credits", QUERY_CREDITS},
	{"/v1/receipts", "receipts", QUERY_RECEIPTS},
	{"/v1/terms", "terms", QUERY_TERMS},
	{"/v1/disputes", "disputes", QUERY_DISPUTES},
};

static void answer_list(struct agent_api *api, struct evhttp_request *req,
			const struct evhttp_uri *uri, size_t i)
{
	struct query q = {.kind = lists[i].kind};
	json_t *o;

	if (!read_query(&q, uri)) {
		reply_error(req, 400, "after is a number, session 32 hex digits");
		return;
	}
	o = get_rows(api->agent, &q, lists[i].name);
	if (o)
		reply(req, 200, "OK", o);
	else
		reply_error(req, 500, "the wallet cannot be read; see the agent's log");
}

/* What is said of one session, by one of client/agent_reports.h. */
static void answer_report(struct agent_api *api, struct evhttp_request *req,
			  const struct evhttp_uri *uri,
			  int (*report)(json_t **out, struct agent *a, const struct query *q))
{
	struct query q = {.kind = QUERY_EXPLAIN};
	json_t *o;
	int err;

	if (!read_query(&q, uri) || !q.has_session) {
		reply_error(req, 400, "session is 32 hex digits");
		return;
	}
	err = report(&o, api->agent, &q);
	if (err == -ENOENT)
		reply_error(req, 404, "no such session in this wallet");
	else if (err)
		reply_error(req, 500, "the wallet cannot be read; see the agent's log");
	else
		reply(req, 200, "OK", o);
}

static json_t *get_promises(struct agent *agent)
{
	struct grant_file *files;
	size_t n = agent_grants(agent, &files);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      grants_row(&files[i], agent_grant_text(agent, &files[i])));
	free(files);
	return json_pack("{s:o, s:i}", "promises", list, "next", 0);
}

static void answer_get(struct agent_api *api, struct evhttp_request *req,
		       const struct evhttp_uri *uri, const char *path)
{
	if (strcmp(path, "/v1/status") == 0) {
		reply(req, 200, "OK", get_status(api->agent));
		return;
	}
	if (strcmp(path, "/v1/promises") == 0) {
		reply(req, 200, "OK", get_promises(api->agent));
		return;
	}
	if (strcmp(path, "/v1/sessions") == 0) {
		reply(req, 200, "OK", get_sessions(api->agent));
		return;
	}
	if (strcmp(path, "/v1/explain") == 0) {
		answer_report(api, req, uri, agent_explain);
		return;
	}
	if (strcmp(path, "/v1/reconcile") == 0) {
		answer_report(api, req, uri, agent_reconcile);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(path, lists[i].path) == 0) {
			answer_list(api, req, uri, i);
			return;
		}
	}
	reply_error(req, 404, "a client has no such thing; ask a node, with --socket or --config");
}

static void answer_down(struct agent_api *api, struct evhttp_request *req)
{
	json_t *o = json_object();

	json_object_set_new(o, "state", json_string(agent_state_text(AGENT_STOPPING)));
	reply(req, 200, "OK", o);
	agent_stop(api->agent);
}

static void request_came(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	bool post = evhttp_request_get_command(req) == EVHTTP_REQ_POST;
	struct agent_api *api = arg;

	if (!path)
		reply_error(req, 400, "that is no path");
	else if (post && strcmp(path, "/v1/down") == 0)
		answer_down(api, req);
	else if (post)
		reply_error(req, 405, "only /v1/down is asked for with POST");
	else
		answer_get(api, req, uri, path);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int listen_at(const char *path)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	const struct group *group = getgrnam(SOCKET_GROUP);
	int fd, err = socket_clear(path);

	if (err < 0)
		return err;
	snprintf(where.sun_path, sizeof(where.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Nobody can connect before listen, so the mode is right by then. */
	if (bind(fd, (struct sockaddr *)&where, sizeof(where)) < 0 || chmod(path, 0660) < 0 ||
	    (group && chown(path, (uid_t)-1, group->gr_gid) < 0) || listen(fd, API_BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int agent_api_start(struct agent_api **out, struct event_base *base, struct agent *agent,
		    const char *path)
{
	struct agent_api *api;
	int fd = listen_at(path);

	if (fd < 0)
		return fd;
	api = xcalloc(1, sizeof(*api));
	api->agent = agent;
	snprintf(api->path, sizeof(api->path), "%s", path);
	api->http = evhttp_new(base);
	if (!api->http || evhttp_accept_socket(api->http, fd) < 0)
		fatalx("out of memory for the API");
	evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_timeout(api->http, API_TIMEOUT_S);
	evhttp_set_max_headers_size(api->http, API_HEAD_MAX);
	evhttp_set_max_body_size(api->http, API_BODY_MAX);
	evhttp_set_gencb(api->http, request_came, api);
	*out = api;
	return 0;
}

void agent_api_stop(struct agent_api *api)
{
	if (!api)
		return;
	evhttp_free(api->http);
	unlink(api->path);
	free(api);
}
