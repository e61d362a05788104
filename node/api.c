#include "node/api.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

enum {
	HEAD_MAX = 8 << 10,
	BODY_MAX = 8 << 10,
	TIMEOUT_S = 10,
	BACKLOG = 16,
};

struct api {
	struct node *node;
	struct evhttp *http;
	char path[CONFIG_PATH_MAX];
	struct api_call *calls;
};

/* ---- answers ---- */

json_t *api_key(const uint8_t key[static KEY_LEN])
{
	char text[KEY_TEXT];

	return json_string(key_to_base64(text, key));
}

json_t *api_session_id(const uint8_t id[static SESSION_ID_LEN])
{
	char text[2 * SESSION_ID_LEN + 1];

	return json_string(text_hex(text, id, SESSION_ID_LEN));
}

json_t *api_number(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static void gone(struct evhttp_connection *connection, void *arg)
{
	struct api_call *call = arg;

	(void)connection;
	call->request = NULL;
}

struct api_call *api_later(struct api *api, struct evhttp_request *request)
{
	struct api_call *call = xcalloc(1, sizeof(*call));

	call->api = api;
	call->node = api->node;
	call->request = request;
	call->next = api->calls;
	if (call->next)
		call->next->prev = call;
	api->calls = call;
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), gone, call);
	return call;
}

static void drop(struct api_call *call)
{
	if (call->request)
		evhttp_connection_set_closecb(evhttp_request_get_connection(call->request), NULL,
					      NULL);
	if (call->prev)
		call->prev->next = call->next;
	else
		call->api->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	free(call);
}

static void reply(struct evhttp_request *request, int status, json_t *answer)
{
	struct evbuffer *out = evbuffer_new();
	char *text;

	json_object_set_new(answer, "schema", json_integer(1));
	text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!out || !text)
		fatalx("no memory for an answer of the API");
	evbuffer_add_printf(out, "%s\n", text);
	free(text);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "application/json");
	evhttp_send_reply(request, status, NULL, out);
	evbuffer_free(out);
}

void api_answer(struct api_call *call, json_t *answer)
{
	struct evhttp_request *request = call->request;

	drop(call);
	if (request)
		reply(request, HTTP_OK, answer);
	else
		json_decref(answer);
}

void api_fail(struct api_call *call, int status, const char *why)
{
	struct evhttp_request *request = call->request;

	drop(call);
	if (request)
		reply(request, status, json_pack("{s:s}", "error", why));
}

/* ---- questions ---- */

static void get(struct api_call *call, const char *path, const struct evkeyvalq *params)
{
	if (strcmp(path, "/v1/status") == 0)
		api_status(call);
	else if (strcmp(path, "/v1/sessions") == 0)
		api_sessions(call);
	else if (strcmp(path, "/v1/descriptor") == 0)
		api_descriptor(call);
	else if (strcmp(path, "/v1/credits") == 0)
		api_books(call, QUERY_CREDITS, params);
	else if (strcmp(path, "/v1/receipts") == 0)
		api_books(call, QUERY_RECEIPTS, params);
	else if (strcmp(path, "/v1/promises") == 0)
		api_books(call, QUERY_PROMISES, params);
	else if (strcmp(path, "/v1/terms") == 0)
		api_books(call, QUERY_TERMS, params);
	else if (strcmp(path, "/v1/disputes") == 0)
		api_books(call, QUERY_DISPUTES, params);
	else if (strcmp(path, "/v1/explain") == 0)
		api_explain(call, params);
	else if (strcmp(path, "/v1/bookings") == 0)
		api_bookings(call, params);
	else if (strcmp(path, "/v1/earnings") == 0)
		api_earnings(call, params);
	else if (strcmp(path, "/v1/reconcile") == 0)
		api_reconcile(call, params);
	else if (strcmp(path, "/v1/epochs") == 0)
		api_books(call, QUERY_EPOCHS, params);
	else
		api_fail(call, HTTP_NOTFOUND, "no such thing; see docs/api.md for what there is");
}

static void post(struct api_call *call, const char *path, struct evhttp_request *request)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(request);
	size_t len = evbuffer_get_length(in);
	const char *body = (const char *)evbuffer_pullup(in, -1);

	if (strcmp(path, "/v1/grants") == 0)
		api_grant(call, body, len);
	else if (strcmp(path, "/v1/settle") == 0)
		api_settle(call, body, len);
	else if (strcmp(path, "/v1/disputes/forgive") == 0)
		api_forgive(call, body, len);
	else
		api_fail(call, HTTP_NOTFOUND,
			 "no such thing to POST to; see docs/api.md for what there is");
}

static void on_request(struct evhttp_request *request, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);
	struct api_call *call = api_later(arg, request);
	struct evkeyvalq params = {0};

	TAILQ_INIT(&params);
	if (query && evhttp_parse_query_str(query, &params) < 0)
		api_fail(call, HTTP_BADREQUEST, "the query cannot be read");
	else if (evhttp_request_get_command(request) == EVHTTP_REQ_POST)
		post(call, path, request);
	else
		get(call, path, &params);
	evhttp_clear_headers(&params);
}

/* ---- the socket ---- */

static int socket_address(struct sockaddr_un *out, const char *path)
{
	size_t len = strlen(path);

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len >= sizeof(out->sun_path))
		return -ENAMETOOLONG;
	memcpy(out->sun_path, path, len);
	return 0;
}

static int make_directory(const char *path)
{
	char dir[CONFIG_PATH_MAX];
	char *slash;
	mode_t old;
	int err;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	old = umask(022);
	err = dir_make(dir, 0755);
	umask(old);
	return err;
}

/* A listening socket for the owner and its group, or -errno. */
static int listen_at(const char *path)
{
	struct sockaddr_un sa;
	int err = socket_address(&sa, path), fd;

	if (!err)
		err = make_directory(path);
	if (!err)
		err = socket_clear(path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Born closed to others (umask 077), and opened to the group before anybody can connect. */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && chmod(path, 0660) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static void say(const char *path, int err)
{
	errno = -err;
	if (err == -EADDRINUSE)
		log_warnx("%s: another daemon answers here, or it is no socket; stop it, or set "
			  "[Api] Socket",
			  path);
	else
		log_warn("%s: cannot listen; see [Api] Socket", path);
}

int api_create(struct api **out, struct node *n)
{
	int fd = listen_at(n->config.socket);
	struct api *api;

	if (fd < 0) {
		say(n->config.socket, fd);
		return fd;
	}
	api = xcalloc(1, sizeof(*api));
	api->node = n;
	memcpy(api->path, n->config.socket, sizeof(api->path));
	api->http = evhttp_new(n->base);
	if (!api->http || evhttp_accept_socket(api->http, fd) < 0) {
		close(fd);
		api_destroy(api);
		return -ENOMEM;
	}
	evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(api->http, HEAD_MAX);
	evhttp_set_max_body_size(api->http, BODY_MAX);
	evhttp_set_timeout(api->http, TIMEOUT_S);
	evhttp_set_gencb(api->http, on_request, api);
	*out = api;
	return 0;
}

void api_destroy(struct api *api)
{
	if (!api)
		return;
	unlink(api->path);
	while (api->calls)
		drop(api->calls);
	if (api->http)
		evhttp_free(api->http);
	free(api);
}
