#include "client/grid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct grid {
	const char *const *titles;
	char **cells;
	size_t columns, used, room;
};

struct grid *grid_create(const char *const *titles, size_t columns)
{
	struct grid *g = xcalloc(1, sizeof(*g));

	g->titles = titles;
	g->columns = columns;
	return g;
}

static void make_room(struct grid *g)
{
	char **more;

	if (g->used < g->room)
		return;
	g->room = g->room ? 2 * g->room : 64;
	more = xcalloc(g->room, sizeof(*more));
	if (g->cells)
		memcpy(more, g->cells, g->used * sizeof(*more));
	free(g->cells);
	g->cells = more;
}

void grid_cell(struct grid *g, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		fatalx("out of memory");
	va_end(args);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	make_room(g);
	g->cells[g->used++] = text;
}

/* Characters, not bytes: UTF-8's continuation bytes take no place. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
	int pad = (int)(width - width_of(text));

	if (right)
		printf("%*s%s", pad, "", text);
	else
		printf("%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

static size_t column_width(const struct grid *g, size_t column)
{
	size_t width = strlen(g->titles[column]) - (g->titles[column][0] == '>');

	for (size_t i = column; i < g->used; i += g->columns)
		if (width_of(g->cells[i]) > width)
			width = width_of(g->cells[i]);
	return width;
}

void grid_free(struct grid *g)
{
	for (size_t i = 0; i < g->used; i++)
		free(g->cells[i]);
	free(g->cells);
	free(g);
}

void grid_print(struct grid *g, const char *empty)
{
	size_t *widths = xcalloc(g->columns, sizeof(*widths));

	if (g->used == 0)
		puts(empty);
	for (size_t i = 0; i < g->columns; i++)
		widths[i] = column_width(g, i);
	for (size_t i = 0; i < g->columns && g->used; i++) {
		bool right = g->titles[i][0] == '>';

		print_cell(g->titles[i] + right, widths[i], right, i + 1 == g->columns);
	}
	for (size_t i = 0; i < g->used; i++) {
		size_t column = i % g->columns;

		print_cell(g->cells[i], widths[column], g->titles[column][0] == '>',
			   column + 1 == g->columns);
	}
	free(widths);
	grid_free(g);
}
