#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/verify.h"
#include "accounting/wallet.h"
#include "base/log.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"

struct receipts_options {
	const char *session, *output, *database;
	bool gaps;
};

/* What list and show have in common: the receipts, asked for by session or all. */
static int fetch(json_t **out, const struct cli *cli, const char *session, size_t *which,
		 struct api_sockets *sockets)
{
	uint8_t id[SESSION_ID_LEN];
	char query[64] = "", hex[2 * SESSION_ID_LEN + 1];
	json_t *answer;
	int status;

	if (session && !text_unhex(id, sizeof(id), session))
		return cli_fail(STATUS_USAGE,
				"a session is 32 hex digits; see culvert receipts list");
	if (session)
		snprintf(query, sizeof(query), "&session=%s", text_hex(hex, id, sizeof(id)));
	status = api_find(sockets, cli, API_EITHER);
	if (status == STATUS_OK)
		status = api_first(&answer, sockets, "GET /v1/status", which);
	if (status != STATUS_OK)
		return status;
	json_decref(answer);
	return api_list(out, sockets->path[*which], "/v1/receipts", "receipts", query);
}

static int not_a_row(void)
{
	return cli_fail(STATUS_FAILED,
			"the daemon sent a row that is neither terms nor receipt; use "
			"its own culvert");
}

static bool decode(void *out, size_t size, const json_t *row, const char *key)
{
	return bytes_from_base64(out, size, field_text(row, key)) == (ssize_t)size;
}

/* Rows and pages show the signed bytes, not what the daemon says about them. */
static void list_receipt(struct grid *grid, const struct receipt *r)
{
	const struct receipt_body *b = &r->offer.body;
	char session[2 * SESSION_ID_LEN + 1], text[TEXT_UNITS], units[UNITS_TEXT];

	grid_cell(grid, "%s", text_hex(session, b->session, SESSION_ID_LEN));
	grid_cell(grid, "%" PRIu64, le64_get(b->seq));
	grid_cell(grid, "%s", b->role == ROLE_EXIT ? "exit" : "relay");
	grid_cell(grid, "%s", text_iec(text, le64_get(b->bytes_up)));
	grid_cell(grid, "%s", text_iec(text, le64_get(b->bytes_down)));
	grid_cell(grid, "%s", unit_credits(units, le64_get(b->amount)));
	grid_cell(grid, "%.16s", unit_time(units, le64_get(b->hour) * 3600));
}

static int list(const struct cli *cli, const struct receipts_options *o)
{
	static const char *const titles[] = {"SESSION", ">SEQ",     "ROLE",        ">UP",
					     ">DOWN",   ">CREDITS", "ISSUED (UTC)"};
	struct api_sockets sockets;
	struct receipt receipt;
	struct grid *grid;
	json_t *rows, *r;
	size_t i, which;
	int status = fetch(&rows, cli, o->session, &which, &sockets);

	if (status != STATUS_OK)
		return status;
	if (cli->json) {
		print_json(json_pack("{s:i, s:o}", "schema", 1, "receipts", rows));
		return STATUS_OK;
	}
	grid = grid_create(titles, ARRAY_SIZE(titles));
	json_array_foreach(rows, i, r)
	{
		if (decode(&receipt, sizeof(receipt), r, "receipt"))
			list_receipt(grid, &receipt);
		else
			status = not_a_row();
	}
	grid_print(grid, "no receipts");
	json_decref(rows);
	return status;
}

static void put_key(const char *name, const uint8_t key[static KEY_LEN])
{
	char text[KEY_TEXT];

	printf("  %-12s%s\n", name, key_to_base64(text, key));
}

static void print_receipt(const struct receipt *r)
{
	const struct receipt_body *b = &r->offer.body;
	char up[TEXT_UNITS], down[TEXT_UNITS], text[UNITS_TEXT];

	printf("receipt %" PRIu64 " (%s)\n", le64_get(b->seq),
	       b->role == ROLE_EXIT ? "exit" : "relay");
	printf("  %-12s%s, up to the hour\n", "issued", unit_time(text, le64_get(b->hour) * 3600));
	printf("  %-12sup %s (%" PRIu64 "), down %s (%" PRIu64 ")\n", "bytes",
	       text_iec(up, le64_get(b->bytes_up)), le64_get(b->bytes_up),
	       text_iec(down, le64_get(b->bytes_down)), le64_get(b->bytes_down));
	printf("  %-12s%s credits\n", "amount", unit_credits(text, le64_get(b->amount)));
	put_key("provider", b->provider);
	put_key("payer", b->payer);
	put_key("terms", b->terms);
	put_key("previous", b->previous);
}

static int show(const struct cli *cli)
{
	struct api_sockets sockets;
	struct receipt receipt;
	json_t *rows, *r;
	size_t i, which;
	int status;

	if (cli->words.count != 2)
		return cli_fail(STATUS_USAGE, "show wants a session; see culvert receipts list");
	status = fetch(&rows, cli, cli->words.item[1], &which, &sockets);
	if (status != STATUS_OK)
		return status;
	if (json_array_size(rows) == 0)
		status = cli_fail(STATUS_NOT_FOUND,
				  "no receipts of session %s; see culvert receipts list",
				  cli->words.item[1]);
	if (cli->json && status == STATUS_OK) {
		print_json(json_pack("{s:i, s:o}", "schema", 1, "receipts", rows));
		return status;
	}
	json_array_foreach(rows, i, r) if (!decode(&receipt, sizeof(receipt), r, "receipt"))
		status = not_a_row();
	else print_receipt(&receipt);
	json_decref(rows);
	return status;
}

/* What verify says as it reads. */
struct said {
	const char *path;
	bool quiet;
	json_t *evidence; /* NULL unless it is to be JSON */
};

static void say_bad(void *arg, uint64_t line, const char *why)
{
	const struct said *said = arg;

	fprintf(stderr, "%s:%" PRIu64 ": %s\n", said->path, line, why);
}

static void say_proven(void *arg, uint64_t line, const char *what)
{
	struct said *said = arg;

	if (said->evidence)
		json_array_append_new(said->evidence, json_pack("{s:I, s:s}", "line",
								(json_int_t)line, "says", what));
	else if (!said->quiet)
		printf("%s:%" PRIu64 ": %s\n", said->path, line, what);
}

static void print_result(const struct verify_result *r)
{
	char bytes[TEXT_UNITS], credits[UNITS_TEXT];

	if (r->proofs || r->claims)
		printf("%" PRIu64 " proofs, %" PRIu64 " claims; ", r->proofs, r->claims);
	printf("%" PRIu64 " receipts of %" PRIu64 " sessions: %s, %s credits; ", r->receipts,
	       r->sessions, text_iec(bytes, r->bytes), unit_credits(credits, r->amount));
	if (r->gaps)
		printf("%" PRIu64 " behind a gap; ", r->gaps);
	printf("%" PRIu64 " bad lines\n", r->bad);
}

static json_t *result_json(const struct verify_result *r, json_t *evidence)
{
	return json_pack("{s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "schema", 1,
			 "ok", r->bad == 0, "receipts", (json_int_t)r->receipts, "sessions",
			 (json_int_t)r->sessions, "bytes", (json_int_t)r->bytes, "amount",
			 (json_int_t)r->amount, "gaps", (json_int_t)r->gaps, "proofs",
			 (json_int_t)r->proofs, "claims", (json_int_t)r->claims, "bad",
			 (json_int_t)r->bad, "evidence", evidence);
}

static int verify_file(struct verify_result *result, const char *path, bool gaps, struct said *said)
{
	const struct verify_options options = {
		.gaps = gaps, .refused = say_bad, .proven = say_proven, .arg = said};
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int err;

	if (!in)
		return cli_fail(cli_file_status(path), "%s: %s; give the file of an export", path,
				strerror(errno));
	err = verify_stream(in, &options, result);
	if (in != stdin)
		fclose(in);
	if (err)
		return cli_fail(STATUS_FAILED, "%s: %s while reading; try again", path,
				strerror(-err));
	if (!result->receipts && !result->proofs && !result->claims && !result->bad)
		return cli_fail(STATUS_UNVERIFIED,
				"%s: holds no receipts; give the file of an export", path);
	return STATUS_OK;
}

static int verify(const struct cli *cli, const struct receipts_options *o)
{
	struct said said = {.quiet = cli->quiet};
	struct verify_result result = {0};
	int status;

	if (cli->words.count != 2)
		return cli_fail(STATUS_USAGE,
				"verify wants a file, or - for stdin; see culvert help "
				"receipts");
	said.path = cli->words.item[1];
	said.evidence = cli->json ? json_array() : NULL;
	status = verify_file(&result, said.path, o->gaps, &said);
	if (status != STATUS_OK) {
		json_decref(said.evidence);
		return status;
	}
	if (cli->json)
		print_json(result_json(&result, said.evidence));
	else if (!cli->quiet)
		print_result(&result);
	return result.bad ? STATUS_UNVERIFIED : STATUS_OK;
}

/* Writes the rows of one list of the API; 0 or a status. */
static int write_rows(FILE *out, const json_t *rows, bool terms)
{
	struct receipt receipt;
	struct terms t;
	const json_t *row;
	size_t i;
	int err = 0;

	json_array_foreach(rows, i, row)
	{
		bool ok = terms ? decode(&t, sizeof(t), row, "terms")
				: decode(&receipt, sizeof(receipt), row, "receipt");

		if (!ok)
			return not_a_row();
		err = terms ? export_terms(out, &t) : export_receipt(out, &receipt);
		if (err)
			return cli_fail(STATUS_FAILED,
					"writing the export: %s; make room and try again",
					strerror(-err));
	}
	return STATUS_OK;
}

static int export_api(FILE *out, const struct cli *cli, const struct receipts_options *o)
{
	struct api_sockets sockets;
	json_t *receipts, *terms;
	size_t which;
	int status = fetch(&receipts, cli, o->session, &which, &sockets);

	if (status != STATUS_OK)
		return status;
	status = api_list(&terms, sockets.path[which], "/v1/terms", "terms", "");
	if (status == STATUS_OK) {
		status = write_rows(out, terms, true);
		json_decref(terms);
	}
	if (status == STATUS_OK)
		status = write_rows(out, receipts, false);
	json_decref(receipts);
	return status;
}

/* Every page of one kind from a wallet. */
static int export_pages(FILE *out, struct wallet *w, struct query q, struct query_rows *rows)
{
	do {
		int err = wallet_query(w, &q, rows);

		for (uint32_t i = 0; i < rows->count && !err; i++)
			err = q.kind == QUERY_TERMS
				      ? export_terms(out, &rows->terms[i])
				      : export_receipt(out, &rows->receipt[i].receipt);
		if (err)
			return err;
		q.after = rows->next;
	} while (rows->next);
	return 0;
}

static int export_wallet(FILE *out, const struct receipts_options *o)
{
	struct query terms = {.kind = QUERY_TERMS}, receipts = {.kind = QUERY_RECEIPTS};
	struct query_rows *rows;
	struct wallet *w;
	int err;

	receipts.has_session = o->session != NULL;
	if (o->session && !text_unhex(receipts.session, SESSION_ID_LEN, o->session))
		return cli_fail(STATUS_USAGE,
				"a session is 32 hex digits; see culvert receipts list");
	err = wallet_open(&w, o->database, true);
	if (err)
		return cli_fail(cli_file_status(o->database),
				"%s: %s; give the wallet in the client's DataDir", o->database,
				strerror(-err));
	rows = xcalloc(1, sizeof(*rows));
	err = export_pages(out, w, terms, rows);
	if (!err)
		err = export_pages(out, w, receipts, rows);
	free(rows);
	wallet_close(w);
	return err ? cli_fail(STATUS_FAILED, "%s: %s; try again", o->database, strerror(-err))
		   : STATUS_OK;
}

static int export(const struct cli *cli, const struct receipts_options *o)
{
	FILE *out = o->output ? fopen(o->output, "wex") : stdout;
	int status;

	if (!out)
		return cli_fail(errno == EACCES ? STATUS_DENIED : STATUS_FAILED,
				"%s: %s; nothing is overwritten, give another name", o->output,
				strerror(errno));
	status = o->database ? export_wallet(out, o) : export_api(out, cli, o);
	if (o->output ? fclose(out) : fflush(out))
		status = cli_fail(STATUS_FAILED, "writing the export: %s; make room and try again",
				  strerror(errno));
	/* Half an export must not be taken for a whole one. */
	if (status != STATUS_OK && o->output)
		remove(o->output);
	return status;
}

int verb_receipts(int argc, char **argv)
{
	static const char *const parts[] = {"list", "show", "verify", "export"};
	struct receipts_options o = {NULL, NULL, NULL, false};
	const struct cli_option options[] = {
		{"session", 0, CLI_TEXT, &o.session},
		{"output", 'o', CLI_TEXT, &o.output},
		{"database", 0, CLI_TEXT, &o.database},
		{"gaps", 0, CLI_FLAG, &o.gaps},
	};
	const char *part, *near;
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 2);

	if (status != STATUS_OK)
		return status;
	part = cli.words.count ? cli.words.item[0] : "list";
	if (strcmp(part, "verify") == 0)
		return verify(&cli, &o);
	if (strcmp(part, "show") == 0)
		return show(&cli);
	if (strcmp(part, "list") == 0 && cli.words.count <= 1)
		return list(&cli, &o);
	if (strcmp(part, "export") == 0 && cli.words.count == 1)
		return export(&cli, &o);
	near = text_suggest(part, parts, ARRAY_SIZE(parts));
	return cli_fail(STATUS_USAGE, "culvert receipts %s: no such form; %s%s", part,
			near ? "did you mean culvert receipts " : "see culvert help receipts",
			near ? near : "");
}
