/* BIND against a relay of a few lines on loopback, which can lose, forge and stay silent. */
#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/binder.h"
#undef BINDER_RETRY_MS
#define BINDER_RETRY_MS 10
#include "client/binder.c"

#include <netinet/in.h>

#include "base/clock.h"

static struct {
	struct event_base *base;
	int fd;
	struct event *ev;
	struct bind_challenger challenger;
	struct binder_config config;
	struct net_addr client;
	unsigned lose;      /* so many of the client's next datagrams are lost */
	bool deaf;          /* never answers */
	bool forge;         /* answers wrongly before answering rightly */
	bool bound_at_once; /* BOUND without a challenge */
	unsigned binds, answers;
	uint64_t bound; /* counter */
	struct binder *binder;
	bool done;
	int err;
	uint16_t port;
} t;

static void say(enum message_type type, const struct message_bind *to, const uint8_t *token,
		const uint8_t *session, const uint8_t *key, uint64_t counter)
{
	struct message_bind msg;
	struct sockaddr_in6 addr;

	bind_make(&msg, type, session ? session : to->session, counter, token, key);
	net_addr_to_sockaddr(&addr, &t.client);
	sendto(t.fd, &msg, sizeof(msg), 0, (struct sockaddr *)&addr, sizeof(addr));
}

/* Right shape, but another key, session or counter: nothing of it may count. */
static void forge(const struct message_bind *msg, const uint8_t *token)
{
	static const uint8_t other_session[SESSION_ID_LEN] = {9}, other_key[KEY_LEN] = {9};
	uint64_t counter = le64_get(msg->counter);

	say(MESSAGE_CHALLENGE, msg, other_session, NULL, other_key, counter);
	say(MESSAGE_CHALLENGE, msg, other_session, other_session, t.config.bind_key, counter);
	say(MESSAGE_CHALLENGE, msg, other_session, NULL, t.config.bind_key, counter + 1);
	say(MESSAGE_BOUND, msg, NULL, NULL, other_key, counter);
	say(MESSAGE_BOUND, msg, NULL, other_session, t.config.bind_key, counter);
	say(MESSAGE_BOUND, msg, NULL, NULL, t.config.bind_key, counter - 1);
	sendto(t.fd, token, 3, 0, NULL, 0);
}

static void relay(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	struct message_bind msg;
	uint8_t token[NONCE_LEN];
	uint64_t counter;

	(void)what;
	(void)arg;
	if (recvfrom(fd, &msg, sizeof(msg), 0, (struct sockaddr *)&from, &len) != sizeof(msg))
		return;
	assert_true(net_addr_from_sockaddr(&t.client, (struct sockaddr *)&from, len));
	if (t.deaf)
		return;
	if (t.lose) {
		t.lose--;
		return;
	}
	assert_true(bind_valid(&msg, t.config.bind_key));
	counter = le64_get(msg.counter);
	bind_token(&t.challenger, token, &msg, &t.client, clock_ms());
	if (t.forge)
		forge(&msg, token);
	if (t.bound_at_once) {
		say(MESSAGE_BOUND, &msg, NULL, NULL, t.config.bind_key, counter);
		return;
	}
	if (le32_get(msg.type) == MESSAGE_BIND) {
		t.binds++;
		say(MESSAGE_CHALLENGE, &msg, token, NULL, t.config.bind_key, counter);
		return;
	}
	t.answers++;
	assert_true(bind_token_valid(&t.challenger, &msg, &t.client, clock_ms()));
	t.bound = counter;
	say(MESSAGE_BOUND, &msg, NULL, NULL, t.config.bind_key, counter);
}

static void bound(void *arg, int err, uint16_t port)
{
	assert_ptr_equal(arg, &t);
	t.done = true;
	t.err = err;
	t.port = port;
	event_base_loopbreak(t.base);
}

static int setup(void **state)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t len = sizeof(own);

	(void)state;
	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	t.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (bind(t.fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    getsockname(t.fd, (struct sockaddr *)&own, &len) < 0)
		return -1;
	if (!net_addr_from_sockaddr(&t.config.relay, (struct sockaddr *)&own, len))
		return -1;
	t.ev = event_new(t.base, t.fd, EV_READ | EV_PERSIST, relay, NULL);
	event_add(t.ev, NULL);
	bind_challenger_init(&t.challenger);
	crypto_random(t.config.session, SESSION_ID_LEN);
	crypto_random(t.config.bind_key, KEY_LEN);
	t.config.counter = 7;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	event_free(t.ev);
	close(t.fd);
	event_base_free(t.base);
	return 0;
}

static void run(void)
{
	assert_int_equal(binder_start(&t.binder, t.base, &t.config, bound, &t), 0);
	event_base_dispatch(t.base);
	assert_true(t.done);
}

static void port_is_free(uint16_t port)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	close(fd);
}

static void two_round_trips(void **state)
{
	(void)state;
	run();
	assert_int_equal(t.err, 0);
	assert_int_equal(t.binds, 1);
	assert_int_equal(t.answers, 1);
	assert_int_equal(t.bound, 7);
	assert_int_equal(t.port, t.client.port);
	port_is_free(t.port);
}

static void loss_is_made_good(void **state)
{
	(void)state;
	t.lose = 3;
	run();
	assert_int_equal(t.err, 0);
	assert_int_equal(t.bound, 7);
}

static void forgeries_are_nothing(void **state)
{
	(void)state;
	t.forge = true;
	run();
	assert_int_equal(t.err, 0);
	assert_int_equal(t.binds, 1);
	assert_int_equal(t.answers, 1);
}

static void bound_needs_a_challenge(void **state)
{
	(void)state;
	t.bound_at_once = true;
	run();
	assert_int_equal(t.err, -ETIMEDOUT);
}

static void silence_ends(void **state)
{
	uint64_t began = clock_ms();

	(void)state;
	t.deaf = true;
	run();
	assert_int_equal(t.err, -ETIMEDOUT);
	/* 10 + 20 + 40 + 80 + 160 */
	assert_in_range(clock_ms() - began, 305, 1500);
}

static void cancelled_says_nothing(void **state)
{
	const struct timeval soon = {.tv_usec = 50000};

	(void)state;
	assert_int_equal(binder_start(&t.binder, t.base, &t.config, bound, &t), 0);
	binder_cancel(t.binder);
	event_base_loopexit(t.base, &soon);
	event_base_dispatch(t.base);
	assert_false(t.done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_round_trips, setup, teardown),
		cmocka_unit_test_setup_teardown(loss_is_made_good, setup, teardown),
		cmocka_unit_test_setup_teardown(forgeries_are_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(bound_needs_a_challenge, setup, teardown),
		cmocka_unit_test_setup_teardown(silence_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(cancelled_says_nothing, setup, teardown),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
