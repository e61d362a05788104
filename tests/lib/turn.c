#include "tests/lib/turn.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/crypto.h"

enum {
	METHOD_ALLOCATE = 0x003,
	METHOD_CHANNEL_BIND = 0x009,
	SUCCESS = 0x100,
	ATTRIBUTE_CHANNEL_NUMBER = 0x000c,
	ATTRIBUTE_LIFETIME = 0x000d,
	ATTRIBUTE_XOR_PEER_ADDRESS = 0x0012,
	ATTRIBUTE_REQUESTED_TRANSPORT = 0x0019,
	TRANSPORT_UDP = 17,
	FAMILY_IPV4 = 1,
	LIFETIME = 3600, /* seconds, the most that servers grant */
	HEADER = 20,
	TRIES = 20,
	TRY_MS = 500,
	REFUSED_MS = 100,
};

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

struct request {
	uint8_t bytes[64];
	size_t len;
};

static void put16(uint8_t *out, unsigned v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
}

static void begin(struct request *r, unsigned method)
{
	memset(r, 0, sizeof(*r));
	put16(r->bytes, method);
	memcpy(r->bytes + 4, cookie, sizeof(cookie));
	crypto_random(r->bytes + 8, 12);
	r->len = HEADER;
}

static void attribute(struct request *r, unsigned type, const void *value, size_t len)
{
	put16(r->bytes + r->len, type);
	put16(r->bytes + r->len + 2, (unsigned)len);
	memcpy(r->bytes + r->len + 4, value, len);
	r->len += 4 + len;
	put16(r->bytes + 2, (unsigned)(r->len - HEADER));
}

static bool ask(int fd, const struct request *r)
{
	uint8_t answer[1024];

	for (int i = 0; i < TRIES; i++) {
		struct pollfd p = {fd, POLLIN, 0};

		if (send(fd, r->bytes, r->len, 0) > 0 && poll(&p, 1, TRY_MS) <= 0)
			continue;
		while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) >= HEADER) {
			if (memcmp(answer + 8, r->bytes + 8, 12) == 0)
				return answer[0] << 8 == SUCCESS && answer[1] == r->bytes[1];
		}
		poll(NULL, 0, REFUSED_MS); /* nobody listens yet */
	}
	return false;
}

bool turn_allocate(int fd)
{
	const uint8_t transport[4] = {TRANSPORT_UDP};
	const uint8_t lifetime[4] = {0, 0, LIFETIME >> 8, LIFETIME & 0xff};
	struct request r;

	begin(&r, METHOD_ALLOCATE);
	attribute(&r, ATTRIBUTE_REQUESTED_TRANSPORT, transport, sizeof(transport));
	attribute(&r, ATTRIBUTE_LIFETIME, lifetime, sizeof(lifetime));
	return ask(fd, &r);
}

bool turn_bind(int fd, const struct net_addr *peer)
{
	const uint8_t channel[4] = {TURN_CHANNEL >> 8};
	uint8_t address[8] = {0, FAMILY_IPV4};
	struct request r;

	put16(address + 2, peer->port ^ 0x2112U);
	for (int i = 0; i < 4; i++)
		address[4 + i] = peer->ip[12 + i] ^ cookie[i];
	begin(&r, METHOD_CHANNEL_BIND);
	attribute(&r, ATTRIBUTE_CHANNEL_NUMBER, channel, sizeof(channel));
	attribute(&r, ATTRIBUTE_XOR_PEER_ADDRESS, address, sizeof(address));
	return ask(fd, &r);
}

void turn_channel_header(uint8_t out[static TURN_CHANNEL_HEADER], size_t len)
{
	put16(out, TURN_CHANNEL);
	put16(out + 2, (unsigned)len);
}
