/*
 * Receipts, and evidence of disputes, as files that anybody can check: JSON Lines, one object a
 * line, each of which holds signed bytes in base64 plus readable fields that are checked against
 * them (docs/accounting.md). No daemon, no database, no network.
 */
#ifndef ACCOUNTING_VERIFY_H
#define ACCOUNTING_VERIFY_H

#include <stdio.h>

#include "accounting/query.h"

#define EXPORT_SCHEMA 1

/* Appends one line each. 0 or -errno of the stream. */
MUST_CHECK int export_terms(FILE *out, const struct terms *t);
MUST_CHECK int export_receipt(FILE *out, const struct receipt *r);
MUST_CHECK int export_evidence(FILE *out, const struct query_dispute *d);
/* Row i as such a line; NULL for kinds of rows that have none. The caller frees it. */
char *export_row(const struct query_rows *rows, uint32_t i);

#define EVIDENCE_TEXT 512
/* What evidence that evidence_check holds to be proof or claim says, for a person; out. */
const char *evidence_sentence(char out[static EVIDENCE_TEXT], const struct query_dispute *d);

struct verify_result {
	uint64_t receipts, sessions, bytes,
		amount;          /* bytes and amount: sums of the session heads */
	uint64_t gaps;           /* receipts taken without the one before them */
	uint64_t proofs, claims; /* lines of evidence, of either weight */
	uint64_t bad;            /* lines refused */
};

/* Called per line with its number (from 1) and a sentence. */
typedef void (*verify_report)(void *arg, uint64_t line, const char *what);

struct verify_options {
	bool gaps;             /* a receipt whose predecessor is not there is good */
	verify_report refused; /* why; NULL: nobody asks */
	verify_report proven;  /* what a line of evidence says; NULL: nobody asks */
	void *arg;
};

/* Checks forms, terms, amounts, both signatures, and the chain of every session (any order of
 * lines; a gap in a chain is bad, but see above; the same line twice is not); of evidence, whether
 * it holds by itself. At most 2^20 receipts and 4 KiB a line: beyond that lines are refused. 0 when
 * read to the end (look at bad), -errno if the stream fails. */
MUST_CHECK int verify_stream(FILE *in, const struct verify_options *options,
			     struct verify_result *result);

#endif
