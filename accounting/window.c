#include "accounting/window.h"

enum {
	WINDOW_LEAST = 64 << 10, /* a few receipts' worth of datagrams */
};

struct window window_fresh(const struct window_policy *policy)
{
	return (struct window){.bytes = policy->start};
}

void window_signed(struct window *w, const struct window_policy *policy, uint64_t bytes)
{
	if (__builtin_add_overflow(w->signed_bytes, bytes, &w->signed_bytes))
		w->signed_bytes = UINT64_MAX;
	while (w->bytes < policy->cap && w->signed_bytes >= w->bytes) {
		w->signed_bytes -= w->bytes;
		w->bytes = w->bytes > policy->cap / 2 ? policy->cap : w->bytes * 2;
	}
	/* At the cap nothing is left to earn; the count must not grow for ever. */
	if (w->bytes >= policy->cap)
		w->signed_bytes = 0;
}

void window_clamp(struct window *w, const struct window_policy *policy)
{
	if (w->bytes < policy->start)
		w->bytes = policy->start;
	if (w->bytes > policy->cap)
		w->bytes = policy->cap;
}

static uint64_t least(const struct window_policy *policy)
{
	uint64_t part = policy->start / 16;

	if (part < WINDOW_LEAST)
		part = WINDOW_LEAST;
	return part < policy->start ? part : policy->start;
}

uint64_t window_left(const struct window *w, const struct window_policy *policy, uint64_t debt)
{
	uint64_t left = w->bytes > debt ? w->bytes - debt : 0, floor = least(policy);

	return left > floor ? left : floor;
}

uint64_t window_work_off(uint64_t worked, uint64_t bytes, uint64_t debt)
{
	uint64_t sum;

	return __builtin_add_overflow(worked, bytes, &sum) || sum > debt ? debt : sum;
}
