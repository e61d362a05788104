#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENV_MAX 16

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* In the child, between fork and exec. stdin/stdout/stderr < 0 are left as they are. */
static void __attribute__((noreturn))
child_exec(const char *const argv[], const char *const env[], int in, int out, int status_fd)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	const char *envp[ENV_MAX + 3] = {path, "LC_ALL=C"};
	sigset_t none;
	int err;

	for (size_t i = 0; env && env[i] && i < ENV_MAX; i++)
		envp[2 + i] = env[i];
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
	environ = (char **)envp; /* execvp looks along its PATH, execvpe along the caller's */
	execvp(argv[0], (char *const *)argv);
	err = errno;
	if (write(status_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* What went wrong with exec, read from the pipe that a good exec closes: 0 or -errno. */
static int exec_error(int fd)
{
	ssize_t n;
	int err;

	do {
		n = read(fd, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? -err : 0;
}

/* Forks and execs; learns through a close-on-exec pipe whether the exec worked. 0 or -errno. */
static int fork_exec(const char *const argv[], const char *const env[], int in, int out,
		     bool die_with_parent, pid_t *pid)
{
	int status[2], err;
	pid_t parent = getpid();

	if (pipe2(status, O_CLOEXEC) < 0)
		return -errno;
	*pid = fork();
	if (*pid == 0) {
		if (die_with_parent) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (getppid() != parent)
				_exit(125);
		}
		child_exec(argv, env, in, out, status[1]);
	}
	close(status[1]);
	if (*pid < 0) {
		err = -errno;
	} else {
		err = exec_error(status[0]);
		if (err)
			waitpid(*pid, NULL, 0);
	}
	close(status[0]);
	return err;
}

struct talk {
	int to, from;
	const char *input;
	size_t left;
	char *out;
	size_t room, used;
};

static void talk_write(struct talk *t)
{
	ssize_t n = write(t->to, t->input, t->left);

	if (n > 0) {
		t->input += n;
		t->left -= (size_t)n;
	}
	if (t->left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&t->to);
}

static void talk_read(struct talk *t)
{
	char buf[512];
	ssize_t n = read(t->from, buf, sizeof(buf));
	size_t keep;

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		close_fd(&t->from);
	if (n <= 0)
		return;
	keep = t->room - t->used < (size_t)n ? t->room - t->used : (size_t)n;
	memcpy(t->out + t->used, buf, keep);
	t->used += keep;
}

static void talk_through(struct talk *t)
{
	if (t->to >= 0 && t->left == 0)
		close_fd(&t->to);
	while (t->from >= 0) {
		struct pollfd p[2] = {{t->from, POLLIN, 0}, {t->to, POLLOUT, 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			talk_read(t);
		if (t->to >= 0 && p[1].revents)
			talk_write(t);
	}
}

static int wait_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int spawn_run(const char *const argv[], const char *input, char *out, size_t out_size)
{
	int in[2] = {-1, -1}, from[2] = {-1, -1}, err;
	struct talk t = {.input = input ? input : "", .out = out, .room = out_size - 1};
	void (*old)(int);
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0) {
		err = -errno;
		close_fd(&in[0]);
		close_fd(&in[1]);
		return err;
	}
	err = fork_exec(argv, NULL, in[0], from[1], true, &pid);
	close_fd(&in[0]);
	close_fd(&from[1]);
	t.to = in[1];
	t.from = from[0];
	t.left = strlen(t.input);
	if (!err) {
		old = signal(SIGPIPE, SIG_IGN);
		fcntl(t.to, F_SETFL, O_NONBLOCK);
		talk_through(&t);
		signal(SIGPIPE, old);
	}
	close_fd(&t.to);
	close_fd(&t.from);
	out[t.used] = '\0';
	return err ? err : wait_status(pid);
}

int spawn_start(const char *const argv[], const char *const env[], pid_t *pid)
{
	int err = fork_exec(argv, env, -1, -1, true, pid), fd;

	if (err)
		return err;
	fd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (fd >= 0)
		return fd;
	err = -errno;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	return err;
}
