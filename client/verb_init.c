#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "client/api.h"
#include "client/owner.h"
#include "config/values.h"

#define DEFAULT_DIR "/etc/culvert"

enum {
	FILES_MAX = 4,
	VALUES_MAX = 16,
};

struct init {
	bool client;
	const char *roles_text, *name, *dir, *data_dir, *relay, *exit;
	struct cli_list announce;
	const struct cli *cli;

	uint8_t roles;
	uint16_t port, wg_port;
	char wg_port_text[8], listen_text[16];
	char relay_path[PATH_MAX], exit_path[PATH_MAX];
	struct config_value values[VALUES_MAX];
	size_t value_count;
	char made[FILES_MAX][CONFIG_PATH_MAX]; /* removed again if a later step fails */
	size_t made_count;
	char config[CONFIG_PATH_MAX];
	uint8_t id[KEY_LEN];
};

static void give(struct init *in, const char *section, const char *key, const char *value)
{
	if (value && in->value_count < VALUES_MAX)
		in->values[in->value_count++] = (struct config_value){section, key, value};
}

/* Everything that can be said against the words before anything is made. */
static int read_node(struct init *in)
{
	struct net_addr addr;
	char name[32];

	if (in->relay || in->exit)
		return cli_fail(STATUS_USAGE,
				"--relay and --exit belong to --client; see culvert help "
				"init");
	if (!in->roles_text || !parse_roles(&in->roles, in->roles_text))
		return cli_fail(STATUS_USAGE, "init wants --roles relay, --roles exit or --roles "
					      "relay,exit (or --client); see culvert help init");
	if (!in->name || !parse_name(name, in->name))
		return cli_fail(STATUS_USAGE,
				"init wants --name of 1 to 31 of a-z, 0-9 and -; e.g. kestrel");
	in->port = 51820;
	in->wg_port = 51821;
	for (size_t i = 0; i < in->announce.count; i++) {
		if (!net_addr_parse(&addr, in->announce.item[i]))
			return cli_fail(STATUS_USAGE, "--announce wants ADDRESS:PORT, e.g. "
						      "203.0.113.5:51820 or [2001:db8::5]:51820");
		in->port = addr.port;
		give(in, "Node", "Announce", in->announce.item[i]);
	}
	give(in, "Node", "Name", in->name);
	give(in, "Node", "Roles", in->roles_text);
	give(in, "Node", "DataDir", in->data_dir);
	if (in->port != 51820) {
		snprintf(in->listen_text, sizeof(in->listen_text), "[::]:%u", in->port);
		give(in, "Node", "Listen", in->listen_text);
	}
	if ((in->roles & ROLE_EXIT) && in->port == in->wg_port) {
		in->wg_port--;
		snprintf(in->wg_port_text, sizeof(in->wg_port_text), "%u", in->wg_port);
		give(in, "Exit", "WireGuardPort", in->wg_port_text);
	}
	return STATUS_OK;
}

static int read_descriptor(char out[static PATH_MAX], const char *path, enum role role)
{
	const char *what = role == ROLE_EXIT ? "exit" : "relay";
	char why[CONFIG_ERROR_MAX];
	struct descriptor d;

	if (!path)
		return cli_fail(STATUS_USAGE,
				"init --client wants --relay FILE and --exit FILE, their "
				"descriptors; see culvert help init");
	if (!descriptor_file_read(&d, path, 0, 0, why))
		return cli_fail(access(path, F_OK) == 0 ? STATUS_UNVERIFIED : STATUS_NOT_FOUND,
				"%s", why);
	if (!(d.body.roles & role))
		return cli_fail(STATUS_FAILED, "%s: is no %s's descriptor; give the %s's", path,
				what, what);
	if (!realpath(path, out))
		return cli_fail(STATUS_FAILED, "%s: %s; give the right path", path,
				strerror(errno));
	return STATUS_OK;
}

static int read_client(struct init *in)
{
	int status;

	if (in->roles_text || in->name || in->announce.count)
		return cli_fail(STATUS_USAGE,
				"--roles, --name and --announce are a node's; leave them "
				"out, or leave out --client");
	status = read_descriptor(in->relay_path, in->relay, ROLE_RELAY);
	if (status == STATUS_OK)
		status = read_descriptor(in->exit_path, in->exit, ROLE_EXIT);
	give(in, "Client", "Relay", in->relay_path);
	give(in, "Client", "Exit", in->exit_path);
	give(in, "Client", "DataDir", in->data_dir);
	return status;
}

/* The place for a file, which must be free; NULL having said why. */
static char *place(struct init *in, const char *name)
{
	char *path = in->made[in->made_count];

	if (snprintf(path, CONFIG_PATH_MAX, "%s/%s", in->dir, name) >= CONFIG_PATH_MAX) {
		cli_fail(STATUS_FAILED, "%s: too long a path; choose another --dir", in->dir);
		return NULL;
	}
	if (access(path, F_OK) == 0 || errno != ENOENT) {
		cli_fail(STATUS_FAILED,
			 "%s: is there already; nothing is overwritten: move it away or choose "
			 "another --dir",
			 path);
		return NULL;
	}
	return path;
}

static bool make_key(struct init *in, const char *name, bool clamp, uint8_t *id)
{
	char why[CONFIG_ERROR_MAX];
	struct identity identity;
	uint8_t key[KEY_LEN];
	char *path = place(in, name);

	if (!path)
		return false;
	if (!keyfile_create(key, path, clamp, why)) {
		cli_fail(STATUS_FAILED, "%s", why);
		return false;
	}
	in->made_count++;
	if (id) {
		identity_from_seed(&identity, key);
		memcpy(id, identity.id, KEY_LEN);
		crypto_wipe(&identity, sizeof(identity));
	}
	crypto_wipe(key, sizeof(key));
	return true;
}

static bool make_config(struct init *in)
{
	const char *path = place(in, in->client ? "client.conf" : "culvert.conf");
	int fd, err;

	if (!path)
		return false;
	snprintf(in->config, sizeof(in->config), "%s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		cli_fail(STATUS_FAILED, "%s: %s; choose another --dir", path, strerror(errno));
		return false;
	}
	in->made_count++;
	err = config_write(in->client, fd, in->values, in->value_count);
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (err)
		cli_fail(STATUS_FAILED, "%s: %s; make room and try again", path, strerror(-err));
	return !err;
}

/* What was just written must be what check accepts; without an address it cannot be yet. */
static bool read_back(struct init *in)
{
	union {
		struct config_node node;
		struct config_client client;
	} * c;
	char why[CONFIG_ERROR_MAX];
	bool ok;

	if (!in->client && in->announce.count == 0)
		return true;
	c = xcalloc(1, sizeof(*c));
	ok = in->client ? config_read_client(&c->client, in->config, why)
			: config_read_node(&c->node, in->config, why);
	free(c);
	if (!ok)
		cli_fail(STATUS_FAILED, "%s", why);
	return ok;
}

static int make_files(struct init *in)
{
	int err = dir_make(in->dir, 0755);

	if (err)
		return cli_fail(err == -EACCES ? STATUS_DENIED : STATUS_FAILED,
				"%s: %s; run as root or choose another --dir", in->dir,
				strerror(-err));
	if (make_key(in, "identity.key", false, in->id) &&
	    make_key(in, "control.key", true, NULL) &&
	    ((!in->client && !(in->roles & ROLE_EXIT)) || make_key(in, "wg.key", true, NULL)) &&
	    make_config(in) && read_back(in))
		return STATUS_OK;
	while (in->made_count)
		unlink(in->made[--in->made_count]);
	return STATUS_FAILED;
}

static void print_ports(const struct init *in)
{
	uint16_t ports[2] = {in->port, in->wg_port};
	size_t count = in->roles & ROLE_EXIT ? 2 : 1;

	puts("\nOpen the firewall, by nft or ufw:");
	for (size_t i = 0; i < count; i++)
		printf("  nft add rule inet filter input udp dport %u accept\n", ports[i]);
	for (size_t i = 0; i < count; i++)
		printf("  ufw allow %u/udp\n", ports[i]);
}

static void print_next(const struct init *in)
{
	bool usual = strcmp(in->dir, DEFAULT_DIR) == 0;
	const char *unit = in->roles & ROLE_EXIT ? "culvert-exit" : "culvert";

	puts("\nNext:");
	if (!in->client && in->announce.count == 0)
		printf("  edit %s: Announce = your public ADDRESS:PORT\n", in->config);
	if (in->client && usual)
		puts("  culvert up");
	else if (in->client)
		printf("  culvert up --config %s\n", in->config);
	else if (usual)
		printf("  culvert check && systemctl enable --now %s\n", unit);
	else
		printf("  culvert check %s && culvertd --config %s\n", in->config, in->config);
}

static void report(const struct init *in, bool given_away)
{
	char id[KEY_TEXT];
	json_t *files;

	key_to_base64(id, in->id);
	if (in->cli->json) {
		files = json_array();
		for (size_t i = 0; i < in->made_count; i++)
			json_array_append_new(files, json_string(in->made[i]));
		print_json(json_pack("{s:i, s:s, s:s, s:o}", "schema", 1, "id", id, "config",
				     in->config, "files", files));
		return;
	}
	if (in->cli->quiet)
		return;
	printf("%s %s\n", in->client ? "payer id" : "node id ", id);
	for (size_t i = 0; i < in->made_count; i++)
		printf("made     %s\n", in->made[i]);
	if (given_away)
		printf("the keys belong to the user %s, which the service runs as\n", OWNER_USER);
	if (!in->client)
		print_ports(in);
	print_next(in);
}

int verb_init(int argc, char **argv)
{
	struct init in = {.dir = NULL};
	const struct cli_option options[] = {
		{"client", 0, CLI_FLAG, &in.client},     {"roles", 0, CLI_TEXT, &in.roles_text},
		{"name", 0, CLI_TEXT, &in.name},         {"dir", 0, CLI_TEXT, &in.dir},
		{"relay", 0, CLI_TEXT, &in.relay},       {"exit", 0, CLI_TEXT, &in.exit},
		{"data-dir", 0, CLI_TEXT, &in.data_dir}, {"announce", 0, CLI_LIST, &in.announce},
	};
	bool given_away = false;
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 0);

	if (status != STATUS_OK)
		return status;
	in.cli = &cli;
	if (!in.dir)
		in.dir = DEFAULT_DIR;
	status = in.client ? read_client(&in) : read_node(&in);
	if (status == STATUS_OK)
		status = make_files(&in);
	if (status != STATUS_OK)
		return status;
	/* Elsewhere somebody runs culvertd by hand, as who they are. */
	if (!in.client && strcmp(in.dir, DEFAULT_DIR) == 0)
		for (size_t i = 0; i + 1 < in.made_count; i++)
			given_away = owner_give(in.made[i]);
	report(&in, given_away);
	return STATUS_OK;
}
