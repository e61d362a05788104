#include "proto/oneline.h"

#include <stdio.h>
#include <string.h>

const char *oneline_write(char *out, size_t size, const char *word, const void *record, size_t len)
{
	char base64[CRYPTO_BASE64_LEN(ONELINE_RECORD_MAX)];

	bytes_to_base64(base64, sizeof(base64), record, len);
	snprintf(out, size, "%s %s\n", word, base64);
	return out;
}

/* The first line that is neither blank nor a comment. */
static const char *first_line(const char *text)
{
	for (;;) {
		const char *start = text + strspn(text, " \t\r\n");

		if (*start != '#')
			return start;
		text = start + strcspn(start, "\n");
	}
}

bool oneline_read(void *record, size_t len, const char *word, const char *text)
{
	char base64[CRYPTO_BASE64_LEN(ONELINE_RECORD_MAX)];
	const char *line = first_line(text);
	size_t n = strlen(word);

	if (strncmp(line, word, n) != 0 || line[n] != ' ')
		return false;
	line += n + 1;
	n = strcspn(line, " \t\r\n");
	if (n != CRYPTO_BASE64_LEN(len) - 1 || line[n + strspn(line + n, " \t\r\n")])
		return false;
	memcpy(base64, line, n);
	base64[n] = '\0';
	return bytes_from_base64(record, len, base64) == (ssize_t)len;
}
