/*
 * How the kernel spreads senders over a port's sockets: sockets opened as workers open theirs, and
 * one datagram from each of so many senders, as often as asked. A line a draw: how many each socket
 * got.
 *
 *   even SOCKETS SENDERS DRAWS apart|together
 *
 * apart: senders of random addresses (of 127.0.0.0/8) and ports; together: all behind one address,
 * with random ports, as behind a carrier's NAT.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "proto/crypto.h"
#include "relay/udp.h"

enum {
	SOCKETS_MAX = 64,
	AT_ONCE = 500, /* datagrams that a receive queue surely holds */
	TRIES = 100,
};

static int sockets[SOCKETS_MAX];
static unsigned count, got[SOCKETS_MAX];
static uint16_t port;

static unsigned number(const char *text, uint64_t most)
{
	uint64_t n;

	if (!text_u64(text, 1, most, &n))
		fatalx("usage: even SOCKETS SENDERS DRAWS apart|together");
	return (unsigned)n;
}

static void open_sockets(void)
{
	struct net_addr any = {0};

	for (unsigned i = 0; i < count; i++) {
		sockets[i] = udp_open(&any, i ? UDP_NEXT : UDP_FIRST);
		if (sockets[i] < 0)
			fatalx("a socket");
		any.port = udp_port(sockets[i]);
	}
	port = any.port;
}

static void take(void)
{
	uint8_t data[4];

	for (unsigned i = 0; i < count; i++)
		while (recv(sockets[i], data, sizeof(data), MSG_DONTWAIT) >= 0)
			got[i]++;
}

static void send_one(bool apart)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), tries = 0;
	struct sockaddr_in from = {.sin_family = AF_INET};

	if (fd < 0)
		fatal("socket");
	do {
		uint32_t address = apart ? crypto_random_u32() & 0xffffff : 2;

		from.sin_addr.s_addr = htonl(0x7f000000 | address);
		from.sin_port = htons((uint16_t)(1024 + crypto_random_u32() % 64512));
	} while (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 && ++tries < TRIES);
	if (sendto(fd, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)) != 1)
		fatal("sendto");
	close(fd);
}

static void draw(unsigned senders, bool apart)
{
	unsigned sum = 0;

	memset(got, 0, sizeof(got));
	for (unsigned i = 0; i < senders; i++) {
		send_one(apart);
		if (i % AT_ONCE == AT_ONCE - 1)
			take();
	}
	take();
	for (unsigned i = 0; i < count; i++) {
		printf("%u%s", got[i], i + 1 < count ? " " : "\n");
		sum += got[i];
	}
	if (sum != senders)
		fatalx("%u of %u datagrams came", sum, senders);
}

int main(int argc, char **argv)
{
	log_init("even", LOG_LEVEL_INFO);
	crypto_start();
	if (argc != 5)
		fatalx("usage: even SOCKETS SENDERS DRAWS apart|together");
	count = number(argv[1], SOCKETS_MAX);
	open_sockets();
	for (unsigned i = number(argv[3], 1000000); i > 0; i--)
		draw(number(argv[2], 60000), strcmp(argv[4], "apart") == 0);
	return 0;
}
