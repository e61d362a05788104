/*
 * Preloaded into a program under test: writes down what it does to its files, and makes the n-th
 * call of a kind fail, as a disk, a kernel or a full memory would. Allocates nothing and keeps no
 * descriptor, so that it works under the very faults it makes.
 */
#include "tests/fault/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
int sqlite3_step(void *stmt);

enum {
	PATH = 512,
};

static struct fault_page *page;
static char directory[256];
static size_t directory_len;

static long raw_open(const char *path, int flags, mode_t mode)
{
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

__attribute__((constructor)) static void fault_start(void)
{
	const char *file = getenv("CULVERT_FAULT"), *dir = getenv("CULVERT_FAULT_DIR");
	long fd;
	void *map;

	if (!file || !dir || strlen(dir) >= sizeof(directory))
		return;
	directory_len = strlen(dir);
	memcpy(directory, dir, directory_len + 1);
	fd = raw_open(file, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	map = (void *)syscall(SYS_mmap, NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      0);
	syscall(SYS_close, fd);
	if (map != MAP_FAILED)
		page = map;
}

void fault_use(struct fault_page *other)
{
	page = other;
}

/* ---- what is looked at ---- */

static bool is_exempt(void)
{
	return !page || page->exempt == (int32_t)syscall(SYS_getpid);
}

static bool is_ours(const char *path)
{
	return path && strncmp(path, directory, directory_len) == 0;
}

static void fd_path(int fd, char path[static PATH])
{
	char link[32];
	long n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = syscall(SYS_readlink, link, path, PATH - 1);
	path[n > 0 ? n : 0] = '\0';
}

static bool fd_is_ours(int fd)
{
	char path[PATH];

	fd_path(fd, path);
	return is_ours(path);
}

static bool fd_is_books(int fd)
{
	char path[PATH];

	fd_path(fd, path);
	return strstr(path, ".db");
}

/* True if this call is to fail; counts it. */
static bool fails(enum fault_class class)
{
	uint64_t n;

	if (is_exempt() || !(page->classes >> class & 1))
		return false;
	n = ++page->count;
	if (page->kill_at && n >= page->kill_at)
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	if (!page->at || n < page->at || (n > page->at && !page->sticky))
		return false;
	page->failed++;
	errno = page->error;
	return true;
}

static bool fd_fails(enum fault_class class, int fd)
{
	if (is_exempt() || !(page->classes >> class & 1) || !fd_is_ours(fd) || !fails(class))
		return false;
	if (fd_is_books(fd))
		page->files++;
	errno = page->error;
	return true;
}

/* ---- the trace ---- */

static void trace(const struct trace_record *r, const void *data)
{
	struct iovec parts[2] = {{(void *)(uintptr_t)r, sizeof(*r)},
				 {(void *)(uintptr_t)data, r->length}};
	int saved = errno;
	long fd;

	fd = raw_open(page->trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_writev, fd, parts, 2) < 0)
		abort();
	syscall(SYS_close, fd);
	errno = saved;
}

static bool is_traced(void)
{
	return !is_exempt() && page->trace[0];
}

static void trace_fd(enum trace_kind kind, int fd, uint64_t offset, const void *data, size_t length)
{
	struct trace_record r = {.kind = kind, .length = (uint32_t)length, .offset = offset};
	int saved = errno;
	struct stat st;

	if (is_traced() && fstat(fd, &st) == 0 && fd_is_ours(fd)) {
		r.file = st.st_ino;
		trace(&r, data);
	}
	errno = saved;
}

static void trace_message(enum trace_kind kind, const void *data, ssize_t length)
{
	struct trace_record r = {.kind = kind, .length = (uint32_t)length};

	if (length > 0 && is_traced())
		trace(&r, data);
}

/* ---- memory ---- */

void *malloc(size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __libc_realloc(old, size);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (fd >= 0 && fd_fails(FAULT_MMAP, fd))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset)
{
	return mmap(at, length, protection, flags, fd, offset);
}

/* ---- files ---- */

int open(const char *path, int flags, ...)
{
	bool made = flags & O_CREAT && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) < 0;
	mode_t mode = 0;
	va_list args;
	int fd;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	if (is_ours(path) && fails(FAULT_OPEN))
		return -1;
	fd = (int)raw_open(path, flags, mode);
	if (fd >= 0)
		trace_fd(TRACE_OPEN, fd, made, path, strlen(path) + 1);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return open(path, flags, mode);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
	ssize_t n =
		fd_fails(FAULT_WRITE, fd) ? -1 : syscall(SYS_pwrite64, fd, data, length, offset);

	if (n > 0)
		trace_fd(TRACE_WRITE, fd, (uint64_t)offset, data, (size_t)n);
	return n;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
	return pwrite(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
	ssize_t n = fd_fails(FAULT_WRITE, fd) ? -1 : syscall(SYS_write, fd, data, length);
	long end = n > 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : -1;

	if (n > 0 && end >= n)
		trace_fd(TRACE_WRITE, fd, (uint64_t)(end - n), data, (size_t)n);
	return n;
}

ssize_t pread(int fd, void *data, size_t length, off_t offset)
{
	return fd_fails(FAULT_READ, fd) ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}

ssize_t pread64(int fd, void *data, size_t length, off64_t offset)
{
	return pread(fd, data, length, offset);
}

ssize_t read(int fd, void *data, size_t length)
{
	return fd_fails(FAULT_READ, fd) ? -1 : syscall(SYS_read, fd, data, length);
}

static int sync_file(long number, int fd)
{
	int err = fd_fails(FAULT_FSYNC, fd) ? -1
		  : page && page->no_sync   ? 0
					    : (int)syscall(number, fd);

	if (err == 0)
		trace_fd(TRACE_SYNC, fd, 0, NULL, 0);
	return err;
}

int fsync(int fd)
{
	return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_file(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
	int err = fd_fails(FAULT_TRUNCATE, fd) ? -1 : (int)syscall(SYS_ftruncate, fd, length);

	if (err == 0)
		trace_fd(TRACE_TRUNCATE, fd, (uint64_t)length, NULL, 0);
	return err;
}

int ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

/* ---- names ---- */

int unlink(const char *path)
{
	struct trace_record r = {.kind = TRACE_UNLINK, .length = (uint32_t)strlen(path) + 1};
	int err;

	if (is_ours(path) && fails(FAULT_NAME))
		return -1;
	err = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	if (err == 0 && is_ours(path) && is_traced())
		trace(&r, path);
	return err;
}

int rename(const char *old, const char *new)
{
	struct trace_record r = {.kind = TRACE_RENAME};
	char both[1024];
	int err;

	if (is_ours(new) && fails(FAULT_NAME))
		return -1;
	err = (int)syscall(SYS_renameat, AT_FDCWD, old, AT_FDCWD, new);
	if (err == 0 && is_ours(new) && is_traced()) {
		r.length = (uint32_t)snprintf(both, sizeof(both), "%s%c%s", old, '\0', new) + 1;
		trace(&r, both);
	}
	return err;
}

/* ---- messages ---- */

ssize_t recv(int fd, void *data, size_t length, int flags)
{
	ssize_t n = syscall(SYS_recvfrom, fd, data, length, flags, NULL, NULL);

	trace_message(TRACE_RECV, data, n);
	return n;
}

/* Written down first: from here on the answer is out. */
ssize_t send(int fd, const void *data, size_t length, int flags)
{
	trace_message(TRACE_SEND, data, (ssize_t)length);
	return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

/* ---- the engine ---- */

int sqlite3_step(void *stmt)
{
	static int (*next)(void *);
	Dl_info caller;

	/* Not SQLite's own calls: its sqlite3_exec takes the error from the statement instead. */
	if (dladdr(__builtin_return_address(0), &caller) && !strstr(caller.dli_fname, "sqlite") &&
	    fails(FAULT_STEP))
		return page->error;
	if (!next)
		next = (int (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "sqlite3_step");
	return next(stmt);
}
