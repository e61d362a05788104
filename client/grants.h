/*
 * A client's grants: files *.grant of one line each in a directory beside the wallet. Whoever can
 * write there adds one; the agent looks again by itself.
 */
#ifndef CLIENT_GRANTS_H
#define CLIENT_GRANTS_H

#include <jansson.h>

#include "config/config.h"
#include "proto/grant.h"

enum {
	GRANTS_MAX = 256, /* files looked at; used ones can go */
	GRANTS_NAME = 64,
	GRANTS_PATH = CONFIG_PATH_MAX + 16,
};

struct grant_file {
	char name[GRANTS_NAME]; /* in the directory */
	bool readable;          /* holds the text form of a grant */
	struct grant grant;     /* if so; otherwise unchecked */
};

/* "DATADIR/grants" into out. */
const char *grants_path(char out[static GRANTS_PATH], const char *data_dir);

/* What is there, by name; none without a directory. The caller frees *out. */
size_t grants_load(struct grant_file **out, const char *dir);

/* As the API and `credit list` show it; said: what its node said of it, or why it is not shown. */
json_t *grants_row(const struct grant_file *f, const char *said);

/* Keeps it as a file that says in a comment what it is; name gets the file's. 0, also if it is
 * there already, or -errno; -EMFILE: there are too many. */
MUST_CHECK int grants_add(char name[static GRANTS_NAME], const char *dir, const struct grant *g);

#endif
