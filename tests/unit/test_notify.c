/* What systemd hears: by path or abstract name, not lost because it is busy, and when to bark. */
#include "tests/lib/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/notify.h"

/* A socket as systemd has it, under a name or, with '@', in the abstract namespace. */
static int listen_as(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	memcpy(sa.sun_path, name, strlen(name));
	if (name[0] == '@')
		sa.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *hears(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void test_by_path_and_abstract(void **state)
{
	char path[64], name[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/culvert-notify-%d", (int)getpid());
	fd = listen_as(path);
	notify_send("READY=1");
	assert_string_equal(hears(fd), "READY=1");
	close(fd);
	unlink(path);
	snprintf(name, sizeof(name), "@culvert-notify-%d", (int)getpid());
	fd = listen_as(name);
	notify_send("WATCHDOG=1");
	assert_string_equal(hears(fd), "WATCHDOG=1");
	notify_reading(4000000000);
	assert_string_equal(hears(fd), "EXTEND_TIMEOUT_USEC=500000000");
	close(fd);
	notify_send("nobody is there any more");
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_send("nor here");
	unsetenv("NOTIFY_SOCKET");
	notify_send("nor here");
}

static void fill(int fd)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	while (sendto(from, "x", 1, 0, (struct sockaddr *)&sa, len) == 1)
		continue;
	close(from);
}

/* Not NULL if it came to what was sent behind all that. */
static void *read_on(void *arg)
{
	const char *text;

	usleep(50000);
	do
		text = hears(*(int *)arg);
	while (strcmp(text, "x") == 0);
	return strcmp(text, "READY=1") == 0 ? arg : NULL;
}

static void test_a_busy_manager(void **state)
{
	char name[64];
	pthread_t reader;
	void *read;
	uint64_t began;
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@culvert-busy-%d", (int)getpid());
	fd = listen_as(name);
	fill(fd);
	assert_int_equal(pthread_create(&reader, NULL, read_on, &fd), 0);
	notify_send("READY=1");
	assert_int_equal(pthread_join(reader, &read), 0);
	assert_true(read || strcmp(hears(fd), "READY=1") == 0);
	/* But one that hangs does not hang us. */
	fill(fd);
	began = clock_ms();
	notify_send("READY=1");
	assert_in_range(clock_ms() - began, 0, 5000);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void **state)
{
	char pid[16];

	(void)state;
	assert_int_equal(notify_watchdog_us(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_us(), 30000000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_us(), 30000000);
	setenv("WATCHDOG_PID", "1", 1); /* meant for another process */
	assert_int_equal(notify_watchdog_us(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "-1", 1);
	assert_int_equal(notify_watchdog_us(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_path_and_abstract),
		cmocka_unit_test(test_a_busy_manager),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
