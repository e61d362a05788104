/* Numbers for people. Pure. */
#ifndef CLIENT_UNITS_H
#define CLIENT_UNITS_H

#include "base/base.h"

#define UNITS_TEXT 32

/* "3h 12m", "4d 2h", "12 s". */
const char *unit_duration(char out[static UNITS_TEXT], uint64_t seconds);
/* Micro-credits as credits: "0.001953". No floating point. */
const char *unit_credits(char out[static UNITS_TEXT], uint64_t micro);
const char *unit_credits_signed(char out[static UNITS_TEXT], int64_t micro);
/* "38.2 Mbit/s" */
const char *unit_rate(char out[static UNITS_TEXT], uint64_t bits);
/* "2026-11-20 09:00:00 UTC" from seconds since 1970; "never" for 0. */
const char *unit_time(char out[static UNITS_TEXT], uint64_t seconds);

#endif
