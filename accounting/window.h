/*
 * Credit slow-start: how many unsigned bytes a payer may have outstanding. Starts small for an
 * unknown payer, doubles with every fully signed window up to the cap, falls back to the start on a
 * default. Pure.
 */
#ifndef ACCOUNTING_WINDOW_H
#define ACCOUNTING_WINDOW_H

#include "base/base.h"

struct window_policy {
	uint64_t start, cap; /* bytes, 0 < start <= cap */
};

struct window {
	uint64_t bytes;        /* the window itself */
	uint64_t signed_bytes; /* co-signed since it last doubled */
};

/* What an unknown payer gets, and one that defaulted. */
struct window window_fresh(const struct window_policy *policy);

/* After bytes more were co-signed. Many at once may double it many times: paying off a debt in full
 * earns back the window it was run up with. */
void window_signed(struct window *w, const struct window_policy *policy, uint64_t bytes);

/* A window kept from an earlier run, under today's policy. */
void window_clamp(struct window *w, const struct window_policy *policy);

/* What is left of it for new bytes while debt bytes are unsigned in ended sessions. */
uint64_t window_left(const struct window *w, uint64_t debt);

#endif
