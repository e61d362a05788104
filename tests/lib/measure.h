/* What benchmarks ask the kernel: times, sizes, what a process used. All of them end the program if
 * the kernel will not say. */
#ifndef TESTS_LIB_MEASURE_H
#define TESTS_LIB_MEASURE_H

#include <sys/types.h>
#include <time.h>

#include "base/base.h"

/* Nanoseconds by that clock. */
uint64_t measure_now(clockid_t clock);
/* Nanoseconds in which a process's main thread ran, and in which it waited for a processor. */
struct measure_cpu {
	uint64_t ran, queued;
};
struct measure_cpu measure_cpu(pid_t pid);
/* The most memory a process ever had resident. */
uint64_t measure_peak_kib(pid_t pid);
uint64_t measure_file(const char *path);
/* In rising order. */
void measure_sort(uint64_t *times, size_t count);

#endif
