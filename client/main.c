/* culvert: finds the command and runs it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "client/cli.h"
#include "client/commands.h"
#include "proto/crypto.h"

/* Options before the command belong to it as well: those that take a value. */
static bool takes_value(const char *word)
{
	return strcmp(word, "--config") == 0 || strcmp(word, "--socket") == 0;
}

/* The index of the command among argv, or argc: then there is none. */
static int find_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return i;
		if (takes_value(argv[i]))
			i++;
	}
	return argc;
}

static bool given(int argc, char **argv, const char *name, const char *letter)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], name) == 0 || strcmp(argv[i], letter) == 0)
			return true;
	return false;
}

/* Moves the command's name to the front, so that argv + 0 is it and its options follow. */
static void put_first(char **argv, int at, char *name)
{
	memmove(argv + 1, argv, (size_t)at * sizeof(*argv));
	argv[1] = name;
}

int main(int argc, char **argv)
{
	static char status[] = "status", *alone[] = {NULL, status, NULL};
	int at = find_command(argc, argv);
	const struct command *c;
	const char *near;

	log_init("culvert", LOG_LEVEL_WARN);
	crypto_start();
	if (at >= argc && given(argc, argv, "--version", "-V"))
		return verb_version(1, alone + 1);
	if (at >= argc && given(argc, argv, "--help", "-h"))
		return verb_help(1, alone + 1);
	if (argc == 1)
		return verb_status(1, alone + 1);
	if (at >= argc)
		return cli_fail(STATUS_USAGE, "no command given; see culvert help");
	c = command_find(argv[at], &near);
	if (!c)
		return cli_fail(STATUS_USAGE, "no command %s; %s%s", argv[at],
				near ? "did you mean culvert " : "see culvert help",
				near ? near : "");
	if (given(argc, argv, "--help", "-h")) {
		command_print(c);
		return STATUS_OK;
	}
	put_first(argv, at, argv[at]);
	return c->run(argc - 1, argv + 1);
}
