/*
 * Whatever way the agent dies, the host is as it was: a real device and real rules, in a network
 * namespace of the test's own. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "client/guard.c"
#include "proto/crypto.h"

#include "base/clock.h"
#include "base/spawn.h"
#include "tunnel/backend.h"
#include "tunnel/device.h"

#define MARK 52820

static char dir[64], sock[96], interface[16];

/* The host's state that the guard answers for, as text. */
static void look(char out[static 8192])
{
	static const char *const commands[][8] = {
		{"ip", "-o", "link", NULL},
		{"ip", "rule", NULL},
		{"ip", "-6", "rule", NULL},
		{"ip", "route", "show", "table", "all", NULL},
		{"ip", "-6", "route", "show", "table", "all", NULL},
	};
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char part[2048] = "";

		(void)!spawn_run(commands[i], NULL, part, sizeof(part));
		used += (size_t)snprintf(out + used, 8192 - used, "%s", part);
	}
}

static bool contains_ours(void)
{
	char text[8192], mark[16];

	look(text);
	snprintf(mark, sizeof(mark), "0x%x", MARK);
	return strstr(text, interface) || strstr(text, mark);
}

/* Who guards an agent, and its wireguard-go (0: the kernel's device). */
struct others {
	pid_t guard, device;
};

/* A socket that nobody listens at any more. */
static bool leave_socket(void)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(where.sun_path, sizeof(where.sun_path), "%s", sock);
	ok = bind(fd, (struct sockaddr *)&where, sizeof(where)) == 0;
	close(fd);
	return ok;
}

/* An agent that made everything, says who else works for it, and waits to be killed. */
static void __attribute__((noreturn)) agent(int say, bool clean_end)
{
	struct tunnel_config config = {.backend = TUNNEL_AUTO, .fwmark = MARK};
	struct tunnel_prefix all[2] = {{.net.ip = {[10] = 0xff, [11] = 0xff}}, {.bits = 0}};
	struct others others;
	struct tunnel *device;
	struct guard *g;
	int lock = guard_lock(sock);

	memcpy(config.name, interface, sizeof(config.name));
	x25519_generate(config.private_key);
	if (lock < 0 || guard_start(&g, lock, sock, interface, MARK) < 0)
		_exit(1);
	guard_note(g, GUARD_DEVICE);
	if (tunnel_open(&device, &config) < 0)
		_exit(2);
	guard_note(g, GUARD_DEVICE | GUARD_RULES);
	if (route_into(interface, all, 2, MARK) < 0)
		_exit(3);
	if (!leave_socket())
		_exit(5);
	if (clean_end) {
		route_clean(MARK);
		tunnel_close(device);
		guard_end(g);
		_exit(0);
	}
	others = (struct others){g->pid, tunnel_watch_fd(device) < 0 ? 0 : device->pid};
	if (write(say, &others, sizeof(others)) < 0)
		_exit(4);
	for (;;)
		pause();
}

static pid_t start_agent(struct others *others)
{
	int say[2];
	pid_t pid;

	assert_int_equal(pipe2(say, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		agent(say[1], false);
	close(say[1]);
	assert_int_equal(read(say[0], others, sizeof(*others)), sizeof(*others));
	close(say[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int wait_lock(void)
{
	uint64_t until = clock_ms() + 5000;
	int lock;

	while ((lock = guard_lock(sock)) == -EWOULDBLOCK && clock_ms() < until)
		usleep(20000);
	return lock;
}

static void nothing_is_left(void)
{
	char uapi[64];

	assert_false(contains_ours());
	snprintf(uapi, sizeof(uapi), "/var/run/wireguard/%s.sock", interface);
	assert_int_not_equal(access(uapi, F_OK), 0);
	assert_int_not_equal(access(sock, F_OK), 0);
}

static void dir_is_empty(void)
{
	DIR *d = opendir(dir);
	unsigned entries = 0;

	assert_non_null(d);
	while (readdir(d))
		entries++;
	closedir(d);
	assert_int_equal(entries, 2);
}

static void killed_agent_is_cleaned_after(void **state)
{
	struct others others;
	pid_t pid = start_agent(&others);
	int lock;

	(void)state;
	assert_true(contains_ours());
	assert_int_equal(guard_lock(sock), -EWOULDBLOCK);
	end(pid);
	lock = wait_lock();
	assert_in_range(lock, 0, 1000);
	nothing_is_left();
	assert_false(guard_clean(lock, sock));
	guard_unlock(lock, sock);
	dir_is_empty();
}

static void killed_guard_is_made_good_by_the_next(void **state)
{
	struct others others;
	pid_t pid = start_agent(&others);
	int lock;

	(void)state;
	kill(others.guard, SIGKILL);
	if (others.device) /* so that it cannot remove its own socket */
		kill(others.device, SIGKILL);
	end(pid);
	lock = wait_lock();
	assert_in_range(lock, 0, 1000);
	assert_true(contains_ours());
	assert_true(guard_clean(lock, sock));
	nothing_is_left();
	guard_unlock(lock, sock);
	dir_is_empty();
}

static void stop_signals_do_not_end_the_guard(void **state)
{
	struct others others;
	pid_t pid = start_agent(&others);
	int lock;

	(void)state;
	kill(others.guard, SIGTERM);
	kill(others.guard, SIGINT);
	kill(others.guard, SIGHUP);
	usleep(50000);
	end(pid);
	lock = wait_lock();
	assert_in_range(lock, 0, 1000);
	nothing_is_left();
	guard_unlock(lock, sock);
}

static void clean_end_leaves_nothing_to_do(void **state)
{
	int status, lock;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		agent(-1, true);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lock = guard_lock(sock); /* at once: guard_end waits for the guard */
	assert_in_range(lock, 0, 1000);
	nothing_is_left();
	guard_unlock(lock, sock);
}

static void others_devices_are_left_alone(void **state)
{
	const char *const make[] = {"ip", "link", "add", interface, "type", "veth", NULL};
	const char *const remove[] = {"ip", "link", "delete", interface, NULL};
	struct guard_state s = {.mark = MARK, .made = GUARD_DEVICE};
	char out[256];
	int lock = guard_lock(sock);

	(void)state;
	assert_in_range(lock, 0, 1000);
	assert_int_equal(spawn_run(make, NULL, out, sizeof(out)), 0);
	memcpy(s.interface, interface, sizeof(s.interface));
	state_write(lock, &s);
	guard_clean(lock, sock);
	assert_true(contains_ours());
	assert_int_equal(spawn_run(remove, NULL, out, sizeof(out)), 0);
	guard_unlock(lock, sock);
}

static void a_torn_state_is_no_state(void **state)
{
	struct guard_state s;
	int lock = guard_lock(sock);

	(void)state;
	assert_int_equal(pwrite(lock, "culvert1 ", 9, 0), 9);
	assert_false(state_read(lock, &s));
	guard_unlock(lock, sock);
}

/* Socket = /etc/passwd is a slip of the pen, not an order to remove it. */
static void only_sockets_are_removed(void **state)
{
	int lock = guard_lock(sock), file = open(sock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(file >= 0);
	close(file);
	assert_false(guard_clean(lock, sock));
	assert_int_equal(unlink(sock), 0);
	assert_true(leave_socket());
	assert_false(guard_clean(lock, sock));
	assert_int_not_equal(access(sock, F_OK), 0);
	guard_unlock(lock, sock);
}

/* What root is to remove is not for others to say. */
static void anothers_state_is_not_trusted(void **state)
{
	char path[PATH_ROOM];
	int fd = open(lock_path(path, sock), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	(void)state;
	assert_int_equal(fchown(fd, 65534, 65534), 0);
	assert_int_equal(guard_lock(sock), -EPERM);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cli-guard-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(sock, sizeof(sock), "%s/client.sock", dir);
	snprintf(interface, sizeof(interface), "cli-%u", (unsigned)getpid());
	return unshare(CLONE_NEWNET);
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_agent_is_cleaned_after),
		cmocka_unit_test(killed_guard_is_made_good_by_the_next),
		cmocka_unit_test(stop_signals_do_not_end_the_guard),
		cmocka_unit_test(clean_end_leaves_nothing_to_do),
		cmocka_unit_test(others_devices_are_left_alone),
		cmocka_unit_test(a_torn_state_is_no_state),
		cmocka_unit_test(only_sockets_are_removed),
		cmocka_unit_test(anothers_state_is_not_trusted),
	};

	if (geteuid() != 0) {
		fprintf(stderr,
			"test_guard: needs root (a network namespace is made): run as root\n");
		return 1;
	}
	crypto_start();
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
