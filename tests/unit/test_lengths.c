#include "tests/lib/unit.h"

#include "proto/lengths.h"

#define LONGEST 2048

/* What docs/protocol.md promises, written down a second time. */
static const struct {
	uint8_t type;
	size_t min, max;
} wanted[] = {
	{0x01, 148, 148}, {0x02, 92, 92}, {0x03, 64, 64}, {0x04, 32, LONGEST},
	{0x11, 148, 148}, {0x12, 92, 92}, {0x13, 64, 64}, {0x14, 40, 1200},
	{0x15, 64, 64},   {0x16, 64, 64}, {0x17, 64, 64}, {0x18, 64, 64},
};

static bool want_datagram(uint8_t type, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (wanted[i].type == type)
			return len >= wanted[i].min && len <= wanted[i].max;
	}
	return false;
}

static void every_type_at_every_length(void **state)
{
	uint8_t msg[LONGEST] = {0};

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		msg[0] = (uint8_t)type;
		for (size_t len = 0; len <= LONGEST; len++) {
			unsigned want = want_datagram((uint8_t)type, len) ? type : 0;

			assert_int_equal(message_type_of(msg, len), want);
		}
	}
}

static void upper_type_bytes_are_zero(void **state)
{
	uint8_t msg[148] = {MESSAGE_WG_INITIATION};

	(void)state;
	assert_int_equal(message_type_of(msg, sizeof(msg)), MESSAGE_WG_INITIATION);
	for (size_t i = 1; i < 4; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			msg[i] = (uint8_t)(1U << bit);
			assert_int_equal(message_type_of(msg, sizeof(msg)), 0);
		}
		msg[i] = 0;
	}
}

static void largest_udp_payload(void **state)
{
	static uint8_t msg[65536] = {MESSAGE_WG_TRANSPORT};

	(void)state;
	assert_int_equal(message_type_of(msg, 65504), MESSAGE_WG_TRANSPORT);
	assert_int_equal(message_type_of(msg, 65507), MESSAGE_WG_TRANSPORT);
	/* A full packet of an MTU of 1420: WireGuard pads no further than its MTU. */
	assert_int_equal(message_type_of(msg, 1452), MESSAGE_WG_TRANSPORT);
}

static const struct {
	uint8_t verb;
	size_t min, max;
	uint8_t answer;
	const char *name;
} wanted_verbs[] = {
	{1, 616, 616, 2, "DESCRIBE"},  {2, 616, 616, 0, "DESCRIPTOR"}, {3, 176, 176, 4, "OPEN"},
	{4, 64, 64, 0, "GRANTED"},     {5, 176, 176, 6, "ADD_PEER"},   {6, 104, 104, 0, "PEER"},
	{7, 280, 280, 0, "RECEIPT"},   {8, 88, 88, 9, "COSIGN"},       {9, 40, 40, 0, "WINDOW"},
	{10, 40, 40, 12, "DISPUTE"},   {11, 40, 40, 12, "CLOSE"},      {12, 40, 40, 0, "CLOSED"},
	{13, 16, 16, 14, "KEEPALIVE"}, {14, 16, 16, 0, "ALIVE"},       {15, 48, 1100, 0, "PASS"},
	{16, 48, 1100, 0, "PASSED"},   {17, 8, 8, 0, "REFUSED"},       {18, 224, 224, 19, "GRANT"},
	{19, 16, 16, 0, "CREDIT"},     {20, 520, 520, 21, "HELD"},     {21, 32, 32, 0, "HEAD"},
};

static void every_verb_at_every_length(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_SIZE(wanted_verbs), VERB_COUNT - 1);
	for (size_t i = 0; i < ARRAY_SIZE(wanted_verbs); i++) {
		for (size_t len = 0; len <= LONGEST; len++)
			assert_int_equal(verb_length_ok(wanted_verbs[i].verb, len),
					 len >= wanted_verbs[i].min && len <= wanted_verbs[i].max);
		assert_int_equal(verb_answer(wanted_verbs[i].verb), wanted_verbs[i].answer);
		assert_string_equal(verb_name(wanted_verbs[i].verb), wanted_verbs[i].name);
	}
}

static void unknown_verbs(void **state)
{
	(void)state;
	for (unsigned verb = 0; verb < 256; verb++) {
		if (verb >= 1 && verb < VERB_COUNT)
			continue;
		for (size_t len = 0; len <= LONGEST; len++)
			assert_false(verb_length_ok((uint8_t)verb, len));
		assert_int_equal(verb_answer((uint8_t)verb), 0);
		assert_string_equal(verb_name((uint8_t)verb), "?");
	}
}

static size_t longest(uint8_t verb)
{
	size_t n = LONGEST;

	while (n && !verb_length_ok(verb, n))
		n--;
	return n;
}

/* A datagram's answer, sent before anybody is authenticated, is no longer than what asked for it.
 */
static void replies_are_no_longer(void **state)
{
	static const uint8_t pairs[][2] = {
		{MESSAGE_INITIATION, MESSAGE_RESPONSE}, {MESSAGE_INITIATION, MESSAGE_COOKIE},
		{MESSAGE_RESPONSE, MESSAGE_COOKIE},     {MESSAGE_BIND, MESSAGE_CHALLENGE},
		{MESSAGE_ANSWER, MESSAGE_BOUND},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		size_t request = 0, reply = 0;

		for (size_t len = 0; len <= LONGEST; len++) {
			if (!request && want_datagram(pairs[i][0], len))
				request = len;
			if (want_datagram(pairs[i][1], len))
				reply = len;
		}
		assert_true(request && reply && reply <= request);
	}
	for (uint8_t verb = 1; verb < VERB_COUNT; verb++) {
		if (verb_answer(verb))
			assert_true(longest(verb_answer(verb)) <= longest(verb));
	}
}

/* Every body fits a control datagram, and one control datagram fits into PASS. */
static void bodies_fit(void **state)
{
	(void)state;
	for (uint8_t verb = 1; verb < VERB_COUNT; verb++)
		assert_true(longest(verb) + sizeof(struct body_header) <= CONTROL_BODY_MAX);
	assert_true(longest(VERB_DESCRIPTOR) + sizeof(struct body_header) + WG_TRANSPORT_MIN +
			    sizeof(struct body_session) <=
		    PASS_MAX);
}

static void refusals_have_sentences(void **state)
{
	const char *unknown = refusal_text(0);

	(void)state;
	for (uint32_t code = REFUSED_UNKNOWN_EXIT; code <= REFUSED_GRANT; code++)
		assert_string_not_equal(refusal_text(code), unknown);
	assert_string_equal(refusal_text(REFUSED_GRANT + 1), unknown);
	assert_string_equal(refusal_text(UINT32_MAX), unknown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_at_every_length),
		cmocka_unit_test(upper_type_bytes_are_zero),
		cmocka_unit_test(largest_udp_payload),
		cmocka_unit_test(every_verb_at_every_length),
		cmocka_unit_test(unknown_verbs),
		cmocka_unit_test(replies_are_no_longer),
		cmocka_unit_test(bodies_fit),
		cmocka_unit_test(refusals_have_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
