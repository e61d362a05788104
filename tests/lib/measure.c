#include "tests/lib/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"

uint64_t measure_now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		fatal("clock_gettime");
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static FILE *process_open(pid_t pid, const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	f = fopen(path, "re");
	if (!f)
		fatal("%s", path);
	return f;
}

struct measure_cpu measure_cpu(pid_t pid)
{
	FILE *f = process_open(pid, "schedstat");
	struct measure_cpu out;

	if (fscanf(f, "%" SCNu64 " %" SCNu64, &out.ran, &out.queued) != 2)
		fatalx("/proc/PID/schedstat is not as it should be");
	fclose(f);
	return out;
}

uint64_t measure_peak_kib(pid_t pid)
{
	FILE *f = process_open(pid, "status");
	uint64_t kib = 0;
	char line[256];

	while (!kib && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %" SCNu64, &kib) != 1)
			kib = 0;
	fclose(f);
	return kib;
}

uint64_t measure_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		fatal("%s", path);
	return (uint64_t)st.st_size;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void measure_sort(uint64_t *times, size_t count)
{
	qsort(times, count, sizeof(*times), compare);
}
