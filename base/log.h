/*
 * Lines for the person who runs the program: stderr, with journald's <N> priorities when stderr is
 * the journal. Thread-safe (one write(2) a line). Never call from a packet path: peers'
 * misbehaviour is a counter, not a line. No addresses, no keys, nothing a remote party chose.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Sets the name that starts each line (kept, not copied) and the most detailed level shown. */
void log_init(const char *name, enum log_level level);
void log_set_level(enum log_level level);

/* With errno's text appended ... */
void log_warn(const char *fmt, ...) PRINTF(1, 2);
/* ... and without. */
void log_warnx(const char *fmt, ...) PRINTF(1, 2);
void log_info(const char *fmt, ...) PRINTF(1, 2);
void log_debug(const char *fmt, ...) PRINTF(1, 2);

/* Start-up failures, lost databases and broken invariants: says why and exits with status 1. */
void fatal(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));
void fatalx(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));

/* malloc that is fatal when memory is gone; zeroed. For start-up and control paths, never per
 * packet. */
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

#endif
