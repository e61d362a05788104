/*
 * The control server's door. The input is a run of steps: arbitrary datagrams, datagrams with a
 * right type or mac1, arbitrary plaintext sealed on a channel that is up, passing time. Nobody
 * unauthenticated gets more bytes than they sent, and no handler sees a body of wrong shape.
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
#include "control/server.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct control_server *server;
	struct noise_keypair keys, client;
	struct message_response response;
	size_t sent; /* bytes the server answered the datagram at hand with */
	size_t handled;
} f;

static const struct control_path path = {{{0xfd}, 1}, 0};

static void on_send(void *arg, const struct control_path *to, const void *msg, size_t len)
{
	(void)arg;
	(void)to;
	f.sent += len;
	if (len == sizeof(f.response))
		memcpy(&f.response, msg, len);
}

static void on_handle(void *arg, const struct control_caller *caller, uint8_t verb, uint32_t id,
		      const uint8_t *body, size_t len)
{
	uint8_t answer = verb_answer(verb);
	static const uint8_t zeros[CONTROL_BODY_MAX];

	(void)arg;
	(void)body;
	if (!verb_length_ok(verb, len) || memcmp(caller->client, f.client.pub, KEY_LEN) != 0)
		abort();
	f.handled++;
	for (size_t n = 0; answer && n < CONTROL_BODY_MAX - sizeof(struct body_header); n++) {
		if (!verb_length_ok(answer, n))
			continue;
		control_server_reply(f.server, caller, answer, id, zeros, n);
		break;
	}
}

static const struct control_server_ops ops = {on_send, on_handle};

/* As from anybody. */
static void input(const void *msg, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that one byte too far is seen */

	memcpy(exact, msg, len);
	f.sent = 0;
	control_server_input(f.server, &path, exact, len);
	if (f.sent > len)
		abort();
	free(exact);
}

static void sign(struct message_initiation *msg)
{
	struct cookie_signer signer;

	cookie_signer_init(&signer, f.keys.pub);
	cookie_sign(&signer, msg, sizeof(*msg), fake_ms);
}

static bool connect_channel(struct channel *ch)
{
	static uint64_t number;
	struct message_initiation msg;
	struct noise_handshake hs;
	struct noise_keys keys;
	uint8_t timestamp[12];

	number++;
	for (size_t i = 0; i < sizeof(timestamp); i++)
		timestamp[i] = i < 4 ? 0 : (uint8_t)(number >> (88 - 8 * i));
	if (!noise_initiation_create(&hs, &msg, &f.client, f.keys.pub, 1, timestamp))
		abort();
	msg.type = le32_of(MESSAGE_INITIATION);
	msg.sender = le32_of(77);
	sign(&msg);
	memset(&f.response, 0, sizeof(f.response));
	input(&msg, sizeof(msg));
	/* Under load the answer is a cookie instead. */
	if (!noise_response_consume(&hs, &f.response, &f.client, &keys))
		return false;
	channel_init(ch, &keys, 77, le32_get(f.response.sender));
	return true;
}

/* bytes: the plaintext, header and all. */
static void sealed(struct channel *ch, const uint8_t *bytes, size_t len)
{
	uint8_t out[CONTROL_DATAGRAM_MAX] = {0};
	struct message_transport head = {le32_of(MESSAGE_TRANSPORT), le32_of(ch->remote_index),
					 le64_of(ch->send_counter)};
	const struct bytes none = {NULL, 0};

	memcpy(out, &head, sizeof(head));
	aead_seal(out + sizeof(head), ch->keys.send, ch->send_counter++, &none, bytes, len);
	input(out, sizeof(head) + len + TAG_LEN);
}

static void step(struct channel *ch, bool *up, const uint8_t *bytes, size_t len, uint8_t op)
{
	uint8_t msg[CONTROL_DATAGRAM_MAX] = {0};
	size_t handled = f.handled;

	memcpy(msg, bytes, len);
	switch (op % 6) {
	case 0:
		input(msg, len);
		break;
	case 1:
		msg[0] = (uint8_t)(MESSAGE_INITIATION + op / 6 % 4);
		memset(msg + 1, 0, 3);
		input(msg, len);
		break;
	case 2:
		msg[0] = MESSAGE_INITIATION;
		memset(msg + 1, 0, 3);
		sign((void *)msg);
		input(msg, sizeof(struct message_initiation));
		break;
	case 3:
		if (*up || (*up = connect_channel(ch)))
			sealed(ch, msg, len < CONTROL_BODY_MAX ? len : CONTROL_BODY_MAX);
		return;
	case 4:
		*up = connect_channel(ch);
		break;
	case 5:
		fake_ms += (uint64_t)op * 997;
		on_sweep(-1, 0, f.server);
	}
	if (f.handled != handled)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	struct control_server_config config = {.network = 1, .max_channels = 4};
	struct channel ch;
	bool up = false;

	if (!base) {
		crypto_start();
		base = event_base_new();
		x25519_generate(f.keys.priv);
		x25519_public(f.keys.pub, f.keys.priv);
		x25519_generate(f.client.priv);
		x25519_public(f.client.pub, f.client.priv);
	}
	config.keys = f.keys;
	fake_ms = 1000000;
	f.server = control_server_create(base, &config, &ops, NULL);
	while (size >= 2) {
		uint8_t op = data[0];
		size_t len = (size_t)data[1] * 5;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		len = len < CONTROL_DATAGRAM_MAX ? len : CONTROL_DATAGRAM_MAX;
		step(&ch, &up, data, len, op);
		data += len;
		size -= len;
	}
	control_server_destroy(f.server);
	return 0;
}
