/* The token buckets of handshakes under load: timings, networks, a full table, a naive model. */
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

#include "control/ratelimit.c"

static struct net_addr v4(uint32_t n, uint16_t port)
{
	struct net_addr a = {{[10] = 0xff, [11] = 0xff}, port};

	for (int i = 0; i < 4; i++)
		a.ip[12 + i] = (uint8_t)(n >> (24 - 8 * i));
	return a;
}

static struct net_addr v6(uint32_t net, uint32_t host)
{
	struct net_addr a = {{0x2a, 0}, 1000};

	memcpy(a.ip + 4, &net, sizeof(net));
	memcpy(a.ip + 12, &host, sizeof(host));
	return a;
}

static bool ask(struct ratelimit *r, struct net_addr a, uint64_t now_ms)
{
	return ratelimit_allow(r, &a, now_ms);
}

static void burst_then_rate(void **state)
{
	struct ratelimit *r = ratelimit_create(64);
	uint64_t now = 1000000;
	int passed = 0;

	(void)state;
	for (int i = 0; i < RATELIMIT_BURST; i++)
		assert_true(ask(r, v4(1, 1), now));
	assert_false(ask(r, v4(1, 1), now));
	/* A token every 50 ms; what is refused costs none. */
	for (int i = 0; i < 100; i++)
		assert_false(ask(r, v4(1, 1), now + 49));
	assert_true(ask(r, v4(1, 1), now + 50));
	assert_false(ask(r, v4(1, 1), now + 99));
	assert_true(ask(r, v4(1, 1), now + 100));
	/* Ten seconds of trying all the time. */
	now += 100;
	for (int ms = 1; ms <= 10000; ms++)
		passed += ask(r, v4(1, 1), now + (uint64_t)ms);
	assert_int_equal(passed, 10 * RATELIMIT_PER_SECOND);
	/* However long it rests, a burst is all it saves. */
	now += 86400000;
	for (int i = 0; i < RATELIMIT_BURST; i++)
		assert_true(ask(r, v4(1, 1), now));
	assert_false(ask(r, v4(1, 1), now));
	ratelimit_destroy(r);
}

/* An IPv4 address and a /64 are one each, whatever port or host; others are not touched. */
static void networks(void **state)
{
	struct ratelimit *r = ratelimit_create(64);

	(void)state;
	for (uint32_t i = 0; i < RATELIMIT_BURST; i++) {
		assert_true(ask(r, v4(7, (uint16_t)i), 5000));
		assert_true(ask(r, v6(7, i), 5000));
	}
	assert_false(ask(r, v4(7, 99), 5000));
	assert_false(ask(r, v6(7, 99), 5000));
	assert_true(ask(r, v4(8, 1), 5000));
	assert_true(ask(r, v6(8, 1), 5000));
	ratelimit_destroy(r);
}

static void a_full_table_refuses(void **state)
{
	struct ratelimit *r = ratelimit_create(256);
	uint32_t taken = 0;

	(void)state;
	/* Buckets that are not full yet are never given away. */
	for (uint32_t i = 0; i < 100000; i++)
		taken += ask(r, v6(i, 0), 5000);
	assert_int_equal(taken, r->sets * WAYS);
	assert_true(taken >= 256);
	assert_false(ask(r, v4(1, 1), 5000));
	/* Whoever is in it goes on. */
	for (uint32_t i = 0, again = 0; i < 100000 && again < 10; i++)
		again += ask(r, v6(i, 0), 5000);
	/* A token's time later all but ten of them are full again: room for everybody. */
	assert_true(ask(r, v4(1, 1), 5000 + 100));
	for (uint32_t i = 0; i < 64; i++)
		assert_true(ask(r, v4(2 + i, 1), 5000 + 100 + 60 * (i + 1)));
	ratelimit_destroy(r);
}

/* Against tokens counted the plain way, in thousandths, with a table that is large enough. */
static void model(void **state)
{
	enum {
		NETS = 12,
		FULL = RATELIMIT_BURST * 1000
	};
	struct ratelimit *r = ratelimit_create(4096);
	uint64_t now = 777, tokens[NETS], seen[NETS];
	uint32_t x = 2463534242, agreed = 0;

	(void)state;
	for (int i = 0; i < NETS; i++) {
		tokens[i] = FULL;
		seen[i] = now;
	}
	for (int step = 0; step < 200000; step++) {
		uint32_t i;
		bool want;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		i = x % NETS;
		now += x / NETS % 9;
		tokens[i] += (now - seen[i]) * RATELIMIT_PER_SECOND;
		seen[i] = now;
		if (tokens[i] > FULL)
			tokens[i] = FULL;
		want = tokens[i] >= 1000;
		if (want)
			tokens[i] -= 1000;
		assert_int_equal(ask(r, i % 2 ? v4(i, (uint16_t)x) : v6(i, x), now), want);
		agreed += want;
	}
	assert_true(agreed > 10000 && agreed < 190000);
	ratelimit_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(networks),
		cmocka_unit_test(a_full_table_refuses),
		cmocka_unit_test(model),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
