#include "tests/lib/unit.h"

#include "proto/wire.h"
#include "tests/lib/vectors.h"

#define EXCHANGE "wireguard_exchange.txt"

/* As the recorded datagrams carry them, read off with a hex dump. */
#define INITIATOR_INDEX 0x87338015
#define RESPONDER_INDEX 0xf58c8226

static size_t recorded(const char *name, uint8_t msg[static 2048])
{
	return vector_named(EXCHANGE, name, msg, 2048);
}

static struct wire_header header_of(const char *name)
{
	uint8_t msg[2048];
	size_t len = recorded(name, msg);

	return wire_read(msg, len);
}

static void assert_header(const char *name, enum message_type type, uint32_t sender,
			  uint32_t receiver)
{
	struct wire_header h = header_of(name);

	assert_int_equal(h.type, type);
	assert_int_equal(h.sender, sender);
	assert_int_equal(h.receiver, receiver);
}

static void headers_of_a_real_exchange(void **state)
{
	(void)state;
	assert_header("initiation", MESSAGE_WG_INITIATION, INITIATOR_INDEX, 0);
	assert_header("response", MESSAGE_WG_RESPONSE, RESPONDER_INDEX, INITIATOR_INDEX);
	assert_header("cookie", MESSAGE_WG_COOKIE, 0, INITIATOR_INDEX);
	assert_header("transport_data", MESSAGE_WG_TRANSPORT, 0, RESPONDER_INDEX);
	assert_header("transport_keepalive", MESSAGE_WG_TRANSPORT, 0, RESPONDER_INDEX);
}

static void nothing_else_has_a_header(void **state)
{
	uint8_t msg[2048] = {0};

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		msg[0] = (uint8_t)type;
		for (size_t len = 0; len < sizeof(msg); len++) {
			struct wire_header h = wire_read(msg, len);
			bool wireguard = message_type_of(msg, len) && type <= MESSAGE_WG_TRANSPORT;

			assert_int_equal(h.type, wireguard ? type : 0);
		}
	}
}

static void mac1_key_of(const char *name, uint8_t mac1_key[static KEY_LEN])
{
	uint8_t pub[KEY_LEN];

	assert_int_equal(vector_named(EXCHANGE, name, pub, sizeof(pub)), KEY_LEN);
	wg_mac1_key(mac1_key, pub);
}

static void mac1_of_a_real_exchange(void **state)
{
	uint8_t msg[2048], initiator[KEY_LEN], responder[KEY_LEN];
	size_t len;

	(void)state;
	mac1_key_of("initiator_key", initiator);
	mac1_key_of("responder_key", responder);
	len = recorded("initiation", msg);
	assert_true(wire_mac1_valid(msg, len, responder));
	assert_false(wire_mac1_valid(msg, len, initiator));
	len = recorded("response", msg);
	assert_true(wire_mac1_valid(msg, len, initiator));
	assert_false(wire_mac1_valid(msg, len, responder));
}

/* mac1 covers everything before it; mac2 is not its business. */
static void every_bit_before_mac2_counts(void **state)
{
	uint8_t msg[2048], key[KEY_LEN];
	size_t len = recorded("initiation", msg);

	(void)state;
	mac1_key_of("responder_key", key);
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			msg[i] ^= (uint8_t)(1U << bit);
			assert_int_equal(wire_mac1_valid(msg, len, key), i >= len - MAC_LEN);
			msg[i] ^= (uint8_t)(1U << bit);
		}
	}
}

static void types_without_mac1(void **state)
{
	uint8_t msg[2048], key[KEY_LEN];
	size_t len;

	(void)state;
	mac1_key_of("initiator_key", key);
	len = recorded("cookie", msg);
	assert_false(wire_mac1_valid(msg, len, key));
	len = recorded("transport_data", msg);
	assert_false(wire_mac1_valid(msg, len, key));
	mac1_key_of("responder_key", key);
	len = recorded("initiation", msg);
	for (size_t n = 0; n < len; n++)
		assert_false(wire_mac1_valid(msg, n, key));
	msg[0] = MESSAGE_INITIATION;
	assert_false(wire_mac1_valid(msg, len, key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_a_real_exchange),
		cmocka_unit_test(nothing_else_has_a_header),
		cmocka_unit_test(mac1_of_a_real_exchange),
		cmocka_unit_test(every_bit_before_mac2_counts),
		cmocka_unit_test(types_without_mac1),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
