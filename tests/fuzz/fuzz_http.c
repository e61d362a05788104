/* Any bytes as a daemon's answer. */
#include <stdlib.h>
#include <string.h>

#include "client/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reply reply;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (http_parse(&reply, text, size) &&
	    (reply.status < 100 || reply.status > 599 || reply.body + reply.len != text + size))
		abort();
	free(text);
	return 0;
}
