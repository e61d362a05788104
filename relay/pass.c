#include "relay/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "proto/crypto.h"
#include "proto/lengths.h"

enum {
	INNER_MAX = PASS_MAX - (int)sizeof(struct body_session),
	READ_BATCH = 64, /* then other events have their turn */
};

/* Two exits may choose the same index without knowing of each other. */
struct index_key {
	uint32_t slot, index;
};

/* A token bucket: PASS_BURST datagrams when full; each taken moves on the time when it is that. */
struct bucket {
	uint64_t full_ms;
};

struct pass_session {
	uint32_t slot;
	uint32_t client[PASS_INDICES]; /* sender indices of its initiations */
	uint32_t exit[PASS_INDICES];   /* announced to it by the exit's responses */
	uint8_t client_count, client_next, exit_count, exit_next;
	struct bucket up, down;
};

struct pass {
	int fd;
	struct event *event;
	const struct exits *exits;
	struct table *by_client; /* struct index_key -> handle */
	struct pass_session *session;
	pass_deliver deliver;
	void *arg;
	struct pass_counters count;
};

static bool known(const uint32_t *index, uint8_t count, uint32_t wanted)
{
	for (uint8_t i = 0; i < count; i++)
		if (index[i] == wanted)
			return true;
	return false;
}

static bool bucket_take(struct bucket *b, uint64_t now_ms)
{
	const uint64_t one = 1000 / PASS_PER_SECOND;

	if (b->full_ms < now_ms)
		b->full_ms = now_ms;
	if (b->full_ms - now_ms > (PASS_BURST - 1) * one)
		return false;
	b->full_ms += one;
	return true;
}

static bool mac1_valid(const struct exit_entry *exit, const uint8_t *msg)
{
	uint8_t mac[MAC_LEN];

	mac128(mac, exit->mac1_key, msg, offsetof(struct message_initiation, mac1));
	return crypto_equal(mac, msg + offsetof(struct message_initiation, mac1), MAC_LEN);
}

static bool learn_client(struct pass *p, uint32_t handle, uint32_t index)
{
	struct pass_session *s = &p->session[handle];
	struct index_key key = {s->slot, index};
	uint32_t holder = table_find(p->by_client, &key);

	if (holder == handle)
		return true;
	if (holder != TABLE_NONE)
		return false;
	if (s->client_count == PASS_INDICES) {
		struct index_key oldest = {s->slot, s->client[s->client_next]};

		table_remove(p->by_client, &oldest);
	}
	if (!table_put(p->by_client, &key, handle))
		fatalx("relay: more control indices than sessions can have");
	s->client[s->client_next] = index;
	s->client_next = (uint8_t)((s->client_next + 1) % PASS_INDICES);
	if (s->client_count < PASS_INDICES)
		s->client_count++;
	return true;
}

static void learn_exit(struct pass_session *s, uint32_t index)
{
	if (known(s->exit, s->exit_count, index))
		return;
	s->exit[s->exit_next] = index;
	s->exit_next = (uint8_t)((s->exit_next + 1) % PASS_INDICES);
	if (s->exit_count < PASS_INDICES)
		s->exit_count++;
}

/* Where the little-endian index at offset of msg leads. */
static uint32_t index_at(const uint8_t *msg, size_t offset)
{
	le32 v;

	memcpy(&v, msg + offset, sizeof(v));
	return le32_get(v);
}

/* Client to exit: the counter that says why it does not go, or NULL. */
static uint64_t *upward_fault(struct pass *p, uint32_t handle, const uint8_t *msg, size_t len)
{
	struct pass_session *s = &p->session[handle];

	switch ((int)message_type_of(msg, len)) {
	case MESSAGE_INITIATION:
		if (!mac1_valid(&p->exits->slot[s->slot], msg))
			return &p->count.bad_mac1;
		if (!learn_client(p, handle,
				  index_at(msg, offsetof(struct message_initiation, sender))))
			return &p->count.index_taken;
		return NULL;
	case MESSAGE_TRANSPORT:
		if (!known(s->exit, s->exit_count,
			   index_at(msg, offsetof(struct message_transport, receiver))))
			return &p->count.unknown_index;
		return NULL;
	case MESSAGE_RESPONSE:
	case MESSAGE_COOKIE:
		return &p->count.wrong_direction;
	default:
		return &p->count.malformed;
	}
}

void pass_send(struct pass *p, uint32_t handle, uint32_t slot, const uint8_t *msg, size_t len,
	       uint64_t now_ms)
{
	struct pass_session *s = &p->session[handle];
	struct sockaddr_in6 to;
	uint64_t *fault;

	s->slot = slot;
	if (!bucket_take(&s->up, now_ms)) {
		p->count.rate++;
		return;
	}
	if (!exits_sendable(p->exits, slot)) {
		p->count.exit_refused++;
		return;
	}
	fault = upward_fault(p, handle, msg, len);
	if (fault) {
		(*fault)++;
		return;
	}
	net_addr_to_sockaddr(&to, &p->exits->slot[slot].control);
	if (sendto(p->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		p->count.send_failed++;
	else
		p->count.sent++;
}

/* Exit to client: the session it is for, or TABLE_NONE with the reason counted. */
static uint32_t downward_session(struct pass *p, uint32_t slot, const uint8_t *msg, size_t len)
{
	size_t receiver_at = offsetof(struct message_transport, receiver);
	enum message_type type = message_type_of(msg, len);
	struct index_key key = {.slot = slot};
	uint32_t handle;

	switch ((int)type) {
	case MESSAGE_RESPONSE:
		receiver_at = offsetof(struct message_response, receiver);
		break;
	case MESSAGE_COOKIE:
	case MESSAGE_TRANSPORT:
		break;
	case MESSAGE_INITIATION:
		p->count.wrong_direction++;
		return TABLE_NONE;
	default:
		p->count.malformed++;
		return TABLE_NONE;
	}
	key.index = index_at(msg, receiver_at);
	handle = table_find(p->by_client, &key);
	if (handle == TABLE_NONE)
		p->count.unknown_index++;
	else if (type == MESSAGE_RESPONSE)
		learn_exit(&p->session[handle],
			   index_at(msg, offsetof(struct message_response, sender)));
	return handle;
}

static void receive(struct pass *p, const struct net_addr *from, const uint8_t *msg, size_t len)
{
	uint32_t slot = exits_by_control(p->exits, from), handle;

	if (slot == EXIT_NONE) {
		p->count.unknown_exit++;
		return;
	}
	if (len > INNER_MAX) {
		p->count.malformed++;
		return;
	}
	handle = downward_session(p, slot, msg, len);
	if (handle == TABLE_NONE)
		return;
	/* Nobody pays for what is passed: it must not do for a tunnel, in neither direction. */
	if (!bucket_take(&p->session[handle].down, clock_ms())) {
		p->count.rate++;
		return;
	}
	p->count.received++;
	p->deliver(p->arg, handle, msg, len);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct pass *p = arg;
	uint8_t msg[INNER_MAX + 1];

	(void)what;
	for (int i = 0; i < READ_BATCH; i++) {
		struct sockaddr_in6 from;
		socklen_t from_len = sizeof(from);
		struct net_addr addr;
		ssize_t n = recvfrom(fd, msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_len);

		/* An error here is an ICMP answer to something sent, or nothing left to read. */
		if (n < 0)
			return;
		if (net_addr_from_sockaddr(&addr, (struct sockaddr *)&from, from_len))
			receive(p, &addr, msg, (size_t)n);
	}
}

static int open_socket(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), off = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

struct pass *pass_create(struct event_base *base, const struct exits *exits, uint32_t max_sessions,
			 pass_deliver deliver, void *arg)
{
	struct pass *p = xcalloc(1, sizeof(*p));

	p->exits = exits;
	p->deliver = deliver;
	p->arg = arg;
	p->session = calloc(max_sessions, sizeof(*p->session));
	p->by_client = table_create((size_t)max_sessions * PASS_INDICES, sizeof(struct index_key));
	p->fd = open_socket();
	if (p->fd < 0) {
		errno = -p->fd;
		log_warn("relay: cannot open the socket towards exits' control channels");
	}
	if (!p->session || !p->by_client)
		log_warnx("relay: no memory for what %u sessions pass; lower MaxSessions",
			  max_sessions);
	else if (p->fd >= 0)
		p->event = event_new(base, p->fd, EV_READ | EV_PERSIST, readable, p);
	if (!p->event || event_add(p->event, NULL) < 0) {
		pass_destroy(p);
		return NULL;
	}
	return p;
}

void pass_destroy(struct pass *p)
{
	if (!p)
		return;
	if (p->event)
		event_free(p->event);
	if (p->fd >= 0)
		close(p->fd);
	table_destroy(p->by_client);
	free(p->session);
	free(p);
}

void pass_forget(struct pass *p, uint32_t handle)
{
	struct pass_session *s = &p->session[handle];

	for (uint8_t i = 0; i < s->client_count; i++) {
		struct index_key key = {s->slot, s->client[i]};

		table_remove(p->by_client, &key);
	}
	*s = (struct pass_session){0};
}

const struct pass_counters *pass_counts(const struct pass *p)
{
	return &p->count;
}
