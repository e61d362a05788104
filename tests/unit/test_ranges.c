#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "proto/ranges.h"

static struct net_addr ip(const char *text)
{
	struct net_addr a;
	uint8_t bits;

	if (!net_prefix_parse(&a, &bits, text))
		fail_msg("%s is no address", text);
	return a;
}

static const char *judge(const char *text, const struct ranges *allowed)
{
	struct net_addr a = ip(text);

	return ranges_special(&a, allowed);
}

static void assert_special(const char *text, const char *name)
{
	const char *found = judge(text, NULL);

	if (!found || strcmp(found, name) != 0)
		fail_msg("%s is %s, not %s", text, found ? found : "public", name);
}

static void assert_public(const char *text)
{
	const char *found = judge(text, NULL);

	if (found)
		fail_msg("%s is %s, not public", text, found);
}

/*
 * Every special range by its first and last address, and its neighbours on both sides: NULL if
 * there is none, or the name of the special range that the neighbour lies in, or "" if it is
 * public.
 */
struct range {
	const char *first, *last, *name;
	const char *before, *before_name;
	const char *after, *after_name;
};

static const struct range table4[] = {
	{"0.0.0.0", "0.255.255.255", "this network", NULL, NULL, "1.0.0.0", ""},
	{"10.0.0.0", "10.255.255.255", "private", "9.255.255.255", "", "11.0.0.0", ""},
	{"100.64.0.0", "100.127.255.255", "carrier-grade NAT", "100.63.255.255", "", "100.128.0.0",
	 ""},
	{"127.0.0.0", "127.255.255.255", "loopback", "126.255.255.255", "", "128.0.0.0", ""},
	{"169.254.0.0", "169.254.255.255", "link-local", "169.253.255.255", "", "169.255.0.0", ""},
	{"172.16.0.0", "172.31.255.255", "private", "172.15.255.255", "", "172.32.0.0", ""},
	{"192.0.0.0", "192.0.0.255", "protocol assignments", "191.255.255.255", "", "192.0.1.0",
	 ""},
	{"192.0.2.0", "192.0.2.255", "documentation", "192.0.1.255", "", "192.0.3.0", ""},
	{"192.31.196.0", "192.31.196.255", "AS112", "192.31.195.255", "", "192.31.197.0", ""},
	{"192.52.193.0", "192.52.193.255", "multicast tunnelling", "192.52.192.255", "",
	 "192.52.194.0", ""},
	{"192.88.99.0", "192.88.99.255", "6to4 relay", "192.88.98.255", "", "192.88.100.0", ""},
	{"192.168.0.0", "192.168.255.255", "private", "192.167.255.255", "", "192.169.0.0", ""},
	{"192.175.48.0", "192.175.48.255", "AS112", "192.175.47.255", "", "192.175.49.0", ""},
	{"198.18.0.0", "198.19.255.255", "benchmarking", "198.17.255.255", "", "198.20.0.0", ""},
	{"198.51.100.0", "198.51.100.255", "documentation", "198.51.99.255", "", "198.51.101.0",
	 ""},
	{"203.0.113.0", "203.0.113.255", "documentation", "203.0.112.255", "", "203.0.114.0", ""},
	{"224.0.0.0", "239.255.255.255", "multicast", "223.255.255.255", "", "240.0.0.0",
	 "reserved"},
	{"240.0.0.0", "255.255.255.254", "reserved", "239.255.255.255", "multicast",
	 "255.255.255.255", "broadcast"},
	{"255.255.255.255", "255.255.255.255", "broadcast", "255.255.255.254", "reserved", NULL,
	 NULL},
};

static const struct range table6[] = {
	{"::", "::", "unspecified", NULL, NULL, "::1", "loopback"},
	{"::1", "::1", "loopback", "::", "unspecified", "::2", "IPv4-compatible"},
	{"::2", "::ffff:ffff", "IPv4-compatible", "::1", "loopback", "::1:0:0", ""},
	{"::ffff:0:0:0", "::ffff:0:ffff:ffff", "IPv4-translated", "::fffe:ffff:ffff:ffff", "",
	 "::ffff:1:0:0", ""},
	{"64:ff9b::", "64:ff9b::ffff:ffff", "NAT64", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "",
	 "64:ff9b::1:0:0", ""},
	{"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64",
	 "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "", "64:ff9b:2::", ""},
	{"100::", "100::ffff:ffff:ffff:ffff", "discard-only",
	 "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "100:0:0:1::", "dummy"},
	{"100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "dummy", "100::ffff:ffff:ffff:ffff",
	 "discard-only", "100:0:0:2::", ""},
	{"2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo",
	 "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2001:1::", "protocol assignments"},
	{"2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments",
	 "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo", "2001:200::", ""},
	{"2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments",
	 "2001:f:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments",
	 "2001:30::", "protocol assignments"},
	{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation",
	 "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "", "2001:db9::", ""},
	{"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4",
	 "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2003::", ""},
	{"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "AS112",
	 "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "", "2620:4f:8001::", ""},
	{"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation",
	 "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "3fff:1000::", ""},
	{"5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "segment routing",
	 "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "5f01::", ""},
	{"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private",
	 "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "fe00::", ""},
	{"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local",
	 "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "fec0::", "site-local"},
	{"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local",
	 "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local", "ff00::", "multicast"},
	{"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast",
	 "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local", NULL, NULL},
	{"2a00:1450::5efe:0:0", "2a00:1450::5efe:ffff:ffff", "ISATAP", "2a00:1450::5efd:ffff:ffff",
	 "", "2a00:1450::5eff:0:0", ""},
	{"2a00:1450::200:5efe:0:0", "2a00:1450::200:5efe:ffff:ffff", "ISATAP",
	 "2a00:1450::200:5efd:ffff:ffff", "", "2a00:1450::200:5eff:0:0", ""},
};

static void assert_neighbour(const char *text, const char *name)
{
	if (!text)
		return;
	if (*name)
		assert_special(text, name);
	else
		assert_public(text);
}

static void assert_edges(const struct range *r)
{
	assert_special(r->first, r->name);
	assert_special(r->last, r->name);
	assert_neighbour(r->before, r->before_name);
	assert_neighbour(r->after, r->after_name);
}

static void every_edge(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table4); i++)
		assert_edges(&table4[i]);
	for (size_t i = 0; i < ARRAY_SIZE(table6); i++)
		assert_edges(&table6[i]);
}

/* before and after are really one away, so that the table cannot leave a gap. */
static bool one_apart(const char *low, const char *high)
{
	struct net_addr a = ip(low), b = ip(high);

	for (int i = 15; i >= 0; i--) {
		if (++a.ip[i])
			break;
	}
	return net_addr_eq(&a, &b);
}

static void neighbours_are_neighbours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table4); i++) {
		assert_true(!table4[i].before || one_apart(table4[i].before, table4[i].first));
		assert_true(!table4[i].after || one_apart(table4[i].last, table4[i].after));
	}
	for (size_t i = 0; i < ARRAY_SIZE(table6); i++) {
		assert_true(!table6[i].before || one_apart(table6[i].before, table6[i].first));
		assert_true(!table6[i].after || one_apart(table6[i].last, table6[i].after));
	}
}

/* Ways of writing a.b.c.d inside IPv6: into which address, at which four bytes, inverted or not. */
static const struct {
	const char *into;
	uint8_t at[4];
	bool inverted, mapped;
	const char *name;
} disguises[] = {
	{"::ffff:0:0", {12, 13, 14, 15}, false, true, NULL},
	{"::", {12, 13, 14, 15}, false, false, "IPv4-compatible"},
	{"::ffff:0:0:0", {12, 13, 14, 15}, false, false, "IPv4-translated"},
	{"64:ff9b::", {12, 13, 14, 15}, false, false, "NAT64"},
	{"64:ff9b:1::", {6, 7, 9, 10}, false, false, "local NAT64"},
	{"64:ff9b:1:abcd::", {12, 13, 14, 15}, false, false, "local NAT64"},
	{"2002::1", {2, 3, 4, 5}, false, false, "6to4"},
	{"2001:0:102:304::", {12, 13, 14, 15}, true, false, "Teredo"},
	{"2001::", {4, 5, 6, 7}, false, false, "Teredo"},
	{"2a00:1450:4001:800:0:5efe::", {12, 13, 14, 15}, false, false, "ISATAP"},
	{"2a00:1450:4001:800:200:5efe::", {12, 13, 14, 15}, false, false, "ISATAP"},
	{"fe80::5efe:0:0", {12, 13, 14, 15}, false, false, "ISATAP"},
};

static struct net_addr disguise(size_t which, const char *v4)
{
	struct net_addr a = ip(disguises[which].into), plain = ip(v4);

	for (size_t i = 0; i < 4; i++)
		a.ip[disguises[which].at[i]] =
			(uint8_t)(plain.ip[12 + i] ^ (disguises[which].inverted ? 0xff : 0));
	return a;
}

static void assert_disguises(const char *v4, const char *plain_name, const struct ranges *allowed)
{
	for (size_t i = 0; i < ARRAY_SIZE(disguises); i++) {
		const char *found, *want = disguises[i].mapped ? plain_name : disguises[i].name;
		struct net_addr a = disguise(i, v4);
		char text[NET_ADDR_TEXT];

		found = ranges_special(&a, allowed);
		/* ::0.0.0.0 and ::0.0.0.1 are addresses of their own, special as well. */
		if (found && i == 1 && strncmp(v4, "0.0.0.", 6) == 0)
			continue;
		if (!found != !want || (found && strcmp(found, want) != 0))
			fail_msg("%s (%s) is %s, not %s", net_ip_text(text, &a), v4,
				 found ? found : "public", want ? want : "public");
	}
}

static void every_special_range_in_every_disguise(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table4); i++) {
		assert_disguises(table4[i].first, table4[i].name, NULL);
		assert_disguises(table4[i].last, table4[i].name, NULL);
	}
	assert_disguises("127.0.0.1", "loopback", NULL);
	assert_disguises("0.0.0.1", "this network", NULL);
}

static void metadata_by_name(void **state)
{
	static const char *const v4[] = {"169.254.169.254", "169.254.170.2", "100.100.100.200",
					 "168.63.129.16", "192.0.0.192"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(v4); i++)
		assert_disguises(v4[i], "cloud metadata", NULL);
	assert_special("fd00:ec2::254", "cloud metadata");
	assert_special("fd20:ce::254", "cloud metadata");
	assert_public("168.63.129.15");
	assert_public("168.63.129.17");
	assert_special("fd00:ec2::253", "private");
}

static void public_addresses(void **state)
{
	static const char *const some[] = {"1.1.1.1",
					   "8.8.8.8",
					   "100.63.0.1",
					   "198.20.0.1",
					   "223.255.255.255",
					   "2606:4700:4700::1111",
					   "2a00:1450:4001:830::200e",
					   "2001:200::1",
					   "2001:4860:4860::8888",
					   "2400:cb00:2048:1::6814:55"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		assert_public(some[i]);
	/* A public address in an embedding form is refused all the same. */
	assert_disguises("8.8.8.8", NULL, NULL);
}

static void allowance_lifts_plain_forms_only(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_true(ranges_allow(&r, "10.1.0.0/16"));
	assert_true(ranges_allow(&r, "127.0.0.1"));
	assert_true(ranges_allow(&r, "fd12::/16"));
	assert_int_equal(r.count, 3);
	assert_null(judge("10.1.0.0", &r));
	assert_null(judge("10.1.255.255", &r));
	assert_string_equal(judge("10.0.255.255", &r), "private");
	assert_string_equal(judge("10.2.0.0", &r), "private");
	assert_null(judge("127.0.0.1", &r));
	assert_string_equal(judge("127.0.0.2", &r), "loopback");
	assert_null(judge("fd12::1", &r));
	assert_string_equal(judge("fd13::1", &r), "private");
	assert_disguises("10.1.2.3", NULL, &r);
	assert_disguises("127.0.0.1", NULL, &r);
	assert_null(judge("8.8.8.8", &r));
}

/* Even an operator who allows the whole of IPv6 gets no embedded form, and no metadata. */
static void allowing_everything(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_true(ranges_allow(&r, "0.0.0.0/0"));
	assert_true(ranges_allow(&r, "::/0"));
	for (size_t i = 0; i < ARRAY_SIZE(table4); i++) {
		assert_null(judge(table4[i].first, &r));
		assert_disguises(table4[i].last, NULL, &r);
	}
	assert_null(judge("::1", &r));
	assert_null(judge("fe80::1", &r));
	assert_disguises("169.254.169.254", "cloud metadata", &r);
	assert_string_equal(judge("fd00:ec2::254", &r), "cloud metadata");
}

static void metadata_is_allowed_by_itself(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_true(ranges_allow(&r, "100.64.0.0/10"));
	assert_string_equal(judge("100.100.100.200", &r), "cloud metadata");
	assert_true(ranges_allow(&r, "100.100.100.200/32"));
	assert_true(ranges_allow(&r, "fd00:ec2::254"));
	assert_null(judge("100.100.100.200", &r));
	assert_null(judge("fd00:ec2::254", &r));
}

static void ipv4_by_its_mapped_name(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_true(ranges_allow(&r, "::ffff:10.0.0.0/104"));
	assert_null(judge("10.255.0.1", &r));
	assert_string_equal(judge("127.0.0.1", &r), "loopback");
	assert_false(ranges_allow(&r, "::ffff:0.0.0.0/95"));
}

static void unreadable_or_full(void **state)
{
	static const char *const bad[] = {"",
					  "/",
					  "10.0.0.0/33",
					  "10.0.0.0/",
					  "10.0.0/8",
					  "fd00::/129",
					  "10.0.0.0/-1",
					  "10.0.0.0/8 ",
					  " 10.0.0.0/8",
					  "example.org",
					  "10.0.0.0/8/8",
					  "fe80::1%eth0"};
	struct ranges r = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(ranges_allow(&r, bad[i]));
	assert_int_equal(r.count, 0);
	for (size_t i = 0; i < RANGES_MAX; i++)
		assert_true(ranges_allow(&r, "10.0.0.0/8"));
	assert_false(ranges_allow(&r, "10.0.0.0/8"));
	assert_int_equal(r.count, RANGES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_edge),
		cmocka_unit_test(neighbours_are_neighbours),
		cmocka_unit_test(every_special_range_in_every_disguise),
		cmocka_unit_test(metadata_by_name),
		cmocka_unit_test(public_addresses),
		cmocka_unit_test(allowance_lifts_plain_forms_only),
		cmocka_unit_test(allowing_everything),
		cmocka_unit_test(metadata_is_allowed_by_itself),
		cmocka_unit_test(ipv4_by_its_mapped_name),
		cmocka_unit_test(unreadable_or_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
