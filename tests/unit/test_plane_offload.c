/* Joined datagrams through the whole data plane: each is judged by itself, none is lost, and those
 * of a session stay in order, whatever the path says to messages of several. */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/le.h"
#include "proto/crypto.h"
#include "tests/lib/fakewg.h"
#include "tests/lib/stage.h"

enum {
	SEGMENT = 148,
	SEGMENTS = 60,
	ROUNDS = 40,
};

int __real_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags);
int __real_setsockopt(int s, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int s, int level, int name, const void *value, socklen_t len);

static _Atomic int refuse_several;
static bool old_kernel;

int __wrap_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned good = 0;

	while (good < n && !(refuse_several && m[good].msg_hdr.msg_controllen))
		good++;
	if (good)
		return __real_sendmmsg(s, m, good, flags);
	errno = refuse_several;
	return -1;
}

int __wrap_setsockopt(int s, int level, int name, const void *value, socklen_t len)
{
	if (old_kernel && level == SOL_UDP) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(s, level, name, value, len);
}

/* What goes in one message; by session, the counter of the last datagram to come and that came. */
static uint8_t joined[SEGMENTS * SEGMENT];
static uint64_t sent[DIRECTION_COUNT][STAGE_CLIENTS], came[DIRECTION_COUNT][STAGE_CLIENTS];
static uint64_t received[DIRECTION_COUNT];
static struct net_addr upstream[STAGE_CLIENTS]; /* of its worker, as its exit sees it */

static void send_joined(const struct stage_peer *p, const struct net_addr *relay, size_t len)
{
	const uint16_t segment = SEGMENT;
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(sizeof(segment))];
	} control = {.header = {.cmsg_level = SOL_UDP,
				.cmsg_type = UDP_SEGMENT,
				.cmsg_len = CMSG_LEN(sizeof(segment))}};
	struct sockaddr_in6 to;
	struct iovec v = {joined, len};
	struct msghdr m = {.msg_name = &to,
			   .msg_namelen = sizeof(to),
			   .msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
	net_addr_to_sockaddr(&to, relay);
	assert_int_equal(sendmsg(p->fd, &m, 0), len);
}

/* A datagram of session c in its place; or, one of seven, for a session that is not there. */
static void put(uint32_t place, uint32_t c, enum relay_direction direction)
{
	const bool nobody = crypto_random_u32() % 7 == 0;
	const uint32_t index =
		direction == DIRECTION_UP ? stage_exit_index(c) : stage_client_index(c);

	fakewg_transport(joined + place * SEGMENT, nobody ? 0x12345678 : index,
			 nobody ? 0 : ++sent[direction][c]);
}

static void count_sent(enum relay_direction direction, size_t len)
{
	stage.sent_packets[direction] += SEGMENTS;
	stage.sent_bytes[direction] += len;
}

/* From an exit, to all its clients at the worker of one: runs of one, two or three to each. */
static void send_mixed_down(uint32_t first)
{
	const size_t len = sizeof(joined) - crypto_random_u32() % (SEGMENT - WG_TRANSPORT_MIN);
	const uint32_t exit = first % STAGE_EXITS, run = 1 + crypto_random_u32() % 3;
	uint32_t to[STAGE_CLIENTS], count = 0;

	for (uint32_t i = exit; i < STAGE_CLIENTS; i += STAGE_EXITS)
		if (stage.clients[i].worker == stage.clients[first].worker)
			to[count++] = i;
	for (uint32_t i = 0; i < SEGMENTS; i++)
		put(i, to[i / run % count], DIRECTION_DOWN);
	send_joined(&stage.exits[exit], &upstream[first], len);
	count_sent(DIRECTION_DOWN, len);
}

static void send_up(uint32_t c)
{
	const size_t len = sizeof(joined) - crypto_random_u32() % (SEGMENT - WG_TRANSPORT_MIN);
	struct net_addr relay = stage.clients[c].addr;

	relay.port = plane_port(stage.plane);
	for (uint32_t i = 0; i < SEGMENTS; i++)
		put(i, c, DIRECTION_UP);
	send_joined(&stage.clients[c], &relay, len);
	count_sent(DIRECTION_UP, len);
}

/* Every datagram is the next one of its session. */
static void drain(const struct stage_peer *p, enum relay_direction direction)
{
	const uint32_t first =
		direction == DIRECTION_UP ? stage_exit_index(0) : stage_client_index(0);
	uint8_t buffer[STAGE_BUFFER];
	ssize_t n;

	while ((n = recv(p->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0) {
		const struct message_transport *t = (const void *)buffer;
		const uint32_t c = le32_get(t->receiver) - first;

		assert_in_range(c, 0, STAGE_CLIENTS - 1);
		came[direction][c]++;
		assert_int_equal(le64_get(t->counter), came[direction][c]);
		received[direction] += (uint64_t)n;
	}
}

static void assert_all_came(void)
{
	STAGE_WAIT(stage_all_in());
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
		drain(&stage.clients[i], DIRECTION_DOWN);
	for (uint32_t i = 0; i < STAGE_EXITS; i++)
		drain(&stage.exits[i], DIRECTION_UP);
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
		for (int d = 0; d < DIRECTION_COUNT; d++)
			assert_int_equal(came[d][i], sent[d][i]);
}

static void assert_books(const struct relay_counters *before)
{
	const struct relay_counters c = stage_counters();
	uint64_t billed[DIRECTION_COUNT] = {0};

	stage_assert_balance();
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
		const struct plane_session s = stage_retire(i);

		billed[DIRECTION_UP] += s.up - STAGE_INITIATION;
		billed[DIRECTION_DOWN] += s.down - STAGE_RESPONSE;
		for (int d = 0; d < DIRECTION_COUNT; d++)
			assert_int_equal(d == DIRECTION_UP ? s.packets_up : s.packets_down,
					 came[d][i] + 1);
	}
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		assert_int_equal(c.out[d].bytes - before->out[d].bytes, received[d]);
		assert_int_equal(billed[d], received[d]);
		assert_int_equal(c.drop[d][DROP_send_failed].packets, 0);
		assert_true(c.drop[d][DROP_unknown_index].packets > 0);
	}
}

static void open_session(uint32_t i)
{
	stage_open_session(i, UINT64_MAX, UINT64_MAX);
	upstream[i] = stage.exits[i % STAGE_EXITS].last_from;
}

/* refuse: 0 or the errno that messages of several end with, from half-way on. */
static void carry_joined(unsigned workers, int refuse)
{
	struct relay_counters before, after;
	uint64_t in, out;

	memset(sent, 0, sizeof(sent));
	memset(came, 0, sizeof(came));
	memset(received, 0, sizeof(received));
	stage_open(workers);
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
		open_session(i);
	before = stage_counters();
	for (int round = 0; round < ROUNDS; round++) {
		if (round == ROUNDS / 2)
			refuse_several = refuse;
		for (uint32_t i = 0; i < STAGE_CLIENTS; i++) {
			send_mixed_down(i);
			send_up(i);
		}
		assert_all_came();
	}
	refuse_several = 0;
	after = stage_counters();
	in = after.messages_in - before.messages_in;
	out = after.messages_out - before.messages_out;
	assert_int_equal(in, ROUNDS * 2 * STAGE_CLIENTS * (old_kernel ? SEGMENTS : 1));
	if (old_kernel)
		assert_int_equal(out, after.out[DIRECTION_UP].packets -
					      before.out[DIRECTION_UP].packets +
					      after.out[DIRECTION_DOWN].packets -
					      before.out[DIRECTION_DOWN].packets);
	else if (!refuse)
		assert_true(out < in * SEGMENTS / 5);
	/* On each worker, towards each exit it sends to and each of its clients, once. */
	assert_true(refuse ? after.offload_refused >= STAGE_CLIENTS + STAGE_EXITS &&
				     after.offload_refused <= STAGE_CLIENTS + STAGE_EXITS * workers
			   : after.offload_refused == 0);
	assert_books(&before);
	stage_close();
}

static void test_joined(void **state)
{
	(void)state;
	carry_joined(1, 0);
	carry_joined(2, 0);
}

static void test_refused(void **state)
{
	(void)state;
	carry_joined(1, EINVAL);
	carry_joined(2, EMSGSIZE);
	carry_joined(1, EIO);
}

/* What the kernel takes of neither kind is dropped by name, and billed to nobody. */
static void test_not_taken(void **state)
{
	struct relay_counters before, after;
	struct plane_session s;

	(void)state;
	stage_open(1);
	open_session(0);
	before = stage_counters();
	refuse_several = EPERM;
	memset(joined, 0, sizeof(joined));
	for (uint32_t i = 0; i < SEGMENTS; i++)
		fakewg_transport(joined + i * SEGMENT, stage_client_index(0), i);
	send_joined(&stage.exits[0], &upstream[0], sizeof(joined));
	count_sent(DIRECTION_DOWN, sizeof(joined));
	STAGE_WAIT(stage_all_in());
	refuse_several = 0;
	after = stage_counters();
	stage_assert_balance();
	assert_int_equal(after.out[DIRECTION_DOWN].packets, before.out[DIRECTION_DOWN].packets);
	assert_int_equal(after.drop[DIRECTION_DOWN][DROP_send_failed].packets, SEGMENTS);
	assert_int_equal(after.offload_refused, 0);
	s = stage_retire(0);
	assert_int_equal(s.down, STAGE_RESPONSE);
	assert_int_equal(s.packets_down, 1);
	stage_close();
}

/* More at once than one sendmmsg takes. */
static void test_more_than_fits(void **state)
{
	(void)state;
	memset(sent, 0, sizeof(sent));
	memset(came, 0, sizeof(came));
	stage_open(1);
	for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
		open_session(i);
	for (int round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < 4 * STAGE_CLIENTS; i++) {
			send_mixed_down(i % STAGE_CLIENTS);
			send_up(i % STAGE_CLIENTS);
		}
		assert_all_came();
	}
	stage_assert_balance();
	stage_close();
}

static void test_old_kernel(void **state)
{
	(void)state;
	old_kernel = true;
	carry_joined(2, 0);
	old_kernel = false;
}

static void test_means(void **state)
{
	(void)state;
	for (int old = 0; old < 2; old++) {
		struct plane_means m;

		old_kernel = old;
		stage_open(1);
		m = plane_means(stage.plane);
		assert_int_equal(m.offload.receive, !old);
		assert_int_equal(m.offload.send, !old);
		stage_close();
	}
	old_kernel = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joined),     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_taken),  cmocka_unit_test(test_more_than_fits),
		cmocka_unit_test(test_old_kernel), cmocka_unit_test(test_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
