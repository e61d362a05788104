#include <stdio.h>

#include "client/cli.h"

int verb_version(int argc, char **argv)
{
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, NULL, 0, 0);

	if (status != STATUS_OK)
		return status;
	printf(cli.json ? "{\"schema\": 1, \"version\": \"%s\"}\n" : "culvert %s\n",
	       CULVERT_VERSION);
	return STATUS_OK;
}
