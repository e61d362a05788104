/*
 * culvert up: connects, and says how it goes. For a person the agent goes to the background once it
 * is connected; --foreground is for services and containers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "client/agent_run.h"
#include "client/cli.h"
#include "client/verbs.h"
#include "proto/crypto.h"

#define WAIT_S      30
#define WAIT_S_MAX  86400
#define LOCK_MS     1500 /* for the guard of one that just ended */
#define LOOK_MS     50
#define STATUS_INTR 130

struct up_options {
	struct cli cli;
	const char *path;
	bool foreground;
	uint64_t wait_s; /* 0: for ever */
};

/* What the agent tells the person who waits: fixed, so that one write is one message. */
struct up_message {
	enum agent_state state;
	char text[252];
};

static int read_options(struct up_options *o, int argc, char **argv)
{
	const char *wait = NULL;
	const struct cli_option extra[] = {
		{"wait", 'w', CLI_TEXT, &wait},
		{"foreground", 'f', CLI_FLAG, &o->foreground},
	};
	int status = cli_parse(&o->cli, argc, argv, extra, ARRAY_SIZE(extra), 0);

	if (status != STATUS_OK)
		return status;
	o->path = o->cli.config ? o->cli.config : CONFIG_CLIENT_FILE;
	o->wait_s = o->foreground ? 0 : WAIT_S;
	if (wait && !text_u64(wait, 1, WAIT_S_MAX, &o->wait_s))
		return cli_fail(STATUS_USAGE,
				"--wait takes seconds, 1 to %d; for example --wait %d", WAIT_S_MAX,
				WAIT_S);
	return STATUS_OK;
}

/* Everything here needs it, and saying so at once is kinder than an obscure error later. */
static bool may_change_network(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), mark = 1;
	bool may = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;

	if (fd >= 0)
		close(fd);
	return may;
}

/* The lock, with what an earlier agent left behind removed. A status; *lock if STATUS_OK. */
static int take_lock(int *lock, const char *socket)
{
	uint64_t until = clock_ms() + LOCK_MS;

	while ((*lock = guard_lock(socket)) == -EWOULDBLOCK && clock_ms() < until)
		usleep(LOOK_MS * 1000);
	if (*lock == -EWOULDBLOCK)
		return cli_fail(STATUS_FAILED,
				"culvert is up already; see culvert status, or end it with "
				"culvert down");
	if (*lock < 0)
		return cli_fail(STATUS_FAILED, "%s.lock: %s; choose another Socket in [Api]",
				socket, strerror(-*lock));
	if (guard_clean(*lock, socket))
		log_info("what an earlier run had left is removed");
	return STATUS_OK;
}

/* ---- in the foreground ----------------------------------------------------------------------- */

struct start {
	uint64_t began_ms; /* of what is being waited for */
	bool connected;
	int fd; /* to the person who waits; -1: nobody does */
};

static const char *since(char out[static 24], uint64_t began_ms)
{
	uint64_t ms = clock_ms() - began_ms;

	snprintf(out, 24, "%llu.%llu s", (unsigned long long)(ms / 1000),
		 (unsigned long long)(ms % 1000 / 100));
	return out;
}

static void say_progress(void *arg, enum agent_state state, const char *text)
{
	struct start *s = arg;
	char took[24];

	if (state == AGENT_CONNECTED)
		log_info("connected %s in %s", text, since(took, s->began_ms));
	else
		log_info("%s: %s", agent_state_text(state), text);
	if (state != AGENT_CONNECTED && s->connected)
		s->began_ms = clock_ms();
	s->connected = state == AGENT_CONNECTED;
}

/* ---- in the background ----------------------------------------------------------------------- */

static void tell_progress(void *arg, enum agent_state state, const char *text)
{
	struct up_message m = {.state = state};
	struct start *s = arg;

	if (s->fd < 0) {
		say_progress(arg, state, text);
		return;
	}
	snprintf(m.text, sizeof(m.text), "%s", text);
	if (write(s->fd, &m, sizeof(m)) != (ssize_t)sizeof(m))
		log_debug("nobody waits any more");
	if (state != AGENT_CONNECTED)
		return;
	close(s->fd);
	s->fd = -1;
	s->connected = true;
}

/* The agent's own log: it outlives the terminal. */
static int open_log(const struct agent_setup *setup, char path[static CONFIG_PATH_MAX + 16])
{
	int fd, err = dir_make(setup->config.data_dir, 0700);

	snprintf(path, CONFIG_PATH_MAX + 16, "%s/agent.log", setup->config.data_dir);
	if (err < 0)
		return err;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static void __attribute__((noreturn))
run_in_background(const struct agent_setup *setup, int lock, int tell, int log)
{
	struct start start = {.began_ms = clock_ms(), .fd = tell};
	struct agent_run run = {
		.setup = setup, .lock = lock, .progress = tell_progress, .arg = &start};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (chdir("/") < 0)
		log_warn("chdir /");
	_exit(agent_run(&run));
}

/* ---- the person's side ----------------------------------------------------------------------- */

struct waiting {
	const struct up_options *options;
	pid_t pid;
	int heard, log;
	off_t log_at;
	uint64_t began_ms, line_ms;
	struct up_message last;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* What the agent had to say so far, for whoever waits. */
static void show_log(struct waiting *w)
{
	char buf[1024];
	ssize_t n;

	while ((n = pread(w->log, buf, sizeof(buf), w->log_at)) > 0) {
		w->log_at += n;
		if (fd_write_all(STDERR_FILENO, buf, (size_t)n) < 0)
			return;
	}
}

static void show_line(struct waiting *w)
{
	uint64_t now = clock_ms();

	if (w->options->cli.quiet || now - w->line_ms < 1000)
		return;
	w->line_ms = now;
	fprintf(stderr, "culvert: %s: %s (%llu/%llu s)\n", agent_state_text(w->last.state),
		w->last.text, (unsigned long long)((now - w->began_ms) / 1000),
		(unsigned long long)w->options->wait_s);
}

/* Ends the agent and waits until it has cleaned up. */
static int give_up(struct waiting *w, int status)
{
	kill(w->pid, SIGTERM);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	show_log(w);
	if (status == STATUS_TIMEOUT)
		cli_fail(status,
			 "not connected within %llu s, %s; is the relay up and its UDP port open? "
			 "Try again with --wait, or look closer with --foreground --verbose",
			 (unsigned long long)w->options->wait_s, w->last.text);
	return status;
}

static int agent_died(struct waiting *w)
{
	int status = 0;

	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	show_log(w);
	if (WIFEXITED(status) && WEXITSTATUS(status) != STATUS_OK)
		return cli_fail(WEXITSTATUS(status),
				"not connected; the lines above say why. Nothing is left behind");
	return cli_fail(STATUS_FAILED, "not connected: the agent was ended from outside");
}

static int wait_for_agent(struct waiting *w)
{
	struct pollfd p = {.fd = w->heard, .events = POLLIN};
	char took[24];

	for (;;) {
		if (interrupted)
			return give_up(w, STATUS_INTR);
		if (clock_ms() - w->began_ms >= w->options->wait_s * 1000)
			return give_up(w, STATUS_TIMEOUT);
		show_log(w);
		show_line(w);
		if (poll(&p, 1, LOOK_MS) <= 0)
			continue;
		if (read(w->heard, &w->last, sizeof(w->last)) != (ssize_t)sizeof(w->last))
			return agent_died(w);
		if (w->last.state == AGENT_DISPUTED)
			return give_up(w, STATUS_FAILED);
		if (w->last.state == AGENT_CONNECTED)
			break;
	}
	show_log(w);
	if (!w->options->cli.quiet)
		printf("connected %s in %s\n", w->last.text, since(took, w->began_ms));
	return STATUS_OK;
}

/* From here on a signal makes us give up, and ends the agent even before it has handlers of its
 * own: it must never run into ours, whose only effect would be that it is lost. */
static pid_t fork_for_agent(void)
{
	sigset_t ends, before;
	pid_t pid;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, &before);
	pid = fork();
	if (pid != 0) {
		signal(SIGINT, interrupt);
		signal(SIGTERM, interrupt);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static int up_in_background(const struct up_options *o, const struct agent_setup *setup, int lock)
{
	struct waiting w = {.options = o, .began_ms = clock_ms(), .line_ms = clock_ms()};
	char path[CONFIG_PATH_MAX + 16];
	int ends[2];

	snprintf(w.last.text, sizeof(w.last.text), "starting");
	w.log = open_log(setup, path);
	if (w.log < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		guard_unlock(lock, setup->config.socket);
		return cli_fail(STATUS_FAILED, "%s: %s; choose another DataDir", path,
				strerror(w.log < 0 ? -w.log : errno));
	}
	w.heard = ends[0];
	w.pid = fork_for_agent();
	if (w.pid == 0) {
		close(ends[0]);
		run_in_background(setup, lock, ends[1], w.log);
	}
	close(ends[1]);
	if (w.pid < 0) {
		guard_unlock(lock, setup->config.socket);
		return cli_fail(STATUS_FAILED, "no process could be started: %s", strerror(errno));
	}
	close(lock);
	return wait_for_agent(&w);
}

static int up_in_foreground(const struct up_options *o, const struct agent_setup *setup, int lock)
{
	struct start start = {.began_ms = clock_ms(), .fd = -1};
	struct agent_run run = {.setup = setup,
				.lock = lock,
				.wait_ms = o->wait_s * 1000,
				.progress = say_progress,
				.arg = &start};
	int status = agent_run(&run);

	if (status == STATUS_TIMEOUT)
		cli_fail(status,
			 "not connected within %llu s; is the relay up and its UDP port open?",
			 (unsigned long long)o->wait_s);
	return status;
}

int verb_up(int argc, char **argv)
{
	struct up_options o = {.wait_s = 0};
	char error[CONFIG_ERROR_MAX];
	struct agent_setup *setup;
	int lock, status = read_options(&o, argc, argv);

	if (status != STATUS_OK)
		return status;
	setup = crypto_secret_alloc(sizeof(*setup));
	memset(setup, 0, sizeof(*setup));
	if (!agent_setup_read(setup, o.path, error))
		status = cli_fail(cli_file_status(o.path), "%s", error);
	else if (!may_change_network())
		status = cli_fail(STATUS_DENIED, "the network may not be changed; run as root");
	log_set_level(o.cli.verbose ? LOG_LEVEL_DEBUG
		      : o.cli.quiet ? LOG_LEVEL_WARN
				    : setup->config.log_level);
	if (status == STATUS_OK && o.cli.socket)
		snprintf(setup->config.socket, sizeof(setup->config.socket), "%s", o.cli.socket);
	if (status == STATUS_OK)
		status = take_lock(&lock, setup->config.socket);
	if (status == STATUS_OK)
		status = o.foreground ? up_in_foreground(&o, setup, lock)
				      : up_in_background(&o, setup, lock);
	crypto_secret_free(setup);
	return status;
}
