#include "tests/lib/rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/lengths.h"
#include "proto/statement.h"
#include "tests/lib/fakewg.h"

#define OPEN_TIMEOUT_MS 15000
#define BATCH           64

int rig_socket_from(const struct net_addr *from, const struct net_addr *to)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0,
	    size = 8 << 20;
	struct sockaddr_in6 sa, source;

	net_addr_to_sockaddr(&sa, to);
	net_addr_to_sockaddr(&source, from);
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fatal("socket to the relay");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		fatal("SO_RCVBUFFORCE: run as root");
	return fd;
}

int rig_socket(const struct net_addr *to)
{
	static const struct net_addr anywhere;

	return rig_socket_from(&anywhere, to);
}

/* ---- data path ---- */

static void handle_data(struct rig_client *c, const uint8_t *msg, size_t len)
{
	const struct message_response *r = (const void *)msg;

	c->received_packets++;
	c->received_bytes += len;
	if (message_type_of(msg, len) != MESSAGE_WG_RESPONSE)
		return;
	c->exit_indices[c->exit_index_count++ % RIG_INDICES] = le32_get(r->sender);
	if (c->state == RIG_SHAKING)
		c->state = RIG_READY;
}

static void bind_message(struct rig_client *c, enum message_type type, const uint8_t *token)
{
	struct message_bind msg;

	bind_make(&msg, type, c->session, c->bind_counter, token, c->bind_key);
	if (type == MESSAGE_ANSWER)
		c->last_answer = msg;
	if (send(c->data_fd, &msg, sizeof(msg), 0) < 0)
		log_debug("bind: not sent"); /* the timer sends it again */
}

static void handle_bind(struct rig_client *c, const struct message_bind *msg)
{
	if (!bind_valid(msg, c->bind_key) || le64_get(msg->counter) != c->bind_counter)
		return;
	if (msg->type.b[0] == MESSAGE_CHALLENGE)
		bind_message(c, MESSAGE_ANSWER, msg->token);
	if (msg->type.b[0] != MESSAGE_BOUND || c->state != RIG_BINDING)
		return;
	event_del(c->bind_timer);
	if (c->exit_index_count) {
		c->state = RIG_READY;
		return;
	}
	c->state = RIG_SHAKING;
	rig_client_rekey(c);
}

static void data_readable(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t slab[BATCH][2048];
	struct rig_client *c = arg;
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;

	(void)what;
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){slab[i], sizeof(slab[i])};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		switch (message_type_of(slab[i], msgs[i].msg_len)) {
		case MESSAGE_CHALLENGE:
		case MESSAGE_BOUND:
			handle_bind(c, (const void *)slab[i]);
			break;
		default:
			handle_data(c, slab[i], msgs[i].msg_len);
		}
	}
}

static void bind_again(evutil_socket_t fd, short what, void *arg)
{
	struct rig_client *c = arg;
	struct timeval again = {0, 300000};

	(void)fd;
	(void)what;
	if (c->state != RIG_BINDING)
		return;
	bind_message(c, MESSAGE_BIND, NULL);
	event_add(c->bind_timer, &again);
}

static void bind_from_fresh_port(struct rig_client *c)
{
	if (c->old_event) {
		event_free(c->old_event);
		close(c->old_fd);
	}
	c->old_event = c->data_event;
	c->old_fd = c->data_fd;
	c->data_fd = rig_socket_from(&c->source, &c->rig->relay_addr);
	c->data_event = event_new(c->rig->base, c->data_fd, EV_READ | EV_PERSIST, data_readable, c);
	event_add(c->data_event, NULL);
	c->bind_counter++;
	c->state = RIG_BINDING;
	bind_again(-1, 0, c);
}

void rig_client_rebind(struct rig_client *c)
{
	bind_from_fresh_port(c);
}

void rig_client_rekey(struct rig_client *c)
{
	struct message_initiation msg;
	uint32_t index = crypto_random_u32();

	c->own_indices[c->own_index_count++ % RIG_INDICES] = index;
	fakewg_initiation(&msg, index, c->rig->exit_mac1_key);
	if (send(c->data_fd, &msg, sizeof(msg), 0) == (ssize_t)sizeof(msg)) {
		c->sent_packets++;
		c->sent_bytes += sizeof(msg);
	}
}

int rig_client_send(struct rig_client *c, unsigned count, size_t size)
{
	static uint8_t slab[BATCH][2048];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;

	if (!c->exit_index_count)
		return 0;
	memset(msgs, 0, sizeof(msgs));
	for (unsigned i = 0; i < count && i < BATCH; i++) {
		fakewg_transport(slab[i], c->exit_indices[(c->exit_index_count - 1) % RIG_INDICES],
				 c->transport_counter++);
		iov[i] = (struct iovec){slab[i], size};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = sendmmsg(c->data_fd, msgs, count < BATCH ? count : BATCH, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	c->sent_packets += (uint64_t)n;
	c->sent_bytes += (uint64_t)n * size;
	return n;
}

/* ---- control ---- */

static bool receipt_fair(const struct rig_client *c, const struct receipt_offer *offer)
{
	const struct terms *terms = &c->rig->relay.body.relay_terms;
	uint64_t up = le64_get(offer->body.bytes_up), down = le64_get(offer->body.bytes_down);
	struct terms_values v;

	terms_values(&v, terms);
	if (receipt_check_offer(offer, terms) != RECEIPT_OK)
		return false;
	if (memcmp(offer, &c->last_offer, sizeof(*offer)) != 0 &&
	    receipt_check_chain(c->has_offer ? &c->last_offer : NULL, offer) != RECEIPT_OK)
		return false;
	return up <= c->sent_bytes &&
	       down <= c->received_bytes + v.loss_bytes + down / 1000000 * v.loss_ppm + v.loss_ppm;
}

static void post_cosign(evutil_socket_t fd, short what, void *arg)
{
	struct rig_client *c = arg;

	(void)fd;
	(void)what;
	control_client_post(c->control, VERB_COSIGN, &c->cosign, sizeof(c->cosign));
}

static void cosign(struct rig_client *c, const struct receipt_offer *offer)
{
	unsigned ms = c->rig->sign_delay_ms;
	struct timeval later = {ms / 1000, ms % 1000 * 1000};

	receipt_cosign(&c->last_receipt, offer, &c->identity);
	c->cosign.seq = offer->body.seq;
	memcpy(c->cosign.session, c->session, SESSION_ID_LEN);
	memcpy(c->cosign.signature, c->last_receipt.payer_signature, SIGNATURE_LEN);
	if (ms)
		event_add(c->sign_timer, &later);
	else
		post_cosign(-1, 0, c);
}

static void handle_receipt(struct rig_client *c, const struct receipt_offer *offer)
{
	bool again = memcmp(offer, &c->last_offer, sizeof(*offer)) == 0;

	if (memcmp(offer->body.session, c->session, SESSION_ID_LEN) != 0)
		return;
	if (!receipt_fair(c, offer)) {
		c->bad_receipts++;
		return;
	}
	if (!c->rig->sign || (again && event_pending(c->sign_timer, EV_TIMEOUT, NULL)))
		return;
	c->receipts += !again;
	c->last_offer = *offer;
	c->has_offer = true;
	c->seq = le64_get(offer->body.seq);
	cosign(c, offer);
}

static void handle_window(struct rig_client *c, const struct body_window *w)
{
	if (memcmp(w->session, c->session, SESSION_ID_LEN) != 0)
		return;
	c->window = le64_get(w->window);
	if (c->has_offer && le64_get(w->seq) == c->seq)
		c->signed_bytes = le64_get(c->last_offer.body.bytes_up) +
				  le64_get(c->last_offer.body.bytes_down);
}

static void control_handle(void *arg, uint8_t verb, uint32_t id, const uint8_t *body, size_t len)
{
	struct rig_client *c = arg;

	(void)id;
	(void)len;
	if (verb == VERB_RECEIPT)
		handle_receipt(c, (const void *)body);
	else if (verb == VERB_WINDOW)
		handle_window(c, (const void *)body);
	else if (verb == VERB_CLOSED)
		c->closed++;
}

static void control_send(void *arg, const void *msg, size_t len)
{
	struct rig_client *c = arg;

	if (send(c->control_fd, msg, len, 0) < 0)
		log_debug("control: not sent"); /* retransmitted by the channel */
}

static void control_state(void *arg, bool up)
{
	(void)arg;
	(void)up;
}

static void control_readable(evutil_socket_t fd, short what, void *arg)
{
	uint8_t buf[2048];
	struct rig_client *c = arg;
	ssize_t n;

	(void)what;
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		control_client_input(c->control, buf, (size_t)n);
}

static void opened(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct rig_client *c = arg;
	const struct body_granted *granted = (const void *)body;

	(void)len;
	if (verb != VERB_GRANTED) {
		c->refusal = verb == VERB_REFUSED
				     ? le32_get(((const struct body_refused *)body)->code)
				     : 0;
		c->state = RIG_FAILED;
		return;
	}
	memcpy(c->session, granted->session, SESSION_ID_LEN);
	memcpy(c->bind_key, granted->bind_key, KEY_LEN);
	c->window = le64_get(granted->window);
	bind_from_fresh_port(c);
}

void rig_client_init(struct rig_client *c, struct rig *rig, uint32_t number)
{
	static const struct control_client_ops ops = {control_send, control_handle, control_state};
	uint8_t seed[KEY_LEN] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
				 0x5e};
	struct net_addr control_source;

	memset(c, 0, sizeof(*c));
	c->rig = rig;
	identity_from_seed(&c->identity, seed);
	x25519_generate(c->keys.priv);
	x25519_public(c->keys.pub, c->keys.priv);
	c->data_fd = c->old_fd = -1;
	c->source = rig->source;
	control_source = c->source;
	control_source.port = 0;
	c->control_fd = rig_socket_from(&control_source, &rig->relay_addr);
	c->control_event =
		event_new(rig->base, c->control_fd, EV_READ | EV_PERSIST, control_readable, c);
	event_add(c->control_event, NULL);
	c->bind_timer = event_new(rig->base, -1, 0, bind_again, c);
	c->sign_timer = event_new(rig->base, -1, 0, post_cosign, c);
	c->control = control_client_create(rig->base, &c->keys, rig->relay.body.control,
					   le64_get(rig->relay.body.network), &ops, c);
	if (!c->control)
		fatalx("no control client");
}

void rig_client_open(struct rig_client *c)
{
	const struct descriptor_body *relay = &c->rig->relay.body;
	struct open_statement s;
	struct body_open open;
	const struct statement_values v = {
		.network = le64_get(relay->network),
		.provider = relay->node,
		.client_control = c->keys.pub,
		.subject = open.exit,
		.terms = open.terms,
		.payer = open.payer,
		.nonce = open.nonce,
	};

	crypto_random(c->nonce, sizeof(c->nonce));
	memcpy(open.exit, c->rig->exit.body.node, KEY_LEN);
	terms_hash(open.terms, &relay->relay_terms);
	memcpy(open.payer, c->identity.id, KEY_LEN);
	memcpy(open.nonce, c->nonce, NONCE_LEN);
	statement_make(&s, &v);
	identity_sign(open.signature, &s, sizeof(s), &c->identity);
	c->state = RIG_OPENING;
	if (!control_client_request(c->control, VERB_OPEN, &open, sizeof(open), OPEN_TIMEOUT_MS,
				    opened, c))
		c->state = RIG_FAILED;
}

static void closed(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	struct rig_client *c = arg;

	(void)body;
	(void)len;
	if (verb == VERB_CLOSED)
		c->closed++;
}

void rig_client_close(struct rig_client *c)
{
	struct body_close close_body = {.reason = le32_of(CLOSE_ASKED)};

	memcpy(close_body.session, c->session, SESSION_ID_LEN);
	if (!control_client_request(c->control, VERB_CLOSE, &close_body, sizeof(close_body),
				    OPEN_TIMEOUT_MS, closed, c))
		log_debug("close: too much under way");
}

static void drop(struct event *ev, int fd)
{
	if (ev)
		event_free(ev);
	if (fd >= 0)
		close(fd);
}

void rig_client_wipe(struct rig_client *c)
{
	control_client_destroy(c->control);
	drop(c->control_event, c->control_fd);
	drop(c->data_event, c->data_fd);
	drop(c->old_event, c->old_event ? c->old_fd : -1);
	drop(c->bind_timer, -1);
	drop(c->sign_timer, -1);
	memset(c, 0, sizeof(*c));
}
