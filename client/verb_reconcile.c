#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "client/grid.h"
#include "client/report.h"

/* What the rows of docs/api.md mean, for people. */
static const struct {
	const char *name, *text;
} counts[] =
	{
		{"device", "this device counted"},   {"relay", "the relay claims"},
		{"exit", "the exit claims"},         {"heard", "heard from both sides"},
		{"carried", "carried and billable"}, {"issued", "in receipts"},
		{"signed", "signed by the payer"},
},
  lines[] = {
	  {"since_receipt", "counted since it signed the newest receipt: in no bill yet"},
	  {"before_relay", "lost before the relay, turned away by it, a handshake nobody answered "
			   "(148 bytes each), or in flight"},
	  {"behind_relay", "lost behind the relay on the way here, or in flight"},
	  {"before_exit", "lost on the way to the exit, turned away by it, or in flight"},
	  {"behind_exit", "lost behind the exit on the way here, or in flight"},
	  {"beyond_sent", "billed and never sent from here"},
	  {"after_receipt", "arrived after that receipt was written, less what was lost"},
	  {"claimed_unsigned", "claimed and not signed by this client"},
	  {"claimed_unsigned_before", "of that, not signed by this client"},
	  {"other_times", "counted here in the time of one of the two sessions only"},
	  {"relay_to_exit", "lost between relay and exit, turned away by the exit, or in flight"},
	  {"exit_to_relay", "lost between exit and relay, turned away by the relay, or in flight"},
	  {"only_exit_bills",
	   "billed by the exit only: handshakes whose answer was lost (148 bytes "
	   "each), less other losses"},
	  {"only_relay_bills",
	   "billed by the relay only: counted by the exit after its receipt was "
	   "written"},
	  {"unanswered", "handshakes nobody answered: carried for nothing"},
	  {"no_receipt_yet", "in no receipt yet"},
	  {"unsigned", "in a receipt that waits for its signature"},
};

static const char *text_of(const json_t *row, bool count)
{
	const char *name = field_text(row, count ? "count" : "line");

	for (size_t i = 0; count && i < ARRAY_SIZE(counts); i++)
		if (strcmp(counts[i].name, name) == 0)
			return counts[i].text;
	for (size_t i = 0; !count && i < ARRAY_SIZE(lines); i++)
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].text;
	return name;
}

static bool is_count(const json_t *row)
{
	return json_is_string(json_object_get(row, "count"));
}

static void print_rows(const json_t *rows)
{
	static const char *const titles[] = {"BYTES", ">UP", ">DOWN"};
	struct grid *grid = grid_create(titles, ARRAY_SIZE(titles));
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		bool count = is_count(row),
		     drop = !count && text_of(row, false) == field_text(row, "line");

		grid_cell(grid, "%s%s%s", count ? "" : "  ", drop ? "dropped: " : "",
			  text_of(row, count));
		grid_cell(grid, count ? "%" PRId64 : "%+" PRId64, field_signed(row, "up"));
		grid_cell(grid, count ? "%" PRId64 : "%+" PRId64, field_signed(row, "down"));
	}
	grid_print(grid, "no counts");
}

/* Every count is the one before it and the lines between; else it is named. */
static int check_rows(const json_t *rows)
{
	static const char *const ways[] = {"up", "down"};
	int status = STATUS_OK;

	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		const json_t *row;
		int64_t sum = 0;
		size_t i;

		json_array_foreach(rows, i, row)
		{
			int64_t n = field_signed(row, ways[w]);

			if (is_count(row) && i > 0 && n != sum)
				status = cli_fail(STATUS_FAILED,
						  "does not add up: \"%s\" is %" PRId64
						  " bytes %s, the rows above it come to %" PRId64,
						  text_of(row, true), n, ways[w], sum);
			if (is_count(row))
				sum = n;
			else if (__builtin_add_overflow(sum, n, &sum))
				return cli_fail(STATUS_FAILED,
						"does not add up: \"%s\" is no "
						"number of bytes anybody has sent",
						text_of(row, false));
		}
	}
	return status;
}

static int print_all(const json_t *answer)
{
	const json_t *rows = json_object_get(answer, "rows");
	const char *pair = field_text(answer, "pair");
	int status;

	printf("session %s (%s, %s%s)%s%s\n", field_text(answer, "session"),
	       field_text(answer, "role"), field_text(answer, "state"),
	       field_true(answer, "live") ? ", live" : "",
	       *pair ? ", through the same tunnel as " : "", pair);
	print_rows(rows);
	status = check_rows(rows);
	if (status == STATUS_OK)
		puts("adds up");
	return status;
}

int verb_reconcile(int argc, char **argv)
{
	char hex[2 * SESSION_ID_LEN + 1];
	struct api_sockets sockets;
	json_t *answer;
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 1);

	if (status == STATUS_OK)
		status = report_session(hex, &cli, "reconcile");
	if (status == STATUS_OK)
		status = api_find(&sockets, &cli, API_EITHER);
	if (status == STATUS_OK)
		status = report_fetch(&answer, &sockets, "/v1/reconcile", hex, NULL);
	if (status != STATUS_OK)
		return status;
	if (!cli.json && !cli.quiet) {
		status = print_all(answer);
		json_decref(answer);
		return status;
	}
	status = check_rows(json_object_get(answer, "rows"));
	if (cli.json)
		print_json(answer);
	else
		json_decref(answer);
	return status;
}
