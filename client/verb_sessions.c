#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"

/* Ids short enough for a line, unless all of them is asked for. */
static void print_session(struct grid *g, const json_t *s, bool whole)
{
	char text[TEXT_UNITS], age[UNITS_TEXT], id[KEY_TEXT];

	if (!*field_id(id, s, "payer"))
		field_id(id, s, "provider");
	grid_cell(g, "%.*s", whole ? 2 * SESSION_ID_LEN : 8, field_text(s, "session"));
	grid_cell(g, "%s", field_text(s, "role"));
	grid_cell(g, "%.*s", whole ? KEY_TEXT : 8, id);
	grid_cell(g, "%s", text_iec(text, field_number(s, "up")));
	grid_cell(g, "%s", text_iec(text, field_number(s, "down")));
	grid_cell(g, "%s", text_iec(text, field_number(s, "signed")));
	grid_cell(g, "%s", text_iec(text, field_number(s, "window")));
	grid_cell(g, "%s",
		  field_true(s, "held")    ? "held"
		  : field_true(s, "bound") ? "bound"
					   : "open");
	grid_cell(g, "%" PRIu64, field_number(s, "moves"));
	grid_cell(g, "%s", unit_duration(age, field_number(s, "age_ms") / 1000));
}

int verb_sessions(int argc, char **argv)
{
	static const char *const titles[] = {"SESSION", "ROLE",    "PEER",  ">UP",    ">DOWN",
					     ">SIGNED", ">WINDOW", "STATE", ">MOVES", ">AGE"};
	struct api_sockets sockets;
	struct grid *grid;
	struct cli cli;
	json_t *answer, *s;
	size_t i;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 0);

	if (status == STATUS_OK)
		status = api_find(&sockets, &cli, API_EITHER);
	if (status == STATUS_OK)
		status = api_first(&answer, &sockets, "GET /v1/sessions", NULL);
	if (status != STATUS_OK)
		return status;
	if (cli.json) {
		print_json(answer);
		return STATUS_OK;
	}
	grid = grid_create(titles, ARRAY_SIZE(titles));
	json_array_foreach(json_object_get(answer, "sessions"), i, s)
		print_session(grid, s, cli.verbose);
	grid_print(grid, "no sessions");
	json_decref(answer);
	return STATUS_OK;
}
