/* BIND messages from anybody, raw and with a right MAC. */
#include <stdlib.h>
#include <string.h>

#include "proto/bind.h"
#include "proto/lengths.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bind_challenger challenger;
	static const uint8_t key[KEY_LEN] = {1};
	static bool started;
	struct message_bind msg, made;
	struct net_addr from = {{0}, 1};
	uint8_t token[NONCE_LEN];

	if (!started) {
		crypto_start();
		bind_challenger_init(&challenger);
		started = true;
	}
	if (size != sizeof(msg) || message_type_of(data, size) < MESSAGE_BIND)
		return 0;
	memcpy(&msg, data, sizeof(msg));
	memcpy(from.ip, msg.mac, sizeof(from.ip));
	bind_make(&made, (enum message_type)data[0], msg.session, le64_get(msg.counter), msg.token,
		  key);
	if (!bind_valid(&made, key))
		abort();
	/* What is valid is what bind_make makes, byte for byte. */
	if (bind_valid(&msg, key) && memcmp(&msg, &made, sizeof(msg)) != 0)
		abort();
	/* A token nobody made does not hold; one that was made does. */
	if (bind_token_valid(&challenger, &msg, &from, le64_get(msg.counter)))
		abort();
	bind_token(&challenger, token, &made, &from, 5000);
	memcpy(made.token, token, sizeof(token));
	if (!bind_token_valid(&challenger, &made, &from, 5000))
		abort();
	return 0;
}
