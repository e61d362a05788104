/*
 * What a node, or anybody in its name, can send to a control client: arbitrary datagrams, and
 * arbitrary plaintext on a channel that is up, between requests and passing time. A request is
 * answered at most once, and no callback sees a body of wrong shape.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static uint64_t fake_ms;

static uint64_t fuzz_clock_ms(void)
{
	return fake_ms;
}

#define clock_ms fuzz_clock_ms
#include "control/client.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct control_client *c;
	struct noise_keypair keys, node;
	struct message_initiation initiation;
	struct cookie_checker checker;
	struct channel ch; /* the node's end */
	bool up;
	int asked, answered;
} f;

static void on_send(void *arg, const void *msg, size_t len)
{
	(void)arg;
	if (len == sizeof(f.initiation) && ((const uint8_t *)msg)[0] == MESSAGE_INITIATION)
		memcpy(&f.initiation, msg, len);
}

static void on_handle(void *arg, uint8_t verb, uint32_t id, const uint8_t *body, size_t len)
{
	(void)arg;
	(void)id;
	(void)body;
	if (!verb_length_ok(verb, len))
		abort();
}

static void on_state(void *arg, bool up)
{
	(void)arg;
	(void)up;
}

static void on_answer(void *arg, uint8_t verb, const uint8_t *body, size_t len)
{
	(void)arg;
	(void)body;
	if (verb && !verb_length_ok(verb, len))
		abort();
	if (++f.answered > f.asked)
		abort();
}

static void input(const void *msg, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that one byte too far is seen */

	memcpy(exact, msg, len);
	control_client_input(f.c, exact, len);
	free(exact);
}

/* Answers the last initiation as the node would. */
static void answer_handshake(void)
{
	struct message_response msg;
	struct noise_handshake hs;
	struct noise_keys keys;
	struct cookie_signer signer;
	uint8_t timestamp[12];

	if (!noise_initiation_consume(&hs, &f.initiation, &f.node, 1, timestamp) ||
	    !noise_response_create(&hs, &msg, &keys))
		return;
	msg.type = le32_of(MESSAGE_RESPONSE);
	msg.sender = le32_of(5);
	msg.receiver = f.initiation.sender;
	cookie_signer_init(&signer, f.keys.pub);
	cookie_sign(&signer, &msg, sizeof(msg), fake_ms);
	input(&msg, sizeof(msg));
	channel_init(&f.ch, &keys, 5, le32_get(f.initiation.sender));
	f.up = true;
}

static void sealed(uint8_t *plain, size_t len, bool to_request)
{
	uint8_t out[CONTROL_DATAGRAM_MAX];
	struct message_transport head = {le32_of(MESSAGE_TRANSPORT), le32_of(f.ch.remote_index),
					 le64_of(f.ch.send_counter)};
	const struct bytes none = {NULL, 0};
	struct body_header *header = (void *)plain;

	len = len < CONTROL_BODY_MAX ? len : CONTROL_BODY_MAX;
	if (to_request && len >= sizeof(*header))
		header->id = le32_of(f.c->next_id - 1 - le32_get(header->id) % 4);
	memcpy(out, &head, sizeof(head));
	aead_seal(out + sizeof(head), f.ch.keys.send, f.ch.send_counter++, &none, plain, len);
	input(out, sizeof(head) + len + TAG_LEN);
}

static void step(uint8_t *bytes, size_t len, uint8_t op)
{
	struct message_cookie cookie;
	static const struct net_addr here = {{0xfd}, 1};

	switch (op % 8) {
	case 0:
		input(bytes, len);
		break;
	case 1:
		bytes[0] = (uint8_t)(MESSAGE_INITIATION + op / 8 % 4);
		memset(bytes + 1, 0, 3);
		memcpy(bytes + 4, &f.initiation.sender, 4);
		input(bytes, len);
		break;
	case 2:
		answer_handshake();
		break;
	case 3:
		cookie_reply(&f.checker, &cookie, &f.initiation, sizeof(f.initiation), &here,
			     fake_ms);
		input(&cookie, sizeof(cookie));
		break;
	case 4:
		if (f.up)
			sealed(bytes, len, op & 64);
		break;
	case 5:
		f.asked += control_client_request(f.c, VERB_KEEPALIVE, bytes,
						  sizeof(struct body_session), op * 100u, on_answer,
						  NULL);
		break;
	case 6:
		fake_ms += op * 97u;
		on_timer(-1, 0, f.c);
		break;
	case 7:
		if (op & 64)
			control_client_restart(f.c);
		else
			control_client_post(f.c, VERB_KEEPALIVE, bytes,
					    sizeof(struct body_session));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct control_client_ops ops = {on_send, on_handle, on_state};
	static struct event_base *base;

	if (!base) {
		crypto_start();
		base = event_base_new();
		x25519_generate(f.keys.priv);
		x25519_public(f.keys.pub, f.keys.priv);
		x25519_generate(f.node.priv);
		x25519_public(f.node.pub, f.node.priv);
		cookie_checker_init(&f.checker, f.node.pub);
	}
	fake_ms = 1000000;
	f.up = false;
	f.asked = f.answered = 0;
	memset(&f.initiation, 0, sizeof(f.initiation));
	f.c = control_client_create(base, &f.keys, f.node.pub, 1, &ops, NULL);
	while (size >= 2) {
		uint8_t op = data[0], bytes[CONTROL_DATAGRAM_MAX + 80] = {0};
		size_t len = (size_t)data[1] * 5;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		memcpy(bytes, data, len);
		step(bytes, len, op);
		data += len;
		size -= len;
	}
	control_client_destroy(f.c);
	return 0;
}
