/*
 * The option table: every key there is, with its type, place, default, range and help. The parser,
 * the template of `culvert init` and the suggestions are generic over it; a key is added by adding
 * a line.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "config/config.h"

enum option_type {
	OPTION_NAME,     /* char[32] */
	OPTION_ROLES,    /* uint8_t */
	OPTION_PATH,     /* char[CONFIG_PATH_MAX], relative to the file's directory */
	OPTION_PATHS,    /* char[][CONFIG_PATH_MAX]; one a line */
	OPTION_U16,      /* uint16_t, min..max */
	OPTION_U32,      /* uint32_t, min..max */
	OPTION_U64,      /* uint64_t, min..max */
	OPTION_BYTES,    /* uint64_t, min..max, IEC units */
	OPTION_SECONDS,  /* uint32_t, min..max */
	OPTION_RATE,     /* uint64_t, bytes a second, 0 (none) or min..max, decimal units of bits */
	OPTION_SHARE,    /* uint32_t, parts per million, min..max */
	OPTION_YES_NO,   /* bool */
	OPTION_LEVEL,    /* enum log_level */
	OPTION_IFACE,    /* char[16] */
	OPTION_BACKEND,  /* char[16] */
	OPTION_KEY,      /* uint8_t[KEY_LEN] */
	OPTION_ENDPOINT, /* struct net_addr with port */
	OPTION_ANNOUNCE, /* struct net_addr with port, one per family; other: the IPv6 one */
	OPTION_IPS,      /* struct net_addr without port, one per family; other: the IPv6 one */
	OPTION_POOLS,    /* struct config_prefix, one per family; other: the IPv6 one */
	OPTION_PREFIXES, /* struct config_prefix[]; other: the count */
	OPTION_RANGES,   /* struct ranges */
	OPTION_KEYS,     /* uint8_t[CONFIG_ISSUERS_MAX][KEY_LEN]; other: the count */
};

struct option {
	const char *section, *key;
	enum option_type type;
	size_t offset, other; /* in the config struct; other: see the types */
	const char *initial;  /* the default as it would be written; NULL: none */
	uint64_t min, max;
	const char *unit; /* of the number, for messages and the template; NULL: none */
	const char *help; /* for the template: sentences, wrapped when written */
};

enum {
	OPTION_MAX = 64,      /* keys in a table */
	ASSIGNMENT_MAX = 400, /* lines that set something in one file */
};

struct option_table {
	const struct option *options;
	size_t count, size; /* size of the struct that is filled */
	const char *of;     /* whose file: "culvertd" or "culvert up" */
	const char *head;   /* comment at the top of the template */
};

extern const struct option_table options_node, options_client;

/* Which line set what, so that later checks can name it. */
struct option_lines {
	unsigned top; /* lines in use below */
	struct {
		const struct option *option;
		unsigned line;
	} set[ASSIGNMENT_MAX];
};

/* The line of the nth (from 0) assignment of section.key; 0 if it is not in the file. */
unsigned option_line(const struct option_lines *lines, const char *section, const char *key,
		     size_t nth);

/*
 * Fills out (table->size bytes) from text: what the file says, and defaults for the rest. dir is
 * put before relative paths. On false *line (0: no line) and why say what is wrong. No checks
 * across keys.
 */
MUST_CHECK bool options_parse(const struct option_table *table, void *out, const char *text,
			      size_t len, const char *dir, struct option_lines *lines,
			      unsigned *line, char why[static CONFIG_ERROR_MAX]);

#endif
