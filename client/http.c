#include "client/http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

/* "HTTP/1.x NNN" at the start of line. */
static bool parse_status(int *status, const char *line)
{
	char digits[4];
	uint64_t value;

	if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
	    line[8] != ' ' || strnlen(line + 9, 3) != 3)
		return false;
	memcpy(digits, line + 9, 3);
	digits[3] = '\0';
	if (!text_u64(digits, 100, 599, &value) || !strchr(" \r", line[12]) || !line[12])
		return false;
	*status = (int)value;
	return true;
}

/* One header line [line, end): false if it forbids taking what follows the head as the body. */
static bool check_header(const char *line, const char *end, size_t body_len)
{
	static const char length[] = "Content-Length:", encoding[] = "Transfer-Encoding:";
	char digits[24];
	uint64_t value;
	size_t n;

	if (strncasecmp(line, encoding, sizeof(encoding) - 1) == 0)
		return false;
	if (strncasecmp(line, length, sizeof(length) - 1) != 0)
		return true;
	line += sizeof(length) - 1;
	while (line < end && *line == ' ')
		line++;
	n = (size_t)(end - line);
	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, line, n);
	digits[n] = '\0';
	return text_u64(digits, 0, HTTP_BODY_MAX, &value) && value == body_len;
}

bool http_parse(struct http_reply *out, const char *buf, size_t len)
{
	const char *head_end = memmem(buf, len, "\r\n\r\n", 4), *line;

	/* A NUL in the head would end strings early; in the body jansson sees to it. */
	if (!head_end || head_end - buf > HTTP_HEAD_MAX ||
	    memchr(buf, '\0', (size_t)(head_end - buf)))
		return false;
	out->body = head_end + 4;
	out->len = len - (size_t)(out->body - buf);
	if (!parse_status(&out->status, buf))
		return false;
	for (line = memmem(buf, len, "\r\n", 2); line < head_end;) {
		const char *end;

		line += 2;
		end = memmem(line, (size_t)(head_end + 2 - line), "\r\n", 2);
		if (!check_header(line, end, out->len))
			return false;
		line = end;
	}
	return true;
}

/* Waits until fd is ready for what; 0, -ETIMEDOUT or -errno. */
static int wait_ready(int fd, short what, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = what};
		uint64_t now = clock_ms();
		int n = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int open_socket(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	/* EAGAIN: its queue is full, so somebody is there but does not get round to us. */
	err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return err;
}

static int send_all(int fd, const char *data, size_t len, uint64_t deadline)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		int err = wait_ready(fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

/* Everything until the other side closes, NUL-terminated, in allocated memory. */
static int receive_all(int fd, char **out, size_t *len, uint64_t deadline)
{
	size_t room = 64 << 10, used = 0;
	char *buf = malloc(room + 1);
	int err = buf ? 0 : -ENOMEM;

	while (!err) {
		ssize_t n = recv(fd, buf + used, room - used, 0);

		if (n == 0)
			break;
		if (n < 0) {
			err = errno == EAGAIN || errno == EINTR ? wait_ready(fd, POLLIN, deadline)
								: -errno;
			continue;
		}
		used += (size_t)n;
		if (used < room)
			continue;
		if (room >= HTTP_HEAD_MAX + HTTP_BODY_MAX) {
			err = -EFBIG;
			continue;
		}
		room *= 2;
		char *larger = realloc(buf, room + 1);
		if (!larger)
			err = -ENOMEM;
		else
			buf = larger;
	}
	if (err) {
		free(buf);
		return err;
	}
	buf[used] = '\0';
	*out = buf;
	*len = used;
	return 0;
}

static int exchange(int fd, const char *request, const char *body, char **buf, size_t *len,
		    uint64_t deadline)
{
	char head[1024];
	int n = snprintf(head, sizeof(head),
			 "%s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 request, body ? strlen(body) : 0);
	int err;

	if (n < 0 || (size_t)n >= sizeof(head))
		return -E2BIG;
	err = send_all(fd, head, (size_t)n, deadline);
	if (!err && body)
		err = send_all(fd, body, strlen(body), deadline);
	return err ? err : receive_all(fd, buf, len, deadline);
}

int http_request(struct http_reply *out, char **buf, const char *socket, const char *request,
		 const char *body, unsigned timeout_ms)
{
	uint64_t deadline = clock_ms() + timeout_ms;
	int fd = open_socket(socket), err;
	size_t len;

	if (fd < 0)
		return fd;
	err = exchange(fd, request, body, buf, &len, deadline);
	close(fd);
	if (err)
		return err;
	if (http_parse(out, *buf, len))
		return 0;
	free(*buf);
	return -EBADMSG;
}
