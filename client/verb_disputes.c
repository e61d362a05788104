#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounting/verify.h"
#include "accounting/wallet.h"
#include "base/log.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"

struct disputes_options {
	const char *session, *output, *database;
	char hex[2 * SESSION_ID_LEN + 1]; /* of session */
};

/* ---- where they come from ---- */

static int fetch_api(json_t **out, const struct cli *cli, const struct disputes_options *o)
{
	struct api_sockets sockets;
	char query[64] = "";
	json_t *answer;
	size_t which;
	int status = api_find(&sockets, cli, API_EITHER);

	if (o->session)
		snprintf(query, sizeof(query), "&session=%s", o->hex);
	if (status == STATUS_OK)
		status = api_first(&answer, &sockets, "GET /v1/status", &which);
	if (status != STATUS_OK)
		return status;
	json_decref(answer);
	return api_list(out, sockets.path[which], "/v1/disputes", "disputes", query);
}

/* The rows the agent would answer, read without it. */
static int read_wallet(json_t *out, struct wallet *w, struct query q)
{
	struct query_rows *rows = xcalloc(1, sizeof(*rows));
	int err;

	do {
		err = wallet_query(w, &q, rows);
		for (uint32_t i = 0; !err && i < rows->count; i++) {
			char *text = export_row(rows, i);

			json_array_append_new(out, json_loads(text, 0, NULL));
			free(text);
		}
		q.after = rows->next;
	} while (!err && rows->next);
	free(rows);
	return err;
}

static int fetch_wallet(json_t **out, const struct disputes_options *o)
{
	struct query q = {.kind = QUERY_DISPUTES, .has_session = o->session != NULL};
	struct wallet *w;
	int err;

	if (o->session && !text_unhex(q.session, sizeof(q.session), o->session))
		return STATUS_USAGE;
	err = wallet_open(&w, o->database, true);
	if (err)
		return cli_fail(cli_file_status(o->database),
				"%s: %s; give the wallet in the client's DataDir", o->database,
				strerror(-err));
	*out = json_array();
	err = read_wallet(*out, w, q);
	wallet_close(w);
	if (!err)
		return STATUS_OK;
	json_decref(*out);
	return cli_fail(STATUS_FAILED, "%s: %s; try again", o->database, strerror(-err));
}

/* ---- what they prove: judged here, whatever the daemon says ---- */

struct judged {
	char *line;
	const char *proves;
	char says[EVIDENCE_TEXT]; /* what it proves, or why it does not */
};

static void on_line(void *arg, uint64_t line, const char *what)
{
	struct judged *j = arg;

	(void)line;
	snprintf(j->says, sizeof(j->says), "%s", what);
}

static void judge(struct judged *j, const json_t *row)
{
	const struct verify_options options = {.refused = on_line, .proven = on_line, .arg = j};
	struct verify_result result = {0};
	FILE *in;

	j->says[0] = '\0';
	j->line = json_dumps(row, JSON_COMPACT);
	in = j->line && *j->line ? fmemopen(j->line, strlen(j->line), "r") : NULL;
	if (!in || verify_stream(in, &options, &result) != 0)
		fatalx("out of memory for a dispute");
	fclose(in);
	j->proves = result.proofs == 1 ? "proof" : result.claims == 1 ? "claim" : NULL;
}

/* ---- a table ---- */

static void print_dispute(struct grid *g, const json_t *row, const struct judged *j, bool whole)
{
	char text[UNITS_TEXT], id[KEY_TEXT];
	int keys = whole ? KEY_TEXT : 8;
	bool second = json_object_get(row, "second") != NULL;

	grid_cell(g, "%.*s", whole ? 2 * SESSION_ID_LEN : 8, field_text(row, "session"));
	grid_cell(g, "%" PRIu64, field_number(row, second ? "second_seq" : "seq"));
	grid_cell(g, "%s", field_text(row, "role"));
	grid_cell(g, "%.*s", keys, field_id(id, row, "provider"));
	grid_cell(g, "%.*s", keys, field_id(id, row, "payer"));
	grid_cell(g, "%s", field_text(row, "evidence"));
	grid_cell(g, "%s", j->proves ? j->proves : "nothing");
	grid_cell(g, "%s", strcmp(field_text(row, "state"), "frozen") == 0 ? "frozen" : "forgiven");
	grid_cell(g, "%.16s", unit_time(text, field_number(row, "hour") * 3600));
}

static int list(const struct cli *cli, const json_t *rows)
{
	static const char *const titles[] = {"SESSION",  ">SEQ",   "ROLE",  "PROVIDER",  "PAYER",
					     "EVIDENCE", "PROVES", "STATE", "KEPT (UTC)"};
	struct grid *grid = grid_create(titles, ARRAY_SIZE(titles));
	struct judged j;
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		judge(&j, row);
		print_dispute(grid, row, &j, cli->verbose);
		free(j.line);
	}
	grid_print(grid, "no disputes");
	json_array_foreach(rows, i, row)
	{
		if (!cli->verbose)
			break;
		judge(&j, row);
		printf("%s%s\n", i ? "" : "\n", j.says);
		free(j.line);
	}
	return STATUS_OK;
}

/* ---- an export ---- */

/* Only what proves or claims something: the rest is told of, and left out. */
static int write_lines(FILE *out, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		struct judged j;

		judge(&j, row);
		if (j.proves)
			fprintf(out, "%s\n", j.line);
		else
			(void)cli_fail(STATUS_OK, "the dispute over session %.32s is left out: %s",
				       field_text(row, "session"), j.says);
		free(j.line);
	}
	return STATUS_OK;
}

static int export(const json_t *rows, const char *path)
{
	bool is_file = strcmp(path, "-") != 0;
	FILE *out = is_file ? fopen(path, "wex") : stdout;
	int status;

	if (!out)
		return cli_fail(errno == EACCES ? STATUS_DENIED : STATUS_FAILED,
				"%s: %s; nothing is overwritten, give another name", path,
				strerror(errno));
	status = write_lines(out, rows);
	if (is_file ? fclose(out) : fflush(out))
		status = cli_fail(STATUS_FAILED, "writing the export: %s; make room and try again",
				  strerror(errno));
	/* Half an export must not be taken for a whole one. */
	if (status != STATUS_OK && is_file)
		unlink(path);
	return status;
}

/* ---- the verb ---- */

static int show(const struct cli *cli, struct disputes_options *o)
{
	uint8_t id[SESSION_ID_LEN];
	json_t *rows = NULL;
	int status;

	if (o->session && !text_unhex(id, sizeof(id), o->session))
		return cli_fail(STATUS_USAGE, "a session is 32 hex digits; see culvert disputes");
	if (o->session)
		text_hex(o->hex, id, sizeof(id));
	status = o->database ? fetch_wallet(&rows, o) : fetch_api(&rows, cli, o);
	if (status != STATUS_OK)
		return status;
	if (o->output)
		status = export(rows, o->output);
	else if (cli->json)
		print_json(json_pack("{s:i, s:O}", "schema", 1, "disputes", rows));
	else
		status = list(cli, rows);
	json_decref(rows);
	return status;
}

static int forgive(const struct cli *cli)
{
	uint8_t id[SESSION_ID_LEN];
	char hex[2 * SESSION_ID_LEN + 1];
	int status;

	if (cli->words.count != 2 || !text_unhex(id, sizeof(id), cli->words.item[1]))
		return cli_fail(STATUS_USAGE, "forgive wants a session, 32 hex digits; see culvert "
					      "disputes --verbose");
	text_hex(hex, id, sizeof(id));
	status = api_order(cli, "POST /v1/disputes/forgive",
			   json_pack("{s:i, s:s}", "schema", 1, "session", hex));
	if (status == STATUS_OK && !cli->json && !cli->quiet)
		printf("forgave what session %s left unsigned\n", hex);
	return status;
}

int verb_disputes(int argc, char **argv)
{
	struct disputes_options o = {.session = NULL};
	const struct cli_option options[] = {
		{"session", 0, CLI_TEXT, &o.session},
		{"export", 0, CLI_TEXT, &o.output},
		{"database", 0, CLI_TEXT, &o.database},
	};
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 2);

	if (status != STATUS_OK)
		return status;
	if (cli.words.count == 0)
		return show(&cli, &o);
	if (strcmp(cli.words.item[0], "forgive") == 0)
		return forgive(&cli);
	return cli_fail(STATUS_USAGE,
			"disputes has no part %s; did you mean culvert disputes "
			"forgive?",
			cli.words.item[0]);
}
