#include "control/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/cookie.h"
#include "proto/lengths.h"

enum {
	REQUESTS_MAX = 16,
	RETRY_MAX_MS = 4000,
	/* From the third repetition of a request on, the node may have forgotten our channel. */
	SENDS_PER_CHANNEL = 3,
	SILENT_MS = 10 * 1000,
	/*
	 * When the node may be about to forget the channel: it keeps one that was never spoken on
	 * for a minute, and any other for ten minutes after its last use.
	 */
	STALE_UNHEARD_MS = 45 * 1000,
	STALE_MS = 9 * 60 * 1000,
	PREVIOUS_MS = 5000, /* for messages in flight once the node speaks on the new channel */
};

#define NEVER UINT64_MAX

struct request {
	control_answer answer; /* NULL: free */
	void *arg;
	uint32_t id;
	uint8_t verb;
	uint16_t len;
	uint8_t tries; /* sent so often on this channel */
	uint64_t ends_ms;
	uint64_t next_ms; /* when to send again; NEVER: once the channel is up */
	uint64_t wait_ms;
	uint8_t body[CONTROL_BODY_MAX - sizeof(struct body_header)];
};

struct handshake {
	bool running;
	bool resent; /* at once, for a cookie */
	struct noise_handshake noise;
	uint32_t index;
	uint64_t next_ms, wait_ms;
};

enum reported {
	REPORTED_NOTHING,
	REPORTED_UP,
	REPORTED_DOWN,
};

struct control_client {
	struct control_client_ops ops;
	void *arg;
	struct noise_keypair *keys; /* guarded memory */
	uint8_t remote[KEY_LEN];
	uint64_t network;
	struct event *timer;

	struct cookie_signer signer;
	struct cookie_checker checker; /* mac1 of what the node sends */
	uint64_t last_timestamp_ns;
	struct handshake shake;

	struct channel current, previous;
	bool has_current, has_previous;
	bool heard;                /* anything on current */
	uint64_t made_ms;          /* current */
	uint64_t used_ms;          /* current: made, or last message received */
	uint64_t previous_dies_ms; /* NEVER: until the node speaks on current */

	struct request requests[REQUESTS_MAX];
	uint32_t next_id;
	enum reported reported;
	uint64_t silent_since_ms; /* 0: nothing is outstanding */

	uint32_t depth; /* of our own frames below a callback */
	bool doomed;    /* destroyed from a callback */
};

/* ---- timing --------------------------------------------------------------------------------- */

/* Half a second doubling to four, each up to a quarter longer: many clients do not march in step.
 */
static uint64_t retry_after(uint64_t *wait_ms)
{
	uint64_t wait = *wait_ms + crypto_random_u32() % (*wait_ms / 4);

	*wait_ms = *wait_ms * 2 < RETRY_MAX_MS ? *wait_ms * 2 : RETRY_MAX_MS;
	return wait;
}

static bool outstanding(const struct control_client *c)
{
	if (c->shake.running)
		return true;
	for (int i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].answer)
			return true;
	return false;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_work_ms(const struct control_client *c)
{
	uint64_t next = c->shake.running ? c->shake.next_ms : NEVER;

	for (int i = 0; i < REQUESTS_MAX; i++) {
		const struct request *r = &c->requests[i];

		if (r->answer)
			next = earliest(next, earliest(r->next_ms, r->ends_ms));
	}
	if (c->silent_since_ms && c->reported != REPORTED_DOWN)
		next = earliest(next, c->silent_since_ms + SILENT_MS);
	if (c->has_previous)
		next = earliest(next, c->previous_dies_ms);
	return next;
}

/* Once at the end of everything that may have changed what is next. */
static void rearm(struct control_client *c)
{
	uint64_t now_ms = clock_ms(), next, wait;
	struct timeval tv;

	if (!outstanding(c))
		c->silent_since_ms = 0;
	else if (!c->silent_since_ms)
		c->silent_since_ms = now_ms;
	next = next_work_ms(c);
	if (next == NEVER) {
		evtimer_del(c->timer);
		return;
	}
	wait = next > now_ms ? next - now_ms : 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	if (evtimer_add(c->timer, &tv) != 0)
		fatalx("libevent cannot arm a timer: out of memory");
}

/* ---- callbacks: the owner may call us again, or destroy us, from any of them ----------------- */

static void destroy(struct control_client *c)
{
	if (c->timer)
		event_free(c->timer);
	crypto_secret_free(c->keys);
	crypto_wipe(c, sizeof(*c));
	free(c);
}

static void enter(struct control_client *c)
{
	c->depth++;
}

/* Nothing of c may be touched after the outermost leave. */
static void leave(struct control_client *c)
{
	if (--c->depth)
		return;
	if (c->doomed)
		destroy(c);
	else
		rearm(c);
}

static void transmit(struct control_client *c, const void *msg, size_t len)
{
	if (!c->doomed)
		c->ops.send(c->arg, msg, len);
}

static void report(struct control_client *c, enum reported what)
{
	if (c->reported == what || c->doomed)
		return;
	c->reported = what;
	c->ops.state(c->arg, what == REPORTED_UP);
}

static void finish(struct control_client *c, struct request *r, uint8_t verb, const uint8_t *body,
		   size_t len)
{
	control_answer answer = r->answer;

	r->answer = NULL;
	if (!c->doomed)
		answer(r->arg, verb, body, len);
}

/* ---- handshake ------------------------------------------------------------------------------ */

/* TAI64N, strictly increasing even when the clock is set back. */
static void make_timestamp(struct control_client *c, uint8_t out[static 12])
{
	uint64_t ns = clock_wall_ns();
	uint64_t seconds;
	uint32_t rest;

	if (ns <= c->last_timestamp_ns)
		ns = c->last_timestamp_ns + 1;
	c->last_timestamp_ns = ns;
	seconds = (UINT64_C(1) << 62) + 10 + ns / 1000000000;
	rest = (uint32_t)(ns % 1000000000);
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(seconds >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(rest >> (24 - 8 * i));
}

/* Also the retransmission: each is a handshake of its own, since old timestamps are refused. */
static void send_initiation(struct control_client *c)
{
	struct message_initiation msg;
	uint64_t now_ms = clock_ms();
	uint8_t timestamp[12];

	make_timestamp(c, timestamp);
	c->shake.next_ms = now_ms + retry_after(&c->shake.wait_ms);
	if (!noise_initiation_create(&c->shake.noise, &msg, c->keys, c->remote, c->network,
				     timestamp))
		return; /* a key no node has: nobody will answer */
	msg.type = le32_of(MESSAGE_INITIATION);
	msg.sender = le32_of(c->shake.index);
	cookie_sign(&c->signer, &msg, sizeof(msg), now_ms);
	transmit(c, &msg, sizeof(msg));
}

static void start_handshake(struct control_client *c)
{
	if (c->shake.running)
		return;
	memset(&c->shake, 0, sizeof(c->shake));
	c->shake.running = true;
	c->shake.wait_ms = CONTROL_RETRY_MS;
	do {
		c->shake.index = crypto_random_u32();
	} while ((c->has_current && c->shake.index == c->current.local_index) ||
		 (c->has_previous && c->shake.index == c->previous.local_index));
	send_initiation(c);
}

/* ---- requests ------------------------------------------------------------------------------- */

/* False if there is no channel that the node can be expected to know. */
static bool channel_usable(const struct control_client *c)
{
	uint64_t limit = c->heard ? STALE_MS : STALE_UNHEARD_MS;

	return c->has_current && clock_ms() - c->used_ms < limit;
}

/* False, and nothing sent, if there is no channel to send on. */
static bool send_body(struct control_client *c, uint8_t verb, uint32_t id, const void *body,
		      size_t len)
{
	uint8_t out[CONTROL_DATAGRAM_MAX];
	size_t n;

	if (!channel_usable(c))
		return false;
	n = channel_seal(&c->current, out, verb, id, body, len);
	if (n == 0)
		return false;
	if (clock_ms() - c->made_ms >= CONTROL_REKEY_MS)
		start_handshake(c);
	transmit(c, out, n);
	return true;
}

static void send_request(struct control_client *c, struct request *r)
{
	bool doubtful = r->tries >= SENDS_PER_CHANNEL;

	if (!doubtful)
		r->tries++;
	r->next_ms = clock_ms() + retry_after(&r->wait_ms);
	if (!send_body(c, r->verb, r->id, r->body, r->len)) {
		r->next_ms = NEVER;
		r->wait_ms = CONTROL_RETRY_MS;
		doubtful = true;
	}
	if (doubtful)
		start_handshake(c);
}

static struct request *find_request(struct control_client *c, uint32_t id)
{
	for (int i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].answer && c->requests[i].id == id)
			return &c->requests[i];
	return NULL;
}

static uint32_t fresh_id(struct control_client *c)
{
	/* 0 marks bodies that expect no answer. */
	while (c->next_id == 0 || find_request(c, c->next_id))
		c->next_id++;
	return c->next_id++;
}

bool control_client_request(struct control_client *c, uint8_t verb, const void *body, size_t len,
			    uint64_t timeout_ms, control_answer answer, void *arg)
{
	struct request *r = NULL;

	assert(len <= sizeof(r->body));
	for (int i = 0; i < REQUESTS_MAX && !r; i++)
		if (!c->requests[i].answer)
			r = &c->requests[i];
	if (!r)
		return false;
	r->id = fresh_id(c);
	r->answer = answer;
	r->arg = arg;
	r->verb = verb;
	r->len = (uint16_t)len;
	r->tries = 0;
	r->ends_ms = clock_ms() + timeout_ms;
	r->wait_ms = CONTROL_RETRY_MS;
	if (len)
		memcpy(r->body, body, len);
	enter(c);
	send_request(c, r);
	leave(c);
	return true;
}

void control_client_post(struct control_client *c, uint8_t verb, const void *body, size_t len)
{
	enter(c);
	send_body(c, verb, 0, body, len);
	leave(c);
}

/* ---- input ---------------------------------------------------------------------------------- */

static void note_answer(struct control_client *c)
{
	c->silent_since_ms = outstanding(c) ? clock_ms() : 0;
	report(c, REPORTED_UP);
}

static void install_channel(struct control_client *c, const struct noise_keys *keys,
			    uint32_t remote_index)
{
	uint32_t index = c->shake.index;

	if (c->has_current) {
		channel_wipe(&c->previous);
		c->previous = c->current;
		c->has_previous = true;
		c->previous_dies_ms = NEVER;
	}
	crypto_wipe(&c->shake, sizeof(c->shake));
	channel_init(&c->current, keys, index, remote_index);
	c->has_current = true;
	c->heard = false;
	c->made_ms = c->used_ms = clock_ms();
	for (int i = 0; i < REQUESTS_MAX && !c->doomed; i++) {
		if (!c->requests[i].answer)
			continue;
		c->requests[i].tries = 0;
		send_request(c, &c->requests[i]);
	}
}

static void on_response(struct control_client *c, const struct message_response *msg)
{
	static const struct net_addr nowhere; /* we ask nobody for cookies */
	struct noise_keys keys;

	if (!c->shake.running || le32_get(msg->receiver) != c->shake.index ||
	    cookie_check(&c->checker, msg, sizeof(*msg), &nowhere, clock_ms()) == COOKIE_BAD_MAC1 ||
	    !noise_response_consume(&c->shake.noise, msg, c->keys, &keys))
		return;
	install_channel(c, &keys, le32_get(msg->sender));
	crypto_wipe(&keys, sizeof(keys));
	note_answer(c);
}

static void on_cookie(struct control_client *c, const struct message_cookie *msg)
{
	if (!c->shake.running || le32_get(msg->receiver) != c->shake.index ||
	    !cookie_consume(&c->signer, msg, clock_ms()))
		return;
	/* Once at once; if cookies keep coming the timer sets the pace. */
	if (!c->shake.resent) {
		c->shake.resent = true;
		send_initiation(c);
	}
}

/* Opens a body on whichever channel it names. */
MUST_CHECK static bool open_body(struct control_client *c, uint8_t plain[static CONTROL_BODY_MAX],
				 const uint8_t *msg, size_t len)
{
	const struct message_transport *head = (const void *)msg;
	uint32_t index = le32_get(head->receiver);

	if (c->has_previous && index == c->previous.local_index)
		return channel_open(&c->previous, plain, msg, len);
	if (!c->has_current || index != c->current.local_index ||
	    !channel_open(&c->current, plain, msg, len))
		return false;
	c->used_ms = clock_ms();
	if (!c->heard) {
		c->heard = true;
		c->previous_dies_ms = c->used_ms + PREVIOUS_MS;
	}
	return true;
}

static void on_transport(struct control_client *c, const uint8_t *msg, size_t len)
{
	uint8_t plain[CONTROL_BODY_MAX];
	const struct body_header *header = (const void *)plain;
	const uint8_t *body = plain + sizeof(*header);
	struct request *r;
	uint32_t id;
	size_t n;

	if (!open_body(c, plain, msg, len))
		return;
	id = le32_get(header->id);
	n = le16_get(header->length);
	note_answer(c);
	r = find_request(c, id);
	if (r && (header->verb == verb_answer(r->verb) || header->verb == VERB_REFUSED))
		finish(c, r, header->verb, body, n);
	else if (!c->doomed)
		c->ops.handle(c->arg, header->verb, id, body, n);
}

void control_client_input(struct control_client *c, const uint8_t *msg, size_t len)
{
	enter(c);
	switch ((int)message_type_of(msg, len)) {
	case MESSAGE_RESPONSE:
		on_response(c, (const void *)msg);
		break;
	case MESSAGE_COOKIE:
		on_cookie(c, (const void *)msg);
		break;
	case MESSAGE_TRANSPORT:
		on_transport(c, msg, len);
		break;
	default:
		break;
	}
	leave(c);
}

/* ---- life ----------------------------------------------------------------------------------- */

/* Does whatever is due; harmless when nothing is. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *c = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	enter(c);
	if (c->has_previous && c->previous_dies_ms <= now_ms) {
		channel_wipe(&c->previous);
		c->has_previous = false;
	}
	if (c->shake.running && c->shake.next_ms <= now_ms)
		send_initiation(c);
	for (int i = 0; i < REQUESTS_MAX && !c->doomed; i++) {
		struct request *r = &c->requests[i];

		if (!r->answer)
			continue;
		if (r->ends_ms <= now_ms)
			finish(c, r, 0, NULL, 0);
		else if (r->next_ms <= now_ms)
			send_request(c, r);
	}
	if (c->silent_since_ms && now_ms - c->silent_since_ms >= SILENT_MS)
		report(c, REPORTED_DOWN);
	leave(c);
}

void control_client_restart(struct control_client *c)
{
	enter(c);
	crypto_wipe(&c->shake, sizeof(c->shake));
	channel_wipe(&c->current);
	channel_wipe(&c->previous);
	c->has_current = c->has_previous = false;
	c->reported = REPORTED_NOTHING;
	c->silent_since_ms = 0;
	for (int i = 0; i < REQUESTS_MAX && !c->doomed; i++) {
		if (!c->requests[i].answer)
			continue;
		send_request(c, &c->requests[i]);
	}
	leave(c);
}

struct control_client *control_client_create(struct event_base *base,
					     const struct noise_keypair *keys,
					     const uint8_t remote[static KEY_LEN], uint64_t network,
					     const struct control_client_ops *ops, void *arg)
{
	struct control_client *c = xcalloc(1, sizeof(*c));

	c->ops = *ops;
	c->arg = arg;
	c->keys = crypto_secret_alloc(sizeof(*c->keys));
	*c->keys = *keys;
	memcpy(c->remote, remote, KEY_LEN);
	c->network = network;
	c->next_id = crypto_random_u32();
	cookie_signer_init(&c->signer, remote);
	cookie_checker_init(&c->checker, keys->pub);
	c->timer = evtimer_new(base, on_timer, c);
	if (!c->timer)
		fatalx("libevent cannot make a timer: out of memory");
	return c;
}

void control_client_destroy(struct control_client *c)
{
	if (!c)
		return;
	if (c->depth)
		c->doomed = true;
	else
		destroy(c);
}
