#include "config/parse.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>

struct parser {
	const char *rest, *end;
	const struct parse_handler *handler;
	void *arg;
	unsigned line;
	bool failed;
	char *why;
};

static bool refuse(struct parser *p, const char *why)
{
	snprintf(p->why, CONFIG_ERROR_MAX, "%s", why);
	p->failed = true;
	return false;
}

static const char *skip_blanks(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	return s;
}

static bool is_comment(const char *s, const char *end)
{
	return s == end || *s == '#' || *s == ';';
}

static bool check_heading(struct parser *p, const char *s, const char *end)
{
	const char *close = memchr(s, ']', (size_t)(end - s));
	char name[PARSE_NAME_MAX + 1];
	size_t n;

	if (!close || !is_comment(skip_blanks(close + 1, end), end))
		return refuse(p, "a heading is one word in brackets; write e.g. [Node]");
	n = (size_t)(close - s - 1);
	if (n > PARSE_NAME_MAX)
		return refuse(p, "this heading is too long for any section; see culvert.conf(5)");
	memcpy(name, s + 1, n);
	name[n] = '\0';
	p->failed = !p->handler->section(p->arg, name, p->why);
	return !p->failed;
}

static bool check_pair(struct parser *p, const char *s, const char *end)
{
	const char *eq = memchr(s, '=', (size_t)(end - s));

	/* libinih takes "key: value" too; one way to write things is enough. */
	if (!eq || eq == s || memchr(s, ':', (size_t)(eq - s)))
		return refuse(p, "neither a [Section] nor a pair; write Key = value");
	if (eq - s > PARSE_NAME_MAX || memchr(s, ';', (size_t)(eq - s)) ||
	    memchr(s, '#', (size_t)(eq - s)))
		return refuse(p, "what stands before the = is no key; see culvert.conf(5)");
	return true;
}

/* One line without its blanks and line end, as [start, end). */
static bool check_line(struct parser *p, const char *start, const char *end)
{
	if (end - start > PARSE_LINE_MAX)
		return refuse(p, "longer than 1000 bytes; shorten it");
	for (const char *c = start; c < end; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return refuse(p, "holds a NUL or control character; is this a text file?");
	if (is_comment(start, end))
		return true;
	return *start == '[' ? check_heading(p, start, end) : check_pair(p, start, end);
}

/*
 * libinih's fgets: hands over one whole line at a time, its leading blanks gone so that nothing is
 * taken for the continuation of the line before.
 */
static char *read_line(char *out, int size, void *arg)
{
	struct parser *p = arg;
	const char *start = p->rest, *end;
	size_t n;

	if (p->failed || start == p->end)
		return NULL;
	end = memchr(start, '\n', (size_t)(p->end - start));
	p->rest = end ? end + 1 : p->end;
	p->line++;
	if (!end)
		end = p->end;
	if (end > start && end[-1] == '\r')
		end--;
	start = skip_blanks(start, end);
	if (!check_line(p, start, end))
		return NULL;
	n = (size_t)(end - start);
	if (n + 2 > (size_t)size) {
		refuse(p, "longer than libinih can read; shorten it");
		return NULL;
	}
	memcpy(out, start, n);
	memcpy(out + n, "\n", 2);
	return out;
}

static int take_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct parser *p = arg;

	if (!p->failed)
		p->failed = !p->handler->pair(p->arg, p->line, section, key, value, p->why);
	return !p->failed;
}

bool parse_text(const char *text, size_t len, const struct parse_handler *handler, void *arg,
		unsigned *line, char why[static CONFIG_ERROR_MAX])
{
	struct parser p = {
		.rest = text, .end = text + len, .handler = handler, .arg = arg, .why = why};
	int result;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		p.rest += 3;
	ini_allow_multiline = false;
	ini_stop_on_first_error = true;
	ini_inline_comment_prefixes = (char *)(uintptr_t) "#;";
	ini_max_line = PARSE_LINE_MAX + 4;
	result = ini_parse_stream(read_line, &p, take_pair, &p);
	if (result != 0 && !p.failed)
		refuse(&p, "cannot be read; write Key = value");
	*line = p.line;
	return !p.failed;
}
