/* The handshake: the published vectors through its core, then the messages it is used for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "proto/noise.c"

enum {
	MESSAGES = 6,
	TEXT_MAX = 512
};

struct blob {
	uint8_t bytes[TEXT_MAX / 2];
	size_t len;
};

struct vector {
	struct blob prologue, init_static, init_ephemeral, init_remote_static;
	struct blob resp_static, resp_ephemeral, handshake_hash;
	struct blob payload[MESSAGES], ciphertext[MESSAGES];
	size_t payloads, ciphertexts;
};

static struct blob *field(struct vector *v, const char *name)
{
	if (!strcmp(name, "payload"))
		return &v->payload[v->payloads++];
	if (!strcmp(name, "ciphertext"))
		return &v->ciphertext[v->ciphertexts++];
	if (!strcmp(name, "prologue"))
		return &v->prologue;
	if (!strcmp(name, "init_static"))
		return &v->init_static;
	if (!strcmp(name, "init_ephemeral"))
		return &v->init_ephemeral;
	if (!strcmp(name, "init_remote_static"))
		return &v->init_remote_static;
	if (!strcmp(name, "resp_static"))
		return &v->resp_static;
	if (!strcmp(name, "resp_ephemeral"))
		return &v->resp_ephemeral;
	assert_string_equal(name, "handshake_hash");
	return &v->handshake_hash;
}

static void read_vector(struct vector *v)
{
	FILE *f = fopen("tests/vectors/noise_ik.txt", "r");
	char line[TEXT_MAX + 64], name[32], value[TEXT_MAX];

	assert_non_null(f);
	memset(v, 0, sizeof(*v));
	while (fgets(line, sizeof(line), f)) {
		struct blob *b;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%31s %511s", name, value), 2);
		b = field(v, name);
		b->len = strlen(value) / 2;
		assert_true(text_unhex(b->bytes, b->len, value));
	}
	fclose(f);
	assert_int_equal(v->payloads, MESSAGES);
	assert_int_equal(v->ciphertexts, MESSAGES);
}

static void keypair_of(struct noise_keypair *pair, const struct blob *priv)
{
	assert_int_equal(priv->len, KEY_LEN);
	memcpy(pair->priv, priv->bytes, KEY_LEN);
	x25519_public(pair->pub, pair->priv);
}

static struct bytes bytes_of(const struct blob *b)
{
	return (struct bytes){b->bytes, b->len};
}

static void vector_handshake(const struct vector *v, struct noise_keys *initiator,
			     struct noise_keys *responder)
{
	struct noise_handshake a, b;
	struct noise_keypair init, resp;
	uint8_t msg[TEXT_MAX], payload[TEXT_MAX];
	const struct bytes first = bytes_of(&v->payload[0]), second = bytes_of(&v->payload[1]);
	struct first_out out = {msg, msg + KEY_LEN, msg + 2 * KEY_LEN + TAG_LEN};
	struct first_in in = {out.ephemeral, out.static_key, out.payload};
	struct bytes sealed = {msg + KEY_LEN, second.len + TAG_LEN};

	keypair_of(&init, &v->init_static);
	keypair_of(&resp, &v->resp_static);
	assert_memory_equal(resp.pub, v->init_remote_static.bytes, KEY_LEN);
	start(&a, v->prologue.bytes, v->prologue.len, resp.pub);
	start(&b, v->prologue.bytes, v->prologue.len, resp.pub);
	keypair_of(&a.ephemeral, &v->init_ephemeral);
	keypair_of(&b.ephemeral, &v->resp_ephemeral);
	memcpy(a.remote_static, resp.pub, KEY_LEN);

	assert_true(write_first(&a, &init, &out, &first));
	assert_int_equal(v->ciphertext[0].len, 2 * KEY_LEN + 2 * TAG_LEN + first.len);
	assert_memory_equal(msg, v->ciphertext[0].bytes, v->ciphertext[0].len);
	assert_true(read_first(&b, &resp, &in, payload, first.len + TAG_LEN));
	assert_memory_equal(payload, first.data, first.len);
	assert_memory_equal(b.remote_static, init.pub, KEY_LEN);
	assert_memory_equal(a.hash, v->handshake_hash.bytes, HASH_LEN);
	assert_memory_equal(b.hash, v->handshake_hash.bytes, HASH_LEN);

	assert_true(write_second(&b, msg, msg + KEY_LEN, &second));
	assert_int_equal(v->ciphertext[1].len, KEY_LEN + TAG_LEN + second.len);
	assert_memory_equal(msg, v->ciphertext[1].bytes, v->ciphertext[1].len);
	assert_true(read_second(&a, &init, msg, payload, &sealed));
	assert_memory_equal(payload, second.data, second.len);

	assert_memory_equal(a.hash, b.hash, HASH_LEN);
	split(&a, initiator->send, initiator->receive);
	split(&b, responder->receive, responder->send);
}

static void published_vector(void **state)
{
	struct vector v;
	struct noise_keys initiator, responder;
	const struct bytes none = {NULL, 0};

	(void)state;
	read_vector(&v);
	vector_handshake(&v, &initiator, &responder);
	for (size_t i = 2; i < MESSAGES; i++) {
		const struct noise_keys *from = i % 2 ? &responder : &initiator;
		const struct noise_keys *to = i % 2 ? &initiator : &responder;
		uint64_t counter = (i - 2) / 2;
		uint8_t out[TEXT_MAX], back[TEXT_MAX];
		size_t len = v.payload[i].len;

		aead_seal(out, from->send, counter, &none, v.payload[i].bytes, len);
		assert_int_equal(v.ciphertext[i].len, len + TAG_LEN);
		assert_memory_equal(out, v.ciphertext[i].bytes, len + TAG_LEN);
		assert_true(aead_open(back, to->receive, counter, &none, out, len + TAG_LEN));
		assert_memory_equal(back, v.payload[i].bytes, len);
		assert_false(aead_open(back, to->receive, counter + 1, &none, out, len + TAG_LEN));
	}
}

struct pair {
	struct noise_keypair client, server;
	struct noise_handshake initiator, responder;
	struct message_initiation initiation;
	struct message_response response;
	uint8_t timestamp[12];
};

static void begin(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	generate(&p->client);
	generate(&p->server);
	memcpy(p->timestamp, "twelve bytes", 12);
	assert_true(noise_initiation_create(&p->initiator, &p->initiation, &p->client,
					    p->server.pub, 7, p->timestamp));
}

static void both_ends_agree(void **state)
{
	struct pair p;
	struct noise_keys a, b;
	uint8_t timestamp[12];

	(void)state;
	begin(&p);
	assert_true(noise_initiation_consume(&p.responder, &p.initiation, &p.server, 7, timestamp));
	assert_memory_equal(timestamp, p.timestamp, 12);
	assert_memory_equal(p.responder.remote_static, p.client.pub, KEY_LEN);
	assert_true(noise_response_create(&p.responder, &p.response, &b));
	assert_true(crypto_is_zero(&p.responder, sizeof(p.responder)));
	assert_true(noise_response_consume(&p.initiator, &p.response, &p.client, &a));
	assert_true(crypto_is_zero(&p.initiator, sizeof(p.initiator)));
	assert_memory_equal(a.send, b.receive, KEY_LEN);
	assert_memory_equal(a.receive, b.send, KEY_LEN);
	assert_memory_not_equal(a.send, a.receive, KEY_LEN);
}

/*
 * Every bit of what Noise wrote matters, also the top bit of a public key, which X25519 ignores;
 * type, sender and macs are not its affair.
 */
static void any_changed_bit_fails(void **state)
{
	struct pair p;
	struct noise_keys a, b;
	uint8_t timestamp[12];
	uint8_t *msg = (uint8_t *)&p.initiation;

	(void)state;
	begin(&p);
	for (size_t bit = offsetof(struct message_initiation, ephemeral) * 8;
	     bit < offsetof(struct message_initiation, mac1) * 8; bit++) {
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(noise_initiation_consume(&p.responder, &p.initiation, &p.server, 7,
						      timestamp));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(noise_initiation_consume(&p.responder, &p.initiation, &p.server, 7, timestamp));
	assert_true(noise_response_create(&p.responder, &p.response, &b));
	msg = (uint8_t *)&p.response;
	for (size_t bit = offsetof(struct message_response, ephemeral) * 8;
	     bit < offsetof(struct message_response, mac1) * 8; bit++) {
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(noise_response_consume(&p.initiator, &p.response, &p.client, &a));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* ... and no forgery spoiled the handshake for the true response. */
	assert_true(noise_response_consume(&p.initiator, &p.response, &p.client, &a));
	assert_memory_equal(a.send, b.receive, KEY_LEN);
}

static void other_network_or_key_fails(void **state)
{
	struct pair p;
	struct noise_keypair other;
	uint8_t timestamp[12];

	(void)state;
	begin(&p);
	generate(&other);
	assert_false(
		noise_initiation_consume(&p.responder, &p.initiation, &p.server, 8, timestamp));
	assert_false(noise_initiation_consume(&p.responder, &p.initiation, &other, 7, timestamp));
}

static void small_order_keys_fail(void **state)
{
	static const uint8_t small[][KEY_LEN] = {{0}, {1}};
	struct pair p;
	uint8_t timestamp[12];

	(void)state;
	begin(&p);
	for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
		struct message_initiation msg = p.initiation;

		assert_false(noise_initiation_create(&p.initiator, &msg, &p.client, small[i], 7,
						     p.timestamp));
		msg = p.initiation;
		memcpy(msg.ephemeral, small[i], KEY_LEN);
		assert_false(noise_initiation_consume(&p.responder, &msg, &p.server, 7, timestamp));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vector),
		cmocka_unit_test(both_ends_agree),
		cmocka_unit_test(any_changed_bit_fails),
		cmocka_unit_test(other_network_or_key_fails),
		cmocka_unit_test(small_order_keys_fail),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
