/* A whole batch out of receipts in any order, any of them any number of times. Pure: no clock, no
 * database, nothing but its arguments. */
#ifndef ACCOUNTING_BATCH_BUILD_H
#define ACCOUNTING_BATCH_BUILD_H

#include "accounting/batch.h"

/* Every array in any order, with repetitions; what no receipt needs is left out. */
struct batch_input {
	const struct batch_head_values *values; /* its counts are not looked at */
	const uint8_t (*peaks)[KEY_LEN];        /* of the tree before; as batch_begin has them */
	const struct receipt *receipts;
	size_t receipt_count;
	const struct terms *terms;
	size_t term_count;
	const struct batch_session *sessions; /* their seq is not looked at */
	size_t session_count;
	const struct batch_account *accounts; /* totals after the epoch before */
	size_t account_count;
};

/*
 * *bytes is the caller's to free. -ENOENT if a receipt's terms or session are not there, -EEXIST if
 * two different receipts or sessions claim one place, -ERANGE if a sum does not fit, -EINVAL as in
 * batch_begin and for a paid above the amount signed, -ENOMEM. Signatures are not looked at.
 */
MUST_CHECK int batch_build(uint8_t **bytes, size_t *len, const struct batch_input *in,
			   const struct identity *by);

#endif
