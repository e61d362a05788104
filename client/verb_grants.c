#include "client/verb_grants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grants.h"
#include "client/grid.h"
#include "client/owner.h"
#include "client/units.h"
#include "proto/descriptor.h"

#define DAY_S    86400
#define TEXT_MAX 4096

/* ---- sign ---- */

/* A node's id, or the file of its descriptor, which knows the network too. */
static int read_node(uint8_t node[static KEY_LEN], uint64_t *network, const char *word)
{
	char why[CONFIG_ERROR_MAX];
	struct descriptor d;

	if (read_id(node, word))
		return STATUS_OK;
	if (access(word, F_OK) != 0)
		return cli_fail(STATUS_USAGE,
				"--relay wants a node's id, 44 characters, or its descriptor file; "
				"%s is neither",
				word);
	if (!descriptor_file_read(&d, word, 0, 0, why))
		return cli_fail(STATUS_UNVERIFIED, "%s", why);
	memcpy(node, d.body.node, KEY_LEN);
	*network = le64_get(d.body.network);
	return STATUS_OK;
}

static int read_issuer(struct identity *out, const char *path)
{
	char why[CONFIG_ERROR_MAX];
	uint8_t seed[KEY_LEN];
	bool ok = path && owner_keyfile_read(seed, path, why);

	if (!path)
		return cli_fail(STATUS_USAGE,
				"--relay wants --key FILE too: the issuer's key, as culvert init "
				"makes identity.key");
	if (!ok)
		return cli_fail(cli_file_status(path), "%s", why);
	identity_from_seed(out, seed);
	crypto_wipe(seed, sizeof(seed));
	return STATUS_OK;
}

static int read_words(struct grant_values *v, uint8_t node[static KEY_LEN],
		      uint8_t serial[static NONCE_LEN], const struct grant_words *w)
{
	int status = read_node(node, &v->network, w->relay);

	if (status != STATUS_OK)
		return status;
	if (w->network && !text_u64(w->network, 1, INT64_MAX, &v->network))
		return cli_fail(STATUS_USAGE,
				"--network wants a network's number; usually it is 1");
	if (!w->serial)
		crypto_random(serial, NONCE_LEN);
	else if (!text_unhex(serial, NONCE_LEN, w->serial))
		return cli_fail(STATUS_USAGE, "--serial wants 32 hex digits");
	return STATUS_OK;
}

static json_t *grant_json(const struct grant *g)
{
	const struct grant_body *b = &g->body;
	char issuer[KEY_TEXT], payer[KEY_TEXT], node[KEY_TEXT], serial[2 * NONCE_LEN + 1];

	return json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:I}", "issuer", key_to_base64(issuer, b->issuer),
		"serial", text_hex(serial, b->serial, NONCE_LEN), "payer",
		key_to_base64(payer, b->payer), "node", key_to_base64(node, b->relay), "limit",
		(json_int_t)le64_get(b->limit), "expires", (json_int_t)le64_get(b->expires));
}

int grants_sign(const struct cli *cli, const struct grant_words *w)
{
	uint8_t node[KEY_LEN], serial[NONCE_LEN];
	struct grant_values v = {
		.network = 1,
		.payer = w->payer,
		.node = node,
		.limit = w->amount,
		.expires = w->days ? clock_wall() + w->days * DAY_S : 0,
		.serial = serial,
	};
	char text[GRANT_TEXT_MAX];
	struct identity issuer;
	struct grant g;
	json_t *o;
	int status = read_words(&v, node, serial, w);

	if (status == STATUS_OK)
		status = read_issuer(&issuer, w->key);
	if (status != STATUS_OK)
		return status;
	grant_make(&g, &v, &issuer);
	crypto_wipe(&issuer, sizeof(issuer));
	grant_to_text(text, sizeof(text), &g);
	if (!cli->json) {
		fputs(text, stdout);
		return STATUS_OK;
	}
	o = grant_json(&g);
	text[strcspn(text, "\n")] = '\0';
	json_object_set_new(o, "schema", json_integer(1));
	json_object_set_new(o, "grant", json_string(text));
	print_json(o);
	return STATUS_OK;
}

/* ---- add ---- */

static int read_stdin(char text[static TEXT_MAX + 1])
{
	size_t n = fread(text, 1, TEXT_MAX, stdin);

	text[n] = '\0';
	return ferror(stdin) ? cli_fail(STATUS_FAILED, "stdin cannot be read: %s", strerror(errno))
			     : STATUS_OK;
}

static int read_grant_file(struct grant *g, const char *path)
{
	char text[TEXT_MAX + 1];
	bool from_stdin = strcmp(path, "-") == 0;
	ssize_t n = from_stdin ? 0 : file_read(path, text, TEXT_MAX);
	int status = from_stdin ? read_stdin(text) : STATUS_OK;

	if (n < 0)
		return cli_fail(cli_file_status(path), "%s: %s; give a file with a grant, or -",
				path, strerror((int)-n));
	if (status == STATUS_OK && !grant_from_text(g, text))
		status = cli_fail(STATUS_UNVERIFIED,
				  "%s: is no grant (a line culvert-grant-1 ...); give the right "
				  "file",
				  from_stdin ? "stdin" : path);
	return status;
}

/* For this payer, in this network, and good: it would be refused at the node otherwise. */
static int check_grant(const struct grant *g, const struct config_client *c)
{
	enum grant_verdict v = grant_check(g, c->network, clock_wall());
	char why[CONFIG_ERROR_MAX], payer[KEY_TEXT];
	struct identity own;
	uint8_t seed[KEY_LEN];

	if (v != GRANT_OK)
		return cli_fail(STATUS_UNVERIFIED, "%s", grant_verdict_text(v));
	if (!owner_keyfile_read(seed, c->identity, why))
		return cli_fail(cli_file_status(c->identity), "%s", why);
	identity_from_seed(&own, seed);
	crypto_wipe(seed, sizeof(seed));
	crypto_wipe(own.secret, sizeof(own.secret));
	if (memcmp(own.id, g->body.payer, KEY_LEN) != 0)
		return cli_fail(STATUS_UNVERIFIED,
				"the grant is for another payer, %s; ask its issuer for one for %s",
				key_to_base64(payer, g->body.payer), key_to_base64(why, own.id));
	return STATUS_OK;
}

static bool named_by(const struct config_client *c, const struct grant *g)
{
	char why[CONFIG_ERROR_MAX];
	struct descriptor d;

	return (descriptor_file_read(&d, c->relay, c->network, 0, why) &&
		memcmp(d.body.node, g->body.relay, KEY_LEN) == 0) ||
	       (descriptor_file_read(&d, c->exit, c->network, 0, why) &&
		memcmp(d.body.node, g->body.relay, KEY_LEN) == 0);
}

static int keep(const struct cli *cli, const struct config_client *c, const struct grant *g)
{
	char dir[GRANTS_PATH], name[GRANTS_NAME], amount[UNITS_TEXT], node[KEY_TEXT];
	int err = grants_add(name, grants_path(dir, c->data_dir), g);

	if (err == -EMFILE)
		return cli_fail(STATUS_FAILED,
				"%s: holds %d grants, and more are not looked at; remove those "
				"that are used up or refused, see culvert credit list",
				dir, GRANTS_MAX);
	if (err)
		return cli_fail(err == -EACCES ? STATUS_DENIED : STATUS_FAILED,
				"%s/%s: %s; make room, or mend the directory, and try again", dir,
				name, strerror(-err));
	if (cli->json) {
		json_t *o = grant_json(g);

		json_object_set_new(o, "file", json_string(name));
		json_object_set_new(o, "schema", json_integer(1));
		print_json(o);
	} else if (!cli->quiet) {
		printf("kept: %s credits at %s; culvert up shows it there by itself\n",
		       unit_credits(amount, le64_get(g->body.limit)),
		       key_to_base64(node, g->body.relay));
	}
	if (!named_by(c, g))
		fprintf(stderr, "culvert: warning: neither the relay nor the exit of the "
				"configuration is that node; the grant is good at no other\n");
	return STATUS_OK;
}

int grants_keep(const struct cli *cli)
{
	const char *path = cli->config ? cli->config : CONFIG_CLIENT_FILE;
	struct config_client *c;
	char why[CONFIG_ERROR_MAX];
	struct grant g;
	int status;

	if (cli->words.count != 2)
		return cli_fail(STATUS_USAGE, "add wants FILE, or - for stdin; see culvert help "
					      "credits");
	status = read_grant_file(&g, cli->words.item[1]);
	if (status != STATUS_OK)
		return status;
	c = xcalloc(1, sizeof(*c));
	if (!config_read_client(c, path, why))
		status = cli_fail(cli_file_status(path), "%s", why);
	else
		status = check_grant(&g, c);
	if (status == STATUS_OK)
		status = keep(cli, c, &g);
	free(c);
	return status;
}

/* ---- list ---- */

/* What is on the disk, when no agent can say more. */
static int list_files(json_t **out, const char *path)
{
	struct config_client *c = xcalloc(1, sizeof(*c));
	char why[CONFIG_ERROR_MAX], dir[GRANTS_PATH];
	struct grant_file *files;
	size_t n;

	if (!config_read_client(c, path, why)) {
		free(c);
		return cli_fail(cli_file_status(path), "%s", why);
	}
	n = grants_load(&files, grants_path(dir, c->data_dir));
	*out = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(*out, grants_row(&files[i], "not shown"));
	free(files);
	free(c);
	return STATUS_OK;
}

static bool client_config(const char *path)
{
	char why[CONFIG_ERROR_MAX];
	bool client;

	return config_is_client(&client, path, why) && client;
}

static int load_list(json_t **out, const struct cli *cli)
{
	const char *path = cli->config ? cli->config : CONFIG_CLIENT_FILE;
	struct api_sockets sockets;
	json_t *status_answer;
	size_t which = 0;
	int status = api_find(&sockets, cli, API_EITHER);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < sockets.count; i++) {
		status = api_request(&status_answer, sockets.path[i], "GET /v1/status", NULL, true);
		if (status == STATUS_OK)
			json_decref(status_answer);
		if (status != STATUS_NO_DAEMON) {
			which = i;
			break;
		}
	}
	if (status == STATUS_NO_DAEMON && !cli->socket && client_config(path))
		return list_files(out, path);
	return status != STATUS_OK && status != STATUS_NO_DAEMON
		       ? status
		       : api_list(out, sockets.path[which], "/v1/promises", "promises", "");
}

static void print_list(const json_t *list)
{
	static const char *const titles[] = {"ISSUER", "PAYER",   "NODE",
					     ">LIMIT", "EXPIRES", "SAID"};
	struct grid *grid = grid_create(titles, ARRAY_SIZE(titles));
	char id[KEY_TEXT], text[UNITS_TEXT];
	const json_t *g;
	size_t i;

	json_array_foreach(list, i, g)
	{
		bool readable = *field_text(g, "issuer");

		grid_cell(grid, "%s", readable ? field_id(id, g, "issuer") : field_text(g, "file"));
		grid_cell(grid, "%s", field_id(id, g, "payer"));
		grid_cell(grid, "%s", *field_id(id, g, "node") ? id : "here");
		grid_cell(grid, "%s", unit_credits(text, field_number(g, "limit")));
		grid_cell(grid, "%s", unit_time(text, field_number(g, "expires")));
		grid_cell(grid, "%s", *field_text(g, "said") ? field_text(g, "said") : "taken");
	}
	grid_print(grid, "no grants");
}

int grants_list(const struct cli *cli)
{
	json_t *list;
	int status;

	if (cli->words.count != 1)
		return cli_fail(STATUS_USAGE, "list wants nothing more; see culvert help credits");
	status = load_list(&list, cli);
	if (status != STATUS_OK)
		return status;
	if (cli->json) {
		print_json(json_pack("{s:i, s:o}", "schema", 1, "promises", list));
		return STATUS_OK;
	}
	print_list(list);
	json_decref(list);
	return STATUS_OK;
}
