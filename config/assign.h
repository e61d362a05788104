/* From a value's text to its place in a config struct, by the option's type. Pure. */
#ifndef CONFIG_ASSIGN_H
#define CONFIG_ASSIGN_H

#include "config/options.h"

/* Repeated keys append to it, and commas part its items (except paths). */
bool option_is_list(const struct option *o);

#define OPTION_RANGE_TEXT 96
/* "1 to 65535 seconds", or "" for types without a range. Returns out. */
const char *option_range(char out[static OPTION_RANGE_TEXT], const struct option *o);

/* Puts text where the option lives in base. On false why says "Key: what it wants". */
MUST_CHECK bool option_assign(void *base, const struct option *o, const char *text, const char *dir,
			      char why[static CONFIG_ERROR_MAX]);

#endif
