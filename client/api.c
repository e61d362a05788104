#include "client/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "client/http.h"

enum {
	TIMEOUT_MS = 10000,
	PAGES_MAX = 1000000,
};

/* What the configuration in the usual place says, if there is one that can be read. */
static void usual(char out[static CONFIG_PATH_MAX], const char *file, const char *fallback)
{
	char error[CONFIG_ERROR_MAX];

	if (access(file, R_OK) == 0 && config_read_socket(out, file, error))
		return;
	snprintf(out, CONFIG_PATH_MAX, "%s", fallback);
}

int api_find(struct api_sockets *out, const struct cli *cli, enum api_side side)
{
	char error[CONFIG_ERROR_MAX];

	memset(out, 0, sizeof(*out));
	if (cli->socket) {
		if (strlen(cli->socket) >= CONFIG_PATH_MAX)
			return cli_fail(STATUS_USAGE, "--socket: too long for a socket's path");
		snprintf(out->path[out->count++], CONFIG_PATH_MAX, "%s", cli->socket);
		return STATUS_OK;
	}
	if (cli->config) {
		if (!config_read_socket(out->path[out->count++], cli->config, error))
			return cli_fail(cli_file_status(cli->config), "%s", error);
		return STATUS_OK;
	}
	if (side == API_EITHER)
		usual(out->path[out->count++], CONFIG_CLIENT_FILE, CONFIG_CLIENT_SOCKET);
	usual(out->path[out->count++], CONFIG_NODE_FILE, CONFIG_NODE_SOCKET);
	return STATUS_OK;
}

static int no_daemon(const char *socket)
{
	return cli_fail(STATUS_NO_DAEMON,
			"nothing answers at %s; start it (culvert up, or systemctl start culvert), "
			"or give --socket or --config",
			socket);
}

/* -errno of a request as a status, said. */
static int say_failure(int err, const char *socket, bool quiet)
{
	switch (-err) {
	case ENOENT:
	case ECONNREFUSED:
		return quiet ? STATUS_NO_DAEMON : no_daemon(socket);
	case EACCES:
	case EPERM:
		return cli_fail(STATUS_DENIED,
				"may not speak to %s; run as root or join the group culvert",
				socket);
	case ETIMEDOUT:
		return cli_fail(STATUS_TIMEOUT,
				"no answer from %s within %d s; look at the daemon's log", socket,
				TIMEOUT_MS / 1000);
	case EBADMSG:
		return cli_fail(STATUS_FAILED,
				"what %s answered is cut short or no HTTP; is it a culvert "
				"daemon's socket?",
				socket);
	default:
		return cli_fail(STATUS_FAILED, "asking %s failed: %s; try again", socket,
				strerror(-err));
	}
}

/* An answer of another HTTP status than 200. */
static int say_refusal(const struct http_reply *reply, const json_t *answer, const char *socket)
{
	const char *why = field_text(answer, "error");

	return cli_fail(reply->status == 404   ? STATUS_NOT_FOUND
			: reply->status == 403 ? STATUS_DENIED
					       : STATUS_FAILED,
			"the daemon at %s refused (%d): %s", socket, reply->status,
			*why ? why
			     : "without a reason; are culvert and its daemon of one version?");
}

static int take_answer(json_t **out, const struct http_reply *reply, const char *socket)
{
	json_t *answer = json_loadb(reply->body, reply->len, JSON_REJECT_DUPLICATES, NULL);
	int status = STATUS_OK;

	if (reply->status != 200)
		status = say_refusal(reply, answer, socket);
	else if (!json_is_object(answer) || field_number(answer, "schema") != 1)
		status = cli_fail(STATUS_FAILED,
				  "the daemon at %s speaks another version; use its own culvert",
				  socket);
	if (status != STATUS_OK)
		json_decref(answer);
	else
		*out = answer;
	return status;
}

int api_request(json_t **out, const char *socket, const char *request, const json_t *body,
		bool quiet)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, *buf;
	struct http_reply reply;
	int err = http_request(&reply, &buf, socket, request, text, TIMEOUT_MS), status;

	free(text);
	if (err)
		return say_failure(err, socket, quiet);
	status = take_answer(out, &reply, socket);
	free(buf);
	return status;
}

int api_order(const struct cli *cli, const char *request, json_t *body)
{
	struct api_sockets sockets;
	json_t *answer;
	int status = api_find(&sockets, cli, API_NODE);

	if (status == STATUS_OK)
		status = api_request(&answer, sockets.path[0], request, body, false);
	json_decref(body);
	if (status != STATUS_OK)
		return status;
	if (cli->json)
		print_json(answer);
	else
		json_decref(answer);
	return STATUS_OK;
}

int api_first(json_t **out, const struct api_sockets *sockets, const char *request, size_t *which)
{
	for (size_t i = 0; i < sockets->count; i++) {
		int status = api_request(out, sockets->path[i], request, NULL, true);

		if (status == STATUS_NO_DAEMON)
			continue;
		if (which)
			*which = i;
		return status;
	}
	if (sockets->count == 1)
		return no_daemon(sockets->path[0]);
	return cli_fail(STATUS_NO_DAEMON,
			"neither culvert up nor culvertd runs here (nothing answers at %s or %s); "
			"start one, or give --socket or --config",
			sockets->path[0], sockets->path[1]);
}

int api_list(json_t **out, const char *socket, const char *path, const char *name,
	     const char *query)
{
	json_t *all = json_array();
	uint64_t after = 0;
	int status = STATUS_OK;

	for (unsigned pages = 0; pages < PAGES_MAX; pages++) {
		char request[256];
		json_t *page;
		uint64_t next;

		snprintf(request, sizeof(request), "GET %s?after=%" PRIu64 "%s", path, after,
			 query);
		status = api_request(&page, socket, request, NULL, false);
		if (status != STATUS_OK)
			break;
		json_array_extend(all, json_object_get(page, name));
		next = field_number(page, "next");
		json_decref(page);
		/* A cursor that does not move on would page for ever. */
		if (next <= after)
			break;
		after = next;
	}
	if (status != STATUS_OK)
		json_decref(all);
	else
		*out = all;
	return status;
}

uint64_t field_number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value < 0 ? 0 : (uint64_t)value;
}

int64_t field_signed(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool field_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const char *field_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool read_id(uint8_t id[static KEY_LEN], const char *text)
{
	return text_unhex(id, KEY_LEN, text) || key_from_base64(id, text);
}

const char *field_id(char out[static KEY_TEXT], const json_t *object, const char *key)
{
	uint8_t id[KEY_LEN];

	out[0] = '\0';
	return read_id(id, field_text(object, key)) ? key_to_base64(out, id) : out;
}

void print_json(json_t *object)
{
	if (!json_object_get(object, "schema"))
		json_object_set_new(object, "schema", json_integer(1));
	json_dumpf(object, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(object);
}
