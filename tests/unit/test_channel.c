/* Control channels: sealing, opening, and the replay window at its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proto/channel.c"

static void make_pair(struct channel *a, struct channel *b)
{
	struct noise_keys keys, mirror;

	crypto_random(&keys, sizeof(keys));
	memcpy(mirror.send, keys.receive, KEY_LEN);
	memcpy(mirror.receive, keys.send, KEY_LEN);
	channel_init(a, &keys, 1, 2);
	channel_init(b, &mirror, 2, 1);
}

static bool accept(struct channel *ch, uint64_t counter)
{
	bool fresh = counter_fresh(ch, counter);

	if (fresh)
		counter_accept(ch, counter);
	return fresh;
}

struct step {
	uint64_t counter;
	bool fresh;
};

/* From an empty window; W is one past the oldest that is still remembered below the top. */
#define W ((uint64_t)WINDOW)
static void window_edges(void **state)
{
	static const struct step steps[] = {
		{0, true},
		{1, true},
		{1, false},
		{9, true},
		{8, true},
		{7, true},
		{7, false},
		{W, true},
		{W - 1, true},
		{W - 1, false},
		{W - 2, true},
		{2, true},
		{2, false},
		{W + 16, true},
		{3, false}, /* fell out when the top moved to W + 16 */
		{16, false},
		{17, true},
		{W + 16, false},
		{W * 4, true},
		{W * 4 - W, false},
		{W * 4 - (W - 1), true},
		{10, false},
		{W * 4 - W - 1, false},
		{W * 4 - (W - 2), true},
		{W * 4 + 1 - W, false},
		{0, false},
		{COUNTER_END, false},
		{COUNTER_END - 1, true},
		{COUNTER_END, false},
		{COUNTER_END - 1, false},
		{COUNTER_END - 2, true},
		{COUNTER_END + 1, false},
		{COUNTER_END + 2, false},
		{COUNTER_END - 2, false},
		{COUNTER_END - 3, true},
		{UINT64_MAX, false},
		{0, false},
	};
	struct channel a, b;

	(void)state;
	make_pair(&a, &b);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (accept(&a, steps[i].counter) != steps[i].fresh)
			fail_msg("step %zu: counter %llu", i, (unsigned long long)steps[i].counter);
}

/* The whole window forwards, backwards, and around gaps, each counter exactly once. */
static void window_runs(void **state)
{
	struct channel a, b;

	(void)state;
	/* Up to the brim: the oldest of W is still taken, once. */
	make_pair(&a, &b);
	for (uint64_t i = 1; i < W; i++)
		assert_true(accept(&a, i));
	assert_true(accept(&a, 0));
	assert_false(accept(&a, 0));

	/* One further and it is gone. */
	make_pair(&a, &b);
	for (uint64_t i = 1; i <= W; i++)
		assert_true(accept(&a, i));
	assert_false(accept(&a, 0));

	/* Backwards. */
	make_pair(&a, &b);
	for (uint64_t i = W; i-- > 0;)
		assert_true(accept(&a, i));
	for (uint64_t i = W; i-- > 0;)
		assert_false(accept(&a, i));
	assert_true(accept(&a, W));

	/* A jump far beyond the window forgets everything before it and nothing after. */
	make_pair(&a, &b);
	for (uint64_t i = 0; i < W; i++)
		assert_true(accept(&a, i));
	assert_true(accept(&a, 100 * W));
	assert_false(accept(&a, W - 1));
	for (uint64_t i = 1; i < W; i++)
		assert_true(accept(&a, 100 * W - i));
	assert_false(accept(&a, 99 * W));
}

/* Against a plain list of what was accepted, with jumps of every size. */
static void window_matches_a_list(void **state)
{
	enum {
		SPAN = 1000000
	};
	static bool seen[SPAN];
	struct channel a, b;
	uint64_t top = 0, counter;
	bool expect;

	(void)state;
	make_pair(&a, &b);
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 200000; i++) {
		uint32_t r = crypto_random_u32();

		counter = top + (r % 64 ? r % 4 : r % 3000);
		if (r & 64 && counter > 2000)
			counter -= crypto_random_u32() % 1100;
		if (counter >= SPAN)
			break;
		expect = !seen[counter] && (counter > top || top - counter < W);
		assert_int_equal(accept(&a, counter), expect);
		seen[counter] |= expect;
		if (counter > top)
			top = counter;
	}
}

static void bodies_cross(void **state)
{
	struct channel a, b;
	uint8_t out[CONTROL_DATAGRAM_MAX], plain[CONTROL_BODY_MAX];
	struct body_session body;
	const struct body_header *header = (const void *)plain;
	size_t len;

	(void)state;
	make_pair(&a, &b);
	memset(&body, 7, sizeof(body));
	len = channel_seal(&a, out, VERB_KEEPALIVE, 99, &body, sizeof(body));
	assert_int_equal(len, 16 + 8 + sizeof(body) + 16);
	assert_int_equal(message_type_of(out, len), MESSAGE_TRANSPORT);
	assert_int_equal(out[4], 2);
	assert_true(channel_open(&b, plain, out, len));
	assert_int_equal(header->verb, VERB_KEEPALIVE);
	assert_int_equal(le16_get(header->length), sizeof(body));
	assert_int_equal(le32_get(header->id), 99);
	assert_memory_equal(header + 1, &body, sizeof(body));
	assert_false(channel_open(&b, plain, out, len)); /* once */
	assert_false(channel_open(&a, plain, out, len)); /* not its own */
}

static void changed_bits_fail_and_cost_nothing(void **state)
{
	struct channel a, b;
	uint8_t out[CONTROL_DATAGRAM_MAX], plain[CONTROL_BODY_MAX];
	struct body_session body = {{0}};
	size_t len;

	(void)state;
	make_pair(&a, &b);
	len = channel_seal(&a, out, VERB_KEEPALIVE, 1, &body, sizeof(body));
	for (size_t bit = offsetof(struct message_transport, counter) * 8; bit < len * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(channel_open(&b, plain, out, len));
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < len; n++)
		assert_false(channel_open(&b, plain, out, n));
	/* None of these moved the window. */
	assert_int_equal(b.receive_top, 0);
	assert_true(channel_open(&b, plain, out, len));
}

static void bodies_of_wrong_shape_fail(void **state)
{
	struct channel a, b;
	uint8_t out[CONTROL_DATAGRAM_MAX], plain[CONTROL_BODY_MAX];
	uint8_t body[CONTROL_BODY_MAX] = {0};
	struct body_header *header = (void *)(out + sizeof(struct message_transport));
	const struct bytes none = {NULL, 0};
	size_t len;

	(void)state;
	make_pair(&a, &b);
	for (unsigned int verb = 0; verb < 256; verb++) {
		for (size_t n = 0; n <= 700; n++) {
			len = channel_seal(&a, out, (uint8_t)verb, 0, body, n);
			assert_int_equal(channel_open(&b, plain, out, len),
					 verb_length_ok((uint8_t)verb, n));
		}
	}
	/* Authentic, but the header lies about its length or its zero byte is not. */
	for (int lie = 0; lie < 3; lie++) {
		size_t n = sizeof(*header) + sizeof(struct body_session);

		len = channel_seal(&a, out, VERB_KEEPALIVE, 0, body, sizeof(struct body_session));
		memset(header, 0, n);
		header->verb = VERB_KEEPALIVE;
		header->length = le16_of((uint16_t)(sizeof(struct body_session) + (lie == 1)));
		header->zero = lie == 2;
		aead_seal((uint8_t *)header, a.keys.send, a.send_counter - 1, &none, header, n);
		assert_int_equal(channel_open(&b, plain, out, len), lie == 0);
	}
}

static void a_channel_ends(void **state)
{
	struct channel a, b;
	uint8_t out[CONTROL_DATAGRAM_MAX], plain[CONTROL_BODY_MAX];
	struct body_session body = {{0}};
	size_t len;

	(void)state;
	make_pair(&a, &b);
	assert_true(COUNTER_END == UINT64_MAX - 8192);
	a.send_counter = COUNTER_END - 1;
	len = channel_seal(&a, out, VERB_KEEPALIVE, 1, &body, sizeof(body));
	assert_int_not_equal(len, 0);
	assert_true(channel_open(&b, plain, out, len));
	assert_int_equal(channel_seal(&a, out, VERB_KEEPALIVE, 1, &body, sizeof(body)), 0);
	channel_wipe(&a);
	assert_true(crypto_is_zero(&a, sizeof(a)));
}

/* An answer's datagram is never longer than its request's. */
static void answers_are_no_longer(void **state)
{
	int pairs = 0;

	(void)state;
	for (uint8_t verb = 1; verb < VERB_COUNT; verb++) {
		uint8_t answer = verb_answer(verb);
		size_t request = 0, longest = 0;

		if (!answer)
			continue;
		pairs++;
		for (size_t n = CONTROL_BODY_MAX; n-- > 0;)
			if (verb_length_ok(verb, n))
				request = n; /* the shortest there is */
		for (size_t n = 0; n < CONTROL_BODY_MAX; n++)
			if (verb_length_ok(answer, n) || verb_length_ok(VERB_REFUSED, n))
				longest = n > longest ? n : longest;
		assert_true(request > 0);
		assert_true(longest <= request);
	}
	assert_true(pairs >= 7);
	assert_true(sizeof(struct message_response) <= sizeof(struct message_initiation));
	assert_true(sizeof(struct message_cookie) <= sizeof(struct message_response));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_edges),
		cmocka_unit_test(window_runs),
		cmocka_unit_test(window_matches_a_list),
		cmocka_unit_test(bodies_cross),
		cmocka_unit_test(changed_bits_fail_and_cost_nothing),
		cmocka_unit_test(bodies_of_wrong_shape_fail),
		cmocka_unit_test(a_channel_ends),
		cmocka_unit_test(answers_are_no_longer),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
