/* Reading tests/vectors/. Tests run in the top folder. A missing or broken file fails the test. */
#ifndef TESTS_LIB_VECTORS_H
#define TESTS_LIB_VECTORS_H

#include "base/base.h"

/* NAME.hex: hex digits over any number of lines. Returns the length in bytes (at most max). */
size_t vector_hex(const char *name, uint8_t *out, size_t max);

/* The bytes of the line "NAME HEX" in file. */
size_t vector_named(const char *file, const char *name, uint8_t *out, size_t max);

/* Fails the test, showing both in hex, unless NAME.hex holds just these bytes. */
void assert_vector(const char *name, const void *bytes, size_t len);

#endif
