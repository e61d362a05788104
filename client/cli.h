/* The command line of one verb, and how it speaks to the person: results on stdout, all else here.
 */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include "base/base.h"
#include "client/verbs.h"

enum {
	CLI_WORDS_MAX = 1024 /* a shell's *.batch */
};

struct cli_list {
	const char *item[CLI_WORDS_MAX];
	size_t count;
};

/* Options every command has, and the words that are none. Text is argv's. */
struct cli {
	bool json, quiet, verbose;
	const char *config, *socket; /* NULL: not given */
	struct cli_list words;
};

enum cli_kind {
	CLI_FLAG, /* bool */
	CLI_TEXT, /* const char *, last one wins */
	CLI_LIST, /* struct cli_list, appended to */
};

/* An option of one command: --name, and -letter unless 0. */
struct cli_option {
	const char *name;
	char letter;
	enum cli_kind kind;
	void *out;
};

/*
 * Reads argv[1..]: "--name value", "--name=value", "-l value"; "--" ends options. STATUS_OK, or
 * STATUS_USAGE with the reason said. At most max_words words that are no options.
 */
MUST_CHECK int cli_parse(struct cli *out, int argc, char **argv, const struct cli_option *extra,
			 size_t count, size_t max_words);

/* Says "culvert: what; what to do" on stderr and returns status. */
int cli_fail(int status, const char *fmt, ...) PRINTF(2, 3);

/* What a file that cannot be read means as an exit status: 4, 5, else 1. */
int cli_file_status(const char *path);

#endif
