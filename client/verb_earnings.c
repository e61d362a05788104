#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"

enum {
	DAY = 86400,
	DAYS_MAX = 36500,
	DAY_TEXT = 16,
};

/* One line: of a day and payer, or of one of the two. */
struct earning {
	uint64_t day; /* seconds since 1970; 0: all */
	char payer[KEY_TEXT];
	uint64_t postings, bytes, amount, allowance, fee, earned;
};

struct earnings {
	struct earning *row;
	size_t count;
	struct earning total;
	bool per_day, per_payer; /* what a line is of */
	bool csv;
};

/* ---- days ---- */

static const char *day_text(char out[static DAY_TEXT], uint64_t day)
{
	char text[UNITS_TEXT];

	snprintf(out, DAY_TEXT, "%.10s", unit_time(text, day));
	return out;
}

/* YYYY-MM-DD, and a day there is: 2026-02-30 comes back as another. */
static bool read_date(uint64_t *day, const char *text)
{
	struct tm tm = {.tm_mday = 0};
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	char back[DAY_TEXT];
	time_t t = end && !*end ? timegm(&tm) : -1;

	if (t < DAY)
		return false;
	*day = (uint64_t)t;
	return strcmp(day_text(back, *day), text) == 0;
}

/* The beginning of a day, UTC: today, yesterday, Nd, YYYY-MM-DD. */
static bool read_day(uint64_t *day, const char *text)
{
	uint64_t today = clock_wall() / DAY * DAY, back;
	char number[8];
	size_t n = strlen(text);

	if (strcmp(text, "today") == 0) {
		*day = today;
		return true;
	}
	if (strcmp(text, "yesterday") == 0) {
		*day = today - DAY;
		return true;
	}
	if (n < 2 || n > sizeof(number) || text[n - 1] != 'd')
		return read_date(day, text);
	snprintf(number, sizeof(number), "%.*s", (int)n - 1, text);
	if (!text_u64(number, 0, today / DAY - 1, &back))
		return false;
	*day = today - back * DAY;
	return true;
}

static int bad_day(const char *option, const char *text)
{
	return cli_fail(STATUS_USAGE,
			"--%s: %s is no day; give today, yesterday, 7d, or 2026-11-20 (UTC)",
			option, text);
}

/* ---- rows ---- */

static bool add(uint64_t *sum, uint64_t n)
{
	return !__builtin_add_overflow(*sum, n, sum) && *sum <= INT64_MAX;
}

static bool earning_add(struct earning *sum, const struct earning *e)
{
	return add(&sum->postings, e->postings) && add(&sum->bytes, e->bytes) &&
	       add(&sum->amount, e->amount) && add(&sum->allowance, e->allowance) &&
	       add(&sum->fee, e->fee) && add(&sum->earned, e->earned);
}

static int by_day_and_payer(const void *a, const void *b)
{
	const struct earning *x = a, *y = b;

	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return strcmp(x->payer, y->payer);
}

static void read_row(struct earning *out, const json_t *row, const struct earnings *e)
{
	*out = (struct earning){
		.day = e->per_day ? field_number(row, "day") : 0,
		.postings = field_number(row, "postings"),
		.bytes = field_number(row, "bytes"),
		.amount = field_number(row, "amount"),
		.allowance = field_number(row, "allowance"),
		.fee = field_number(row, "fee"),
		.earned = field_number(row, "earned"),
	};
	if (e->per_payer)
		field_id(out->payer, row, "payer");
}

/* The daemon's pages may have several rows of one day and payer: sorted, these are neighbours. */
static int gather(struct earnings *e, const json_t *rows)
{
	struct earning *all = xcalloc(json_array_size(rows) + 1, sizeof(*all));
	size_t n = json_array_size(rows);
	bool fits = true;

	for (size_t i = 0; i < n; i++)
		read_row(&all[i], json_array_get(rows, i), e);
	qsort(all, n, sizeof(*all), by_day_and_payer);
	e->row = all;
	for (size_t i = 0; i < n && fits; i++) {
		fits = earning_add(&e->total, &all[i]);
		if (e->count && by_day_and_payer(&all[e->count - 1], &all[i]) == 0)
			fits = earning_add(&all[e->count - 1], &all[i]) && fits;
		else
			all[e->count++] = all[i];
	}
	for (size_t i = 0; i < e->count && fits; i++)
		fits = all[i].amount - all[i].allowance - all[i].fee == all[i].earned;
	return fits ? STATUS_OK
		    : cli_fail(STATUS_FAILED,
			       "the daemon's sums do not add up; is it of this version?");
}

/* ---- showing ---- */

static void print_table(const struct earnings *e)
{
	static const char *const titles[] = {"DAY",        "PAYER", ">BYTES", ">AMOUNT",
					     ">ALLOWANCE", ">FEE",  ">EARNED"};
	const size_t skip = e->per_day ? 0 : 1;
	const char *shown[ARRAY_SIZE(titles)];
	struct grid *grid;
	size_t n = 0;

	for (size_t i = skip; i < ARRAY_SIZE(titles); i++)
		if (i != 1 || e->per_payer)
			shown[n++] = titles[i];
	grid = grid_create(shown, n);
	for (size_t i = 0; i <= e->count && e->count; i++) {
		const struct earning *row = i < e->count ? &e->row[i] : &e->total;
		const uint64_t amounts[] = {row->amount, row->allowance, row->fee, row->earned};
		char text[UNITS_TEXT], day[DAY_TEXT];

		if (e->per_day)
			grid_cell(grid, "%s", i < e->count ? day_text(day, row->day) : "total");
		if (e->per_payer)
			grid_cell(grid, "%s",
				  i < e->count ? row->payer
				  : e->per_day ? ""
					       : "total");
		grid_cell(grid, "%" PRIu64, row->bytes);
		for (size_t j = 0; j < ARRAY_SIZE(amounts); j++)
			grid_cell(grid, "%s", unit_credits(text, amounts[j]));
	}
	grid_print(grid, "nothing was posted in these days");
}

/* RFC 4180: no field here ever needs quotes. Raw numbers, and no total that would be summed again.
 */
static void print_csv(const struct earnings *e)
{
	char day[DAY_TEXT];

	printf("%s%sbytes,amount,allowance,fee,earned\r\n", e->per_day ? "day," : "",
	       e->per_payer ? "payer," : "");
	for (size_t i = 0; i < e->count; i++) {
		const struct earning *row = &e->row[i];

		printf("%s%s%s%s%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\r\n",
		       e->per_day ? day_text(day, row->day) : "", e->per_day ? "," : "", row->payer,
		       e->per_payer ? "," : "", row->bytes, row->amount, row->allowance, row->fee,
		       row->earned);
	}
}

static json_t *row_json(const struct earning *row, const struct earnings *e, bool total)
{
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "postings",
			      (json_int_t)row->postings, "bytes", (json_int_t)row->bytes, "amount",
			      (json_int_t)row->amount, "allowance", (json_int_t)row->allowance,
			      "fee", (json_int_t)row->fee, "earned", (json_int_t)row->earned);
	char day[DAY_TEXT];

	if (e->per_day && !total)
		json_object_set_new(o, "day", json_string(day_text(day, row->day)));
	if (e->per_payer && !total)
		json_object_set_new(o, "payer", json_string(row->payer));
	return o;
}

static void print_object(const struct earnings *e)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < e->count; i++)
		json_array_append_new(rows, row_json(&e->row[i], e, false));
	print_json(json_pack("{s:i, s:o, s:o}", "schema", 1, "earnings", rows, "total",
			     row_json(&e->total, e, true)));
}

/* ---- the command ---- */

static int show(struct earnings *e, const struct cli *cli, uint64_t since, uint64_t until)
{
	struct api_sockets sockets;
	char query[64];
	json_t *rows;
	int status = api_find(&sockets, cli, API_NODE);

	/* Both days are whole. */
	snprintf(query, sizeof(query), "&since=%" PRIu64 "&until=%" PRIu64, since, until + DAY);
	if (status == STATUS_OK)
		status = api_list(&rows, sockets.path[0], "/v1/earnings", "earnings", query);
	if (status != STATUS_OK)
		return status;
	status = gather(e, rows);
	json_decref(rows);
	if (status == STATUS_OK && cli->json)
		print_object(e);
	else if (status == STATUS_OK && e->csv)
		print_csv(e);
	else if (status == STATUS_OK && !cli->quiet)
		print_table(e);
	free(e->row);
	return status;
}

int verb_earnings(int argc, char **argv)
{
	struct earnings e = {.per_day = true, .per_payer = true};
	const char *since_text = "30d", *until_text = "today", *per = NULL;
	const struct cli_option options[] = {
		{"since", 0, CLI_TEXT, &since_text},
		{"until", 0, CLI_TEXT, &until_text},
		{"per", 0, CLI_TEXT, &per},
		{"csv", 0, CLI_FLAG, &e.csv},
	};
	uint64_t since, until;
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), 0);

	if (status != STATUS_OK)
		return status;
	if (!read_day(&since, since_text))
		return bad_day("since", since_text);
	if (!read_day(&until, until_text))
		return bad_day("until", until_text);
	if (until < since)
		return cli_fail(STATUS_USAGE, "--until is before --since; give a later day");
	if (per && strcmp(per, "day") != 0 && strcmp(per, "payer") != 0)
		return cli_fail(STATUS_USAGE,
				"--per is day or payer; without it lines are of both");
	if (cli.json && e.csv)
		return cli_fail(STATUS_USAGE, "--json and --csv at once; leave one out");
	e.per_payer = !per || strcmp(per, "payer") == 0;
	e.per_day = !per || strcmp(per, "day") == 0;
	return show(&e, &cli, since, until);
}
