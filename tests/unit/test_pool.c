#include "tests/lib/unit.h"

#include "exit/pool.h"

static struct tunnel_prefix prefix(const char *text)
{
	struct tunnel_prefix p;

	assert_true(net_prefix_parse(&p.net, &p.bits, text));
	return p;
}

static const struct tunnel_prefix none;

static void assert_address(const struct net_addr *a, const char *text)
{
	char got[NET_ADDR_TEXT];

	assert_string_equal(net_ip_text(got, a), text);
}

static void both_families_in_step(void **state)
{
	struct tunnel_prefix v4 = prefix("10.64.0.77/16"), v6 = prefix("fd64:1::99/64");
	struct pool *p = pool_create(&v4, &v6);
	struct net_addr a;

	(void)state;
	assert_non_null(p);
	assert_true(pool_address4(p, POOL_OWN, &a));
	assert_address(&a, "10.64.0.1"); /* whatever host part the prefix was written with */
	assert_true(pool_address6(p, POOL_OWN, &a));
	assert_address(&a, "fd64:1::1");
	for (uint32_t i = 2; i < 1000; i++)
		assert_int_equal(pool_take(p), i);
	assert_true(pool_address4(p, 999, &a));
	assert_address(&a, "10.64.3.231");
	assert_true(pool_address6(p, 999, &a));
	assert_address(&a, "fd64:1::3e7");
	pool_destroy(p);
}

static void small_prefix_ends(void **state)
{
	struct tunnel_prefix v4 = prefix("192.168.9.8/29"), v6 = prefix("fd64::/64");
	struct pool *p = pool_create(&v4, &v6);
	struct net_addr a;
	uint32_t last = 0;

	(void)state;
	for (int i = 0; i < 5; i++) { /* .10 to .14; .15 is the broadcast address */
		last = pool_take(p);
		assert_int_not_equal(last, 0);
	}
	assert_true(pool_address4(p, last, &a));
	assert_address(&a, "192.168.9.14");
	assert_int_equal(pool_take(p), 0);
	pool_release(p, 4);
	assert_int_equal(pool_take(p), 4);
	assert_int_equal(pool_take(p), 0);
	pool_destroy(p);
}

/* An address given back is the last to be handed out again. */
static void late_reuse(void **state)
{
	struct tunnel_prefix v4 = prefix("10.0.0.0/24");
	struct pool *p = pool_create(&v4, &none);

	(void)state;
	assert_int_equal(pool_take(p), 2);
	pool_release(p, 2);
	for (uint32_t i = 3; i <= 254; i++)
		assert_int_equal(pool_take(p), i);
	assert_int_equal(pool_take(p), 2);
	assert_int_equal(pool_take(p), 0);
	pool_destroy(p);
}

static void odd_releases(void **state)
{
	struct tunnel_prefix v4 = prefix("10.0.0.0/29");
	struct pool *p = pool_create(&v4, &none);

	(void)state;
	pool_release(p, 0);
	pool_release(p, POOL_OWN);
	pool_release(p, 5); /* not out */
	pool_release(p, 70000);
	for (uint32_t i = 2; i <= 6; i++)
		assert_int_equal(pool_take(p), i);
	assert_int_equal(pool_take(p), 0);
	pool_destroy(p);
}

static void one_family(void **state)
{
	struct tunnel_prefix v6 = prefix("fd64::ff00/112");
	struct pool *p = pool_create(&none, &v6);
	struct net_addr a;

	(void)state;
	assert_false(pool_address4(p, 2, &a));
	assert_int_equal(a.ip[15], 0);
	assert_true(pool_address6(p, 2, &a));
	assert_address(&a, "fd64::2");
	pool_destroy(p);
}

static void no_room(void **state)
{
	struct tunnel_prefix v4 = prefix("10.0.0.0/31"), v6 = prefix("fd64::/127");

	(void)state;
	assert_null(pool_create(&none, &none));
	assert_null(pool_create(&v4, &none));
	assert_null(pool_create(&none, &v6));
}

static void large_prefix_is_bounded(void **state)
{
	struct tunnel_prefix v4 = prefix("10.0.0.0/8"), v6 = prefix("fd64::/64");
	struct pool *p = pool_create(&v4, &v6);

	(void)state;
	for (uint32_t i = 2; i < POOL_MAX; i++)
		assert_int_equal(pool_take(p), i);
	assert_int_equal(pool_take(p), 0);
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_in_step),
		cmocka_unit_test(small_prefix_ends),
		cmocka_unit_test(late_reuse),
		cmocka_unit_test(odd_releases),
		cmocka_unit_test(one_family),
		cmocka_unit_test(no_room),
		cmocka_unit_test(large_prefix_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
