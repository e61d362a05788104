/* Messages of several datagrams, in and out, over real sockets on loopback. */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>

#include "proto/crypto.h"
#include "relay/udp.h"
#include "tests/lib/unit.h"

enum {
	PEERS = 3,
	SLAB = 1 << 21,
	KEPT = 4096, /* datagrams a peer remembers the length of */
};

struct peer {
	int fd;
	struct net_addr addr;
	struct udp_lane lane;
	/* What was added for it and what came, in order. */
	unsigned added, came;
	struct {
		const uint8_t *data;
		uint32_t len;
	} expected[KEPT];
};

static struct udp_in in;
static struct udp_out out;
static struct peer peers[PEERS];
static int fd;
static uint8_t slab[SLAB]; /* random */
static uint32_t slab_at;

/* ---- the kernel, as it is told to be ------------------------------------------------------------
 */

int __real_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags);
ssize_t __real_sendto(int s, const void *data, size_t len, int flags, const struct sockaddr *to,
		      socklen_t to_len);
ssize_t __wrap_sendto(int s, const void *data, size_t len, int flags, const struct sockaddr *to,
		      socklen_t to_len);
int __real_setsockopt(int s, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int s, int level, int name, const void *value, socklen_t len);

static struct {
	int several;      /* errno for messages of several datagrams */
	unsigned port;    /* ... to this port only, if not 0 */
	uint16_t mtu;     /* ... whose datagrams are longer, if not 0 */
	int any;          /* errno for every message */
	int interrupted;  /* so many EINTR first */
	int single;       /* errno for a datagram sent alone after... */
	int single_after; /* ... so many */
	bool old;         /* knows neither option */
	unsigned calls, refused, singles, largest;
} kernel;

static bool refuses(const struct msghdr *m)
{
	const struct sockaddr_in6 *to = m->msg_name;
	uint16_t segment;

	if (kernel.any || !kernel.several || !m->msg_controllen)
		return kernel.any;
	memcpy(&segment, CMSG_DATA((const struct cmsghdr *)m->msg_control), sizeof(segment));
	return (!kernel.port || ntohs(to->sin6_port) == kernel.port) && segment > kernel.mtu;
}

int __wrap_sendmmsg(int s, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned good = 0;

	kernel.calls++;
	if (kernel.interrupted-- > 0) {
		errno = EINTR;
		return -1;
	}
	for (unsigned i = 0; i < n; i++)
		if (m[i].msg_hdr.msg_iovlen > kernel.largest)
			kernel.largest = (unsigned)m[i].msg_hdr.msg_iovlen;
	while (good < n && !refuses(&m[good].msg_hdr))
		good++;
	if (good)
		return __real_sendmmsg(s, m, good, flags);
	kernel.refused++;
	errno = kernel.any ? kernel.any : kernel.several;
	return -1;
}

ssize_t __wrap_sendto(int s, const void *data, size_t len, int flags, const struct sockaddr *to,
		      socklen_t to_len)
{
	kernel.singles++;
	if (kernel.single && kernel.single_after-- <= 0) {
		errno = kernel.single;
		return -1;
	}
	return __real_sendto(s, data, len, flags, to, to_len);
}

int __wrap_setsockopt(int s, int level, int name, const void *value, socklen_t len)
{
	if (kernel.old && level == SOL_UDP && (name == UDP_GRO || name == UDP_SEGMENT)) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(s, level, name, value, len);
}

/* ---- sockets ------------------------------------------------------------------------------------
 */

static struct net_addr local(const char *ip, int socket)
{
	struct net_addr a;
	uint8_t bits;

	assert_true(net_prefix_parse(&a, &bits, ip));
	a.port = socket < 0 ? 0 : udp_port(socket);
	return a;
}

static void open_all(const char *ip)
{
	struct net_addr any = local(ip, -1);
	struct udp_offload offload;

	fd = udp_open(&any, UDP_ALONE);
	assert_true(fd >= 0);
	offload = udp_offload(fd);
	assert_int_equal(offload.receive, !kernel.old);
	assert_int_equal(offload.send, !kernel.old);
	memset(&in, 0, sizeof(in));
	memset(&out, 0, sizeof(out));
	udp_in_init(&in, offload.receive);
	udp_out_init(&out, offload.send);
	for (int i = 0; i < PEERS; i++) {
		memset(&peers[i], 0, sizeof(peers[i]));
		peers[i].fd = udp_open(&any, UDP_ALONE);
		assert_true(peers[i].fd >= 0);
		peers[i].addr = local(ip, peers[i].fd);
	}
	slab_at = 0;
}

static void close_all(void)
{
	for (int i = 0; i < PEERS; i++)
		close(peers[i].fd);
	close(fd);
	memset(&kernel, 0, sizeof(kernel));
}

static int set_up(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	crypto_random(slab, sizeof(slab));
	open_all("127.0.0.1");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_all();
	return 0;
}

/* ---- out ----------------------------------------------------------------------------------------
 */

/* Adds what lies next in the slab, `gap` bytes on; not expected at its peer yet. */
static struct datagram add(struct peer *p, uint32_t len, uint32_t gap)
{
	struct datagram d = {.data = slab + slab_at + gap, .len = len};

	slab_at += gap + len;
	assert_true(slab_at <= SLAB && !udp_full(&out));
	udp_add(&out, &p->lane, &p->addr, &d);
	return d;
}

static void expect(struct peer *p, const struct datagram *d)
{
	p->expected[p->added].data = d->data;
	p->expected[p->added++].len = d->len;
}

static void give(struct peer *p, uint32_t len, uint32_t gap)
{
	const struct datagram d = add(p, len, gap);

	expect(p, &d);
}

/* Every peer has just what was expected, in order. */
static void assert_came(void)
{
	static uint8_t buffer[UDP_BUFFER];

	for (struct peer *p = peers; p < peers + PEERS; p++) {
		ssize_t n;

		while ((n = recv(p->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0) {
			assert_true(p->came < p->added);
			assert_int_equal(n, p->expected[p->came].len);
			assert_memory_equal(buffer, p->expected[p->came].data, (size_t)n);
			p->came++;
		}
		assert_int_equal(p->came, p->added);
	}
}

static void assert_sent(unsigned count)
{
	udp_send(fd, &out);
	for (unsigned i = 0; i < count; i++)
		assert_true(out.sent[i]);
	assert_int_equal(out.messages, 0);
	assert_int_equal(out.datagrams, 0);
	assert_came();
}

static void test_run_is_one_message(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		give(&peers[0], 1452, 0);
	assert_int_equal(out.messages, 1);
	assert_int_equal(out.headers[0].msg_hdr.msg_iovlen, 1); /* adjacent */
	for (int i = 0; i < 8; i++)
		give(&peers[1], 148, 4);
	assert_int_equal(out.messages, 2);
	assert_int_equal(out.headers[1].msg_hdr.msg_iovlen, 8);
	assert_sent(16);
	assert_int_equal(kernel.calls, 1);
}

static void test_short_tail_closes(void **state)
{
	(void)state;
	give(&peers[0], 1000, 0);
	give(&peers[0], 1000, 0);
	give(&peers[0], 400, 0);
	assert_int_equal(out.messages, 1);
	give(&peers[0], 400, 0); /* behind a tail nothing goes */
	assert_int_equal(out.messages, 2);
	give(&peers[0], 401, 0); /* longer than the first */
	assert_int_equal(out.messages, 3);
	give(&peers[0], 1, 0);
	assert_int_equal(out.messages, 3);
	assert_sent(6);
}

static void test_interleaved_destinations(void **state)
{
	(void)state;
	for (int i = 0; i < 90; i++)
		give(&peers[i % PEERS], 500, 0);
	assert_int_equal(out.messages, PEERS);
	assert_int_equal(out.headers[0].msg_hdr.msg_iovlen, 30);
	assert_sent(90);
}

static void test_most_segments(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 3 * UDP_SEGMENTS + 2; i++)
		give(&peers[0], 100, i % 2);
	assert_int_equal(out.messages, 4);
	assert_sent(3 * UDP_SEGMENTS + 2);
}

static void test_most_bytes(void **state)
{
	const uint32_t lengths[] = {2048, 1452, 1300, 1024, 1016, 1015};

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(lengths); n++) {
		for (int i = 0; i < 140; i++)
			give(&peers[0], lengths[n], 0);
		for (unsigned i = 0; i < out.messages; i++) {
			size_t bytes = out.headers[i].msg_hdr.msg_iov[0].iov_len;

			assert_int_equal(out.headers[i].msg_hdr.msg_iovlen, 1);
			assert_true(bytes <= UDP_MESSAGE_BYTES);
			assert_true(bytes <= UDP_SEGMENTS * lengths[n]);
			assert_true(i + 1 == out.messages ||
				    bytes + lengths[n] > UDP_MESSAGE_BYTES ||
				    bytes == UDP_SEGMENTS * lengths[n]);
		}
		assert_sent(140);
	}
}

static void test_full(void **state)
{
	static struct udp_lane lanes[UDP_OUT_MESSAGES];
	const struct datagram d = {.data = slab, .len = 32};

	(void)state;
	for (int i = 0; i < UDP_OUT_DATAGRAMS; i++)
		give(&peers[0], 32, 0);
	assert_true(udp_full(&out));
	assert_sent(UDP_OUT_DATAGRAMS);
	for (int i = 0; i < UDP_OUT_MESSAGES; i++) {
		assert_false(udp_full(&out));
		udp_add(&out, &lanes[i], &peers[0].addr, &d);
		expect(&peers[0], &d);
	}
	assert_true(udp_full(&out));
	assert_sent(UDP_OUT_MESSAGES);
}

/* What a lane remembers of earlier batches means nothing. */
static void test_old_lane(void **state)
{
	(void)state;
	for (int i = 0; i < PEERS; i++)
		give(&peers[i], 600, 0);
	assert_sent(PEERS);
	for (int i = PEERS - 1; i >= 0; i--)
		give(&peers[i], 600, 0);
	assert_int_equal(out.messages, PEERS);
	assert_sent(PEERS);
	peers[0].lane.message = UINT16_MAX;
	peers[1].lane.message = 0;
	peers[2].lane.message = 0;
	for (int i = 0; i < 2 * PEERS; i++)
		give(&peers[i % PEERS], 600, 0);
	assert_int_equal(out.messages, PEERS);
	assert_sent(2 * PEERS);
}

/* Any order of sizes and destinations: each destination gets its own, whole and in order. */
static void test_any_order(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		unsigned count = 1 + crypto_random_u32() % 100;
		bool few = crypto_random_u32() % 2;

		slab_at = 0;
		for (unsigned i = 0; i < count; i++) {
			struct peer *p = &peers[crypto_random_u32() % PEERS];
			uint32_t len = few ? 148 * (1 + crypto_random_u32() % 2)
					   : 1 + crypto_random_u32() % UDP_BUFFER;

			if (udp_full(&out))
				assert_sent(out.datagrams);
			if (p->added == KEPT)
				break;
			give(p, len, crypto_random_u32() % 2);
		}
		assert_sent(out.datagrams);
	}
}

/* ---- refused ------------------------------------------------------------------------------------
 */

static void refused_with(int error)
{
	kernel.several = error;
	kernel.port = peers[1].addr.port;
	for (int i = 0; i < 12; i++)
		give(&peers[i % PEERS], 700, i == 6); /* one message's parts do not lie together */
	give(&peers[1], 300, 0);
	give(&peers[1], 900, 0);
	assert_int_equal(out.messages, PEERS + 1);
	assert_sent(14);
	assert_int_equal(kernel.singles, 5);
	assert_int_equal(out.refused, 1);
	assert_int_equal(peers[1].lane.refused, error == EIO ? 1 : 700);
	assert_false(peers[0].lane.refused || peers[2].lane.refused);
	/* For good, and without asking again; the others as before. */
	kernel.refused = 0;
	kernel.several = 0;
	for (int i = 0; i < 12; i++)
		give(&peers[i % PEERS], 700, 0);
	assert_int_equal(out.messages, 2 + 4);
	assert_sent(12);
	assert_int_equal(kernel.refused, 0);
	assert_int_equal(kernel.singles, 5);
	assert_int_equal(out.refused, 1);
}

static void test_refused(void **state)
{
	const int errors[] = {EMSGSIZE, EINVAL, EIO};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		refused_with(errors[i]);
		tear_down(state);
		set_up(state);
	}
}

/* One client's long datagrams do not take from an exit's others that they leave together. */
static void test_refused_by_length(void **state)
{
	(void)state;
	kernel.several = EMSGSIZE;
	kernel.mtu = 1472;
	for (uint32_t len = 2000; len > 1400; len -= 100)
		for (int i = 0; i < 3; i++)
			give(&peers[0], len, 0);
	assert_sent(18);
	assert_int_equal(out.refused, 1);
	assert_int_equal(kernel.singles, 18);
	kernel.refused = 0;
	for (int i = 0; i < 3; i++)
		give(&peers[0], 1452, 0);
	assert_int_equal(out.messages, 1);
	for (int i = 0; i < 3; i++)
		give(&peers[0], 1500, 0);
	assert_int_equal(out.messages, 4);
	assert_sent(6);
	assert_int_equal(kernel.refused, 0);
}

/* Two messages to one destination in hand: both are sent apart, and it is one destination. */
static void test_refused_twice_in_hand(void **state)
{
	(void)state;
	kernel.several = EIO;
	for (int i = 0; i < 2 * UDP_SEGMENTS; i++)
		give(&peers[0], 200, 0);
	assert_sent(2 * UDP_SEGMENTS);
	assert_int_equal(out.refused, 1);
}

/* Not the offload's fault: the message is lost, as its datagrams would have been; the rest goes. */
static void test_other_errors(void **state)
{
	(void)state;
	kernel.several = EPERM;
	kernel.port = peers[0].addr.port;
	add(&peers[0], 500, 0);
	add(&peers[0], 500, 0);
	give(&peers[1], 500, 0);
	udp_send(fd, &out);
	assert_false(out.sent[0] || out.sent[1]);
	assert_true(out.sent[2]);
	assert_false(peers[0].lane.refused);
	assert_int_equal(kernel.singles, 0);
	assert_came();
}

static void test_socket_full(void **state)
{
	const int errors[] = {EAGAIN, ENOBUFS, ENOMEM};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		kernel.several = errors[i];
		kernel.port = peers[1].addr.port;
		give(&peers[0], 500, 0);
		add(&peers[1], 500, 0);
		add(&peers[1], 500, 0);
		add(&peers[2], 500, 0);
		give(&peers[0], 500, 0);
		udp_send(fd, &out);
		assert_true(out.sent[0] && out.sent[4]); /* one message, before the others */
		assert_false(out.sent[1] || out.sent[2] || out.sent[3]);
		assert_false(peers[1].lane.refused);
		assert_came();
	}
}

static void test_full_while_apart(void **state)
{
	(void)state;
	kernel.several = EINVAL;
	kernel.single = EAGAIN;
	kernel.single_after = 2;
	give(&peers[0], 500, 0);
	give(&peers[0], 500, 0);
	add(&peers[0], 500, 0);
	add(&peers[0], 100, 0);
	add(&peers[1], 500, 0);
	udp_send(fd, &out);
	assert_true(out.sent[0] && out.sent[1]);
	assert_false(out.sent[2] || out.sent[3] || out.sent[4]);
	assert_came();
}

/* One datagram of a message is what its path does not take. */
static void test_one_of_several_fails(void **state)
{
	(void)state;
	kernel.several = EMSGSIZE;
	kernel.single = EMSGSIZE;
	kernel.single_after = 1;
	give(&peers[0], 500, 0);
	add(&peers[0], 500, 0);
	udp_send(fd, &out);
	assert_true(out.sent[0]);
	assert_false(out.sent[1]);
	assert_came();
}

static void test_interrupted(void **state)
{
	(void)state;
	kernel.interrupted = 3;
	give(&peers[0], 500, 0);
	give(&peers[0], 500, 0);
	assert_sent(2);
}

static void test_nobody_there(void **state)
{
	struct net_addr nowhere = peers[0].addr;
	struct udp_lane lane = {0};
	const struct datagram d = {.data = slab, .len = 100};

	(void)state;
	nowhere.port = 0;
	udp_add(&out, &lane, &nowhere, &d);
	give(&peers[1], 100, 0);
	udp_send(fd, &out);
	assert_false(out.sent[0]);
	assert_true(out.sent[1]);
	assert_false(lane.refused); /* a single datagram says nothing about several */
	assert_int_equal(kernel.singles, 0);
	assert_int_equal(out.refused, 0);
	assert_came();
}

/* ---- in -----------------------------------------------------------------------------------------
 */

/* A message of several from a peer to the socket, as an offloading sender's. */
static void send_joined(const struct peer *p, uint32_t bytes, uint16_t segment)
{
	struct net_addr a = p->addr;
	struct sockaddr_in6 to;
	struct iovec v = {slab + slab_at, bytes};
	union udp_control control = {.header = {.cmsg_level = SOL_UDP,
						.cmsg_type = UDP_SEGMENT,
						.cmsg_len = CMSG_LEN(sizeof(segment))}};
	struct msghdr m = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &v, .msg_iovlen = 1};

	a.port = udp_port(fd);
	net_addr_to_sockaddr(&to, &a);
	if (segment) {
		memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(segment));
	}
	assert_int_equal(sendmsg(p->fd, &m, 0), bytes);
	slab_at += bytes;
}

static const struct datagram *next(const struct peer *from, const uint8_t *data, uint32_t len)
{
	const struct datagram *d = udp_next(&in);

	assert_non_null(d);
	assert_int_equal(d->len, len);
	assert_true(net_addr_eq(&d->from, &from->addr));
	assert_int_equal(d->truncated, len > UDP_BUFFER);
	assert_memory_equal(d->data, data, len);
	return d;
}

static void assert_segments(const struct peer *from, const uint8_t *data, uint32_t bytes,
			    uint32_t segment)
{
	for (uint32_t at = 0; at < bytes; at += segment)
		next(from, data + at, bytes - at < segment ? bytes - at : segment);
}

static void test_joined_in(void **state)
{
	(void)state;
	send_joined(&peers[0], 10 * 500 + 123, 500);
	send_joined(&peers[1], 64 * 1000, 1000);
	send_joined(&peers[2], 77, 0);
	send_joined(&peers[0], 0, 0);
	send_joined(&peers[1], 44 * 1452, 1452);
	send_joined(&peers[2], 2 * 32, 32);
	udp_receive(fd, &in);
	assert_int_equal(in.count, 6); /* else it is not what this test is about */
	assert_segments(&peers[0], slab, 5123, 500);
	assert_segments(&peers[1], slab + 5123, 64000, 1000);
	next(&peers[2], slab + 69123, 77);
	next(&peers[0], slab, 0);
	assert_segments(&peers[1], slab + 69200, 44 * 1452, 1452);
	assert_segments(&peers[2], slab + 69200 + 44 * 1452, 64, 32);
	assert_null(udp_next(&in));
	assert_null(udp_next(&in));
	udp_receive(fd, &in);
	assert_null(udp_next(&in));
}

/* Again and again into the same room: what the kernel wrote last time does no harm. */
static void test_rounds_in(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		slab_at = 0;
		for (uint32_t i = 0; i < UDP_IN_MESSAGES + 5; i++) {
			if ((i + (uint32_t)round) % 2)
				send_joined(&peers[0], 900, 300);
			else
				send_joined(&peers[1], 900, 0);
		}
		for (uint32_t i = 0; i < UDP_IN_MESSAGES + 5; i++) {
			if (i % UDP_IN_MESSAGES == 0)
				udp_receive(fd, &in);
			if ((i + (uint32_t)round) % 2)
				assert_segments(&peers[0], slab + i * 900, 900, 300);
			else
				next(&peers[1], slab + i * 900, 900);
		}
		assert_null(udp_next(&in));
	}
}

static void test_too_long_in(void **state)
{
	(void)state;
	send_joined(&peers[0], 3000, 0);
	send_joined(&peers[0], 4 * 2049 + 10, 2049);
	send_joined(&peers[0], 60000, 0);
	send_joined(&peers[0], 64, 0);
	udp_receive(fd, &in);
	next(&peers[0], slab, 3000);
	assert_segments(&peers[0], slab + 3000, 4 * 2049 + 10, 2049);
	next(&peers[0], slab + 3000 + 4 * 2049 + 10, 60000);
	next(&peers[0], slab + 63000 + 4 * 2049 + 10, 64);
	assert_null(udp_next(&in));
}

/* In joined, out joined, nothing copied. */
static void test_through(void **state)
{
	const struct datagram *d;

	(void)state;
	send_joined(&peers[0], 20 * 1452 + 500, 1452);
	send_joined(&peers[0], 20 * 1452, 1452);
	udp_receive(fd, &in);
	while ((d = udp_next(&in))) {
		udp_add(&out, &peers[1].lane, &peers[1].addr, d);
		expect(&peers[1], d);
	}
	assert_int_equal(out.messages, 2);
	assert_int_equal(out.headers[0].msg_hdr.msg_iovlen, 1);
	assert_ptr_equal(out.iov[0][0].iov_base, in.data[0]);
	assert_sent(41);
}

/* ---- without ------------------------------------------------------------------------------------
 */

static void test_old_kernel(void **state)
{
	(void)state;
	close_all();
	kernel.old = true;
	open_all("127.0.0.1");
	send_joined(&peers[0], 10 * 500 + 123, 500);
	udp_receive(fd, &in);
	assert_int_equal(in.count, 11);
	assert_segments(&peers[0], slab, 5123, 500);
	assert_null(udp_next(&in));
	for (int i = 0; i < 20; i++)
		give(&peers[i % PEERS], 500, 0);
	assert_int_equal(out.messages, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(out.headers[i].msg_hdr.msg_controllen, 0);
	assert_sent(20);
}

static void test_ipv6(void **state)
{
	(void)state;
	close_all();
	open_all("::1");
	send_joined(&peers[0], 10 * 500 + 123, 500);
	udp_receive(fd, &in);
	assert_int_equal(in.count, 1);
	assert_segments(&peers[0], slab, 5123, 500);
	for (int i = 0; i < 40; i++)
		give(&peers[i % 2], 1200, 0);
	assert_int_equal(out.messages, 2);
	assert_sent(40);
	refused_with(EIO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_run_is_one_message),
		TEST(test_short_tail_closes),
		TEST(test_interleaved_destinations),
		TEST(test_most_segments),
		TEST(test_most_bytes),
		TEST(test_full),
		TEST(test_old_lane),
		TEST(test_any_order),
		TEST(test_refused),
		TEST(test_refused_by_length),
		TEST(test_refused_twice_in_hand),
		TEST(test_other_errors),
		TEST(test_socket_full),
		TEST(test_full_while_apart),
		TEST(test_one_of_several_fails),
		TEST(test_interrupted),
		TEST(test_nobody_there),
		TEST(test_joined_in),
		TEST(test_rounds_in),
		TEST(test_too_long_in),
		TEST(test_through),
		TEST(test_old_kernel),
		TEST(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
