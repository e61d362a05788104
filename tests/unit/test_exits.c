/* Which exits a relay forwards to. */
#include "tests/unit/relay_world.h"

static struct exits exits;
static struct ranges allowed;
static const char *reason[EXITS + 1];

static void why(void *arg, size_t i, const char *text)
{
	(void)arg;
	reason[i] = text;
}

static int setup(void **state)
{
	int err = world_setup(state);

	memset(reason, 0, sizeof(reason));
	allowed = (struct ranges){0};
	exits_init(&exits, relay->plane, &allowed, NETWORK, &self, EXITS);
	return err;
}

static int teardown(void **state)
{
	exits_wipe(&exits);
	return world_teardown(state);
}

static void load(const struct descriptor *d, size_t count)
{
	memset(reason, 0, sizeof(reason));
	exits_load(&exits, d, count, clock_wall(), why, NULL);
}

static uint32_t found(void)
{
	return exits_find(&exits, exit_id.id, clock_wall());
}

static void test_special_ranges_in_every_disguise(void **state)
{
	static const char *const endpoints[] = {
		"127.0.0.1:51820",
		"10.1.2.3:51820",
		"172.16.0.1:51820",
		"192.168.0.1:51820",
		"169.254.169.254:51820",
		"100.64.0.1:51820",
		"224.0.0.1:51820",
		"255.255.255.255:51820",
		"[::1]:51820",
		"[fe80::1]:51820",
		"[fd00::1]:51820",
		"[ff02::1]:51820",
		"[::7f00:1]:51820",           /* IPv4-compatible 127.0.0.1 */
		"[2002:7f00:1::1]:51820",     /* 6to4 of it */
		"[64:ff9b::7f00:1]:51820",    /* NAT64 of it */
		"[2001:0:7f00:1::1]:51820",   /* Teredo */
		"[64:ff9b::a9fe:a9fe]:51820", /* metadata */
		"[fd00:ec2::254]:51820",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		struct descriptor d;

		describe(&d, &exit_id, ROLE_EXIT, endpoints[i]);
		load(&d, 1);
		assert_non_null(reason[0]);
		assert_int_equal(found(), EXIT_NONE);
		assert_true(exits_was_refused(&exits, exit_id.id));
	}
	assert_int_equal(exits_count(&exits), 0);
}

/* A good address does not excuse a bad one beside it. */
static void test_every_endpoint_is_judged(void **state)
{
	struct descriptor d = exit_descriptor;

	(void)state;
	d.body.ip6[0] = 0xfd;
	descriptor_sign(&d, &exit_id);
	load(&d, 1);
	assert_non_null(reason[0]);
}

static void test_allowed_by_name(void **state)
{
	struct descriptor d;

	(void)state;
	describe(&d, &exit_id, ROLE_EXIT, "10.1.2.3:51820");
	assert_true(ranges_allow(&allowed, "10.1.0.0/16"));
	load(&d, 1);
	assert_null(reason[0]);
	assert_int_not_equal(found(), EXIT_NONE);
	allowed.count = 0; /* judged again when used */
	assert_int_equal(found(), EXIT_NONE);
	assert_false(exits_sendable(&exits, 0));
}

static void test_never_itself(void **state)
{
	struct descriptor d;

	(void)state;
	describe(&d, &relay_id, ROLE_EXIT, "8.8.8.8:51820");
	load(&d, 1);
	assert_string_equal(reason[0], "own address");
	assert_true(exits_was_refused(&exits, relay_id.id));
	describe(&d, &exit_id, ROLE_EXIT, "8.8.4.4:51820"); /* what it announces */
	load(&d, 1);
	assert_string_equal(reason[0], "own address");
	assert_true(net_addr_parse(&world.self, "8.8.8.8:51821")); /* where it listens */
	load(&exit_descriptor, 1);
	assert_string_equal(reason[0], "own address");
}

static void test_only_good_descriptors(void **state)
{
	struct descriptor d = exit_descriptor;

	(void)state;
	d.body.port = le16_of(1);
	load(&d, 1);
	assert_non_null(reason[0]);
	load(&self, 1);
	assert_string_equal(reason[0], "it is no exit");
	exits_load(&exits, &exit_descriptor, 1, clock_wall() + 90000, why, NULL);
	assert_non_null(reason[0]);
	load(&exit_descriptor, 1);
	assert_null(reason[0]);
	assert_int_equal(exits_find(&exits, exit_id.id, clock_wall() + 90000), EXIT_NONE);
}

static void test_slots_stay(void **state)
{
	struct descriptor two[2] = {exit_descriptor};
	struct identity other;

	(void)state;
	seed_identity(&other, 5);
	describe(&two[1], &other, ROLE_EXIT, "8.8.8.8:51820");
	load(two, 2);
	assert_string_equal(reason[1], "another exit has its address");
	describe(&two[1], &other, ROLE_EXIT, "9.9.9.9:51820");
	load(two, 2);
	assert_int_equal(exits_count(&exits), 2);
	assert_int_equal(found(), 0);
	exits.slot[0].sessions = 1;
	load(&two[1], 1);
	assert_int_equal(world.exit[0].wg.port, 0); /* the workers know that it went */
	assert_int_equal(found(), EXIT_NONE);
	assert_int_equal(exits_find(&exits, other.id, clock_wall()), 1);
	load(two, 2);
	assert_int_equal(found(), 0);
	assert_int_equal(exits.slot[0].sessions, 1);
	assert_int_equal(world.exit[0].wg.port, 51821);
}

static void test_full(void **state)
{
	struct descriptor d[EXITS + 1];

	(void)state;
	for (uint8_t i = 0; i <= EXITS; i++) {
		struct identity who;
		char endpoint[32];

		seed_identity(&who, (uint8_t)(40 + i));
		snprintf(endpoint, sizeof(endpoint), "9.9.9.%u:51820", i + 1u);
		describe(&d[i], &who, ROLE_EXIT, endpoint);
	}
	load(d, EXITS + 1);
	assert_int_equal(exits_count(&exits), EXITS);
	assert_string_equal(reason[EXITS], "there is no room for more exits");
}

#define EXITS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXITS_TEST(test_special_ranges_in_every_disguise),
		EXITS_TEST(test_every_endpoint_is_judged),
		EXITS_TEST(test_allowed_by_name),
		EXITS_TEST(test_never_itself),
		EXITS_TEST(test_only_good_descriptors),
		EXITS_TEST(test_slots_stay),
		EXITS_TEST(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
