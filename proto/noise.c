#include "proto/noise.h"

#include <string.h>

static const char protocol_name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2b";

enum {
	BLOCK_LEN = 128 /* BLAKE2b's, for HMAC */
};

#define BYTES(p, n) ((struct bytes){(p), (n)})

/* ---- Noise section 4.3 and 5.2: HMAC, HKDF, the symmetric state ----------------------------- */

static void hmac(uint8_t out[static HASH_LEN], const uint8_t key[static HASH_LEN], const void *msg,
		 size_t len)
{
	uint8_t pad[BLOCK_LEN], inner[HASH_LEN];

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < HASH_LEN; i++)
		pad[i] ^= key[i];
	hash512(inner, (struct bytes[]){BYTES(pad, sizeof(pad)), BYTES(msg, len)}, 2);
	for (size_t i = 0; i < BLOCK_LEN; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash512(out, (struct bytes[]){BYTES(pad, sizeof(pad)), BYTES(inner, sizeof(inner))}, 2);
	crypto_wipe(pad, sizeof(pad));
	crypto_wipe(inner, sizeof(inner));
}

/* HKDF with two outputs. out1 may be chaining_key. */
static void hkdf(uint8_t out1[static HASH_LEN], uint8_t out2[static HASH_LEN],
		 const uint8_t chaining_key[static HASH_LEN], const void *input, size_t len)
{
	uint8_t temp[HASH_LEN], second[HASH_LEN + 1];

	hmac(temp, chaining_key, input, len);
	hmac(out1, temp, "\x01", 1);
	memcpy(second, out1, HASH_LEN);
	second[HASH_LEN] = 2;
	hmac(out2, temp, second, sizeof(second));
	crypto_wipe(temp, sizeof(temp));
	crypto_wipe(second, sizeof(second));
}

static void mix_hash(struct noise_handshake *hs, const void *data, size_t len)
{
	hash512(hs->hash, (struct bytes[]){BYTES(hs->hash, sizeof(hs->hash)), BYTES(data, len)}, 2);
}

/* A new cipher key from a Diffie-Hellman result; every key seals once, so the nonce is always 0. */
MUST_CHECK static bool mix_dh(struct noise_handshake *hs, uint8_t key[static KEY_LEN],
			      const uint8_t priv[static KEY_LEN], const uint8_t pub[static KEY_LEN])
{
	uint8_t shared[KEY_LEN], out[HASH_LEN];
	bool ok = x25519(shared, priv, pub);

	if (ok) {
		hkdf(hs->chaining_key, out, hs->chaining_key, shared, sizeof(shared));
		memcpy(key, out, KEY_LEN);
	}
	crypto_wipe(shared, sizeof(shared));
	crypto_wipe(out, sizeof(out));
	return ok;
}

static void encrypt_and_hash(struct noise_handshake *hs, const uint8_t key[static KEY_LEN],
			     uint8_t *out, const void *plain, size_t len)
{
	aead_seal(out, key, 0, &BYTES(hs->hash, sizeof(hs->hash)), plain, len);
	mix_hash(hs, out, len + TAG_LEN);
}

MUST_CHECK static bool decrypt_and_hash(struct noise_handshake *hs,
					const uint8_t key[static KEY_LEN], uint8_t *out,
					const uint8_t *sealed, size_t len)
{
	if (!aead_open(out, key, 0, &BYTES(hs->hash, sizeof(hs->hash)), sealed, len))
		return false;
	mix_hash(hs, sealed, len);
	return true;
}

/* first: what the initiator sends with. */
static void split(struct noise_handshake *hs, uint8_t first[static KEY_LEN],
		  uint8_t second[static KEY_LEN])
{
	uint8_t a[HASH_LEN], b[HASH_LEN];

	hkdf(a, b, hs->chaining_key, NULL, 0);
	memcpy(first, a, KEY_LEN);
	memcpy(second, b, KEY_LEN);
	crypto_wipe(a, sizeof(a));
	crypto_wipe(b, sizeof(b));
}

/* ---- the IK pattern, for any prologue and payload ------------------------------------------- */

static void start(struct noise_handshake *hs, const void *prologue, size_t len,
		  const uint8_t responder[static KEY_LEN])
{
	memset(hs, 0, sizeof(*hs));
	static_assert(sizeof(protocol_name) - 1 <= HASH_LEN, "a longer name would be hashed");
	memcpy(hs->hash, protocol_name, sizeof(protocol_name) - 1);
	memcpy(hs->chaining_key, hs->hash, HASH_LEN);
	mix_hash(hs, prologue, len);
	mix_hash(hs, responder, KEY_LEN);
}

/* Where the three parts of a message are: the public key, the sealed static key, the payload. */
struct first_out {
	uint8_t *ephemeral, *static_key, *payload;
};
struct first_in {
	const uint8_t *ephemeral, *static_key, *payload;
};

/* -> e, es, s, ss, payload. hs->ephemeral and hs->remote_static are set. */
MUST_CHECK static bool write_first(struct noise_handshake *hs, const struct noise_keypair *local,
				   const struct first_out *out, const struct bytes *payload)
{
	uint8_t key[KEY_LEN];
	bool ok;

	memcpy(out->ephemeral, hs->ephemeral.pub, KEY_LEN);
	mix_hash(hs, out->ephemeral, KEY_LEN);
	ok = mix_dh(hs, key, hs->ephemeral.priv, hs->remote_static);
	if (ok) {
		encrypt_and_hash(hs, key, out->static_key, local->pub, KEY_LEN);
		ok = mix_dh(hs, key, local->priv, hs->remote_static);
	}
	if (ok)
		encrypt_and_hash(hs, key, out->payload, payload->data, payload->len);
	crypto_wipe(key, sizeof(key));
	return ok;
}

/* len: of the sealed payload. */
MUST_CHECK static bool read_first(struct noise_handshake *hs, const struct noise_keypair *local,
				  const struct first_in *in, uint8_t *payload, size_t len)
{
	uint8_t key[KEY_LEN];
	bool ok;

	memcpy(hs->remote_ephemeral, in->ephemeral, KEY_LEN);
	mix_hash(hs, in->ephemeral, KEY_LEN);
	ok = mix_dh(hs, key, local->priv, hs->remote_ephemeral) &&
	     decrypt_and_hash(hs, key, hs->remote_static, in->static_key, KEY_LEN + TAG_LEN) &&
	     mix_dh(hs, key, local->priv, hs->remote_static) &&
	     decrypt_and_hash(hs, key, payload, in->payload, len);
	crypto_wipe(key, sizeof(key));
	return ok;
}

/* <- e, ee, se, payload. hs->ephemeral is set; wiped keys and handshake are the caller's affair. */
MUST_CHECK static bool write_second(struct noise_handshake *hs, uint8_t ephemeral[static KEY_LEN],
				    uint8_t *out, const struct bytes *payload)
{
	uint8_t key[KEY_LEN];
	bool ok;

	memcpy(ephemeral, hs->ephemeral.pub, KEY_LEN);
	mix_hash(hs, ephemeral, KEY_LEN);
	ok = mix_dh(hs, key, hs->ephemeral.priv, hs->remote_ephemeral) &&
	     mix_dh(hs, key, hs->ephemeral.priv, hs->remote_static);
	if (ok)
		encrypt_and_hash(hs, key, out, payload->data, payload->len);
	crypto_wipe(key, sizeof(key));
	return ok;
}

MUST_CHECK static bool read_second(struct noise_handshake *hs, const struct noise_keypair *local,
				   const uint8_t ephemeral[static KEY_LEN], uint8_t *payload,
				   const struct bytes *sealed)
{
	uint8_t key[KEY_LEN];
	bool ok;

	memcpy(hs->remote_ephemeral, ephemeral, KEY_LEN);
	mix_hash(hs, ephemeral, KEY_LEN);
	ok = mix_dh(hs, key, hs->ephemeral.priv, hs->remote_ephemeral) &&
	     mix_dh(hs, key, local->priv, hs->remote_ephemeral) &&
	     decrypt_and_hash(hs, key, payload, sealed->data, sealed->len);
	crypto_wipe(key, sizeof(key));
	return ok;
}

/* ---- the control channel's messages --------------------------------------------------------- */

static void start_control(struct noise_handshake *hs, uint64_t network,
			  const uint8_t responder[static KEY_LEN])
{
	enum {
		NAME_LEN = sizeof(NOISE_PROLOGUE) - 1
	};
	uint8_t prologue[NAME_LEN + sizeof(le64)];
	le64 id = le64_of(network);

	memcpy(prologue, NOISE_PROLOGUE, NAME_LEN);
	memcpy(prologue + NAME_LEN, &id, sizeof(id));
	start(hs, prologue, sizeof(prologue), responder);
}

static void generate(struct noise_keypair *pair)
{
	x25519_generate(pair->priv);
	x25519_public(pair->pub, pair->priv);
}

bool noise_initiation_create(struct noise_handshake *hs, struct message_initiation *msg,
			     const struct noise_keypair *local,
			     const uint8_t remote[static KEY_LEN], uint64_t network,
			     const uint8_t timestamp[static 12])
{
	const struct first_out out = {msg->ephemeral, msg->static_key, msg->timestamp};

	start_control(hs, network, remote);
	memcpy(hs->remote_static, remote, KEY_LEN);
	generate(&hs->ephemeral);
	return write_first(hs, local, &out, &BYTES(timestamp, 12));
}

bool noise_initiation_consume(struct noise_handshake *hs, const struct message_initiation *msg,
			      const struct noise_keypair *local, uint64_t network,
			      uint8_t timestamp[static 12])
{
	const struct first_in in = {msg->ephemeral, msg->static_key, msg->timestamp};

	start_control(hs, network, local->pub);
	return read_first(hs, local, &in, timestamp, sizeof(msg->timestamp));
}

bool noise_response_create(struct noise_handshake *hs, struct message_response *msg,
			   struct noise_keys *keys)
{
	bool ok;

	generate(&hs->ephemeral);
	ok = write_second(hs, msg->ephemeral, msg->empty, &BYTES(NULL, 0));
	if (ok)
		split(hs, keys->receive, keys->send);
	crypto_wipe(hs, sizeof(*hs));
	return ok;
}

bool noise_response_consume(struct noise_handshake *hs, const struct message_response *msg,
			    const struct noise_keypair *local, struct noise_keys *keys)
{
	/* On a copy: whoever guesses our index must not be able to spoil the handshake. */
	struct noise_handshake attempt = *hs;
	uint8_t nothing[1];
	bool ok = read_second(&attempt, local, msg->ephemeral, nothing,
			      &BYTES(msg->empty, sizeof(msg->empty)));

	if (ok) {
		split(&attempt, keys->send, keys->receive);
		crypto_wipe(hs, sizeof(*hs));
	}
	crypto_wipe(&attempt, sizeof(attempt));
	return ok;
}
