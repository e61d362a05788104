/*
 * The consumers of handshake messages: arbitrary ones, and true ones with the input's bytes laid
 * over them by exclusive or. Only an untouched message may be taken.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/cookie.h"
#include "proto/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct noise_keypair client, server;
	struct noise_handshake waiting; /* the initiator's, after its message */
	struct message_initiation initiation;
	struct message_response response;
	struct cookie_checker checker;
	struct cookie_signer signer;
	struct message_cookie cookie;
} f;

static const struct net_addr here = {{0xfd}, 1};

static void keys(struct noise_keypair *pair)
{
	x25519_generate(pair->priv);
	x25519_public(pair->pub, pair->priv);
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void start(void)
{
	struct noise_handshake hs;
	struct noise_keys k;
	uint8_t timestamp[12] = {1};

	crypto_start();
	keys(&f.client);
	keys(&f.server);
	cookie_checker_init(&f.checker, f.server.pub);
	cookie_signer_init(&f.signer, f.server.pub);
	must(noise_initiation_create(&f.waiting, &f.initiation, &f.client, f.server.pub, 1,
				     timestamp));
	cookie_sign(&f.signer, &f.initiation, sizeof(f.initiation), 1);
	cookie_reply(&f.checker, &f.cookie, &f.initiation, sizeof(f.initiation), &here, 1);
	must(noise_initiation_consume(&hs, &f.initiation, &f.server, 1, timestamp));
	must(noise_response_create(&hs, &f.response, &k));
}

/* Lays data over from..to of a copy of len bytes; true if that changed something there. */
static bool lay_over(void *copy, const void *truth, size_t len, size_t from, size_t to,
		     const uint8_t *data, size_t size)
{
	uint8_t *bytes = copy;

	memcpy(copy, truth, len);
	for (size_t i = 0; i < len && i < size; i++)
		bytes[i] ^= data[i];
	return memcmp(bytes + from, (const uint8_t *)truth + from, to - from) != 0;
}

static void initiation(const uint8_t *data, size_t size)
{
	struct message_initiation msg;
	struct noise_handshake hs;
	uint8_t timestamp[12];
	bool changed = lay_over(&msg, &f.initiation, sizeof(msg),
				offsetof(struct message_initiation, ephemeral),
				offsetof(struct message_initiation, mac1), data, size);

	if (noise_initiation_consume(&hs, &msg, &f.server, 1, timestamp) == changed)
		abort();
	changed = memcmp(&msg, &f.initiation, offsetof(struct message_initiation, mac2)) != 0;
	if ((cookie_check(&f.checker, &msg, sizeof(msg), &here, 1) == COOKIE_BAD_MAC1) != changed)
		abort();
}

static void response(const uint8_t *data, size_t size)
{
	struct message_response msg;
	struct noise_handshake hs = f.waiting;
	struct noise_keys k;
	bool changed = lay_over(&msg, &f.response, sizeof(msg),
				offsetof(struct message_response, ephemeral),
				offsetof(struct message_response, mac1), data, size);

	if (noise_response_consume(&hs, &msg, &f.client, &k) == changed)
		abort();
	if (changed && memcmp(&hs, &f.waiting, sizeof(hs)) != 0)
		abort();
}

static void cookie(const uint8_t *data, size_t size)
{
	struct message_cookie msg;
	struct cookie_signer signer = f.signer;
	bool changed = lay_over(&msg, &f.cookie, sizeof(msg),
				offsetof(struct message_cookie, nonce), sizeof(msg), data, size);

	if (cookie_consume(&signer, &msg, 1) == changed)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		start();
	started = true;
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		initiation(data + 1, size - 1);
		break;
	case 1:
		response(data + 1, size - 1);
		break;
	case 2:
		cookie(data + 1, size - 1);
	}
	return 0;
}
