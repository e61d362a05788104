/*
 * Credit slow-start: how many unsigned bytes a payer may have outstanding. Starts small for an
 * unknown payer, doubles with every fully signed window up to the cap, falls back to the start on a
 * default. Debt narrows it to a sixteenth of the start, never to nothing: who lost the counters it
 * would need to sign for a debt can still pay its way back. Pure.
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

/* What is left of it for new bytes while debt bytes of ended sessions are neither signed nor worked
 * off. At least start/16, and 64 KiB of a start that has as much. */
uint64_t window_left(const struct window *w, const struct window_policy *policy, uint64_t debt);

/* Bytes of debt worked off, after bytes more were co-signed in a live session (or 0) and with debt
 * bytes unsigned in ended ones: never more than there is, or a default could be paid for before it
 * is made. */
uint64_t window_work_off(uint64_t worked, uint64_t bytes, uint64_t debt);

#endif
