#include "accounting/window.h"

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

uint64_t window_left(const struct window *w, uint64_t debt)
{
	return w->bytes > debt ? w->bytes - debt : 0;
}
