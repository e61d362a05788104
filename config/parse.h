/*
 * The dialect: [Section] headings, `Key = value` lines, # and ; comments on a line of their own or
 * after a blank, blanks around everything ignored. Reads through libinih, with a reader of ours in
 * front that refuses what libinih would quietly cut or join. Pure; not thread-safe (libinih keeps
 * its settings in globals).
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include "config/config.h"

enum {
	PARSE_FILE_MAX = 256 << 10,
	PARSE_LINE_MAX = 1000,
	PARSE_NAME_MAX = 48, /* libinih cuts sections and keys at 49 bytes */
};

/* Told of every heading and every pair, in order; false stops, having said why in `why`. */
struct parse_handler {
	bool (*section)(void *arg, const char *section, char why[static CONFIG_ERROR_MAX]);
	bool (*pair)(void *arg, unsigned line, const char *section, const char *key,
		     const char *value, char why[static CONFIG_ERROR_MAX]);
};

/* False with *line and why ("what; what to do") set. len bytes; text[len] must be NUL. */
MUST_CHECK bool parse_text(const char *text, size_t len, const struct parse_handler *handler,
			   void *arg, unsigned *line, char why[static CONFIG_ERROR_MAX]);

#endif
