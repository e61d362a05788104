#include "accounting/batch_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/batch.h"

int batch_totals_add(struct batch_totals *t, const struct batch_total *entry)
{
	if (entry->earned == 0 && entry->spent == 0)
		return 0;
	if (t->count == t->room) {
		size_t room = t->room ? t->room + t->room / 2 : 64;
		struct batch_total *more = reallocarray(t->item, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->item = more;
		t->room = room;
	}
	t->item[t->count++] = *entry;
	return 0;
}

static int add(struct batch_totals *t, const uint8_t key[static KEY_LEN], uint64_t earned,
	       uint64_t spent)
{
	struct batch_total entry = {.earned = earned, .spent = spent};

	memcpy(entry.key, key, KEY_LEN);
	return batch_totals_add(t, &entry);
}

int batch_totals_add_session(struct batch_totals *t, const struct batch_session *s,
			     const uint8_t node[static KEY_LEN],
			     const uint8_t payer[static KEY_LEN])
{
	uint64_t paid = le64_get(s->paid), before = le64_get(s->before);
	uint32_t ppm = le32_get(s->fee_ppm);
	uint64_t fee = batch_fee(paid, ppm) - batch_fee(before, ppm);
	int err = add(t, payer, 0, paid - before);

	if (!err)
		err = add(t, node, paid - before - fee, 0);
	return err ? err : add(t, s->fee_account, fee, 0);
}

static int by_key(const void *a, const void *b)
{
	const struct batch_total *x = a, *y = b;

	return memcmp(x->key, y->key, sizeof(x->key));
}

int batch_totals_sum(struct batch_totals *t)
{
	size_t kept = 0;

	if (t->count == 0)
		return 0;
	qsort(t->item, t->count, sizeof(*t->item), by_key);
	for (size_t i = 1; i < t->count; i++) {
		struct batch_total *sum = &t->item[kept], *next = &t->item[i];

		if (by_key(sum, next) != 0)
			t->item[++kept] = *next;
		else if (__builtin_add_overflow(sum->earned, next->earned, &sum->earned) ||
			 __builtin_add_overflow(sum->spent, next->spent, &sum->spent))
			return -ERANGE;
	}
	t->count = kept + 1;
	return 0;
}

void batch_totals_clear(struct batch_totals *t)
{
	free(t->item);
	*t = (struct batch_totals){0};
}
