/* WireGuard's configuration protocol: what we send, byte for byte, and what we make of answers. */
#include "tests/lib/unit.h"

#include <errno.h>

#include "tunnel/uapi.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* As wireguard-go 0.0.20220316 answers get=1. */
static const char answer[] = "private_key=" HEX_A "\n"
			     "listen_port=51820\n"
			     "fwmark=51820\n"
			     "public_key=" HEX_A "\n"
			     "preshared_key=0000000000000000000000000000000000000000000000000000"
			     "000000000000\n"
			     "protocol_version=1\n"
			     "endpoint=192.0.2.7:1234\n"
			     "last_handshake_time_sec=1700000000\n"
			     "last_handshake_time_nsec=5\n"
			     "tx_bytes=18446744073709551615\n"
			     "rx_bytes=4294967296\n"
			     "persistent_keepalive_interval=25\n"
			     "allowed_ip=10.0.0.2/32\n"
			     "public_key=" HEX_B "\n"
			     "endpoint=[fe80::1%eth0]:5\n"
			     "tx_bytes=1\n"
			     "rx_bytes=2\n"
			     "errno=0\n\n";

struct seen {
	unsigned count;
	struct backend_stat last[4];
};

static void see(void *arg, const struct backend_stat *stat)
{
	struct seen *s = arg;

	if (s->count < 4)
		s->last[s->count] = *stat;
	s->count++;
}

static void requests(void **state)
{
	uint8_t key[KEY_LEN];
	struct tunnel_prefix allowed[2];
	struct tunnel_peer peer = {
		.has_endpoint = true, .keepalive = 25, .allowed = allowed, .allowed_count = 2};
	char text[UAPI_REQUEST_MAX(2)];
	struct uapi_text out;

	(void)state;
	memset(key, 0xaa, sizeof(key));
	memcpy(peer.key, key, KEY_LEN);
	assert_true(net_addr_parse(&peer.endpoint, "[2001:db8::1]:51820"));
	assert_true(net_prefix_parse(&allowed[0].net, &allowed[0].bits, "0.0.0.0/0"));
	assert_true(net_prefix_parse(&allowed[1].net, &allowed[1].bits, "fd00::/8"));

	uapi_begin(&out, text, sizeof(text));
	uapi_put_device(&out, key, 7);
	uapi_put_port(&out, 51820);
	assert_true(uapi_end(&out));
	assert_string_equal(text, "set=1\nprivate_key=" HEX_A "\nfwmark=7\nlisten_port=51820\n\n");

	uapi_begin(&out, text, sizeof(text));
	uapi_put_peer(&out, &peer, false);
	assert_true(uapi_end(&out));
	assert_string_equal(text, "set=1\npublic_key=" HEX_A "\nendpoint=[2001:db8::1]:51820\n"
				  "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
				  "allowed_ip=0.0.0.0/0\nallowed_ip=fd00::/8\n\n");

	uapi_begin(&out, text, sizeof(text));
	uapi_put_peer(&out, &peer, true);
	assert_true(uapi_end(&out));
	assert_non_null(strstr(text, HEX_A "\nupdate_only=true\n"));

	uapi_begin(&out, text, sizeof(text));
	uapi_put_endpoint(&out, key, &peer.endpoint);
	assert_true(uapi_end(&out));
	assert_string_equal(text, "set=1\npublic_key=" HEX_A "\nupdate_only=true\n"
				  "endpoint=[2001:db8::1]:51820\n\n");

	uapi_begin(&out, text, sizeof(text));
	uapi_put_removal(&out, key);
	assert_true(uapi_end(&out));
	assert_string_equal(text, "set=1\npublic_key=" HEX_A "\nremove=true\n\n");
}

static void request_too_long(void **state)
{
	uint8_t key[KEY_LEN] = {0};
	char text[40];
	struct uapi_text out;

	(void)state;
	uapi_begin(&out, text, sizeof(text));
	uapi_put_removal(&out, key);
	assert_false(uapi_end(&out));
}

static void good_answer(void **state)
{
	struct seen s = {0};
	uint16_t port = 0;

	(void)state;
	assert_int_equal(uapi_parse(answer, sizeof(answer) - 1, &port, see, &s), 0);
	assert_int_equal(port, 51820);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.last[0].key[0], 0xaa);
	assert_true(s.last[0].has_endpoint);
	assert_int_equal(s.last[0].endpoint.port, 1234);
	assert_true(s.last[0].tx == UINT64_MAX);
	assert_true(s.last[0].rx == UINT64_C(4294967296));
	assert_int_equal(s.last[0].last_handshake, 1700000000);
	assert_int_equal(s.last[1].key[31], 0xbb);
	assert_false(s.last[1].has_endpoint); /* a scope id cannot be held */
	assert_int_equal(s.last[1].rx, 2);
}

/* No beginning of an answer is an answer. */
static void cut_answers(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(answer) - 1; n++)
		assert_int_equal(uapi_parse(answer, n, NULL, NULL, NULL), -EBADMSG);
}

static void short_answers(void **state)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{"errno=0\n\n", 0},
		{"errno=-22\n\n", -22},
		{"errno=98\n\n", -98},
		{"errno=\n\n", -EBADMSG},
		{"errno=--1\n\n", -EBADMSG},
		{"errno=99999\n\n", -EBADMSG},
		{"\n", -EBADMSG},
		{"errno=0\n\n\n", -EBADMSG},
		{"errno=0\nrx_bytes=1\n\n", -EBADMSG},
		{"errno=0\n\nerrno=0\n\n", -EBADMSG},
		{"rx_bytes=1\nerrno=0\n\n", -EBADMSG}, /* of no peer */
		{"listen_port=65536\nerrno=0\n\n", -EBADMSG},
		{"public_key=aa\nerrno=0\n\n", -EBADMSG},
		{"public_key=" HEX_A "\nrx_bytes=18446744073709551616\nerrno=0\n\n", -EBADMSG},
		{"public_key=" HEX_A "\nrx_bytes=-1\nerrno=0\n\n", -EBADMSG},
		{"no equals sign\nerrno=0\n\n", -EBADMSG},
		{"brand_new_key=whatever\nerrno=0\n\n", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(uapi_parse(cases[i].text, strlen(cases[i].text), NULL, NULL, NULL),
				 cases[i].result);
	assert_int_equal(uapi_parse("a=\0\nerrno=0\n\n", 13, NULL, NULL, NULL), -EBADMSG);
}

static void completeness(void **state)
{
	(void)state;
	assert_true(uapi_complete("errno=0\n\n", 9));
	assert_false(uapi_complete("errno=0\n", 8));
	assert_false(uapi_complete("\n", 1));
	assert_false(uapi_complete("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),      cmocka_unit_test(request_too_long),
		cmocka_unit_test(good_answer),   cmocka_unit_test(cut_answers),
		cmocka_unit_test(short_answers), cmocka_unit_test(completeness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
