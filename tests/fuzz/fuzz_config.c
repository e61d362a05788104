/* Any bytes as a configuration of either kind: no crash, and a refusal has a line and a reason. */
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "config/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(const struct option_table *table, const char *text, size_t len)
{
	static union {
		struct config_node node;
		struct config_client client;
	} out;
	static struct option_lines lines;
	char why[CONFIG_ERROR_MAX] = "";
	unsigned line = 0, total = 1;
	bool ok = options_parse(table, &out, text, len, "/etc/culvert", &lines, &line, why);

	for (size_t i = 0; i < len; i++)
		total += text[i] == '\n';
	if (!ok && (line == 0 || line > total || !why[0] || strlen(why) >= sizeof(why)))
		abort();
	for (unsigned i = 0; i < lines.top; i++)
		if (lines.set[i].line == 0 || lines.set[i].line > total)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size > PARSE_FILE_MAX)
		return 0;
	/* Its own allocation: a read beyond the NUL is seen. */
	text = malloc(size + 1);
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	read_as(&options_node, text, size);
	read_as(&options_client, text, size);
	free(text);
	return 0;
}
