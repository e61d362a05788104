/*
 * wireguard-go: one process per device, run in the foreground as our child and told what to do
 * over its UAPI socket. Its own log is off, because it names peers' addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "proto/crypto.h"
#include "tunnel/backend.h"
#include "tunnel/iproute.h"
#include "tunnel/uapi.h"

enum {
	START_MS = 5000,  /* for wireguard-go to answer, and again for the link to be up */
	STOP_MS = 2000,   /* for it to go after SIGTERM */
	STALE_MS = 1000,  /* for a predecessor's to go */
	ANSWER_MS = 2000, /* for one request */
	ANSWER_MAX = 16 << 20,
	SOCKET_BUFFER = 4 << 20, /* bytes, each way: a burst of some ms at a Gbit/s */
	FDS_MAX = 128,           /* where wireguard-go's sockets are to be found */
};

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

static void socket_address(struct sockaddr_un *out, const char *name)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(out->sun_path, sizeof(out->sun_path), "/var/run/wireguard/%s.sock", name);
}

/* A connected socket, or -errno: -ENOENT and -ECONNREFUSED mean that nobody listens. */
static int uapi_connect(const char *name)
{
	struct timeval limit = {.tv_sec = ANSWER_MS / 1000};
	struct sockaddr_un where;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	socket_address(&where, name);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(fd, (const struct sockaddr *)&where, sizeof(where)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

struct answer {
	char *text;
	size_t len, room;
};

static void answer_wipe(struct answer *a)
{
	if (a->text)
		crypto_wipe(a->text, a->room); /* get shows the private key */
	free(a->text);
}

static void answer_grow(struct answer *a)
{
	size_t room = a->room ? a->room * 2 : 16384;
	char *text = xcalloc(room, 1);

	if (a->len)
		memcpy(text, a->text, a->len);
	answer_wipe(a);
	a->text = text;
	a->room = room;
}

static int answer_read(struct answer *a, int fd)
{
	while (!uapi_complete(a->text, a->len)) {
		ssize_t n;

		if (a->len >= ANSWER_MAX)
			return -EFBIG;
		if (a->len == a->room)
			answer_grow(a);
		n = read(fd, a->text + a->len, a->room - a->len);
		if (n < 0 && errno == EINTR) /* SO_RCVTIMEO rules out SA_RESTART */
			continue;
		if (n == 0)
			return -EPIPE;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		a->len += (size_t)n;
	}
	return 0;
}

/* One request and its answer; see uapi_parse for port, each and arg. */
static int ask(const char *name, const char *request, size_t len, uint16_t *port, backend_each each,
	       void *arg)
{
	struct answer a = {0};
	int fd = uapi_connect(name), err;

	if (fd < 0)
		return fd;
	/* a device that is gone must not kill us with SIGPIPE */
	err = send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
	if (!err)
		err = answer_read(&a, fd);
	if (!err)
		err = uapi_parse(a.text, a.len, port, each, arg);
	answer_wipe(&a);
	close(fd);
	return err;
}

static int get(const char *name, uint16_t *port, backend_each each, void *arg)
{
	static const char request[] = "get=1\n\n";

	return ask(name, request, sizeof(request) - 1, port, each, arg);
}

static int set(const char *name, struct uapi_text *request)
{
	if (!uapi_end(request))
		return -EMSGSIZE;
	return ask(name, request->text, request->len, NULL, NULL, NULL);
}

/* ---- the process ---- */

static bool is_dead(const struct tunnel *t)
{
	struct pollfd p = {t->watch_fd, POLLIN, 0};

	return t->watch_fd < 0 || poll(&p, 1, 0) != 0;
}

static void process_signal(const struct tunnel *t, int sig)
{
	syscall(SYS_pidfd_send_signal, t->watch_fd, sig, NULL, 0);
}

static void userspace_close(struct tunnel *t)
{
	struct pollfd p = {t->watch_fd, POLLIN, 0};
	struct sockaddr_un where;

	if (t->watch_fd < 0)
		return;
	process_signal(t, SIGTERM);
	if (poll(&p, 1, STOP_MS) != 1)
		process_signal(t, SIGKILL);
	while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(t->watch_fd);
	t->watch_fd = -1;
	socket_address(&where, t->config.name);
	unlink(where.sun_path);
}

/* The socket directory belongs to all WireGuard implementations; a name is free if nobody listens.
 */
static bool name_is_taken(const char *name)
{
	int fd = uapi_connect(name);

	if (fd >= 0)
		close(fd);
	if (fd >= 0)
		log_warnx("interface %s: another wireguard-go serves this name (in this or another "
			  "network namespace); choose another Interface",
			  name);
	else if (if_nametoindex(name))
		log_warnx("interface %s exists already; choose another Interface, or remove it "
			  "with: ip link del %s",
			  name, name);
	return fd >= 0 || if_nametoindex(name);
}

static int check_tun(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), err;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	err = -errno;
	log_warn("cannot open /dev/net/tun, which wireguard-go needs; load the tun module "
		 "(modprobe tun) or allow the device (DeviceAllow=/dev/net/tun rw)");
	return err;
}

static int start_process(struct tunnel *t)
{
	const char *argv[] = {"wireguard-go", t->config.name, NULL};
	const char *env[] = {"WG_PROCESS_FOREGROUND=1", "LOG_LEVEL=silent", NULL};
	int fd = spawn_start(argv, env, &t->pid);

	if (fd == -ENOENT) {
		log_warnx(
			"this kernel has no WireGuard and wireguard-go is not installed; do one "
			"of: apt install wireguard-go, or use a kernel with the wireguard module");
		return -EOPNOTSUPP;
	}
	if (fd < 0) {
		log_warnx("cannot start wireguard-go: %s", strerror(-fd));
		return fd;
	}
	t->watch_fd = fd;
	return 0;
}

/* Waits until the device answers; with `bound` also until its UDP socket is open (link is up). */
static int wait_ready(struct tunnel *t, bool bound, uint16_t *port)
{
	uint64_t until = clock_ms() + START_MS;

	while (!is_dead(t) && clock_ms() < until) {
		int err = get(t->config.name, port, NULL, NULL);

		if (!err && (!bound || *port != 0))
			return 0;
		sleep_ms(5);
	}
	if (is_dead(t))
		log_warnx("wireguard-go ended at once: it needs CAP_NET_ADMIN, and "
			  "/run/wireguard writable for it (RuntimeDirectory=wireguard)");
	else
		log_warnx("wireguard-go does not answer at /var/run/wireguard/%s.sock",
			  t->config.name);
	return is_dead(t) ? -EPERM : -ETIMEDOUT;
}

static bool is_udp_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return false;
	return (domain == AF_INET || domain == AF_INET6) && type == SOCK_DGRAM;
}

/*
 * wireguard-go leaves its UDP sockets' buffers at the system's default, which a burst of one TCP
 * transfer overruns: several percent of the packets are lost, after they were metered and paid for.
 * It has no option for it, but we may reach our child's sockets. Where that is not allowed, it
 * works as it did.
 */
static void widen_buffers(const struct tunnel *t)
{
	const int size = SOCKET_BUFFER;

	for (int i = 0; i < FDS_MAX; i++) {
		int fd = (int)syscall(SYS_pidfd_getfd, t->watch_fd, i, 0);

		if (fd < 0)
			continue;
		if (is_udp_socket(fd) &&
		    (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
		     setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0))
			log_debug("wireguard-go keeps the default socket buffers: %s",
				  strerror(errno));
		close(fd);
	}
}

static int userspace_set_port(struct tunnel *t, uint16_t port)
{
	char text[UAPI_REQUEST_MAX(0)];
	struct uapi_text request;
	int err;

	uapi_begin(&request, text, sizeof(text));
	uapi_put_port(&request, port);
	err = set(t->config.name, &request);
	if (!err)
		widen_buffers(t); /* new port, new sockets */
	return err;
}

/* A predecessor that is going has let go of its name, but perhaps not of its port yet. */
static int take_port(struct tunnel *t)
{
	uint64_t until = clock_ms() + STALE_MS;
	int err;

	while ((err = userspace_set_port(t, t->config.port)) == -EADDRINUSE && clock_ms() < until)
		sleep_ms(20);
	return err;
}

static int configure(struct tunnel *t)
{
	char text[UAPI_REQUEST_MAX(0)];
	struct uapi_text request;
	uint16_t port = 0;
	int err;

	uapi_begin(&request, text, sizeof(text));
	uapi_put_device(&request, t->private_key, t->config.fwmark);
	err = set(t->config.name, &request);
	crypto_wipe(text, sizeof(text));
	if (!err)
		err = ip_link_up(t->config.name, t->config.mtu);
	/* The port comes last: while the link is down, a port in use would go unnoticed. */
	if (!err)
		err = wait_ready(t, true, &port);
	if (!err && t->config.port && t->config.port != port)
		err = take_port(t);
	else if (!err)
		t->config.port = port;
	if (!err)
		widen_buffers(t);
	return err;
}

static int userspace_open(struct tunnel *t)
{
	uint16_t port;
	int err;

	if (name_is_taken(t->config.name))
		return -EEXIST;
	err = check_tun();
	if (!err)
		err = start_process(t);
	if (err)
		return err;
	err = wait_ready(t, false, &port);
	if (!err)
		err = configure(t);
	if (err) {
		log_warnx("interface %s: cannot set up wireguard-go: %s", t->config.name,
			  strerror(-err));
		userspace_close(t);
	}
	return err;
}

static int userspace_set_peer(struct tunnel *t, const struct tunnel_peer *peer, bool exists)
{
	size_t size = UAPI_REQUEST_MAX(peer->allowed_count);
	char *text = xcalloc(size, 1);
	struct uapi_text request;
	int err;

	uapi_begin(&request, text, size);
	uapi_put_peer(&request, peer, exists);
	err = set(t->config.name, &request);
	free(text);
	return err;
}

static int userspace_set_endpoint(struct tunnel *t, const uint8_t *key,
				  const struct net_addr *endpoint)
{
	char text[UAPI_REQUEST_MAX(0)];
	struct uapi_text request;

	uapi_begin(&request, text, sizeof(text));
	uapi_put_endpoint(&request, key, endpoint);
	return set(t->config.name, &request);
}

static int userspace_remove_peer(struct tunnel *t, const uint8_t *key)
{
	char text[UAPI_REQUEST_MAX(0)];
	struct uapi_text request;

	uapi_begin(&request, text, sizeof(text));
	uapi_put_removal(&request, key);
	return set(t->config.name, &request);
}

static int userspace_read(struct tunnel *t, backend_each each, void *arg)
{
	uint16_t port = 0;
	int err = get(t->config.name, &port, each, arg);

	if (!err && port)
		t->config.port = port;
	return err;
}

void userspace_remove_stale(const char *name)
{
	uint64_t until = clock_ms() + STALE_MS;
	struct sockaddr_un where;
	int fd;

	/* a predecessor's child gets SIGTERM when its parent dies and takes a moment to go */
	while ((fd = uapi_connect(name)) >= 0 && clock_ms() < until) {
		close(fd);
		sleep_ms(20);
	}
	if (fd >= 0)
		close(fd);
	socket_address(&where, name);
	if (fd == -ECONNREFUSED)
		unlink(where.sun_path);
}

const struct tunnel_ops userspace_ops = {
	.name = "userspace (wireguard-go)",
	.open = userspace_open,
	.close = userspace_close,
	.set_port = userspace_set_port,
	.set_peer = userspace_set_peer,
	.set_endpoint = userspace_set_endpoint,
	.remove_peer = userspace_remove_peer,
	.read = userspace_read,
};
