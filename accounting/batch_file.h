/* Reading a settlement batch, piece by piece, from a file nobody vouches for. */
#ifndef ACCOUNTING_BATCH_FILE_H
#define ACCOUNTING_BATCH_FILE_H

#include <stdio.h>

#include "proto/merkle.h"

/* Why a batch is refused; the names are in docs/accounting.md. */
enum batch_reason {
	BATCH_OK,
	BATCH_BAD_HEAD,
	BATCH_BAD_LENGTH,
	BATCH_BAD_NODE,
	BATCH_BAD_NETWORK,
	BATCH_BAD_SIGNATURE,
	BATCH_BAD_EPOCH,
	BATCH_BAD_PREVIOUS,
	BATCH_BAD_PEAKS,
	BATCH_BAD_ORDER,
	BATCH_BAD_TERMS,
	BATCH_BAD_SESSION,
	BATCH_BAD_RECEIPT,
	BATCH_BAD_CHAIN,
	BATCH_BAD_PAID,
	BATCH_UNUSED,
	BATCH_BAD_ACCOUNT,
	BATCH_BAD_TOTALS,
	BATCH_BAD_SUMS,
	BATCH_BAD_ROOT,
	BATCH_REASONS,
};
/* One word, the same in every verifier. */
const char *batch_reason_name(enum batch_reason r);

struct batch_fault {
	enum batch_reason reason;
	const char *why;  /* a sentence */
	const char *what; /* kind of record; NULL: none */
	uint64_t number;  /* of it, from 1 */
	uint64_t offset;  /* in the file, bytes */
};
#define BATCH_FAULT_TEXT 256
/* "receipt 17, byte 5432: the payer did not sign this receipt" */
const char *batch_fault_text(char out[static BATCH_FAULT_TEXT], const struct batch_fault *f);
/* Fills in a fault that is no record's; returns -EBADMSG. */
int batch_refuse(struct batch_fault *f, enum batch_reason reason, uint64_t offset, const char *why);

enum {
	BATCH_VERSION = 1
};

/* In the order of the file. */
enum batch_kind {
	BATCH_TERMS,
	BATCH_SESSIONS,
	BATCH_RECEIPTS,
	BATCH_ACCOUNTS,
	BATCH_KINDS,
};

struct batch_file {
	FILE *in;
	struct batch_head head;
	uint32_t count[BATCH_KINDS];
	uint64_t offset; /* of the record read last */
	uint64_t next;   /* where the following one begins */
	uint64_t end;    /* of the last record: there the peaks are */
};

/* Domain, version, zero bytes, node, epoch, and that sizes and counts add up; no signature. 0 or
 * -EBADMSG (see f). */
MUST_CHECK int batch_head_form(const struct batch_head_body *h, struct batch_fault *f);

/*
 * Reads the head of a seekable stream, which stays the caller's. Checked are the head's form and
 * that the length is what it says, so that counts can be trusted to size memory by; not the
 * signature. batch_file_peaks comes next. 0, -EBADMSG (see f), or -errno.
 */
MUST_CHECK int batch_file_begin(struct batch_file *b, FILE *in, struct batch_fault *f);
/* The tree before this epoch, from the peaks at the end of the file, which must make the root the
 * head names; then stands before the first record. Again, to read from there again. The same
 * errors.
 */
MUST_CHECK int batch_file_peaks(struct batch_file *b, struct merkle *tree, struct batch_fault *f);
/* The next record, whose kind and so length the caller knows. 0 or -errno; -EIO for an end. */
MUST_CHECK int batch_file_read(struct batch_file *b, void *record, size_t len);
/* Length of one record of a kind, and what to call it. */
size_t batch_record_len(enum batch_kind kind);
const char *batch_record_name(enum batch_kind kind);

#endif
