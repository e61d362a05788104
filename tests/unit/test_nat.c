/* The text of the exit's rules; that they do what they say is shown by tests/net/test_tunnel.py. */
#include "tests/lib/unit.h"

#include "exit/nat.h"

static struct nat_config config(void)
{
	struct nat_config c = {.interface = "culvert0", .dns4 = true};
	uint8_t bits;

	assert_true(net_prefix_parse(&c.pool4.net, &c.pool4.bits, "10.64.0.0/16"));
	assert_true(net_prefix_parse(&c.pool6.net, &c.pool6.bits, "fd64::/64"));
	assert_true(net_prefix_parse(&c.own4, &bits, "10.64.0.1"));
	assert_true(net_prefix_parse(&c.own6, &bits, "fd64::1"));
	return c;
}

static const char *compose(const struct nat_config *c)
{
	static char text[NAT_TEXT_MAX];

	assert_true(nat_compose(text, sizeof(text), c));
	return text;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("missing: %s", part);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("should not be there: %s", part);
}

static void replaces_in_one_script(void **state)
{
	static const char start[] = "table inet culvert_culvert0\n"
				    "delete table inet culvert_culvert0\n"
				    "table inet culvert_culvert0 {\n";
	struct nat_config c = config();

	(void)state;
	assert_memory_equal(compose(&c), start, sizeof(start) - 1);
}

static void default_rules(void **state)
{
	struct nat_config c = config();
	const char *text = compose(&c);

	(void)state;
	assert_has(text, "\toifname \"culvert0\" counter drop\n"); /* client to client */
	assert_has(text, "ip saddr @held4 counter drop\n");
	assert_has(text, "ip6 saddr @held6 counter drop\n");
	assert_has(text, "ip daddr @held4 counter drop\n");
	assert_has(text, "ip6 daddr @held6 counter drop\n");
	assert_has(text, "ip saddr != 10.64.0.0/16 counter drop\n");
	assert_has(text, "ip6 saddr != fd64::/64 counter drop\n");
	assert_has(text, "tcp dport 25 counter drop\n");
	assert_has(text, "ip daddr @special4 counter drop\n");
	assert_has(text, "ip6 daddr @special6 counter drop\n");
	assert_has(text, "ip daddr 10.64.0.1 udp dport 53 accept\n");
	assert_lacks(text, "fd64::1 udp dport 53");
	assert_has(text, "ip saddr 10.64.0.0/16 oifname != \"culvert0\" counter masquerade "
			 "random,persistent\n");
	assert_lacks(text, "oifname != \"culvert0\" counter drop");
}

static void choices(void **state)
{
	struct nat_config c = config();
	struct tunnel_prefix allow[2];
	const char *text, *accept;

	(void)state;
	assert_true(net_prefix_parse(&allow[0].net, &allow[0].bits, "192.168.7.0/24"));
	assert_true(net_prefix_parse(&allow[1].net, &allow[1].bits, "fd77::/64"));
	c.allow = allow;
	c.allow_count = 2;
	c.allow_smtp = true;
	c.pool6.bits = 0;
	memset(&c.own6, 0, sizeof(c.own6));
	memcpy(c.uplink, "eth0", 5);
	text = compose(&c);
	accept = strstr(text, "ip daddr 192.168.7.0/24 counter accept\n");
	assert_non_null(accept);
	assert_non_null(strstr(accept, "ip daddr @special4 counter drop\n"));
	assert_has(text, "ip6 daddr fd77::/64 counter accept\n");
	assert_lacks(text, "dport 25");
	assert_has(text, "meta nfproto ipv6 counter drop\n");
	assert_lacks(text, "fd64");
	assert_has(text, "oifname != \"eth0\" counter drop\n");
	assert_has(text, "oifname \"eth0\" counter masquerade random,persistent\n");
}

static void too_long(void **state)
{
	struct nat_config c = config();
	char text[512];

	(void)state;
	assert_false(nat_compose(text, sizeof(text), &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces_in_one_script),
		cmocka_unit_test(default_rules),
		cmocka_unit_test(choices),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
