#include <stdio.h>

#include "client/cli.h"
#include "client/commands.h"

int verb_help(int argc, char **argv)
{
	const struct command *c;
	const char *near;
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 1);

	if (status != STATUS_OK)
		return status;
	if (cli.words.count == 0) {
		commands_print();
		return STATUS_OK;
	}
	c = command_find(cli.words.item[0], &near);
	if (!c)
		return cli_fail(STATUS_USAGE, "no command %s; %s%s", cli.words.item[0],
				near ? "did you mean culvert " : "see culvert help",
				near ? near : "");
	command_print(c);
	return STATUS_OK;
}
