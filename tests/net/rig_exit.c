/*
 * A fake exit: answers fake WireGuard handshakes, counts what arrives by index, and sends `reflect`
 * datagrams back for each. Commands on stdin, one JSON line on stdout for each: stats | reflect N |
 * indices | quit. `indices` has, per initiation it answered: the client's index; packets and bytes
 * of transport received; packets and bytes sent, the answer included.
 *
 *   rig_exit DESCRIPTOR_OUT ADDR:PORT     writes a signed descriptor for itself, WireGuard at PORT,
 *                                         control at PORT + 1
 *   rig_exit -d DESCRIPTOR_OUT ADDR:PORT  writes it and ends
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "proto/descriptor.h"
#include "proto/lengths.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/rig.h"

enum {
	INDICES_MAX = 1 << 17,
	BATCH = 64
};

struct flow {
	uint32_t ours, theirs;
	uint64_t packets, bytes, sent_packets, sent_bytes;
};

static struct flow flows[INDICES_MAX];
static uint32_t flow_count;
static struct table *by_index;
static uint64_t packets, bytes, sent_packets, sent_bytes, initiations;
static unsigned reflect;
static int fd;

static void answer(const void *msg, size_t len, const struct sockaddr_in6 *to, struct flow *f)
{
	if (sendto(fd, msg, len, 0, (const struct sockaddr *)to, sizeof(*to)) != (ssize_t)len)
		return;
	sent_packets++;
	sent_bytes += len;
	f->sent_packets++;
	f->sent_bytes += len;
}

static void shake(const struct message_initiation *msg, const struct sockaddr_in6 *from)
{
	struct message_response response;
	struct flow *f = &flows[flow_count];

	initiations++;
	if (flow_count == INDICES_MAX)
		return;
	f->ours = crypto_random_u32();
	f->theirs = le32_get(msg->sender);
	if (!table_put(by_index, &f->ours, flow_count++))
		fatalx("index table full");
	fakewg_response(&response, f->ours, f->theirs);
	answer(&response, sizeof(response), from, f);
}

static void take(uint8_t *msg, size_t len, const struct sockaddr_in6 *from)
{
	struct message_transport *t = (struct message_transport *)msg;
	enum message_type type = message_type_of(msg, len);
	uint32_t index = le32_get(t->receiver), slot;

	packets++;
	bytes += len;
	if (type == MESSAGE_WG_INITIATION)
		shake((const void *)msg, from);
	if (type != MESSAGE_WG_TRANSPORT)
		return;
	slot = table_find(by_index, &index);
	if (slot == TABLE_NONE)
		return;
	flows[slot].packets++;
	flows[slot].bytes += len;
	t->receiver = le32_of(flows[slot].theirs);
	for (unsigned i = 0; i < reflect; i++)
		answer(msg, len, from, &flows[slot]);
}

static void receive_batch(void)
{
	static uint8_t slab[BATCH][2048];
	struct mmsghdr msgs[BATCH];
	struct sockaddr_in6 from[BATCH];
	struct iovec iov[BATCH];
	int n;

	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){slab[i], sizeof(slab[i])};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_name = &from[i];
		msgs[i].msg_hdr.msg_namelen = sizeof(from[i]);
	}
	n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		take(slab[i], msgs[i].msg_len, &from[i]);
}

static bool command(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin) || strncmp(line, "quit", 4) == 0)
		return false;
	if (strncmp(line, "reflect ", 8) == 0)
		reflect = (unsigned)strtoul(line + 8, NULL, 10);
	printf("{\"packets\":%lu,\"bytes\":%lu,\"sent_packets\":%lu,\"sent_bytes\":%lu,"
	       "\"initiations\":%lu",
	       packets, bytes, sent_packets, sent_bytes, initiations);
	if (strncmp(line, "indices", 7) == 0) {
		printf(",\"indices\":[");
		for (uint32_t i = 0; i < flow_count; i++)
			printf("%s[%u,%lu,%lu,%lu,%lu]", i ? "," : "", flows[i].theirs,
			       flows[i].packets, flows[i].bytes, flows[i].sent_packets,
			       flows[i].sent_bytes);
		printf("]");
	}
	printf("}\n");
	fflush(stdout);
	return true;
}

/* as_v6: an IPv4 address too goes into the IPv6 field, mapped. */
static void write_descriptor(const char *path, const struct net_addr *addr, bool as_v6)
{
	uint8_t seed[KEY_LEN], priv[KEY_LEN];
	struct identity identity;
	struct descriptor d;
	char text[DESCRIPTOR_TEXT_MAX];
	uint64_t now = clock_wall();
	struct terms_values terms = {.role = ROLE_EXIT,
				     .network = 1,
				     .window_start = 1 << 20,
				     .window_cap = 1 << 26,
				     .receipt_seconds = 30,
				     .expires = now + 86400};

	crypto_random(seed, sizeof(seed));
	identity_from_seed(&identity, seed);
	descriptor_begin(&d, 1, ROLE_EXIT, "rig-exit", now, now + 86400);
	x25519_generate(priv);
	x25519_public(d.body.control, priv);
	x25519_public(d.body.wg_key, priv);
	if (net_addr_is_v4(addr) && !as_v6)
		memcpy(d.body.ip4, addr->ip + 12, 4);
	else
		memcpy(d.body.ip6, addr->ip, 16);
	d.body.wg_port = le16_of(addr->port);
	d.body.port = le16_of((uint16_t)(addr->port + 1));
	terms_make(&d.body.exit_terms, &terms, &identity);
	memcpy(d.body.node, identity.id, KEY_LEN);
	descriptor_sign(&d, &identity);
	descriptor_to_text(text, sizeof(text), &d);
	if (file_replace(path, text, strlen(text), 0644) != 0)
		fatal("%s", path);
}

int main(int argc, char **argv)
{
	struct net_addr addr;
	struct sockaddr_in6 sa;
	int off = 0, size = 64 << 20;

	bool only = argc == 4 && strcmp(argv[1], "-d") == 0;

	log_init("rig_exit", LOG_LEVEL_INFO);
	crypto_start();
	argv += only;
	if (argc != 3 + only || !net_addr_parse(&addr, argv[2]))
		fatalx("usage: rig_exit [-d] DESCRIPTOR_OUT ADDR:PORT");
	if (only) {
		write_descriptor(argv[1], &addr, argv[2][0] == '[');
		return 0;
	}
	by_index = table_create(INDICES_MAX, sizeof(uint32_t));
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	net_addr_to_sockaddr(&sa, &addr);
	if (!by_index || fd < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fatal("socket at %s", argv[2]);
	write_descriptor(argv[1], &addr, false);
	for (;;) {
		struct pollfd p[2] = {{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			fatal("poll");
		if (p[0].revents)
			receive_batch();
		if (p[1].revents && !command())
			return 0;
	}
}
