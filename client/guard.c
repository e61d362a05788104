#include "client/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "tunnel/device.h"
#include "tunnel/route.h"

#define PATH_ROOM  300
#define STATE_ROOM 64
#define HIGH_FD    100 /* out of the way of 3 and 4 */

struct guard {
	int lock, alive; /* alive: the pipe whose end of file wakes the guard */
	pid_t pid;
	char socket[PATH_ROOM];
	struct guard_state state;
};

static const char *lock_path(char out[static PATH_ROOM], const char *socket)
{
	snprintf(out, PATH_ROOM, "%s.lock", socket);
	return out;
}

/* The file may have been removed by its last holder between open and flock. */
static bool lock_is_current(int fd, const char *path)
{
	struct stat held, there;

	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

/* What it says is removed: that is not for another user to write. */
static bool lock_is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

int guard_lock(const char *socket)
{
	char path[PATH_ROOM], dir[PATH_ROOM];
	char *slash;
	int fd, err;

	snprintf(dir, sizeof(dir), "%s", socket);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		err = dir_make(dir, 0755);
		if (err < 0)
			return err;
	}
	lock_path(path, socket);
	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		err = lock_is_ours(fd) ? 0 : -EPERM;
		if (!err && flock(fd, LOCK_EX | LOCK_NB) < 0)
			err = -errno;
		if (!err && lock_is_current(fd, path))
			return fd;
		close(fd);
		if (err)
			return err;
	}
}

void guard_unlock(int lock, const char *socket)
{
	char path[PATH_ROOM];

	unlink(lock_path(path, socket));
	close(lock);
}

/* "INTERFACE MARK MADE\n", at a fixed length so that one write replaces it whole. */
static void state_write(int lock, const struct guard_state *s)
{
	char line[STATE_ROOM + 1];

	snprintf(line, sizeof(line), "%-15s %10u %10u%*s\n", s->made ? s->interface : "-", s->mark,
		 s->made, STATE_ROOM - 38, "");
	if (pwrite(lock, line, STATE_ROOM, 0) != STATE_ROOM)
		log_warn("what this agent makes could not be noted for its guard");
}

static bool state_read(int lock, struct guard_state *s)
{
	char line[STATE_ROOM + 1];
	ssize_t n = pread(lock, line, STATE_ROOM, 0);

	if (n <= 0)
		return false;
	line[n] = '\0';
	return sscanf(line, "%15s %u %u", s->interface, &s->mark, &s->made) == 3 && s->made != 0;
}

bool guard_clean(int lock, const char *socket)
{
	struct guard_state s, none = {.interface = "-"};
	bool any = state_read(lock, &s);

	if (any) {
		if (s.made & GUARD_RULES)
			route_clean(s.mark);
		if (s.made & GUARD_DEVICE)
			tunnel_remove_stale(s.interface);
		state_write(lock, &none);
	}
	if (socket_clear(socket) < 0)
		log_debug("%s: is no agent's; it stays", socket);
	return any;
}

/* Outlives the agent, its terminal and its service's stop signal, on purpose. */
static void __attribute__((noreturn)) guard_run(const struct guard *g, int ended)
{
	char byte;
	ssize_t n;
	int lock;

	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Nothing else of the agent's is to be held open: whoever waits for those must not wait for
	 * us. */
	ended = fcntl(ended, F_DUPFD_CLOEXEC, HIGH_FD);
	lock = fcntl(g->lock, F_DUPFD_CLOEXEC, HIGH_FD);
	ended = dup3(ended, 3, O_CLOEXEC);
	lock = dup3(lock, 4, O_CLOEXEC);
	close_range(5, ~0U, 0);
	do
		n = read(ended, &byte, 1);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (guard_clean(lock, g->socket))
		log_info("the agent died; its routes, rules and device are removed");
	guard_unlock(lock, g->socket);
	_exit(0);
}

int guard_start(struct guard **out, int lock, const char *socket, const char *interface,
		uint32_t mark)
{
	struct guard *g;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	g = xcalloc(1, sizeof(*g));
	g->lock = lock;
	g->alive = ends[1];
	g->state.mark = mark;
	snprintf(g->socket, sizeof(g->socket), "%s", socket);
	snprintf(g->state.interface, sizeof(g->state.interface), "%s", interface);
	g->pid = fork();
	if (g->pid == 0)
		guard_run(g, ends[0]);
	err = -errno;
	close(ends[0]);
	if (g->pid < 0) {
		close(ends[1]);
		free(g);
		return err;
	}
	*out = g;
	return 0;
}

void guard_note(struct guard *g, unsigned made)
{
	g->state.made = made;
	state_write(g->lock, &g->state);
}

void guard_end(struct guard *g)
{
	guard_note(g, 0);
	close(g->alive);
	close(g->lock);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(g);
}
