/* The command table: what main dispatches on and what help prints. */
#ifndef CLIENT_COMMANDS_H
#define CLIENT_COMMANDS_H

#include "client/verbs.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *synopsis; /* behind the name; lines where there are several forms */
	const char *summary;  /* one line of the list */
	const char *details;  /* what `help NAME` adds: options, one a line */
};

extern const struct command commands[]; /* ends with a NULL name */

/* NULL if there is none; then *near is the nearest name, or NULL. */
const struct command *command_find(const char *name, const char **near);

/* The list of commands, or one command's page, on stdout. */
void commands_print(void);
void command_print(const struct command *c);

#endif
