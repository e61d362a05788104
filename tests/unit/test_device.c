/* Counters over incarnations and peers over repairs, on the device in memory. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/log.h"
#include "proto/crypto.h"
#include "tunnel/fake.h"
#include "tunnel/memory.h"

static struct tunnel *open_fake(void)
{
	struct tunnel_config c = {.name = "fake0", .backend = TUNNEL_FAKE};
	struct tunnel *t;

	assert_int_equal(tunnel_open(&t, &c), 0);
	return t;
}

static struct tunnel_peer peer(uint32_t n)
{
	struct tunnel_peer p = {.keepalive = 25};

	memcpy(p.key, &n, sizeof(n));
	return p;
}

static void assert_counts(struct tunnel *t, const struct tunnel_peer *p, uint64_t rx, uint64_t tx)
{
	struct tunnel_stat s;

	assert_int_equal(tunnel_read_peer(t, p->key, &s), 0);
	assert_int_equal(s.rx, rx);
	assert_int_equal(s.tx, tx);
}

static void counts_survive_removal(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p = peer(1);
	struct tunnel_stat s;

	(void)state;
	assert_int_equal(tunnel_read_peer(t, p.key, &s), -ENOENT);
	assert_int_equal(tunnel_set_peer(t, &p), 0);
	assert_true(fake_count(t, p.key, 100, 10));
	/* not read in between: the removal itself must look */
	assert_int_equal(tunnel_remove_peer(t, p.key), 0);
	assert_false(fake_has_peer(t, p.key, NULL));
	assert_counts(t, &p, 100, 10);
	assert_int_equal(tunnel_remove_peer(t, p.key), -ENOENT);
	assert_int_equal(tunnel_set_peer(t, &p), 0);
	assert_counts(t, &p, 100, 10);
	assert_true(fake_count(t, p.key, 1, 2));
	assert_counts(t, &p, 101, 12);
	tunnel_close(t);
}

/* A peer that stayed would be carried without being counted. */
static void removed_though_not_read(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p = peer(1);

	(void)state;
	assert_int_equal(tunnel_set_peer(t, &p), 0);
	fake_fail_read(1);
	assert_int_equal(tunnel_remove_peer(t, p.key), -ETIMEDOUT);
	assert_false(fake_has_peer(t, p.key, NULL));
	tunnel_close(t);
}

static void repair_brings_all_back(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p = peer(1), q = peer(2), gone = peer(3), now;
	struct pollfd death;
	struct net_addr e;

	(void)state;
	assert_int_equal(tunnel_set_peer(t, &p), 0);
	assert_int_equal(tunnel_set_peer(t, &q), 0);
	assert_int_equal(tunnel_set_peer(t, &gone), 0);
	assert_true(net_addr_parse(&e, "192.0.2.1:99"));
	assert_int_equal(tunnel_set_endpoint(t, p.key, &e), 0);
	fake_count(t, p.key, 7, 8);
	fake_count(t, q.key, 70, 80);
	assert_counts(t, &p, 7, 8);
	death = (struct pollfd){tunnel_watch_fd(t), POLLIN, 0};
	assert_int_equal(poll(&death, 1, 0), 0);
	fake_die(t);
	assert_int_equal(poll(&death, 1, 0), 1);

	/* removed while dead: stays away */
	assert_int_not_equal(tunnel_remove_peer(t, gone.key), 0);
	fake_fail_open(1);
	assert_int_not_equal(tunnel_repair(t), 0);
	assert_int_equal(tunnel_watch_fd(t), -1);
	assert_int_equal(tunnel_repair(t), 0);
	/* more than before the death: that the old counter ended cannot be told from the numbers */
	fake_count(t, q.key, 100, 100);
	assert_true(fake_has_peer(t, p.key, &now));
	assert_true(now.has_endpoint);
	assert_true(net_addr_eq(&now.endpoint, &e));
	assert_int_equal(now.keepalive, 25);
	assert_true(fake_has_peer(t, q.key, NULL));
	assert_false(fake_has_peer(t, gone.key, NULL));
	assert_counts(t, &p, 7, 8);
	fake_count(t, p.key, 1, 1);
	assert_counts(t, &p, 8, 9);
	assert_counts(t, &q, 170, 180);
	tunnel_close(t);
}

static void sum(void *arg, const struct tunnel_stat *s)
{
	uint64_t *total = arg;

	*total += s->rx;
}

static void read_shows_present_peers(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p;
	uint64_t total = 0;

	(void)state;
	for (uint32_t i = 1; i <= 300; i++) {
		p = peer(i);
		assert_int_equal(tunnel_set_peer(t, &p), 0);
		fake_count(t, p.key, i, 0);
	}
	p = peer(300);
	assert_int_equal(tunnel_remove_peer(t, p.key), 0);
	assert_int_equal(tunnel_read(t, sum, &total), 0);
	assert_int_equal(total, 299 * 300 / 2);
	fake_die(t);
	assert_int_not_equal(tunnel_read(t, sum, &total), 0);
	tunnel_close(t);
}

/* A device counter that went down between two readings (somebody used wg): nothing is lost. */
static void counter_that_went_down(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p = peer(1);

	(void)state;
	assert_int_equal(tunnel_set_peer(t, &p), 0);
	fake_count(t, p.key, 50, 5);
	assert_counts(t, &p, 50, 5);
	fake_count(t, p.key, (uint64_t)-40, (uint64_t)-3);
	assert_counts(t, &p, 60, 7);
	tunnel_close(t);
}

/* The memory of removed peers has an end, the oldest goes first. */
static void memory_is_bounded(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p;
	struct tunnel_stat s;

	(void)state;
	for (uint32_t i = 0; i < MEMORY_REMOVED_MAX + 10; i++) {
		p = peer(i + 1);
		assert_int_equal(tunnel_set_peer(t, &p), 0);
		fake_count(t, p.key, i + 1, 0);
		assert_int_equal(tunnel_remove_peer(t, p.key), 0);
	}
	for (uint32_t i = 0; i < MEMORY_REMOVED_MAX + 10; i++) {
		p = peer(i + 1);
		assert_int_equal(tunnel_read_peer(t, p.key, &s), i < 10 ? -ENOENT : 0);
		if (i >= 10)
			assert_int_equal(s.rx, i + 1);
	}
	tunnel_close(t);
}

static void bad_names(void **state)
{
	static const char *const names[] = {"", "-x", ".", "a b", "a/b", "a\nb", "a\"b", "a;b"};
	struct tunnel_config c = {.backend = TUNNEL_FAKE};
	struct tunnel *t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(c.name, sizeof(c.name), "%s", names[i]);
		assert_int_equal(tunnel_open(&t, &c), -EINVAL);
	}
	memset(c.name, 'a', sizeof(c.name)); /* no NUL */
	assert_int_equal(tunnel_open(&t, &c), -EINVAL);
}

static void small_things(void **state)
{
	struct tunnel *t = open_fake();
	struct tunnel_peer p = peer(1);
	struct net_addr e;

	(void)state;
	assert_true(net_addr_parse(&e, "192.0.2.1:99"));
	assert_int_equal(tunnel_set_endpoint(t, p.key, &e), -ENOENT);
	assert_string_equal(tunnel_backend_name(t), "fake");
	assert_string_equal(tunnel_name(t), "fake0");
	assert_int_equal(tunnel_set_port(t, 1234), 0);
	assert_int_equal(tunnel_port(t), 1234);
	tunnel_close(t);
	tunnel_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_survive_removal),
		cmocka_unit_test(removed_though_not_read),
		cmocka_unit_test(repair_brings_all_back),
		cmocka_unit_test(read_shows_present_peers),
		cmocka_unit_test(counter_that_went_down),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(small_things),
	};

	log_init("test_device", LOG_LEVEL_ERROR);
	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
