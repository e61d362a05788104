/*
 * Receipts as files that anybody can check: JSON Lines, one object a line,
 * {"schema":1,"terms":BASE64} or
 * {"schema":1,"receipt":BASE64} plus readable fields that are checked against the bytes. No daemon,
 * no database, no network.
 */
#ifndef ACCOUNTING_VERIFY_H
#define ACCOUNTING_VERIFY_H

#include <stdio.h>

#include "accounting/query.h"

/* Appends one line each. 0 or -errno of the stream. */
MUST_CHECK int export_terms(FILE *out, const struct terms *t);
MUST_CHECK int export_receipt(FILE *out, const struct receipt *r);

struct verify_result {
	uint64_t receipts, sessions, bytes,
		amount; /* bytes and amount: sums of the session heads */
	uint64_t bad;   /* lines refused */
};

/* Called per refused line with its number (from 1) and a sentence. */
typedef void (*verify_report)(void *arg, uint64_t line, const char *why);

/* Checks forms, terms, amounts, both signatures, and the chain of every session (any order of
 * lines; a gap in a chain is bad; the same line twice is not). At most 2^20 receipts and 4 KiB a
 * line: beyond that lines are refused. 0 when read to the end (look at bad), -errno if the stream
 * fails. */
MUST_CHECK int verify_stream(FILE *in, struct verify_result *result, verify_report report,
			     void *arg);

#endif
