#include <string.h>

#include "base/text.h"
#include "client/api.h"
#include "client/settle.h"

static const struct {
	const char *name;
	int (*run)(const struct cli *cli, const struct settle_options *o);
} parts[] = {
	{"list", settle_list},   {"export", settle_export},           {"verify", settle_verify},
	{"proof", settle_proof}, {"check-proof", settle_check_proof},
};

int settle_node(const uint8_t **node, uint8_t key[static KEY_LEN], const struct settle_options *o)
{
	*node = o->node ? key : NULL;
	if (o->node && !read_id(key, o->node))
		return cli_fail(STATUS_USAGE,
				"--node wants a node id, 44 characters; %s is something else",
				o->node);
	return STATUS_OK;
}

static int no_such_part(const char *part)
{
	const char *names[ARRAY_SIZE(parts)];
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		names[i] = parts[i].name;
	near = text_suggest(part, names, ARRAY_SIZE(parts));
	return cli_fail(STATUS_USAGE, "culvert settle %s: no such form; %s%s", part,
			near ? "did you mean culvert settle " : "see culvert help settle",
			near ? near : "");
}

int verb_settle(int argc, char **argv)
{
	struct settle_options o = {.node = NULL};
	const struct cli_option options[] = {
		{"node", 0, CLI_TEXT, &o.node},       {"network", 0, CLI_TEXT, &o.network},
		{"wait", 'w', CLI_TEXT, &o.wait},     {"output", 'o', CLI_TEXT, &o.output},
		{"account", 0, CLI_TEXT, &o.account}, {"receipt", 0, CLI_TEXT, &o.receipt},
		{"lost", 0, CLI_FLAG, &o.lost},       {"consistency", 0, CLI_FLAG, &o.consistency},
	};
	struct cli cli;
	int status = cli_parse(&cli, argc, argv, options, ARRAY_SIZE(options), CLI_WORDS_MAX);

	if (status != STATUS_OK)
		return status;
	if (cli.words.count == 0)
		return settle_close(&cli, &o);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strcmp(cli.words.item[0], parts[i].name) == 0)
			return parts[i].run(&cli, &o);
	return no_such_part(cli.words.item[0]);
}
