/* Keys on disk: one base64 line, as `wg genkey` writes them; mode 0600, owner-only or refused. */
#ifndef CONFIG_KEYFILE_H
#define CONFIG_KEYFILE_H

#include "config/config.h"
#include "proto/crypto.h"

/* A private key or seed. On false error holds "PATH: what; what to do". Never follows links. */
MUST_CHECK bool keyfile_read(uint8_t key[static KEY_LEN], const char *path,
			     char error[static CONFIG_ERROR_MAX]);
/* Makes a new one (X25519-clamped if clamp); refuses to overwrite. */
MUST_CHECK bool keyfile_create(uint8_t key[static KEY_LEN], const char *path, bool clamp,
			       char error[static CONFIG_ERROR_MAX]);

/* A descriptor file: text form, signature and expiry checked (now_s 0: not expiry). */
struct descriptor;
MUST_CHECK bool descriptor_file_read(struct descriptor *out, const char *path, uint64_t network,
				     uint64_t now_s, char error[static CONFIG_ERROR_MAX]);

#endif
