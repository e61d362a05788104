#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/addr.h"

static void endpoints(void **state)
{
	/* What is read, and how it is written again (NULL: it is not read). */
	static const struct {
		const char *text, *written;
	} cases[] = {
		{"192.0.2.1:51820", "192.0.2.1:51820"},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"192.0.2.1:65535", "192.0.2.1:65535"},
		{"192.0.2.1:65536", NULL},
		{"192.0.2.1:0", NULL},
		{"192.0.2.1:", NULL},
		{"192.0.2.1", NULL},
		{"192.0.2.1:-1", NULL},
		{"192.0.2.1:51820 ", NULL},
		{" 192.0.2.1:51820", NULL},
		{"192.0.2.1:5x", NULL},
		{"192.0.2:5", NULL},
		{"192.0.2.256:5", NULL},
		{"192.0.2.01:5", NULL},
		{"0x7f.0.0.1:5", NULL},
		{"2130706433:5", NULL},
		{"[2001:db8::1]:51820", "[2001:db8::1]:51820"},
		{"[2001:DB8:0:0:0:0:0:1]:51820", "[2001:db8::1]:51820"},
		{"[::]:1", "[::]:1"},
		{"[::ffff:192.0.2.1]:7", "192.0.2.1:7"},
		{"[::ffff:c000:201]:7", "192.0.2.1:7"},
		{"[2001:db8::1]:0", NULL},
		{"[2001:db8::1]:65536", NULL},
		{"[2001:db8::1]", NULL},
		{"[2001:db8::1]51820", NULL},
		{"[2001:db8::1:51820", NULL},
		{"2001:db8::1:51820", NULL},
		{"2001:db8::1]:51820", NULL},
		{"[fe80::1%eth0]:51820", NULL},
		{"[192.0.2.1]:51820", NULL},
		{"[]:51820", NULL},
		{"[:]:51820", NULL},
		{"[", NULL},
		{"]:1", NULL},
		{":51820", NULL},
		{"", NULL},
		{"relay.example:51820", NULL},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[NET_ADDR_TEXT];
		struct net_addr a;

		if (net_addr_parse(&a, cases[i].text) != (cases[i].written != NULL))
			fail_msg("\"%s\" is %sread", cases[i].text, cases[i].written ? "not " : "");
		if (cases[i].written)
			assert_string_equal(net_addr_text(out, &a), cases[i].written);
	}
}

static void longest_text_fits(void **state)
{
	char out[NET_ADDR_TEXT];
	struct net_addr a;

	(void)state;
	memset(a.ip, 0xff, sizeof(a.ip));
	a.port = 65535;
	assert_string_equal(net_addr_text(out, &a),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	assert_string_equal(net_ip_text(out, &a), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void prefixes(void **state)
{
	static const struct {
		const char *text;
		int bits; /* -1: it is not read */
	} cases[] = {
		{"10.0.0.0/8", 8},
		{"10.0.0.1", 32},
		{"0.0.0.0/0", 0},
		{"fd00::/8", 8},
		{"fd00::1", 128},
		{"::/0", 0},
		{"::ffff:10.0.0.0/104", 8},
		{"::ffff:10.0.0.1", 32},
		{"::ffff:10.0.0.1/128", 32},
		{"::ffff:0.0.0.0/96", 0},
		{"::ffff:0.0.0.0/95", -1},
		{"::ffff:10.0.0.0/8", -1},
		{"10.0.0.0/33", -1},
		{"fd00::/129", -1},
		{"10.0.0.0/", -1},
		{"10.0.0.0/8/8", -1},
		{"10.0.0.0/-1", -1},
		{"/8", -1},
		{"", -1},
		{"[fd00::]/8", -1},
		{"10/8", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_addr net;
		uint8_t bits;
		bool good = net_prefix_parse(&net, &bits, cases[i].text);

		if (good != (cases[i].bits >= 0) || (good && bits != cases[i].bits))
			fail_msg("\"%s\" is read wrongly", cases[i].text);
	}
}

/* Every length against every single-bit difference. */
static void assert_contains(const char *text, unsigned first, unsigned width)
{
	struct net_addr net, a;
	uint8_t full;

	assert_true(net_prefix_parse(&net, &full, text));
	for (unsigned bits = 0; bits <= width; bits++) {
		assert_true(net_prefix_contains(&net, (uint8_t)bits, &net));
		for (unsigned bit = 0; bit < width; bit++) {
			a = net;
			a.ip[(first + bit) / 8] ^= (uint8_t)(0x80U >> (bit % 8));
			if (net_addr_is_v4(&net) != net_addr_is_v4(&a))
				continue;
			assert_int_equal(net_prefix_contains(&net, (uint8_t)bits, &a), bit >= bits);
		}
	}
}

static void containment(void **state)
{
	struct net_addr four, six;
	uint8_t bits;

	(void)state;
	assert_contains("172.16.254.1", 96, 32);
	assert_contains("2001:db8:1234::ff", 0, 128);
	assert_true(net_prefix_parse(&four, &bits, "0.0.0.0/0"));
	assert_true(net_prefix_parse(&six, &bits, "::/0"));
	assert_false(net_prefix_contains(&six, 0, &four)); /* families never match each other */
	assert_false(net_prefix_contains(&four, 0, &six));
}

static void sockaddrs(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(51820)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct net_addr a, back;
	struct sockaddr_in6 out;
	char text[NET_ADDR_TEXT];

	(void)state;
	in.sin_addr.s_addr = htonl(0xc0000201);
	assert_true(net_addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in)));
	assert_string_equal(net_addr_text(text, &a), "192.0.2.1:51820");
	net_addr_to_sockaddr(&out, &a);
	assert_int_equal(out.sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_V4MAPPED(&out.sin6_addr));
	assert_true(net_addr_from_sockaddr(&back, (struct sockaddr *)&out, sizeof(out)));
	assert_true(net_addr_eq(&a, &back));
	back.port++;
	assert_false(net_addr_eq(&a, &back));
	assert_false(net_addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in) - 1));
	assert_false(net_addr_from_sockaddr(&a, (struct sockaddr *)&out, sizeof(out) - 1));
	assert_false(net_addr_from_sockaddr(&a, (struct sockaddr *)&un, sizeof(un)));
	assert_false(net_addr_from_sockaddr(&a, (struct sockaddr *)&un, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints), cmocka_unit_test(longest_text_fits),
		cmocka_unit_test(prefixes),  cmocka_unit_test(containment),
		cmocka_unit_test(sockaddrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
