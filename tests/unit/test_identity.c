#include "tests/lib/unit.h"

#include <stdio.h>

#include "base/text.h"
#include "proto/crypto.h"

struct vector {
	char verdict[8], name[32];
	uint8_t key[KEY_LEN], message[64], signature[SIGNATURE_LEN];
	size_t message_len;
};

/* VERDICT WHAT KEY MESSAGE SIGNATURE, "-" for no message. False at the end. */
static bool read_vector(FILE *f, struct vector *v)
{
	char line[1024], key[80], message[160], signature[160];

	if (!fgets(line, sizeof(line), f))
		return false;
	assert_int_equal(sscanf(line, "%7s %31s %79s %159s %159s", v->verdict, v->name, key,
				message, signature),
			 5);
	v->message_len = strcmp(message, "-") == 0 ? 0 : strlen(message) / 2;
	assert_true(v->message_len <= sizeof(v->message));
	assert_true(text_unhex(v->key, KEY_LEN, key));
	assert_true(text_unhex(v->signature, SIGNATURE_LEN, signature));
	if (v->message_len)
		assert_true(text_unhex(v->message, v->message_len, message));
	return true;
}

/* RFC 8032's vectors verify; S beyond the group's order, keys of small order and a neutral R do
 * not, although the equation holds for them. */
static void vectors(void **state)
{
	FILE *f = fopen("tests/vectors/identity.txt", "r");
	unsigned good = 0, bad = 0;
	struct vector v;

	(void)state;
	assert_non_null(f);
	while (read_vector(f, &v)) {
		bool want = strcmp(v.verdict, "good") == 0;

		if (identity_verify(v.signature, v.message, v.message_len, v.key) != want)
			fail_msg("%s: not %s", v.name, v.verdict);
		good += want;
		bad += !want;
	}
	fclose(f);
	assert_int_equal(good, 4);
	assert_int_equal(bad, 34);
}

static void seeds_give_keys_and_signatures(void **state)
{
	FILE *f = fopen("tests/vectors/identity.txt", "r");
	uint8_t seed[KEY_LEN], sig[SIGNATURE_LEN];
	struct identity id;
	struct vector v;

	(void)state;
	assert_non_null(f);
	assert_true(read_vector(f, &v)); /* RFC 8032, test 1 */
	fclose(f);
	assert_true(text_unhex(seed, KEY_LEN,
			       "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
	identity_from_seed(&id, seed);
	assert_memory_equal(id.id, v.key, KEY_LEN);
	identity_sign(sig, v.message, v.message_len, &id);
	assert_memory_equal(sig, v.signature, SIGNATURE_LEN);
}

static void every_bit_counts(void **state)
{
	static const uint8_t seed[KEY_LEN] = {5};
	uint8_t sig[SIGNATURE_LEN], msg[40] = "over the garden wall";
	struct identity id;

	(void)state;
	identity_from_seed(&id, seed);
	identity_sign(sig, msg, sizeof(msg), &id);
	assert_true(identity_verify(sig, msg, sizeof(msg), id.id));
	assert_false(identity_verify(sig, msg, sizeof(msg) - 1, id.id));
	for (size_t i = 0; i < sizeof(sig) * 8; i++) {
		sig[i / 8] ^= (uint8_t)(1U << (i % 8));
		assert_false(identity_verify(sig, msg, sizeof(msg), id.id));
		sig[i / 8] ^= (uint8_t)(1U << (i % 8));
	}
	for (size_t i = 0; i < sizeof(msg) * 8; i++) {
		msg[i / 8] ^= (uint8_t)(1U << (i % 8));
		assert_false(identity_verify(sig, msg, sizeof(msg), id.id));
		msg[i / 8] ^= (uint8_t)(1U << (i % 8));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(seeds_give_keys_and_signatures),
		cmocka_unit_test(every_bit_counts),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
