/* The HTTP client: answers taken apart, and a real unix socket with every way of failing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "client/http.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int status; /* 0: refused */
		const char *body;
	} cases[] = {
		{"HTTP/1.0 200 OK\r\n\r\n", 200, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}"},
		{"HTTP/1.1 200 OK\r\ncontent-length:2\r\nX: y\r\n\r\n{}", 200, "{}"},
		{"HTTP/1.1 404\r\n\r\nno", 404, "no"},
		{"HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n\r\n\r\n", 404, "\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n{}", 0,
		 NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, NULL},
		{"HTTP/1.1 200 OK\r\n", 0, NULL},
		{"HTTP/1.1 200 OK\n\n", 0, NULL},
		{"HTTP/2.0 200 OK\r\n\r\n", 0, NULL},
		{"HTTP/1.2 200 OK\r\n\r\n", 0, NULL},
		{"HTTP/1.1 99 Low\r\n\r\n", 0, NULL},
		{"HTTP/1.1 099 Low\r\n\r\n", 0, NULL},
		{"HTTP/1.1 600 High\r\n\r\n", 0, NULL},
		{"HTTP/1.1 2000 Long\r\n\r\n", 0, NULL},
		{"HTTP/1.1 2x0 OK\r\n\r\n", 0, NULL},
		{"HTTP/1.1  200 OK\r\n\r\n", 0, NULL},
		{"HTTP/1.1\r\n\r\n", 0, NULL},
		{"\r\n\r\n", 0, NULL},
		{"", 0, NULL},
		{"SSH-2.0-x\r\n\r\n", 0, NULL},
	};
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ok = http_parse(&r, cases[i].text, strlen(cases[i].text));

		if (ok != (cases[i].status != 0))
			fail_msg("%s", cases[i].text);
		if (!ok)
			continue;
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.len, strlen(cases[i].body));
		assert_memory_equal(r.body, cases[i].body, r.len);
	}
	assert_false(http_parse(&r, "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 26));
}

static void test_head_limit(void **state)
{
	static char text[HTTP_HEAD_MAX + 200];
	struct http_reply r;

	(void)state;
	for (size_t n = HTTP_HEAD_MAX - 1; n <= HTTP_HEAD_MAX + 1; n++) {
		memset(text, 'x', sizeof(text));
		memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
		memcpy(text + n, "\r\n\r\n", 5);
		assert_int_equal(http_parse(&r, text, n + 4), n <= HTTP_HEAD_MAX);
	}
}

static char path[64];

enum server {
	SERVER_ANSWERS,
	SERVER_CLOSES,
	SERVER_SILENT,
	SERVER_CUT,
	SERVER_FLOODS,
};

/* The request must be whole before the answer goes out. */
static void serve(int fd, enum server how)
{
	static char junk[1 << 20];
	char request[2048];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(request) - 1 &&
	       (got = read(fd, request + n, sizeof(request) - 1 - n)) > 0) {
		n += (size_t)got;
		request[n] = '\0';
		if (strstr(request, "{\"a\":1}"))
			break;
	}
	if (how == SERVER_ANSWERS && strncmp(request, "POST /v1/grants HTTP/1.0\r\n", 26) == 0 &&
	    strstr(request, "Content-Length: 7\r\n"))
		(void)!fd_write_all(fd, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 43);
	if (how == SERVER_CUT)
		(void)!fd_write_all(fd, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhel", 41);
	if (how == SERVER_SILENT)
		sleep(5);
	for (int i = 0; how == SERVER_FLOODS && i < 64; i++)
		if (fd_write_all(fd, junk, sizeof(junk)))
			break;
}

static int ask(enum server how, struct http_reply *reply, char **buf)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;
	pid_t child;

	unlink(path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(listener, 1), 0);
	child = fork();
	if (child == 0) {
		int fd = accept(listener, NULL, NULL);

		if (how != SERVER_CLOSES)
			serve(fd, how);
		_exit(0);
	}
	close(listener);
	err = http_request(reply, buf, path, "POST /v1/grants", "{\"a\":1}", 300);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return err;
}

static void test_socket(void **state)
{
	struct http_reply reply;
	uint64_t start;
	char *buf;
	int err;

	(void)state;
	assert_int_equal(ask(SERVER_ANSWERS, &reply, &buf), 0);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply.body, "hello");
	free(buf);
	err = ask(SERVER_CLOSES, &reply, &buf);
	assert_true(err == -EBADMSG || err == -ECONNRESET || err == -EPIPE);
	assert_int_equal(ask(SERVER_CUT, &reply, &buf), -EBADMSG);
	start = clock_ms();
	assert_int_equal(ask(SERVER_SILENT, &reply, &buf), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 290, 2000);
	err = ask(SERVER_FLOODS, &reply, &buf);
	assert_true(err == -EFBIG || err == -ETIMEDOUT);
	/* Its socket file is still there, but nobody listens; then not even that. */
	assert_int_equal(http_request(&reply, &buf, path, "GET /", NULL, 300), -ECONNREFUSED);
	unlink(path);
	assert_int_equal(http_request(&reply, &buf, path, "GET /", NULL, 300), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_socket),
	};

	snprintf(path, sizeof(path), "/tmp/culvert-http.%ld", (long)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
