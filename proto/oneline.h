/* A signed record as one line of text, "WORD BASE64\n", so that it can be mailed and pasted. Pure.
 */
#ifndef PROTO_ONELINE_H
#define PROTO_ONELINE_H

#include "proto/crypto.h"

enum {
	ONELINE_RECORD_MAX = 1024, /* bytes of a record */
};

/* Into out, cut if that is too small; returns out. */
const char *oneline_write(char *out, size_t size, const char *word, const void *record, size_t len);

/* Exactly len bytes behind the word. Blank lines and lines that start with # may stand before it,
 * only white space behind it. */
MUST_CHECK bool oneline_read(void *record, size_t len, const char *word, const char *text);

#endif
