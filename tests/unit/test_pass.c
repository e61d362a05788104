/* Control datagrams carried to an exit: the index rule, over a real socket on loopback. */
#include "tests/unit/relay_world.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/cookie.h"

static struct exits exits;
static struct ranges allowed;
static struct pass *pass;
static int exit_fd;             /* the exit's control port */
static struct sockaddr_in6 via; /* where it heard the relay from */
static uint32_t delivered_to;
static uint8_t delivered[PASS_MAX];
static size_t delivered_len;
static unsigned deliveries;

static void deliver(void *arg, uint32_t handle, const uint8_t *msg, size_t len)
{
	(void)arg;
	delivered_to = handle;
	delivered_len = len;
	deliveries++;
	memcpy(delivered, msg, len);
}

static int open_exit(uint16_t *port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin6_port);
	return fd;
}

static int setup(void **state)
{
	struct descriptor d;
	char endpoint[32];
	uint16_t port;
	int err = world_setup(state);

	allowed = (struct ranges){0};
	assert_true(ranges_allow(&allowed, "127.0.0.0/8"));
	exits_init(&exits, relay->plane, &allowed, NETWORK, &self, EXITS);
	exit_fd = open_exit(&port);
	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
	describe(&d, &exit_id, ROLE_EXIT, endpoint);
	exits_load(&exits, &d, 1, clock_wall(), NULL, NULL);
	assert_int_equal(exits_count(&exits), 1);
	pass = pass_create(base, &exits, SESSIONS, deliver, NULL);
	assert_non_null(pass);
	deliveries = 0;
	return err;
}

static int teardown(void **state)
{
	pass_destroy(pass);
	close(exit_fd);
	exits_wipe(&exits);
	return world_teardown(state);
}

/* An initiation from a client that chose `index`, made for the exit's control key. */
static struct message_initiation initiation(uint32_t index)
{
	struct message_initiation m = {.type = le32_of(MESSAGE_INITIATION),
				       .sender = le32_of(index)};
	struct cookie_signer signer;
	uint8_t control[KEY_LEN];

	memset(control, 9, sizeof(control));
	cookie_signer_init(&signer, control);
	cookie_sign(&signer, &m, sizeof(m), 1000);
	return m;
}

static void up(uint32_t handle, const void *msg, size_t len)
{
	pass_send(pass, handle, 0, msg, len, clock_ms());
}

/* What the exit hears next, or 0. */
static size_t exit_hears(void)
{
	struct pollfd wait = {.fd = exit_fd, .events = POLLIN};
	uint8_t buf[2048];
	socklen_t len = sizeof(via);
	ssize_t n;

	if (poll(&wait, 1, 20) != 1)
		return 0;
	n = recvfrom(exit_fd, buf, sizeof(buf), 0, (struct sockaddr *)&via, &len);
	assert_true(n > 0);
	return (size_t)n;
}

static void exit_says(int fd, const void *msg, size_t len)
{
	assert_int_equal(sendto(fd, msg, len, 0, (struct sockaddr *)&via, sizeof(via)), len);
	for (int i = 0; i < 20; i++) {
		unsigned before = deliveries;

		event_base_loop(base, EVLOOP_NONBLOCK);
		if (deliveries != before)
			return;
		poll(NULL, 0, 1);
	}
}

/* The exit answers client index with an index of its own. */
static void exit_responds(uint32_t receiver, uint32_t sender)
{
	struct message_response m = {.type = le32_of(MESSAGE_RESPONSE),
				     .sender = le32_of(sender),
				     .receiver = le32_of(receiver)};

	exit_says(exit_fd, &m, sizeof(m));
}

struct transport {
	struct message_transport head;
	uint8_t sealed[TAG_LEN + 8];
};

static struct transport transport(uint32_t receiver)
{
	return (struct transport){
		.head = {.type = le32_of(MESSAGE_TRANSPORT), .receiver = le32_of(receiver)}};
}

static void test_a_whole_exchange(void **state)
{
	struct message_initiation i = initiation(11);
	struct transport t = transport(22);

	(void)state;
	up(3, &t, sizeof(t)); /* nothing was announced yet */
	assert_int_equal(exit_hears(), 0);
	assert_int_equal(pass_counts(pass)->unknown_index, 1);
	up(3, &i, sizeof(i));
	assert_int_equal(exit_hears(), sizeof(i));
	exit_responds(11, 22);
	assert_int_equal(deliveries, 1);
	assert_int_equal(delivered_to, 3);
	assert_int_equal(delivered_len, sizeof(struct message_response));
	up(3, &t, sizeof(t));
	assert_int_equal(exit_hears(), sizeof(t));
	t = transport(11);
	exit_says(exit_fd, &t, sizeof(t));
	assert_int_equal(deliveries, 2);
}

static void test_only_its_own_indices(void **state)
{
	struct message_initiation a = initiation(11), b = initiation(12);
	struct transport t = transport(22);

	(void)state;
	up(3, &a, sizeof(a));
	assert_int_equal(exit_hears(), sizeof(a));
	exit_responds(11, 22);
	up(4, &a, sizeof(a)); /* another session's index */
	assert_int_equal(exit_hears(), 0);
	assert_int_equal(pass_counts(pass)->index_taken, 1);
	up(4, &b, sizeof(b));
	assert_int_equal(exit_hears(), sizeof(b));
	up(4, &t, sizeof(t)); /* announced, but to session 3 */
	assert_int_equal(exit_hears(), 0);
	pass_forget(pass, 3);
	up(4, &a, sizeof(a)); /* free again */
	assert_int_equal(exit_hears(), sizeof(a));
	exit_responds(11, 23);
	assert_int_equal(delivered_to, 4);
}

static void test_oldest_index_out(void **state)
{
	struct transport t = transport(1);

	(void)state;
	for (uint32_t i = 1; i <= PASS_INDICES + 1; i++) {
		struct message_initiation m = initiation(i);

		up(3, &m, sizeof(m));
		assert_int_equal(exit_hears(), sizeof(m));
	}
	exit_says(exit_fd, &t, sizeof(t));
	assert_int_equal(deliveries, 0);
	t = transport(2);
	exit_says(exit_fd, &t, sizeof(t));
	assert_int_equal(deliveries, 1);
}

static void test_what_is_not_carried(void **state)
{
	struct message_initiation i = initiation(11);
	struct message_response r = {.type = le32_of(MESSAGE_RESPONSE)};
	struct message_bind bind = {.type = le32_of(MESSAGE_BIND)};
	uint8_t wg[148] = {MESSAGE_WG_INITIATION};

	(void)state;
	i.mac1[0] ^= 1;
	up(3, &i, sizeof(i));
	assert_int_equal(pass_counts(pass)->bad_mac1, 1);
	up(3, &r, sizeof(r));
	assert_int_equal(pass_counts(pass)->wrong_direction, 1);
	up(3, wg, sizeof(wg));
	up(3, &i, sizeof(i) - 1);
	assert_int_equal(pass_counts(pass)->malformed, 2);
	up(3, &bind, sizeof(bind));
	assert_int_equal(pass_counts(pass)->malformed, 3);
	assert_int_equal(exit_hears(), 0);
}

static void test_from_strangers_and_unasked(void **state)
{
	struct message_initiation i = initiation(11), from_exit = initiation(33);
	struct transport t = transport(11);
	uint16_t port;
	int stranger = open_exit(&port);

	(void)state;
	up(3, &i, sizeof(i));
	assert_int_equal(exit_hears(), sizeof(i));
	exit_says(stranger, &t, sizeof(t));
	assert_int_equal(pass_counts(pass)->unknown_exit, 1);
	exit_says(exit_fd, &from_exit, sizeof(from_exit));
	assert_int_equal(pass_counts(pass)->wrong_direction, 1);
	t = transport(999);
	exit_says(exit_fd, &t, sizeof(t));
	assert_int_equal(pass_counts(pass)->unknown_index, 1);
	assert_int_equal(deliveries, 0);
	close(stranger);
}

static void test_bucket(void **state)
{
	struct message_initiation m = initiation(11);
	uint64_t now = 1000;

	(void)state;
	for (int i = 0; i < 2 * PASS_BURST; i++)
		pass_send(pass, 3, 0, (const uint8_t *)&m, sizeof(m), now);
	assert_int_equal(pass_counts(pass)->sent, PASS_BURST);
	assert_int_equal(pass_counts(pass)->rate, PASS_BURST);
	for (int i = 0; i < PASS_BURST; i++)
		pass_send(pass, 3, 0, (const uint8_t *)&m, sizeof(m), now + 1000);
	assert_in_range(pass_counts(pass)->sent, PASS_BURST + PASS_PER_SECOND - 1,
			PASS_BURST + PASS_PER_SECOND + 1);
}

/* An exit and a client in league get no free tunnel out of it. */
static void test_bucket_downwards(void **state)
{
	struct message_initiation i = initiation(11);
	struct transport t = transport(11);

	(void)state;
	up(3, &i, sizeof(i));
	assert_int_equal(exit_hears(), sizeof(i));
	for (int n = 0; n < 2 * PASS_BURST; n++)
		assert_int_equal(
			sendto(exit_fd, &t, sizeof(t), 0, (struct sockaddr *)&via, sizeof(via)),
			sizeof(t));
	for (int n = 0; n < 20 && pass_counts(pass)->rate + deliveries < 2 * PASS_BURST; n++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
	assert_in_range(deliveries, PASS_BURST, 2 * PASS_BURST - 1);
	assert_int_equal(pass_counts(pass)->rate, 2 * PASS_BURST - deliveries);
	/* What an exit sends takes nothing from what the client may. */
	up(3, &i, sizeof(i));
	assert_int_equal(exit_hears(), sizeof(i));
}

/* The operator's mind or the routing changed since the exit was admitted. */
static void test_judged_again_at_send_time(void **state)
{
	struct message_initiation i = initiation(11);

	(void)state;
	allowed.count = 0;
	up(3, &i, sizeof(i));
	assert_int_equal(exit_hears(), 0);
	assert_int_equal(pass_counts(pass)->exit_refused, 1);
	/* That takes questions to the kernel: not more often than the session may send. */
	for (int n = 0; n < 2 * PASS_BURST; n++)
		pass_send(pass, 4, 0, (const uint8_t *)&i, sizeof(i), 1000);
	assert_int_equal(pass_counts(pass)->exit_refused, 1 + PASS_BURST);
}

#define PASS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PASS_TEST(test_a_whole_exchange),
		PASS_TEST(test_only_its_own_indices),
		PASS_TEST(test_oldest_index_out),
		PASS_TEST(test_what_is_not_carried),
		PASS_TEST(test_from_strangers_and_unasked),
		PASS_TEST(test_bucket),
		PASS_TEST(test_bucket_downwards),
		PASS_TEST(test_judged_again_at_send_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
