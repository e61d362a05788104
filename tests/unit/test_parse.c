/* The dialect, and the typed parsers of single values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/parse.h"
#include "config/values.h"

static char told[4096];

static bool section(void *arg, const char *name, char why[static CONFIG_ERROR_MAX])
{
	(void)arg;
	(void)why;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "[%s]", name);
	return true;
}

static bool pair(void *arg, unsigned line, const char *sect, const char *key, const char *value,
		 char why[static CONFIG_ERROR_MAX])
{
	(void)arg;
	if (strcmp(key, "stop") == 0) {
		snprintf(why, CONFIG_ERROR_MAX, "stopped");
		return false;
	}
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%u:%s.%s=%s;", line, sect, key,
		 value);
	return true;
}

static bool parse(const char *text, size_t len, unsigned *line, char *why)
{
	static const struct parse_handler handler = {section, pair};

	told[0] = '\0';
	return parse_text(text, len, &handler, NULL, line, why);
}

static void test_dialect(void **state)
{
	static const struct {
		const char *text, *told;
	} good[] = {
		{"", ""},
		{"\n\n# c\n; c\n  # c\n\t; c", ""},
		{"[A]\nk=v", "[A]2:A.k=v;"},
		{"[A]\nk = v\n[B]\nk = w\n", "[A]2:A.k=v;[B]4:B.k=w;"},
		{"  [A]  \n  k   =   v w  \n", "[A]2:A.k=v w;"},
		{"[A] # c\nk = v # c\n", "[A]2:A.k=v;"},
		{"[A];c\nk = v ;c\n", "[A]2:A.k=v;"},
		{"[A]\nk = v#not;a comment\n", "[A]2:A.k=v#not;a comment;"},
		{"[A]\r\nk = v\r\n", "[A]2:A.k=v;"},
		{"\xef\xbb\xbf[A]\nk = v\n", "[A]2:A.k=v;"},
		{"[A]\nk = v\n  l = w\n\tm = x\n", "[A]2:A.k=v;3:A.l=w;4:A.m=x;"},
		{"[A]\nk = a = b : c\n", "[A]2:A.k=a = b : c;"},
		{"[A]\nk = [::]:51820\n", "[A]2:A.k=[::]:51820;"},
		{"[A]\nk =\n", "[A]2:A.k=;"},
		{"[A]\nk = # c\n", "[A]2:A.k=;"},
		{"k = v\n", "1:.k=v;"},
	};
	char why[CONFIG_ERROR_MAX];
	unsigned line;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (!parse(good[i].text, strlen(good[i].text), &line, why))
			fail_msg("%s: line %u: %s", good[i].text, line, why);
		assert_string_equal(told, good[i].told);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} bad[] = {
		{"[A]\nk\n", 2},        {"[A]\nk: v\n", 2},      {"[A\n", 1},
		{"[A] k = v\n", 1},     {"\n\n\n= v\n", 4},      {"[A]\nstop = 1\nk = v\n", 2},
		{"[A]\n\x01 = v\n", 2}, {"[A]\nk = \x1b[0m", 2}, {"[A]\nk = v\rw\n", 2},
		{"k # c = v\n", 1},
	};
	char why[CONFIG_ERROR_MAX], key[120];
	unsigned line;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why[0] = '\0';
		assert_false(parse(bad[i].text, strlen(bad[i].text), &line, why));
		assert_int_equal(line, bad[i].line);
		assert_true(why[0] != '\0');
	}
	assert_false(parse("[A]\nk = \0v\n", 11, &line, why));
	/* libinih would cut a key at 49 bytes and take what is left for a known one. */
	for (size_t n = 46; n <= 52; n++) {
		memset(key, 'k', n);
		snprintf(key + n, sizeof(key) - n, "=v");
		assert_int_equal(parse(key, n + 2, &line, why), n <= PARSE_NAME_MAX);
		key[0] = '[';
		snprintf(key + n, sizeof(key) - n, "]");
		assert_int_equal(parse(key, n + 1, &line, why), n - 1 <= PARSE_NAME_MAX);
	}
}

static void test_long_lines(void **state)
{
	static char text[2048];
	char why[CONFIG_ERROR_MAX];
	unsigned line;

	(void)state;
	for (size_t n = 998; n <= 1003; n++) {
		memset(text, 'v', n);
		memcpy(text, "k=", 2);
		text[n] = '\n';
		assert_int_equal(parse(text, n + 1, &line, why), n <= PARSE_LINE_MAX);
		if (n <= PARSE_LINE_MAX)
			assert_int_equal(strlen(told), strlen("1:.k=;") + n - 2);
	}
}

static void test_numbers(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(parse_number(&v, "0xca6c", 1, UINT32_MAX) && v == 51820);
	assert_true(parse_number(&v, "0XFFFFFFFFFFFFFFFF", 0, UINT64_MAX) && v == UINT64_MAX);
	assert_false(parse_number(&v, "0x1ffffffffffffffff", 0, UINT64_MAX));
	assert_false(parse_number(&v, "0x10", 17, UINT64_MAX));
	assert_false(parse_number(&v, "+5", 0, 9));
	assert_false(parse_number(&v, "", 0, 9));
	assert_true(parse_seconds(&v, "2 h") && v == 7200);
	assert_true(parse_seconds(&v, "5min") && v == 300);
	assert_true(parse_seconds(&v, "7") && v == 7);
	assert_false(parse_seconds(&v, "7 ms"));
	assert_true(parse_rate(&v, "1 Gbit/s") && v == 125000000);
	assert_true(parse_rate(&v, "64KBIT/S") && v == 8000);
	assert_true(parse_rate(&v, "none") && v == 0);
	assert_true(parse_rate(&v, "0") && v == 0);
	assert_false(parse_rate(&v, "1.5 Mbit/s"));
	assert_false(parse_rate(&v, "8 Mbps"));
	assert_false(parse_rate(&v, "8 MB/s"));
	assert_false(parse_rate(&v, "8000000"));
	assert_true(parse_share(&v, "0.0001 %") && v == 1);
	assert_true(parse_share(&v, "12.5%") && v == 125000);
	assert_true(parse_share(&v, "100.9999 %") && v == 1009999);
	assert_true(parse_share(&v, "17 ppm") && v == 17);
	assert_false(parse_share(&v, "101 %"));
	assert_false(parse_share(&v, ".5 %"));
	assert_false(parse_share(&v, "1.5 ppm"));
	assert_false(parse_share(&v, "5"));
}

static void test_words(void **state)
{
	struct config_prefix prefix;
	struct net_addr addr;
	char path[CONFIG_PATH_MAX], name[32], iface[16];
	enum log_level level;
	uint8_t roles;
	bool flag;

	(void)state;
	assert_true(parse_name(name, "a-9") && strcmp(name, "a-9") == 0);
	assert_false(parse_name(name, ""));
	assert_true(parse_roles(&roles, " EXIT , relay ") && roles == (ROLE_RELAY | ROLE_EXIT));
	assert_false(parse_roles(&roles, "exit,exit"));
	assert_true(parse_path(path, "/etc/culvert", "a/b") &&
		    strcmp(path, "/etc/culvert/a/b") == 0);
	assert_true(parse_path(path, "", "a/b") && strcmp(path, "a/b") == 0);
	assert_true(parse_path(path, "/etc/culvert", "/a") && strcmp(path, "/a") == 0);
	assert_false(parse_path(path, "/etc", ""));
	assert_true(parse_yes_no(&flag, "No") && !flag);
	assert_false(parse_yes_no(&flag, "true"));
	assert_true(parse_log_level(&level, "Warn") && level == LOG_LEVEL_WARN);
	assert_true(parse_interface(iface, "fifteen-bytes_x"));
	assert_false(parse_interface(iface, "sixteen-bytes_xx"));
	assert_false(parse_interface(iface, "."));
	assert_true(parse_ip(&addr, "2001:db8::1"));
	assert_false(parse_ip(&addr, "2001:db8::1/64"));
	assert_true(parse_prefix(&prefix, "0.0.0.0/0") && prefix.bits == 0);
	assert_true(parse_prefix(&prefix, "::/0") && prefix.bits == 0);
	assert_true(parse_prefix(&prefix, "10.255.255.254/31"));
	assert_false(parse_prefix(&prefix, "10.255.255.255/31"));
	assert_false(parse_prefix(&prefix, "fd00::1/127"));
	assert_false(parse_prefix(&prefix, "::ffff:1.2.3.4/32"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialect),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_lines), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
