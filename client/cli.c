#include "client/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

enum {
	OPTIONS_MAX = 24
};

int cli_fail(int status, const char *fmt, ...)
{
	va_list args;

	fputs("culvert: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int cli_file_status(const char *path)
{
	if (access(path, R_OK) == 0)
		return STATUS_FAILED;
	if (errno == EACCES)
		return STATUS_DENIED;
	return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED;
}

struct reader {
	char **argv;
	int argc, at;
	const struct cli_option *options;
	size_t count;
};

static int unknown(const struct reader *r, const char *word)
{
	const char *names[OPTIONS_MAX];
	const char *near;

	for (size_t i = 0; i < r->count; i++)
		names[i] = r->options[i].name;
	near = text_suggest(word, names, r->count);
	if (near)
		return cli_fail(STATUS_USAGE, "no option %s; did you mean --%s?", r->argv[r->at],
				near);
	return cli_fail(STATUS_USAGE, "no option %s; see culvert help %s", r->argv[r->at],
			r->argv[0]);
}

/* value: what followed '=', or NULL to take the next word. */
static int take(struct reader *r, const struct cli_option *o, const char *value)
{
	struct cli_list *list = o->out;

	if (o->kind == CLI_FLAG) {
		if (value)
			return cli_fail(STATUS_USAGE, "--%s takes no value; leave it out", o->name);
		*(bool *)o->out = true;
		return STATUS_OK;
	}
	if (!value && r->at + 1 < r->argc)
		value = r->argv[++r->at];
	if (!value || !*value)
		return cli_fail(STATUS_USAGE, "--%s wants a value; see culvert help %s", o->name,
				r->argv[0]);
	if (o->kind == CLI_TEXT) {
		*(const char **)o->out = value;
		return STATUS_OK;
	}
	if (list->count == CLI_WORDS_MAX)
		return cli_fail(STATUS_USAGE, "--%s is given too often; %d times is the most",
				o->name, CLI_WORDS_MAX);
	list->item[list->count++] = value;
	return STATUS_OK;
}

static int take_long(struct reader *r, const char *word)
{
	char name[32];
	size_t n = strcspn(word, "=");

	snprintf(name, sizeof(name), "%.*s", n < sizeof(name) ? (int)n : (int)sizeof(name), word);
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->options[i].name, name) == 0)
			return take(r, &r->options[i], word[n] ? word + n + 1 : NULL);
	return unknown(r, name);
}

/* One letter a word: bundles are not worth their surprises. */
static int take_short(struct reader *r, const char *word)
{
	for (size_t i = 0; i < r->count && !word[1]; i++)
		if (r->options[i].letter == word[0])
			return take(r, &r->options[i], NULL);
	return unknown(r, word);
}

int cli_parse(struct cli *out, int argc, char **argv, const struct cli_option *extra, size_t count,
	      size_t max_words)
{
	struct cli_option options[OPTIONS_MAX] = {
		{"json", 0, CLI_FLAG, &out->json},         {"quiet", 'q', CLI_FLAG, &out->quiet},
		{"verbose", 'v', CLI_FLAG, &out->verbose}, {"config", 0, CLI_TEXT, &out->config},
		{"socket", 0, CLI_TEXT, &out->socket},
	};
	struct reader r = {.argv = argv, .argc = argc, .options = options, .count = 5};
	bool words_only = false;
	int status = STATUS_OK;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < count && r.count < OPTIONS_MAX; i++)
		options[r.count++] = extra[i];
	for (r.at = 1; r.at < argc && status == STATUS_OK; r.at++) {
		char *word = argv[r.at];

		if (!words_only && strcmp(word, "--") == 0)
			words_only = true;
		else if (!words_only && strncmp(word, "--", 2) == 0)
			status = take_long(&r, word + 2);
		else if (!words_only && word[0] == '-' && word[1])
			status = take_short(&r, word + 1);
		else if (out->words.count == max_words || out->words.count == CLI_WORDS_MAX)
			status = cli_fail(STATUS_USAGE,
					  "\"%s\" is one word too many; see culvert help %s", word,
					  argv[0]);
		else
			out->words.item[out->words.count++] = word;
	}
	return status;
}
