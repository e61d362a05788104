/* mac1 and cookies between a signer and a checker. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proto/cookie.c"

static const uint8_t public_key[KEY_LEN] = {1, 2, 3};
static const struct net_addr here = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1},
				     5000};

struct scene {
	struct cookie_checker checker;
	struct cookie_signer signer;
	struct message_initiation msg;
	struct message_cookie reply;
};

static void begin(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	cookie_checker_init(&s->checker, public_key);
	cookie_signer_init(&s->signer, public_key);
	crypto_random(&s->msg, sizeof(s->msg));
}

static enum cookie_verdict check(struct scene *s, const struct net_addr *from, uint64_t now_ms)
{
	return cookie_check(&s->checker, &s->msg, sizeof(s->msg), from, now_ms);
}

/* Signs, is given a cookie at now_ms, and takes it. */
static void fetch_cookie(struct scene *s, uint64_t now_ms)
{
	cookie_sign(&s->signer, &s->msg, sizeof(s->msg), now_ms);
	cookie_reply(&s->checker, &s->reply, &s->msg, sizeof(s->msg), &here, now_ms);
	assert_true(cookie_consume(&s->signer, &s->reply, now_ms));
}

static void mac1_covers_every_byte(void **state)
{
	struct scene s;
	uint8_t *bytes = (uint8_t *)&s.msg;

	(void)state;
	begin(&s);
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1);
	assert_int_equal(check(&s, &here, 1), COOKIE_MAC1_ONLY);
	for (size_t bit = 0; bit < offsetof(struct message_initiation, mac2) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(check(&s, &here, 1), COOKIE_BAD_MAC1);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* Without a cookie mac2 is zero, and anything in it is worth nothing. */
	assert_true(crypto_is_zero(s.msg.mac2, MAC_LEN));
	memset(s.msg.mac2, 0xff, MAC_LEN);
	assert_int_equal(check(&s, &here, 1), COOKIE_MAC1_ONLY);
}

static void mac1_names_its_recipient(void **state)
{
	static const uint8_t other[KEY_LEN] = {9};
	struct scene s;

	(void)state;
	begin(&s);
	cookie_signer_init(&s.signer, other);
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1);
	assert_int_equal(check(&s, &here, 1), COOKIE_BAD_MAC1);
}

static void a_cookie_proves_its_address(void **state)
{
	struct scene s;
	struct net_addr elsewhere = here;
	uint8_t *mac2 = s.msg.mac2;

	(void)state;
	begin(&s);
	fetch_cookie(&s, 1000);
	assert_int_equal(le32_get(s.reply.type), MESSAGE_COOKIE);
	assert_memory_equal(&s.reply.receiver, &s.msg.sender, sizeof(le32));
	crypto_random(&s.msg, sizeof(s.msg));
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 2000);
	assert_int_equal(check(&s, &here, 2000), COOKIE_MAC2);
	for (size_t bit = 0; bit < MAC_LEN * 8; bit++) {
		mac2[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(check(&s, &here, 2000), COOKIE_MAC1_ONLY);
		mac2[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	elsewhere.port++;
	assert_int_equal(check(&s, &elsewhere, 2000), COOKIE_MAC1_ONLY);
	for (size_t i = 0; i < sizeof(here.ip); i++) {
		elsewhere = here;
		elsewhere.ip[i] ^= 1;
		assert_int_equal(check(&s, &elsewhere, 2000), COOKIE_MAC1_ONLY);
	}
}

static void cookies_grow_old(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	fetch_cookie(&s, 1000);
	/* The signer stops using it a little before the checker stops taking it. */
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1000 + COOKIE_SECRET_MS - 5001);
	assert_false(crypto_is_zero(s.msg.mac2, MAC_LEN));
	assert_int_equal(check(&s, &here, 1000 + COOKIE_SECRET_MS - 1), COOKIE_MAC2);
	assert_int_equal(check(&s, &here, 1000 + COOKIE_SECRET_MS), COOKIE_MAC1_ONLY);
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1000 + COOKIE_SECRET_MS - 5000);
	assert_true(crypto_is_zero(s.msg.mac2, MAC_LEN));
	/* A new secret: old cookies are worth nothing, new ones are. */
	fetch_cookie(&s, 1000 + COOKIE_SECRET_MS);
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1000 + COOKIE_SECRET_MS);
	assert_int_equal(check(&s, &here, 1000 + COOKIE_SECRET_MS), COOKIE_MAC2);
}

static void forged_cookies_are_refused(void **state)
{
	struct scene s;
	uint8_t *bytes = (uint8_t *)&s.reply;

	(void)state;
	begin(&s);
	memset(&s.reply, 0, sizeof(s.reply));
	assert_false(cookie_consume(&s.signer, &s.reply, 1)); /* asked for nothing yet */
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1);
	cookie_reply(&s.checker, &s.reply, &s.msg, sizeof(s.msg), &here, 1);
	for (size_t bit = offsetof(struct message_cookie, nonce) * 8; bit < sizeof(s.reply) * 8;
	     bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(cookie_consume(&s.signer, &s.reply, 1));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(cookie_consume(&s.signer, &s.reply, 1));
	assert_false(cookie_consume(&s.signer, &s.reply, 1)); /* once for each message */
	/* A cookie for an earlier message does not fit a later one. */
	s.msg.ephemeral[0] ^= 1;
	cookie_sign(&s.signer, &s.msg, sizeof(s.msg), 1);
	assert_false(cookie_consume(&s.signer, &s.reply, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac1_covers_every_byte),
		cmocka_unit_test(mac1_names_its_recipient),
		cmocka_unit_test(a_cookie_proves_its_address),
		cmocka_unit_test(cookies_grow_old),
		cmocka_unit_test(forged_cookies_are_refused),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
