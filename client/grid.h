/* A table of text with aligned columns, for stdout. */
#ifndef CLIENT_GRID_H
#define CLIENT_GRID_H

#include "base/base.h"

struct grid;

/* titles: one a column; one that starts with '>' is set to the right. */
struct grid *grid_create(const char *const *titles, size_t columns);
/* The next cell, row by row. Control characters become '?'. */
void grid_cell(struct grid *g, const char *fmt, ...) PRINTF(2, 3);
/* Prints titles and rows, or `empty` when there are none, and frees the grid. */
void grid_print(struct grid *g, const char *empty);
/* One that is not to be printed. */
void grid_free(struct grid *g);

#endif
