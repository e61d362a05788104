/* Text in and out: strict numbers, hex, human units, suggestions. Pure. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/base.h"

/* Decimal digits only (no sign, space, or trailing text), min..max. */
MUST_CHECK bool text_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* "64 MiB", "512KiB", "1500": bytes with an optional IEC unit; integers only, overflow refused. */
MUST_CHECK bool text_bytes(const char *text, uint64_t *out);

/* Lower-case hex of n bytes into out (2n + 1 characters); returns out. */
const char *text_hex(char *out, const uint8_t *bytes, size_t n);

/* Exactly 2n hex digits, either case. */
MUST_CHECK bool text_unhex(uint8_t *out, size_t n, const char *text);

#define TEXT_UNITS 24
/* "1.4 GiB" into out[TEXT_UNITS]; returns out. */
const char *text_iec(char out[static TEXT_UNITS], uint64_t bytes);

/* The nearest of count words within two edits, or NULL: for "did you mean". Case is ignored. */
const char *text_suggest(const char *word, const char *const *words, size_t count);

#endif
