/*
 * The wall clock of a program under LD_PRELOAD is as many nanoseconds off as the first number in
 * the file CULVERT_CLOCK says, at any moment. Other clocks are the machine's.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS INT64_C(1000000000)

static _Atomic int64_t *offset;

__attribute__((constructor)) static void clock_open(void)
{
	const char *path = getenv("CULVERT_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		offset = page;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int err = (int)syscall(SYS_clock_gettime, id, t);
	int64_t ns;

	if (err || id != CLOCK_REALTIME || !offset)
		return err;
	ns = t->tv_sec * NS + t->tv_nsec + *offset;
	t->tv_sec = ns / NS;
	t->tv_nsec = ns % NS;
	return 0;
}
