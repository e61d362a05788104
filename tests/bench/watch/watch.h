/*
 * Who touches which cache line. What is compiled with -fsanitize=thread calls a function at each
 * access to memory; here those functions are not ThreadSanitizer's but our own: they play what
 * processors' caches would do. Between watch_begin and watch_end every line has, as in a processor,
 * either one holder who may write it or any number who may read it; whatever takes it from one
 * thread to another is a transfer, and is counted with the two places in the code.
 *
 * Seen are all accesses of Culvert's own code, copies through libc, what the kernel reads and
 * writes in recvmmsg and sendmmsg, and which blocks libevent has for whose loop (not its accesses
 * to them: each loop is taken to write all of its own blocks). Not seen is what the kernel does on
 * its own.
 */
#ifndef TESTS_BENCH_WATCH_H
#define TESTS_BENCH_WATCH_H

#include "base/base.h"

enum {
	WATCH_THREADS = 6, /* the main thread is 0, workers follow as they are created */
};

/* Before anything of libevent. */
void watch_init(void);
void watch_begin(void);
void watch_end(void);
/* From now on each sendmmsg of a worker also writes one counter that all workers share. */
void watch_plant(bool planted);
/* What was seen between begin and end, as members of a JSON object, to stdout. */
void watch_print(void);

#endif
