#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "client/api.h"
#include "client/grid.h"
#include "client/units.h"

static void print_session(struct grid *g, const json_t *s)
{
	const char *peer = api_text(s, "payer");
	char text[TEXT_UNITS], age[UNITS_TEXT];

	if (!*peer)
		peer = api_text(s, "provider");
	grid_cell(g, "%.8s", api_text(s, "session"));
	grid_cell(g, "%s", api_text(s, "role"));
	grid_cell(g, "%.12s", peer);
	grid_cell(g, "%s", text_iec(text, api_number(s, "up")));
	grid_cell(g, "%s", text_iec(text, api_number(s, "down")));
	grid_cell(g, "%s", text_iec(text, api_number(s, "signed")));
	grid_cell(g, "%s", text_iec(text, api_number(s, "window")));
	grid_cell(g, "%s", api_true(s, "held") ? "held" : api_true(s, "bound") ? "bound" : "open");
	grid_cell(g, "%" PRIu64, api_number(s, "moves"));
	grid_cell(g, "%s", unit_duration(age, api_number(s, "age_ms") / 1000));
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
		api_print(answer);
		return STATUS_OK;
	}
	grid = grid_create(titles, ARRAY_SIZE(titles));
	json_array_foreach(json_object_get(answer, "sessions"), i, s) print_session(grid, s);
	grid_print(grid, "no sessions");
	json_decref(answer);
	return STATUS_OK;
}
