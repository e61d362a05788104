#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config/assign.h"
#include "config/options.h"

enum {
	WRAP = 92
};

/* Help as comment lines of at most WRAP columns. */
static void write_help(FILE *out, const char *help)
{
	while (*help) {
		size_t n = strlen(help);

		if (n > WRAP)
			for (n = WRAP; n > 1 && help[n] != ' ';)
				n--;
		fprintf(out, "# %.*s\n", (int)n, help);
		help += n + strspn(help + n, " ");
	}
}

static void write_option(FILE *out, const struct option *o, const struct config_value *given,
			 size_t count)
{
	char range[OPTION_RANGE_TEXT];
	bool any = false;

	fputc('\n', out);
	write_help(out, o->help);
	if (*option_range(range, o))
		fprintf(out, "# (%s)\n", range);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(given[i].section, o->section) != 0 || strcmp(given[i].key, o->key) != 0)
			continue;
		fprintf(out, "%s = %s\n", o->key, given[i].value);
		any = true;
	}
	if (!any)
		fprintf(out, "# %s =%s%s\n", o->key, o->initial ? " " : "",
			o->initial ? o->initial : "");
}

int config_write(bool client, int fd, const struct config_value *given, size_t count)
{
	const struct option_table *t = client ? &options_client : &options_node;
	const char *section = "";
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err;

	if (!out)
		return -errno;
	fprintf(out, "# %s\n", t->head);
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(section, t->options[i].section) != 0)
			fprintf(out, "\n[%s]\n", t->options[i].section);
		section = t->options[i].section;
		write_option(out, &t->options[i], given, count);
	}
	err = fclose(out) ? -errno : fd_write_all(fd, text, len);
	free(text);
	return err;
}
