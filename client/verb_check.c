#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/api.h"
#include "client/owner.h"

struct check {
	const struct cli *cli;
	const char *path;
	json_t *warnings;
	char error[CONFIG_ERROR_MAX];
	char summary[128];
};

static void warn(void *arg, const char *text)
{
	struct check *c = arg;

	json_array_append_new(c->warnings, json_string(text));
	if (!c->cli->quiet)
		fprintf(stderr, "culvert: warning: %s\n", text);
}

static bool check_key(struct check *c, const char *path)
{
	uint8_t key[KEY_LEN];
	bool ok = owner_keyfile_read(key, path, c->error);

	crypto_wipe(key, sizeof(key));
	return ok;
}

static const char *roles_text(uint8_t roles)
{
	if (roles == (ROLE_RELAY | ROLE_EXIT))
		return "relay and exit";
	return roles == ROLE_EXIT ? "exit" : "relay";
}

static bool check_node(struct check *c)
{
	struct config_node *node = xcalloc(1, sizeof(*node));
	bool ok = config_read_node(node, c->path, c->error) && check_key(c, node->identity) &&
		  check_key(c, node->control_key) &&
		  (!(node->roles & ROLE_EXIT) || check_key(c, node->wg_key));

	if (ok) {
		config_warn_node(node, c->path, clock_wall(), warn, c);
		snprintf(c->summary, sizeof(c->summary), "node %s, %s", node->name,
			 roles_text(node->roles));
	}
	free(node);
	return ok;
}

static void warn_descriptor(struct check *c, const char *path, uint64_t network)
{
	char why[CONFIG_ERROR_MAX], text[CONFIG_ERROR_MAX];
	struct descriptor d;

	if (descriptor_file_read(&d, path, network, clock_wall(), why))
		return;
	snprintf(text, sizeof(text), "%.150s: %.350s", c->path, why);
	warn(c, text);
}

static bool check_client(struct check *c)
{
	struct config_client *client = xcalloc(1, sizeof(*client));
	bool ok = config_read_client(client, c->path, c->error) && check_key(c, client->identity) &&
		  check_key(c, client->control_key) && check_key(c, client->wg_key);

	if (ok) {
		warn_descriptor(c, client->relay, client->network);
		warn_descriptor(c, client->exit, client->network);
		snprintf(c->summary, sizeof(c->summary), "a client's");
	}
	free(client);
	return ok;
}

int verb_check(int argc, char **argv)
{
	struct check c = {.path = CONFIG_NODE_FILE};
	struct cli cli;
	bool client, ok;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 1);

	if (status != STATUS_OK)
		return status;
	c.cli = &cli;
	c.warnings = json_array();
	if (cli.config)
		c.path = cli.config;
	if (cli.words.count)
		c.path = cli.words.item[0];
	ok = config_is_client(&client, c.path, c.error) &&
	     (client ? check_client(&c) : check_node(&c));
	if (!ok)
		cli_fail(STATUS_FAILED, "%s", c.error);
	else if (!cli.json && !cli.quiet)
		printf("%s: fine (%s)\n", c.path, c.summary);
	if (cli.json)
		print_json(json_pack("{s:i, s:s, s:b, s:O, s:s*}", "schema", 1, "file", c.path,
				     "ok", ok, "warnings", c.warnings, "error",
				     ok ? NULL : c.error));
	json_decref(c.warnings);
	return ok ? STATUS_OK : cli_file_status(c.path);
}
