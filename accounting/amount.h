/*
 * Money: signed micro-credits in a type of its own, so that no byte count or raw integer is added
 * to it by accident, and arithmetic that says when it does not fit. Pure.
 */
#ifndef ACCOUNTING_AMOUNT_H
#define ACCOUNTING_AMOUNT_H

#include "base/base.h"

struct amount {
	int64_t micro;
};

/* From an unsigned count of micro-credits; false above INT64_MAX. */
MUST_CHECK bool amount_of(struct amount *out, uint64_t micro);
/* Sums and differences; false, and *out untouched, on overflow. */
MUST_CHECK bool amount_add(struct amount *out, struct amount a, struct amount b);
MUST_CHECK bool amount_sub(struct amount *out, struct amount a, struct amount b);
/* As an unsigned count; a negative amount is 0. */
uint64_t amount_u64(struct amount a);

/* Sums of unsigned micro-credits for looking at, not for booking: INT64_MAX is the most. */
uint64_t micro_add(uint64_t a, uint64_t b);
/* The share of somebody else in so much, ppm millionths of it, rounded down. Taken of what was
 * paid all in all, before and after: then no rounding is lost or made, however often it is paid.
 */
uint64_t micro_fee(uint64_t paid, uint32_t ppm);

#endif
