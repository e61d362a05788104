#include "accounting/db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/crypto.h"

enum {
	LOCK_MS = 5000, /* how long another process may take to let go */
	LOCK_POLL_MS = 20,
	NOTE_MAX = 128,
};

/* Whose file is it, and who else may read it? */
static int file_check_stat(const char *path, const struct stat *st)
{
	if (S_ISLNK(st->st_mode)) {
		log_warnx("%s: is a symbolic link; name the file itself", path);
		return -ELOOP;
	}
	if (!S_ISREG(st->st_mode)) {
		log_warnx("%s: is not a regular file; name another", path);
		return -EINVAL;
	}
	if (st->st_mode & 077) {
		log_warnx("%s: is open to group or others; chmod 600 it", path);
		return -EPERM;
	}
	if (geteuid() != 0 && st->st_uid != geteuid()) {
		log_warnx("%s: belongs to another user; chown it", path);
		return -EPERM;
	}
	return 0;
}

/* ---- the lock ---- */

/* Who holds it, as far as the file tells. */
static int lock_owner(int fd)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
	uint64_t owner;

	pid[n > 0 ? n : 0] = '\0';
	return text_u64(pid, 1, INT_MAX, &owner) ? (int)owner : 0;
}

/* The ledger of a node that was killed commits what it had and goes a moment after it: a successor
 * started at once must not fail for that. */
static int lock_wait(const char *path, int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
	uint64_t until = clock_ms() + LOCK_MS;
	bool said = false;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_ms() >= until)
			return -EBUSY;
		if (!said)
			log_info("%s: another culvert process (pid %d) still has it; waiting", path,
				 lock_owner(fd));
		said = true;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void lock_note(const char *path, int fd, const char *note)
{
	size_t len = strlen(note);

	if (ftruncate(fd, 0) < 0 || pwrite(fd, note, len, 0) != (ssize_t)len)
		log_debug("%s.lock: \"%s\" not noted", path, note);
}

/* ---- how the last process ended ---- */

/* Names one state of one file: a copy put back, or another program's work, reads otherwise. A hash,
 * for no time finer than an hour is written down. */
static bool clean_note(char out[static NOTE_MAX], const char *path)
{
	char hex[2 * KEY_LEN + 1];
	uint8_t hash[KEY_LEN];
	struct stat st;

	if (lstat(path, &st) < 0)
		return false;

	const uint64_t state[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size,
				  (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};

	hash256(hash, state, sizeof(state));
	snprintf(out, NOTE_MAX, "clean %s", text_hex(hex, hash, KEY_LEN));
	return true;
}

/* A power cut may have kept the note of the run before; the WAL of the run it cut is synced. */
static bool clean_beside(const char *path)
{
	static const char *const suffixes[] = {"-wal", "-journal"};
	char name[PATH_MAX + 16];
	struct stat st;
	bool clean = true;

	for (size_t i = 0; clean && i < ARRAY_SIZE(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		clean = lstat(name, &st) < 0 ? errno == ENOENT : st.st_size == 0;
	}
	return clean;
}

static bool clean_end(const char *path, int lock)
{
	char noted[NOTE_MAX] = "", now[NOTE_MAX];
	ssize_t n = pread(lock, noted, sizeof(noted) - 1, 0);

	noted[n > 0 ? n : 0] = '\0';
	return clean_note(now, path) && strcmp(noted, now) == 0 && clean_beside(path);
}

void db_file_ended(const char *path, int lock)
{
	char note[NOTE_MAX];

	if (clean_note(note, path) && clean_beside(path))
		lock_note(path, lock, note);
}

/* ---- the lock, continued ---- */

/* A separate file, because closing any descriptor of the database drops SQLite's own locks. */
int db_file_lock(const char *path, int *fd, bool *clean)
{
	char name[PATH_MAX + 8], pid[32];
	struct stat st;
	int err;

	snprintf(name, sizeof(name), "%s.lock", path);
	*fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0) {
		err = -errno;
		log_warn("%s: cannot be opened; check the directory and its owner", name);
		return err;
	}
	err = fstat(*fd, &st) < 0 ? -errno : file_check_stat(name, &st);
	if (err)
		return err;
	err = lock_wait(path, *fd);
	if (err == -EBUSY)
		log_warnx("%s: in use by another culvert process (pid %d); stop that one first",
			  path, lock_owner(*fd));
	else if (err)
		log_warnx("%s: cannot be locked; use a local file system", name);
	if (err)
		return err;
	*clean = clean_end(path, *fd);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	lock_note(path, *fd, pid);
	return 0;
}

/* ---- the database ---- */

/* What SQLite keeps beside the database: it holds the same content, and is read as true. */
static int file_check_beside(const char *path)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	char name[PATH_MAX + 16];
	struct stat st;
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		if (lstat(name, &st) == 0)
			err = file_check_stat(name, &st);
		else if (errno != ENOENT)
			err = -errno;
	}
	return err;
}

int db_file_check(const char *path, bool readonly)
{
	int access = readonly ? O_RDONLY : O_RDWR | O_CREAT;
	int fd = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), err;
	struct stat st;

	if (fd < 0) {
		err = -errno;
		if (errno == ELOOP)
			log_warnx("%s: is a symbolic link; name the file itself", path);
		else if (errno != ENOENT || !readonly)
			log_warn("%s: cannot be opened", path);
		return err;
	}
	err = fstat(fd, &st) < 0 ? -errno : file_check_stat(path, &st);
	close(fd);
	return err ? err : file_check_beside(path);
}
