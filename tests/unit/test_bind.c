/* BIND messages and tokens; the bytes are held to tests/vectors/bind.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "proto/bind.c"
#include "proto/lengths.h"

static const struct net_addr here = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1},
				     5000};

static void count_up(uint8_t *out, size_t n, uint8_t from)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(from + i);
}

static void golden_bytes(void **state)
{
	static const char *const names[] = {"BIND", "CHALLENGE", "ANSWER", "BOUND"};
	uint8_t key[KEY_LEN], session[SESSION_ID_LEN], token[NONCE_LEN];
	char line[256], name[32], hex[sizeof(struct message_bind) * 2 + 1];
	FILE *f = fopen("tests/vectors/bind.txt", "r");
	int found = 0;

	(void)state;
	assert_non_null(f);
	count_up(key, sizeof(key), 0);
	count_up(session, sizeof(session), 0xa0);
	count_up(token, sizeof(token), 0xc0);
	while (fgets(line, sizeof(line), f)) {
		struct message_bind msg, want;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%31s %128s", name, hex), 2);
		assert_true(text_unhex((uint8_t *)&want, sizeof(want), hex));
		for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
			bool with_token = i == 1 || i == 2;

			if (strcmp(name, names[i]) != 0)
				continue;
			bind_make(&msg, (enum message_type)(MESSAGE_BIND + i), session,
				  UINT64_C(0x0102030405060708), with_token ? token : NULL, key);
			assert_memory_equal(&msg, &want, sizeof(msg));
			assert_true(bind_valid(&want, key));
			assert_int_equal(message_type_of((uint8_t *)&want, sizeof(want)),
					 MESSAGE_BIND + i);
			found++;
		}
	}
	fclose(f);
	assert_int_equal(found, ARRAY_SIZE(names));
}

static void any_changed_bit_fails(void **state)
{
	uint8_t key[KEY_LEN], session[SESSION_ID_LEN] = {1};
	struct message_bind msg;
	uint8_t *bytes = (uint8_t *)&msg;

	(void)state;
	crypto_random(key, sizeof(key));
	bind_make(&msg, MESSAGE_BIND, session, 1, NULL, key);
	assert_true(bind_valid(&msg, key));
	for (size_t bit = 0; bit < sizeof(msg) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(bind_valid(&msg, key));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* Zero bytes are part of the form even under a right MAC. */
	msg.zero[3] = 1;
	make_mac(msg.mac, &msg, key);
	assert_false(bind_valid(&msg, key));
	msg.zero[3] = 0;
	make_mac(msg.mac, &msg, key);
	key[0] ^= 1;
	assert_false(bind_valid(&msg, key));
}

static void tokens_hold_for_one_move(void **state)
{
	uint8_t key[KEY_LEN] = {0}, session[SESSION_ID_LEN] = {1}, token[NONCE_LEN];
	struct bind_challenger c, other;
	struct message_bind bind, answer, wrong;
	struct net_addr elsewhere = here;

	(void)state;
	bind_challenger_init(&c);
	bind_challenger_init(&other);
	bind_make(&bind, MESSAGE_BIND, session, 5, NULL, key);
	bind_token(&c, token, &bind, &here, 1000);
	bind_make(&answer, MESSAGE_ANSWER, session, 5, token, key);
	assert_true(bind_token_valid(&c, &answer, &here, 1000));
	assert_false(bind_token_valid(&other, &answer, &here, 1000));
	assert_false(bind_token_valid(&c, &bind, &here, 1000)); /* zero is no token */
	elsewhere.port++;
	assert_false(bind_token_valid(&c, &answer, &elsewhere, 1000));
	elsewhere = here;
	elsewhere.ip[15] ^= 1;
	assert_false(bind_token_valid(&c, &answer, &elsewhere, 1000));
	bind_make(&wrong, MESSAGE_ANSWER, session, 6, token, key);
	assert_false(bind_token_valid(&c, &wrong, &here, 1000));
	session[15] ^= 1;
	bind_make(&wrong, MESSAGE_ANSWER, session, 5, token, key);
	assert_false(bind_token_valid(&c, &wrong, &here, 1000));
}

/* Whenever it was made, a token is good for BIND_TOKEN_MS and for no more than twice that. */
static void tokens_grow_old(void **state)
{
	uint8_t key[KEY_LEN] = {0}, session[SESSION_ID_LEN] = {1}, token[NONCE_LEN];
	struct bind_challenger c;
	struct message_bind bind, answer;

	(void)state;
	bind_challenger_init(&c);
	bind_make(&bind, MESSAGE_BIND, session, 5, NULL, key);
	for (uint64_t born = 0; born < 3 * BIND_TOKEN_MS; born += 499) {
		bind_token(&c, token, &bind, &here, born);
		bind_make(&answer, MESSAGE_ANSWER, session, 5, token, key);
		assert_true(bind_token_valid(&c, &answer, &here, born + BIND_TOKEN_MS));
		assert_false(bind_token_valid(&c, &answer, &here, born + 2 * BIND_TOKEN_MS));
		if (born >= BIND_TOKEN_MS)
			assert_false(bind_token_valid(&c, &answer, &here, born - BIND_TOKEN_MS));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(any_changed_bit_fails),
		cmocka_unit_test(tokens_hold_for_one_move),
		cmocka_unit_test(tokens_grow_old),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
