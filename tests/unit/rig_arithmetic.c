/*
 * Does sums for check_arithmetic.py: cases of three 64-bit numbers on stdin, what each function
 * makes of them on stdout, both in this machine's byte order. What a function refuses to answer
 * stays UNTOUCHED in its place, so that a wrong yes, a wrong no and a result written in spite of a
 * no all show.
 */
#include <stdio.h>
#include <string.h>

#include "accounting/amount.h"
#include "base/log.h"
#include "proto/evidence.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

struct sum_case {
	uint64_t a, b, c;
};

struct sums {
	uint64_t amount, bytes_for, of, plus, minus, loss;
	uint64_t micro, fee, fee_more; /* fee_more: what b more on top of a, both halved, brings */
	uint64_t said;                 /* bit n: the n-th of those above that can refuse did not */
};

static void put_amount(uint64_t *out, bool (*op)(struct amount *, struct amount, struct amount),
		       const struct sum_case *in, uint64_t *said, unsigned bit)
{
	struct amount result = {(int64_t)UNTOUCHED};

	*said |= (uint64_t)op(&result, (struct amount){(int64_t)in->a},
			      (struct amount){(int64_t)in->b})
		 << bit;
	*out = (uint64_t)result.micro;
}

static struct sums sums_of(const struct sum_case *in)
{
	struct sums s = {.amount = UNTOUCHED};
	struct amount of = {(int64_t)UNTOUCHED};
	struct terms t = {
		.body = {.loss_ppm = le32_of((uint32_t)in->c), .loss_bytes = le64_of(in->a)}};

	s.said = terms_amount(in->a, in->b, &s.amount);
	s.bytes_for = terms_bytes_for(in->a, in->b);
	s.said |= (uint64_t)amount_of(&of, in->b) << 1;
	s.of = (uint64_t)of.micro;
	put_amount(&s.plus, amount_add, in, &s.said, 2);
	put_amount(&s.minus, amount_sub, in, &s.said, 3);
	s.loss = evidence_loss_allowed(&t, in->b);
	s.micro = micro_add(in->a, in->b);
	s.fee = micro_fee(in->a, (uint32_t)in->c);
	s.fee_more = micro_fee(in->a / 2 + in->b / 2, (uint32_t)in->c) -
		     micro_fee(in->a / 2, (uint32_t)in->c);
	return s;
}

int main(void)
{
	struct sum_case in;

	log_init("rig", LOG_LEVEL_WARN);
	while (fread(&in, sizeof(in), 1, stdin) == 1) {
		struct sums out = sums_of(&in);

		if (fwrite(&out, sizeof(out), 1, stdout) != 1)
			fatal("stdout");
	}
	return 0;
}
