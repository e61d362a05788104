/* Sums by identity: what batches earn and spend. Plain memory, grown as needed. */
#ifndef ACCOUNTING_BATCH_TOTALS_H
#define ACCOUNTING_BATCH_TOTALS_H

#include "proto/messages.h"

struct batch_totals {
	struct batch_total {
		uint8_t key[KEY_LEN];
		uint64_t earned, spent;
	} * item;
	size_t count, room;
};

/* Another entry, any order, any number for a key; nothing if both are 0. 0 or -ENOMEM. */
MUST_CHECK int batch_totals_add(struct batch_totals *t, const struct batch_total *entry);
/* What an epoch moved for one session (its before is not above its paid): from the payer to the
 * node, but for the fee, which is the difference of the fees of both sums. 0 or -ENOMEM. */
MUST_CHECK int batch_totals_add_session(struct batch_totals *t, const struct batch_session *s,
					const uint8_t node[static KEY_LEN],
					const uint8_t payer[static KEY_LEN]);
/* One entry a key, ascending. 0, or -ERANGE if a sum does not fit. */
MUST_CHECK int batch_totals_sum(struct batch_totals *t);
void batch_totals_clear(struct batch_totals *t);

#endif
