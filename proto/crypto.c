#include "proto/crypto.h"

#include <blake2.h>
#include <sodium.h>
#include <string.h>

#include "base/log.h"

void crypto_start(void)
{
	if (sodium_init() < 0)
		fatalx("libsodium cannot start: no source of randomness");
}

void crypto_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

uint32_t crypto_random_u32(void)
{
	return randombytes_random();
}

void crypto_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool crypto_is_zero(const void *p, size_t len)
{
	return sodium_is_zero(p, len) == 1;
}

void *crypto_secret_alloc(size_t len)
{
	void *p = sodium_malloc(len);

	if (!p)
		fatal("no guarded memory for %zu secret bytes; raise LimitMEMLOCK", len);
	return p;
}

void crypto_secret_free(void *p)
{
	sodium_free(p);
}

void identity_from_seed(struct identity *out, const uint8_t seed[static KEY_LEN])
{
	crypto_sign_seed_keypair(out->id, out->secret, seed);
}

void identity_sign(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
		   const struct identity *by)
{
	crypto_sign_detached(sig, NULL, msg, len, by->secret);
}

bool identity_verify(const uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
		     const uint8_t id[static KEY_LEN])
{
	return crypto_sign_verify_detached(sig, msg, len, id) == 0;
}

void x25519_public(uint8_t pub[static KEY_LEN], const uint8_t priv[static KEY_LEN])
{
	crypto_scalarmult_base(pub, priv);
}

bool x25519(uint8_t out[static KEY_LEN], const uint8_t priv[static KEY_LEN],
	    const uint8_t pub[static KEY_LEN])
{
	return crypto_scalarmult(out, priv, pub) == 0;
}

void x25519_generate(uint8_t priv[static KEY_LEN])
{
	randombytes_buf(priv, KEY_LEN);
	priv[0] &= 248;
	priv[31] = (uint8_t)((priv[31] & 127) | 64);
}

void hash256(uint8_t out[static KEY_LEN], const void *msg, size_t len)
{
	crypto_generichash(out, KEY_LEN, msg, len, NULL, 0);
}

void mac128(uint8_t out[static MAC_LEN], const uint8_t key[static KEY_LEN], const void *msg,
	    size_t len)
{
	crypto_generichash(out, MAC_LEN, msg, len, key, KEY_LEN);
}

void wg_mac1_key(uint8_t key[static KEY_LEN], const uint8_t peer_public[static KEY_LEN])
{
	static const char label[] = "mac1----"; /* LABEL-MAC1 of the WireGuard paper */
	uint8_t msg[8 + KEY_LEN];

	memcpy(msg, label, 8);
	memcpy(msg + 8, peer_public, KEY_LEN);
	blake2s(key, msg, NULL, KEY_LEN, sizeof(msg), 0);
}

void wg_mac128(uint8_t out[static MAC_LEN], const uint8_t key[static KEY_LEN], const void *msg,
	       size_t len)
{
	blake2s(out, msg, key, MAC_LEN, len, KEY_LEN);
}

void sha256(uint8_t out[static KEY_LEN], const struct bytes *parts, size_t count)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	for (size_t i = 0; i < count; i++)
		crypto_hash_sha256_update(&st, parts[i].data, parts[i].len);
	crypto_hash_sha256_final(&st, out);
}

void hash512(uint8_t out[static HASH_LEN], const struct bytes *parts, size_t count)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, HASH_LEN);
	for (size_t i = 0; i < count; i++)
		crypto_generichash_update(&st, parts[i].data, parts[i].len);
	crypto_generichash_final(&st, out, HASH_LEN);
	sodium_memzero(&st, sizeof(st));
}

static void counter_nonce(uint8_t nonce[static 12], uint64_t counter)
{
	le64 c = le64_of(counter);

	memset(nonce, 0, 4);
	memcpy(nonce + 4, c.b, 8);
}

void aead_seal(uint8_t *out, const uint8_t key[static KEY_LEN], uint64_t counter,
	       const struct bytes *ad, const void *plain, size_t len)
{
	uint8_t nonce[12];

	counter_nonce(nonce, counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad->data, ad->len, NULL,
						  nonce, key);
}

bool aead_open(uint8_t *out, const uint8_t key[static KEY_LEN], uint64_t counter,
	       const struct bytes *ad, const void *sealed, size_t len)
{
	uint8_t nonce[12];

	counter_nonce(nonce, counter);
	return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, ad->data,
							 ad->len, nonce, key) == 0;
}

void cookie_seal(uint8_t out[static MAC_LEN + TAG_LEN], const uint8_t key[static KEY_LEN],
		 const uint8_t nonce[static 24], const struct bytes *ad,
		 const uint8_t cookie[static MAC_LEN])
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, cookie, MAC_LEN, ad->data, ad->len,
						   NULL, nonce, key);
}

bool cookie_open(uint8_t cookie[static MAC_LEN], const uint8_t key[static KEY_LEN],
		 const uint8_t nonce[static 24], const struct bytes *ad,
		 const uint8_t sealed[static MAC_LEN + TAG_LEN])
{
	return crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, sealed,
							  MAC_LEN + TAG_LEN, ad->data, ad->len,
							  nonce, key) == 0;
}

const char *bytes_to_base64(char *out, size_t out_len, const void *bytes, size_t n)
{
	return sodium_bin2base64(out, out_len, bytes, n, sodium_base64_VARIANT_ORIGINAL);
}

ssize_t bytes_from_base64(void *out, size_t max, const char *text)
{
	size_t n;
	const char *end;

	if (sodium_base642bin(out, max, text, strlen(text), NULL, &n, &end,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    *end)
		return -1;
	return (ssize_t)n;
}

const char *key_to_base64(char out[static KEY_TEXT], const uint8_t key[static KEY_LEN])
{
	return bytes_to_base64(out, KEY_TEXT, key, KEY_LEN);
}

bool key_from_base64(uint8_t key[static KEY_LEN], const char *text)
{
	return bytes_from_base64(key, KEY_LEN, text) == KEY_LEN;
}
