#include "tests/lib/unit.h"

#include "base/le.h"
#include "base/siphash.h"

/*
 * SipHash-2-4 of 00, 00 01, ... under the key 00 01 ... 0f: the first lines of the vectors that its
 * authors publish, as numbers, and the one worked out in appendix A of their paper (15 bytes).
 */
static const uint64_t published[] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
	0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
	0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
};

static const struct siphash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static void published_vectors(void **state)
{
	uint8_t msg[ARRAY_SIZE(published)];

	(void)state;
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	for (size_t len = 0; len < ARRAY_SIZE(published); len++)
		assert_true(siphash(&key, msg, len) == published[len]);
}

static void every_byte_and_the_key_count(void **state)
{
	uint8_t msg[64] = {0};
	uint64_t plain = siphash(&key, msg, sizeof(msg));
	struct siphash_key other = key;

	(void)state;
	for (size_t i = 0; i < sizeof(msg); i++) {
		msg[i] = 1;
		assert_true(siphash(&key, msg, sizeof(msg)) != plain);
		msg[i] = 0;
		assert_true(siphash(&key, msg, i) != plain);
	}
	other.k0 ^= 1;
	assert_true(siphash(&other, msg, sizeof(msg)) != plain);
	other.k0 ^= 1;
	other.k1 ^= 1;
	assert_true(siphash(&other, msg, sizeof(msg)) != plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(every_byte_and_the_key_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
