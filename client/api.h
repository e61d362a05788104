/* Questions to a daemon's API (docs/api.md) and their answers as JSON. Blocking; CLI only. */
#ifndef CLIENT_API_H
#define CLIENT_API_H

#include <jansson.h>

#include "client/cli.h"
#include "config/config.h"
#include "proto/crypto.h"

/* The sockets a command looks at, in order of preference. */
struct api_sockets {
	char path[2][CONFIG_PATH_MAX];
	size_t count;
};

enum api_side {
	API_EITHER, /* the client's agent, then the node */
	API_NODE,
};

/* From --socket, --config, or the usual places. STATUS_OK, or another status, said. */
MUST_CHECK int api_find(struct api_sockets *out, const struct cli *cli, enum api_side side);

/*
 * One request ("GET /v1/status"); body may be NULL. STATUS_OK with *out the caller's, else a status
 * that was said on stderr; if quiet, STATUS_NO_DAEMON is not said.
 */
MUST_CHECK int api_request(json_t **out, const char *socket, const char *request,
			   const json_t *body, bool quiet);

/*
 * Has the node do something ("POST /v1/grants"): finds it, asks, and with --json prints what it
 * answered. Consumes body. STATUS_OK, or a status that was said.
 */
MUST_CHECK int api_order(const struct cli *cli, const char *request, json_t *body);

/* The first of the sockets that answers; its index in *which (may be NULL). */
MUST_CHECK int api_first(json_t **out, const struct api_sockets *sockets, const char *request,
			 size_t *which);

/*
 * All pages of a list: the elements of the array `name`, for paths that take ?after=. query is what
 * follows, e.g. "&session=...", or "".
 */
MUST_CHECK int api_list(json_t **out, const char *socket, const char *path, const char *name,
			const char *query);

/* Members, with 0, false or "" where there is none of that type. Text is the object's. */
uint64_t field_number(const json_t *object, const char *key);
int64_t field_signed(const json_t *object, const char *key);
bool field_true(const json_t *object, const char *key);
const char *field_text(const json_t *object, const char *key);
/* An id, which may come as hex or base64, as base64 into out; "" if it is none. */
const char *field_id(char out[static KEY_TEXT], const json_t *object, const char *key);

/* An id as a person types it: 44 characters of base64 or 64 hex digits. */
MUST_CHECK bool read_id(uint8_t id[static KEY_LEN], const char *text);

/* Prints the object with "schema": 1 and lets go of it. */
void print_json(json_t *object);

#endif
