#include "tests/lib/unit.h"

#include <stdio.h>

#include "proto/descriptor.h"

#define NETWORK 42
#define ISSUED  1750000000
#define EXPIRES 1760000000

static struct identity node;

static struct terms terms_for(enum role role, uint64_t network, const struct identity *by)
{
	const struct terms_values v = {
		.role = role, .network = network, .window_start = 1, .window_cap = 1};
	struct terms t;

	terms_make(&t, &v, by);
	return t;
}

static struct descriptor unsigned_of(uint8_t roles, const char *name)
{
	struct descriptor d;

	descriptor_begin(&d, NETWORK, roles, name, ISSUED, EXPIRES);
	memset(d.body.control, 3, KEY_LEN);
	memcpy(d.body.ip4, (uint8_t[]){203, 0, 113, 9}, 4);
	memcpy(d.body.ip6, (uint8_t[]){0x20, 0x01, 0x0d, 0xb8, [15] = 9}, 16);
	d.body.port = le16_of(51820);
	if (roles & ROLE_RELAY)
		d.body.relay_terms = terms_for(ROLE_RELAY, NETWORK, &node);
	if (roles & ROLE_EXIT) {
		d.body.exit_terms = terms_for(ROLE_EXIT, NETWORK, &node);
		memset(d.body.wg_key, 4, KEY_LEN);
		d.body.wg_port = le16_of(51821);
	}
	return d;
}

static struct descriptor good_of(uint8_t roles)
{
	struct descriptor d = unsigned_of(roles, "node-1");

	descriptor_sign(&d, &node);
	return d;
}

static enum descriptor_verdict signed_verdict(struct descriptor *d)
{
	descriptor_sign(d, &node);
	return descriptor_check(d, NETWORK, ISSUED);
}

static void each_set_of_roles(void **state)
{
	(void)state;
	for (unsigned roles = 0; roles < 256; roles++) {
		struct descriptor d = unsigned_of((uint8_t)roles, "node-1");
		bool known = roles >= 1 && roles <= 3;

		assert_int_equal(signed_verdict(&d), known ? DESCRIPTOR_OK : DESCRIPTOR_BAD_FORM);
		assert_memory_equal(d.body.node, node.id, KEY_LEN);
	}
}

static void every_byte_is_signed(void **state)
{
	struct descriptor good = good_of(ROLE_RELAY | ROLE_EXIT), bad;

	(void)state;
	for (size_t i = 0; i < sizeof(good); i++) {
		bad = good;
		((uint8_t *)&bad)[i] ^= (uint8_t)(1U << (i % 8));
		assert_int_not_equal(descriptor_check(&bad, 0, 0), DESCRIPTOR_OK);
	}
}

static void form_counts_even_when_signed(void **state)
{
	struct descriptor d;

	(void)state;
	for (size_t i = 0; i < 24; i++) { /* domain, version, roles, zero */
		d = good_of(ROLE_EXIT);
		((uint8_t *)&d)[i] ^= 0x40;
		assert_int_equal(signed_verdict(&d), DESCRIPTOR_BAD_FORM);
	}
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
		{"a", true},
		{"z9-", true},
		{"abcdefghijklmnopqrstuvwxyz-0123", true},   /* 31 */
		{"abcdefghijklmnopqrstuvwxyz-01234", false}, /* 32: left out */
		{"", false},
		{"-a", false},
		{"9a", false},
		{"A", false},
		{"a_b", false},
		{"a b", false},
		{"a.b", false},
		{"a\n", false},
		{"a\x1b[31m", false},
		{"\xc3\xa4", false},
		{"a{", false},
		{"a`", false},
		{"a/", false},
		{"a:", false},
	};
	struct descriptor d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		d = unsigned_of(ROLE_RELAY, cases[i].name);
		assert_int_equal(signed_verdict(&d),
				 cases[i].good ? DESCRIPTOR_OK : DESCRIPTOR_BAD_FORM);
	}
	d = unsigned_of(ROLE_RELAY, "a");
	memset(d.body.name, 'a', sizeof(d.body.name));
	assert_int_equal(signed_verdict(&d), DESCRIPTOR_BAD_FORM);
	d = unsigned_of(ROLE_RELAY, "a");
	d.body.name[31] = 'a'; /* something behind the end */
	assert_int_equal(signed_verdict(&d), DESCRIPTOR_BAD_FORM);
}

static void assert_form(struct descriptor *d, bool good)
{
	assert_int_equal(signed_verdict(d), good ? DESCRIPTOR_OK : DESCRIPTOR_BAD_FORM);
}

static void keys_and_ports_for_roles(void **state)
{
	struct descriptor d = good_of(ROLE_EXIT);

	(void)state;
	memset(d.body.wg_key, 0, KEY_LEN);
	assert_form(&d, false);
	d = good_of(ROLE_EXIT);
	d.body.wg_port = le16_of(0);
	assert_form(&d, false);
	d = good_of(ROLE_RELAY);
	d.body.wg_key[0] = 1;
	assert_form(&d, false);
	d = good_of(ROLE_RELAY);
	d.body.wg_port = le16_of(1);
	assert_form(&d, false);
	d = good_of(ROLE_RELAY);
	memset(d.body.control, 0, KEY_LEN);
	assert_form(&d, false);
	d = good_of(ROLE_RELAY);
	d.body.port = le16_of(0);
	assert_form(&d, false);
}

static void addresses(void **state)
{
	struct descriptor d = good_of(ROLE_RELAY);

	(void)state;
	memset(d.body.ip4, 0, 4);
	assert_form(&d, true);
	memset(d.body.ip6, 0, 16);
	assert_form(&d, false);
	d.body.ip4[0] = 8;
	assert_form(&d, true);
	memcpy(d.body.ip6, (uint8_t[]){[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, 16);
	assert_form(&d, false);
}

static void lifetimes(void **state)
{
	struct descriptor d = good_of(ROLE_RELAY);

	(void)state;
	assert_int_equal(descriptor_check(&d, NETWORK, EXPIRES - 1), DESCRIPTOR_OK);
	assert_int_equal(descriptor_check(&d, NETWORK, EXPIRES), DESCRIPTOR_EXPIRED);
	assert_int_equal(descriptor_check(&d, NETWORK, UINT64_MAX), DESCRIPTOR_EXPIRED);
	assert_int_equal(descriptor_check(&d, NETWORK, 0), DESCRIPTOR_OK);
	assert_int_equal(descriptor_check(&d, NETWORK, 1),
			 DESCRIPTOR_OK); /* a clock that is behind */
	d.body.expires = d.body.issued;
	assert_form(&d, false);
}

static void networks(void **state)
{
	struct descriptor d = good_of(ROLE_RELAY);

	(void)state;
	assert_int_equal(descriptor_check(&d, 0, 0), DESCRIPTOR_OK);
	assert_int_equal(descriptor_check(&d, NETWORK + 1, 0), DESCRIPTOR_OTHER_NETWORK);
}

static enum descriptor_verdict with_terms(const struct terms *relay, const struct terms *exit)
{
	struct descriptor d = good_of(ROLE_RELAY | ROLE_EXIT);

	d.body.relay_terms = *relay;
	d.body.exit_terms = *exit;
	return signed_verdict(&d);
}

static void terms_belong(void **state)
{
	static const uint8_t seed[KEY_LEN] = {7};
	struct identity other;
	struct terms none = {0}, relay, exit, bad;
	struct descriptor d;

	(void)state;
	identity_from_seed(&other, seed);
	relay = terms_for(ROLE_RELAY, NETWORK, &node);
	exit = terms_for(ROLE_EXIT, NETWORK, &node);
	assert_int_equal(with_terms(&relay, &exit), DESCRIPTOR_OK);
	assert_int_equal(with_terms(&exit, &relay), DESCRIPTOR_BAD_TERMS);
	assert_int_equal(with_terms(&none, &exit), DESCRIPTOR_BAD_TERMS);
	assert_int_equal(with_terms(&relay, &none), DESCRIPTOR_BAD_TERMS);
	bad = terms_for(ROLE_RELAY, NETWORK, &other);
	assert_int_equal(with_terms(&bad, &exit), DESCRIPTOR_BAD_TERMS);
	bad = terms_for(ROLE_RELAY, NETWORK + 1, &node);
	assert_int_equal(with_terms(&bad, &exit), DESCRIPTOR_BAD_TERMS);
	bad = relay;
	bad.signature[0] ^= 1;
	assert_int_equal(with_terms(&bad, &exit), DESCRIPTOR_BAD_TERMS);
	d = good_of(ROLE_RELAY);
	d.body.exit_terms = exit;
	assert_int_equal(signed_verdict(&d), DESCRIPTOR_BAD_TERMS);
	d = good_of(ROLE_EXIT);
	d.body.relay_terms.signature[63] = 1;
	assert_int_equal(signed_verdict(&d), DESCRIPTOR_BAD_TERMS);
}

static void somebody_else_signed(void **state)
{
	static const uint8_t seed[KEY_LEN] = {7};
	struct descriptor d = good_of(ROLE_RELAY);
	struct identity other;

	(void)state;
	identity_from_seed(&other, seed);
	identity_sign(d.signature, &d.body, sizeof(d.body), &other);
	assert_int_equal(descriptor_check(&d, 0, 0), DESCRIPTOR_BAD_SIGNATURE);
}

static void endpoints(void **state)
{
	struct descriptor d = good_of(ROLE_EXIT);
	char text[NET_ADDR_TEXT];
	struct net_addr a;

	(void)state;
	assert_true(descriptor_endpoint(&d, false, false, &a));
	assert_string_equal(net_addr_text(text, &a), "203.0.113.9:51820");
	assert_true(descriptor_endpoint(&d, false, true, &a));
	assert_string_equal(net_addr_text(text, &a), "203.0.113.9:51821");
	assert_true(descriptor_endpoint(&d, true, false, &a));
	assert_string_equal(net_addr_text(text, &a), "[2001:db8::9]:51820");
	assert_true(descriptor_endpoint(&d, true, true, &a));
	assert_string_equal(net_addr_text(text, &a), "[2001:db8::9]:51821");
	memset(d.body.ip4, 0, 4);
	assert_false(descriptor_endpoint(&d, false, false, &a));
	memset(d.body.ip6, 0, 16);
	assert_false(descriptor_endpoint(&d, true, false, &a));
	d = good_of(ROLE_RELAY);
	assert_false(descriptor_endpoint(&d, false, true, &a));
	assert_false(descriptor_endpoint(&d, true, true, &a));
}

static bool reads_as(const char *before, const char *line, const char *after,
		     const struct descriptor *d)
{
	char text[2 * DESCRIPTOR_TEXT_MAX];
	struct descriptor back;

	snprintf(text, sizeof(text), "%s%s%s", before, line, after);
	return descriptor_from_text(&back, text) && memcmp(&back, d, sizeof(*d)) == 0;
}

static void text_form(void **state)
{
	struct descriptor d = good_of(ROLE_RELAY | ROLE_EXIT);
	char line[DESCRIPTOR_TEXT_MAX];

	(void)state;
	descriptor_to_text(line, sizeof(line), &d);
	assert_int_equal(strlen(line), strlen("culvert-node-1 ") + 824 + 1);
	assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
	assert_true(reads_as("", line, "", &d));
	assert_true(reads_as("# a comment\n\n  \n#\n", line, "\n", &d));
	assert_true(reads_as("\r\n", line, "\r\n", &d));
	line[strlen(line) - 1] = '\0';
	assert_true(reads_as("", line, "", &d));
	assert_false(reads_as("", line, "=", &d));
	assert_false(reads_as("", line, "AAAA", &d));
	assert_false(reads_as("", line, "\nmore", &d));
	assert_false(reads_as("", line, " more", &d));
	assert_false(reads_as("x", line, "", &d));
	assert_false(reads_as("# ", line, "", &d));
	line[strlen(line) - 1] = '\0';
	assert_false(reads_as("", line, "", &d));
	line[100] = '*';
	assert_false(reads_as("", line, "A", &d));
}

static void text_that_is_none(void **state)
{
	static const char *const bad[] = {"",
					  "\n",
					  "#",
					  "# only a comment\n",
					  "culvert-node-1",
					  "culvert-node-1 ",
					  "culvert-node-1 \n",
					  "culvert-node-2 AAAA\n",
					  "culvert-node-1 AAAA\n"};
	struct descriptor d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(descriptor_from_text(&d, bad[i]));
}

static void verdicts_have_sentences(void **state)
{
	(void)state;
	for (enum descriptor_verdict a = DESCRIPTOR_OK; a <= DESCRIPTOR_OTHER_NETWORK; a++) {
		for (enum descriptor_verdict b = DESCRIPTOR_OK; b < a; b++)
			assert_string_not_equal(descriptor_verdict_text(a),
						descriptor_verdict_text(b));
	}
}

int main(void)
{
	static const uint8_t seed[KEY_LEN] = {1};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_set_of_roles),
		cmocka_unit_test(every_byte_is_signed),
		cmocka_unit_test(form_counts_even_when_signed),
		cmocka_unit_test(names),
		cmocka_unit_test(keys_and_ports_for_roles),
		cmocka_unit_test(addresses),
		cmocka_unit_test(lifetimes),
		cmocka_unit_test(networks),
		cmocka_unit_test(terms_belong),
		cmocka_unit_test(somebody_else_signed),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(text_form),
		cmocka_unit_test(text_that_is_none),
		cmocka_unit_test(verdicts_have_sentences),
	};

	crypto_start();
	identity_from_seed(&node, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
