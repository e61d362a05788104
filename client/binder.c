#include "client/binder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "client/link.h"
#include "client/timer.h"
#include "proto/bind.h"
#include "proto/lengths.h"

struct binder {
	struct binder_config config;
	int fd;
	uint16_t port;
	struct event *readable, *retry;
	unsigned tries;
	bool challenged;
	uint8_t token[NONCE_LEN];
	binder_done done;
	void *arg;
};

/* BIND until there is a challenge, its ANSWER from then on. */
static void binder_send(struct binder *b)
{
	struct message_bind msg;

	bind_make(&msg, b->challenged ? MESSAGE_ANSWER : MESSAGE_BIND, b->config.session,
		  b->config.counter, b->challenged ? b->token : NULL, b->config.bind_key);
	if (send(b->fd, &msg, sizeof(msg), 0) < 0 && errno == ECONNREFUSED &&
	    send(b->fd, &msg, sizeof(msg), 0) < 0)
		log_debug("bind: a datagram was not sent: %s", strerror(errno));
}

void binder_cancel(struct binder *b)
{
	if (!b)
		return;
	event_free(b->readable);
	event_free(b->retry);
	close(b->fd);
	crypto_wipe(b, sizeof(*b));
	free(b);
}

static void binder_finish(struct binder *b, int err)
{
	binder_done done = b->done;
	void *arg = b->arg;
	uint16_t port = b->port;

	binder_cancel(b);
	done(arg, err, port);
}

static void binder_retry(evutil_socket_t fd, short what, void *arg)
{
	struct binder *b = arg;

	(void)fd;
	(void)what;
	if (b->tries >= BINDER_TRIES) {
		binder_finish(b, -ETIMEDOUT);
		return;
	}
	binder_send(b);
	timer_set(b->retry, (uint64_t)BINDER_RETRY_MS << b->tries);
	b->tries++;
}

/* An answer to this exchange, from whoever holds the bind key. */
static bool binder_is_ours(const struct binder *b, const struct message_bind *msg)
{
	return memcmp(msg->session, b->config.session, SESSION_ID_LEN) == 0 &&
	       le64_get(msg->counter) == b->config.counter && bind_valid(msg, b->config.bind_key);
}

/* True when the exchange is over. */
static bool binder_take(struct binder *b, const uint8_t *buf, size_t len)
{
	enum message_type type = message_type_of(buf, len);
	struct message_bind msg;

	if (type != MESSAGE_CHALLENGE && type != MESSAGE_BOUND)
		return false;
	memcpy(&msg, buf, sizeof(msg));
	if (!binder_is_ours(b, &msg))
		return false;
	if (type == MESSAGE_BOUND)
		return b->challenged;
	memcpy(b->token, msg.token, NONCE_LEN);
	b->challenged = true;
	binder_send(b);
	return false;
}

static void binder_readable(evutil_socket_t fd, short what, void *arg)
{
	struct binder *b = arg;
	uint8_t buf[CONTROL_DATAGRAM_MAX];
	ssize_t n;

	(void)what;
	n = recv(fd, buf, sizeof(buf), 0);
	if (n > 0 && binder_take(b, buf, (size_t)n))
		binder_finish(b, 0);
}

int binder_start(struct binder **out, struct event_base *base, const struct binder_config *config,
		 binder_done done, void *arg)
{
	int fd = link_socket(&config->relay, config->mark);
	struct binder *b;

	if (fd < 0)
		return fd;
	b = xcalloc(1, sizeof(*b));
	b->config = *config;
	b->fd = fd;
	b->port = link_port(fd);
	b->done = done;
	b->arg = arg;
	b->readable = event_new(base, fd, EV_READ | EV_PERSIST, binder_readable, b);
	if (!b->readable || event_add(b->readable, NULL) < 0)
		fatalx("the event loop takes no more descriptors");
	b->retry = timer_new(base, binder_retry, b);
	timer_set(b->retry, 0);
	*out = b;
	return 0;
}
