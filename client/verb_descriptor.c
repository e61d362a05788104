#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/ledger_message.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "client/api.h"
#include "client/owner.h"
#include "client/units.h"

/* ---- show ---- */

static int read_text(struct descriptor *d, const char *path)
{
	char text[DESCRIPTOR_TEXT_MAX + 1];
	ssize_t n = file_read(path, text, DESCRIPTOR_TEXT_MAX);

	if (n < 0)
		return cli_fail(cli_file_status(path), "%s: %s; give a descriptor file", path,
				strerror((int)-n));
	if (strlen(text) != (size_t)n || !descriptor_from_text(d, text))
		return cli_fail(STATUS_UNVERIFIED,
				"%s: is no node descriptor (a line culvert-node-1 ...); give the "
				"right file",
				path);
	return STATUS_OK;
}

static int ask_daemon(struct descriptor *d, const struct cli *cli)
{
	struct api_sockets sockets;
	json_t *answer;
	int status = api_find(&sockets, cli, API_NODE);

	if (status == STATUS_OK)
		status = api_request(&answer, sockets.path[0], "GET /v1/descriptor", NULL, false);
	if (status != STATUS_OK)
		return status;
	if (!descriptor_from_text(d, field_text(answer, "descriptor")))
		status = cli_fail(STATUS_FAILED,
				  "the daemon sent no descriptor; use its own culvert");
	json_decref(answer);
	return status;
}

static const char *roles_text(uint8_t roles)
{
	static const char *const names[] = {"none", "relay", "exit", "relay, exit"};

	return names[roles & 3];
}

static json_t *terms_json(const struct terms *t)
{
	struct terms_values v;

	terms_values(&v, t);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "price", (json_int_t)v.price,
			 "window_start", (json_int_t)v.window_start, "window_cap",
			 (json_int_t)v.window_cap, "receipt_seconds", (json_int_t)v.receipt_seconds,
			 "loss_ppm", (json_int_t)v.loss_ppm, "loss_bytes", (json_int_t)v.loss_bytes,
			 "expires", (json_int_t)v.expires);
}

/* "192.0.2.1:51820", or "" where there is none. */
static const char *endpoint(char out[static NET_ADDR_TEXT], const struct descriptor *d, bool v6,
			    bool wireguard)
{
	struct net_addr addr;

	if (!descriptor_endpoint(d, v6, wireguard, &addr)) {
		out[0] = '\0';
		return out;
	}
	return net_addr_text(out, &addr);
}

static void add_text(json_t *o, const char *key, const char *value)
{
	json_object_set_new(o, key, *value ? json_string(value) : json_null());
}

static json_t *descriptor_json(const struct descriptor *d, enum descriptor_verdict verdict)
{
	char key[KEY_TEXT], text[DESCRIPTOR_TEXT_MAX], addr[NET_ADDR_TEXT], name[33] = "";
	const struct descriptor_body *b = &d->body;
	json_t *o = json_pack("{s:i, s:b, s:s}", "schema", 1, "ok", verdict == DESCRIPTOR_OK,
			      "verdict", descriptor_verdict_text(verdict));

	memcpy(name, b->name, sizeof(b->name));
	add_text(o, "name", name);
	add_text(o, "id", key_to_base64(key, b->node));
	add_text(o, "control", key_to_base64(key, b->control));
	json_object_set_new(o, "network", json_integer((json_int_t)le64_get(b->network)));
	add_text(o, "ip4", endpoint(addr, d, false, false));
	add_text(o, "ip6", endpoint(addr, d, true, false));
	json_object_set_new(o, "issued", json_integer((json_int_t)le64_get(b->issued)));
	json_object_set_new(o, "expires", json_integer((json_int_t)le64_get(b->expires)));
	if (b->roles & ROLE_RELAY)
		json_object_set_new(o, "relay", terms_json(&b->relay_terms));
	if (b->roles & ROLE_EXIT) {
		add_text(o, "wireguard_key", key_to_base64(key, b->wg_key));
		add_text(o, "wireguard4", endpoint(addr, d, false, true));
		add_text(o, "wireguard6", endpoint(addr, d, true, true));
		json_object_set_new(o, "exit", terms_json(&b->exit_terms));
	}
	add_text(o, "descriptor", descriptor_to_text(text, sizeof(text), d));
	return o;
}

static void print_line(const char *name, const char *value)
{
	if (*value)
		printf("  %-12s%s\n", name, value);
}

static void print_terms(const char *role, const struct terms *t)
{
	char start[TEXT_UNITS], cap[TEXT_UNITS], loss[TEXT_UNITS], price[UNITS_TEXT];
	struct terms_values v;

	terms_values(&v, t);
	printf("%s terms\n", role);
	printf("  %-12s%s credits per GiB\n", "price", unit_credits(price, v.price));
	printf("  %-12s%s, up to %s\n", "window", text_iec(start, v.window_start),
	       text_iec(cap, v.window_cap));
	printf("  %-12severy %" PRIu32 " s\n", "receipts", v.receipt_seconds);
	printf("  %-12s%" PRIu32 ".%04" PRIu32 " %% and %s\n", "loss", v.loss_ppm / 10000,
	       v.loss_ppm % 10000, text_iec(loss, v.loss_bytes));
}

static void print_descriptor(const struct descriptor *d, enum descriptor_verdict verdict)
{
	const struct descriptor_body *b = &d->body;
	char key[KEY_TEXT], text[DESCRIPTOR_TEXT_MAX], name[33] = "";

	memcpy(name, b->name, sizeof(b->name));
	for (char *c = name; *c; c++)
		if ((unsigned char)*c <= ' ' || *c >= 0x7f)
			*c = '?';
	printf("node %s (%s)\n", name, roles_text(b->roles));
	print_line("id", key_to_base64(key, b->node));
	print_line("control key", key_to_base64(key, b->control));
	printf("  %-12s%" PRIu64 "\n", "network", le64_get(b->network));
	print_line("address", endpoint(text, d, false, false));
	print_line("address", endpoint(text, d, true, false));
	if (b->roles & ROLE_EXIT) {
		print_line("WireGuard", key_to_base64(key, b->wg_key));
		print_line("WireGuard", endpoint(text, d, false, true));
		print_line("WireGuard", endpoint(text, d, true, true));
	}
	print_line("issued", unit_time(text, le64_get(b->issued)));
	print_line("expires", unit_time(text, le64_get(b->expires)));
	if (b->roles & ROLE_RELAY)
		print_terms("relay", &b->relay_terms);
	if (b->roles & ROLE_EXIT)
		print_terms("exit", &b->exit_terms);
	printf("verdict: %s\n",
	       verdict == DESCRIPTOR_OK ? "signed and valid" : descriptor_verdict_text(verdict));
	fputs(descriptor_to_text(text, sizeof(text), d), stdout);
}

static int show(const struct cli *cli)
{
	const char *path = cli->words.count == 2 ? cli->words.item[1] : NULL;
	enum descriptor_verdict verdict;
	struct descriptor d;
	int status = path ? read_text(&d, path) : ask_daemon(&d, cli);

	if (status != STATUS_OK)
		return status;
	verdict = descriptor_check(&d, 0, clock_wall());
	if (cli->json)
		print_json(descriptor_json(&d, verdict));
	else if (!cli->quiet)
		print_descriptor(&d, verdict);
	if (verdict == DESCRIPTOR_OK)
		return STATUS_OK;
	return cli_fail(STATUS_UNVERIFIED, "%s: %s; get a new one from the node's operator",
			path ? path : "the daemon's descriptor", descriptor_verdict_text(verdict));
}

/* ---- sign ---- */

/* As culvertd tells its ledger, so that both sign the same bytes on one day. */
static void fill(struct ledger_config *out, const struct config_node *c)
{
	memset(out, 0, sizeof(*out));
	out->network = c->network;
	out->roles = c->roles;
	memcpy(out->name, c->name, sizeof(out->name));
	out->announce4 = c->announce4;
	out->announce6 = c->announce6;
	out->wg_port = c->wg_port;
	out->price[ROLE_RELAY] = c->relay_price;
	out->price[ROLE_EXIT] = c->exit_price;
	out->window_start = c->window_start;
	out->window_cap = c->window_cap;
	out->receipt_seconds = c->receipt_seconds;
	out->loss_ppm = c->loss_ppm;
	out->loss_bytes = c->loss_bytes;
	out->terms_days = c->terms_days;
}

static bool public_key(uint8_t out[static KEY_LEN], const char *path,
		       char why[static CONFIG_ERROR_MAX])
{
	uint8_t key[KEY_LEN];
	bool ok = owner_keyfile_read(key, path, why);

	if (ok)
		x25519_public(out, key);
	crypto_wipe(key, sizeof(key));
	return ok;
}

static bool describe(struct descriptor *out, const struct config_node *c, uint64_t days,
		     char why[static CONFIG_ERROR_MAX])
{
	struct ledger_identity described;
	struct ledger_config ledger;
	struct identity identity;
	uint8_t seed[KEY_LEN];

	fill(&ledger, c);
	if (days)
		ledger.terms_days = days;
	if (!public_key(ledger.control_key, c->control_key, why) ||
	    ((c->roles & ROLE_EXIT) && !public_key(ledger.wg_key, c->wg_key, why)) ||
	    !owner_keyfile_read(seed, c->identity, why))
		return false;
	identity_from_seed(&identity, seed);
	ledger_describe(&described, &ledger, &identity, clock_wall());
	*out = described.descriptor;
	crypto_wipe(seed, sizeof(seed));
	crypto_wipe(&identity, sizeof(identity));
	return true;
}

static int put_descriptor(const struct descriptor *d, const struct cli *cli, const char *output)
{
	char text[DESCRIPTOR_TEXT_MAX];
	int err;

	descriptor_to_text(text, sizeof(text), d);
	if (output) {
		err = file_create(output, text, strlen(text), 0644);
		if (err)
			return cli_fail(err == -EACCES ? STATUS_DENIED : STATUS_FAILED,
					"%s: %s; nothing is overwritten, give another name", output,
					strerror(-err));
	}
	if (cli->json)
		print_json(descriptor_json(d, DESCRIPTOR_OK));
	else if (!output)
		fputs(text, stdout);
	return STATUS_OK;
}

static int sign(const struct cli *cli, const char *output, const char *days_text)
{
	const char *path = cli->config ? cli->config : CONFIG_NODE_FILE;
	struct config_node *c;
	enum descriptor_verdict verdict;
	char why[CONFIG_ERROR_MAX];
	struct descriptor d;
	uint64_t days = 0;
	bool ok;

	if (days_text && !text_u64(days_text, 1, 366, &days))
		return cli_fail(STATUS_USAGE, "--days wants a number of days, 1 to 366");
	c = xcalloc(1, sizeof(*c));
	ok = config_read_node(c, path, why) && describe(&d, c, days, why);
	free(c);
	if (!ok)
		return cli_fail(cli_file_status(path), "%s", why);
	verdict = descriptor_check(&d, 0, clock_wall());
	if (verdict != DESCRIPTOR_OK)
		return cli_fail(STATUS_UNVERIFIED,
				"%s: what it describes is not valid (%s); correct it", path,
				descriptor_verdict_text(verdict));
	return put_descriptor(&d, cli, output);
}

int verb_descriptor(int argc, char **argv)
{
	const char *output = NULL, *days = NULL, *part;
	const struct cli_option options[] = {
		{"output", 'o', CLI_TEXT, &output},
		{"days", 0, CLI_TEXT, &days},
	};
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 2);

	if (status != STATUS_OK)
		return status;
	part = cli.words.count ? cli.words.item[0] : "show";
	if (strcmp(part, "show") == 0)
		return show(&cli);
	if (strcmp(part, "sign") == 0 && cli.words.count == 1)
		return sign(&cli, output, days);
	return cli_fail(STATUS_USAGE,
			"culvert descriptor %s: no such form; see culvert help descriptor", part);
}
