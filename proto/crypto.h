/*
 * All cryptography, on libsodium and libb2; nothing else includes their headers. Pure apart from
 * randomness. Sizes are in the types. Secrets are compared in constant time and wiped by their
 * owner.
 */
#ifndef PROTO_CRYPTO_H
#define PROTO_CRYPTO_H

#include "proto/messages.h"

/* Once per process, before anything else: fatal if libsodium cannot start. */
void crypto_start(void);

void crypto_random(void *out, size_t len);
uint32_t crypto_random_u32(void);
void crypto_wipe(void *p, size_t len);
/* Constant time. */
MUST_CHECK bool crypto_equal(const void *a, const void *b, size_t len);
MUST_CHECK bool crypto_is_zero(const void *p, size_t len);

/* Locked, guarded memory for long-lived secrets (sodium_malloc); fatal when it cannot be had. */
void *crypto_secret_alloc(size_t len);
void crypto_secret_free(void *p);

/* ---- Ed25519 identities: a 32-byte seed is the private key on disk ---- */
struct identity {
	uint8_t id[KEY_LEN]; /* public key: node id or payer id */
	uint8_t secret[64];
};
void identity_from_seed(struct identity *out, const uint8_t seed[static KEY_LEN]);
void identity_sign(uint8_t sig[static SIGNATURE_LEN], const void *msg, size_t len,
		   const struct identity *by);
/* RFC 8032, refusing non-canonical S and small-order keys. */
MUST_CHECK bool identity_verify(const uint8_t sig[static SIGNATURE_LEN], const void *msg,
				size_t len, const uint8_t id[static KEY_LEN]);

/* ---- X25519: control and WireGuard keys ---- */
void x25519_public(uint8_t pub[static KEY_LEN], const uint8_t priv[static KEY_LEN]);
/* False on an all-zero result (small-order point). */
MUST_CHECK bool x25519(uint8_t out[static KEY_LEN], const uint8_t priv[static KEY_LEN],
		       const uint8_t pub[static KEY_LEN]);
/* A fresh clamped private key. */
void x25519_generate(uint8_t priv[static KEY_LEN]);

/* ---- hashes and MACs ---- */
/* BLAKE2b-256. */
void hash256(uint8_t out[static KEY_LEN], const void *msg, size_t len);
/* BLAKE2b-128 keyed with 32 bytes. */
void mac128(uint8_t out[static MAC_LEN], const uint8_t key[static KEY_LEN], const void *msg,
	    size_t len);
/* Keyed BLAKE2s-128 and BLAKE2s-256 as WireGuard's mac1 uses them (libb2). */
void wg_mac1_key(uint8_t key[static KEY_LEN], const uint8_t peer_public[static KEY_LEN]);
void wg_mac128(uint8_t out[static MAC_LEN], const uint8_t key[static KEY_LEN], const void *msg,
	       size_t len);
/* A run of bytes: hashes take several without a copy. */
struct bytes {
	const void *data;
	size_t len;
};
/* SHA-256 over count parts one after another: what RFC 6962 trees are made of. */
void sha256(uint8_t out[static KEY_LEN], const struct bytes *parts, size_t count);

/* ---- for Noise and the cookie ---- */
#define HASH_LEN 64
/* BLAKE2b-512, unkeyed, over count parts one after another. */
void hash512(uint8_t out[static HASH_LEN], const struct bytes *parts, size_t count);
/*
 * ChaCha20-Poly1305 (RFC 8439), nonce: four zero bytes and the counter as le64, as Noise has it.
 * Seals len bytes of plain into len + TAG_LEN of out; plain may be out.
 */
void aead_seal(uint8_t *out, const uint8_t key[static KEY_LEN], uint64_t counter,
	       const struct bytes *ad, const void *plain, size_t len);
/* Opens len bytes (tag included) into len - TAG_LEN of out; false, and out untrue, if forged. */
MUST_CHECK bool aead_open(uint8_t *out, const uint8_t key[static KEY_LEN], uint64_t counter,
			  const struct bytes *ad, const void *sealed, size_t len);
/* XChaCha20-Poly1305 with a random 24-byte nonce, of one MAC_LEN secret: a cookie. */
void cookie_seal(uint8_t out[static MAC_LEN + TAG_LEN], const uint8_t key[static KEY_LEN],
		 const uint8_t nonce[static 24], const struct bytes *ad,
		 const uint8_t cookie[static MAC_LEN]);
MUST_CHECK bool cookie_open(uint8_t cookie[static MAC_LEN], const uint8_t key[static KEY_LEN],
			    const uint8_t nonce[static 24], const struct bytes *ad,
			    const uint8_t sealed[static MAC_LEN + TAG_LEN]);

/* ---- text forms: 44-character base64, as WireGuard writes keys ---- */
#define KEY_TEXT 45
const char *key_to_base64(char out[static KEY_TEXT], const uint8_t key[static KEY_LEN]);
MUST_CHECK bool key_from_base64(uint8_t key[static KEY_LEN], const char *text);
/* Any bytes; out must hold CRYPTO_BASE64_LEN(n). The decoder returns the length or -1. */
#define CRYPTO_BASE64_LEN(n) (((n) + 2) / 3 * 4 + 1)
const char *bytes_to_base64(char *out, size_t out_len, const void *bytes, size_t n);
MUST_CHECK ssize_t bytes_from_base64(void *out, size_t max, const char *text);

#endif
