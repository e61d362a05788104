#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"
#include "client/verb_grants.h"
#include "proto/crypto.h"

/* Far from where balances would no longer fit 63 bits. */
#define GRANT_MAX 1000000000000000u

static void print_credit(struct grid *g, const json_t *c)
{
	static const char *const amounts[] = {"balance", "free_left", "granted", "earned", "spent"};
	char text[UNITS_TEXT], id[KEY_TEXT];

	grid_cell(g, "%s", field_id(id, c, "peer"));
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
		grid_cell(g, "%s", unit_credits_signed(text, field_signed(c, amounts[i])));
	grid_cell(g, "%s", text_iec(text, field_number(c, "bytes")));
	grid_cell(g, "%s", text_iec(text, field_number(c, "window")));
	grid_cell(g, "%s", text_iec(text, field_number(c, "debt")));
}

static int show_credits(const struct cli *cli)
{
	static const char *const titles[] = {"PEER",   ">BALANCE", ">FREE",   ">GRANTED", ">EARNED",
					     ">SPENT", ">SIGNED",  ">WINDOW", ">DEBT"};
	struct api_sockets sockets;
	struct grid *grid;
	json_t *answer, *c;
	size_t i, which = 0;
	int status = api_find(&sockets, cli, API_EITHER);

	if (status == STATUS_OK)
		status = api_first(&answer, &sockets, "GET /v1/status", &which);
	if (status != STATUS_OK)
		return status;
	json_decref(answer);
	status = api_list(&answer, sockets.path[which], "/v1/credits", "credits", "");
	if (status != STATUS_OK)
		return status;
	if (cli->json) {
		print_json(json_pack("{s:i, s:o}", "schema", 1, "credits", answer));
		return STATUS_OK;
	}
	grid = grid_create(titles, ARRAY_SIZE(titles));
	json_array_foreach(answer, i, c) print_credit(grid, c);
	grid_print(grid, "no accounts yet");
	json_decref(answer);
	return STATUS_OK;
}

struct granting {
	const char *key_text;
	char payer[KEY_TEXT];
	bool earned; /* out of what the node earned */
	uint64_t amount, days;
	uint8_t key[NONCE_LEN];
	struct grant_words issuer; /* if --relay is given: signed, not sent */
};

static int read_grant(struct granting *g, const struct cli *cli, const char *days)
{
	uint8_t payer[KEY_LEN];

	if (cli->words.count != 3)
		return cli_fail(STATUS_USAGE,
				"grant wants PAYER and AMOUNT; see culvert help credits");
	if (!read_id(payer, cli->words.item[1]))
		return cli_fail(STATUS_USAGE,
				"PAYER is the id culvert init printed for the client, 44 "
				"characters; %s is something else",
				cli->words.item[1]);
	key_to_base64(g->payer, payer);
	memcpy(g->issuer.payer, payer, KEY_LEN);
	if (!text_u64(cli->words.item[2], 1, GRANT_MAX, &g->amount))
		return cli_fail(STATUS_USAGE,
				"AMOUNT is a whole number of micro-credits, 1 to %ju; a "
				"credit has 1000000",
				(uintmax_t)GRANT_MAX);
	if (days && !text_u64(days, 1, 36500, &g->days))
		return cli_fail(STATUS_USAGE, "--expires wants a number of days, 1 to 36500");
	if (days && g->earned)
		return cli_fail(STATUS_USAGE, "what was earned does not expire: --from-earned and "
					      "--expires exclude each other");
	if (g->issuer.relay && g->earned)
		return cli_fail(STATUS_USAGE, "--from-earned is for this node's own books: leave "
					      "--relay away");
	g->issuer.amount = g->amount;
	g->issuer.days = g->days;
	g->issuer.key = g->key_text;
	if (g->issuer.relay)
		return STATUS_OK;
	if (g->issuer.serial || g->issuer.network)
		return cli_fail(STATUS_USAGE, "--serial and --network are for a grant that is "
					      "signed: give --relay NODE and --key FILE too");
	if (!g->key_text)
		crypto_random(g->key, sizeof(g->key));
	else if (!text_unhex(g->key, sizeof(g->key), g->key_text))
		return cli_fail(STATUS_USAGE, "--key wants 32 hex digits");
	return STATUS_OK;
}

static int send_grant(const struct cli *cli, const struct granting *g)
{
	uint64_t expires = g->days ? clock_wall() + g->days * 86400 : 0;
	char key[2 * NONCE_LEN + 1], text[UNITS_TEXT];
	json_t *body;
	int status;

	body = json_pack("{s:i, s:s, s:I, s:I, s:s}", "schema", 1, "payer", g->payer, "amount",
			 (json_int_t)g->amount, "expires", (json_int_t)expires, "key",
			 text_hex(key, g->key, NONCE_LEN));
	if (g->earned)
		json_object_set_new(body, "from", json_string("earned"));
	status = api_order(cli, "POST /v1/grants", body);
	if (status == STATUS_OK && !cli->json && !cli->quiet)
		printf("granted %s credits to %s (key %s)\n", unit_credits(text, g->amount),
		       g->payer, key);
	return status;
}

int verb_credits(int argc, char **argv)
{
	struct granting grant = {.key_text = NULL};
	const char *days = NULL;
	const struct cli_option options[] = {
		{"expires", 0, CLI_TEXT, &days},
		{"key", 0, CLI_TEXT, &grant.key_text},
		{"from-earned", 0, CLI_FLAG, &grant.earned},
		{"relay", 0, CLI_TEXT, &grant.issuer.relay},
		{"serial", 0, CLI_TEXT, &grant.issuer.serial},
		{"network", 0, CLI_TEXT, &grant.issuer.network},
	};
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 3);

	if (status != STATUS_OK)
		return status;
	if (cli.words.count == 0)
		return show_credits(&cli);
	if (strcmp(cli.words.item[0], "add") == 0)
		return grants_keep(&cli);
	if (strcmp(cli.words.item[0], "list") == 0)
		return grants_list(&cli);
	if (strcmp(cli.words.item[0], "grant") != 0)
		return cli_fail(STATUS_USAGE,
				"credits has no part %s; did you mean culvert credits grant?",
				cli.words.item[0]);
	status = read_grant(&grant, &cli, days);
	if (status != STATUS_OK)
		return status;
	return grant.issuer.relay ? grants_sign(&cli, &grant.issuer) : send_grant(&cli, &grant);
}
