/* A session with one provider: how it opens, what is signed, how it ends. */
#include "tests/unit/provider_world.h"

/* ---- opening --------------------------------------------------------------------------------- */

static void open_is_signed_by_the_payer(void **state)
{
	struct open_statement s = {.network = le64_of(NETWORK)};
	const struct body_open *b;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	b = (const void *)a.body;
	memcpy(s.domain, DOMAIN_OPEN, DOMAIN_LEN);
	memcpy(s.provider, t.node.id, KEY_LEN);
	memset(s.client_control, 3, KEY_LEN);
	memcpy(s.subject, b->exit, KEY_LEN);
	terms_hash(s.terms, agreed());
	memcpy(s.payer, t.payer.id, KEY_LEN);
	memcpy(s.nonce, b->nonce, NONCE_LEN);
	assert_true(identity_verify(b->signature, &s, sizeof(s), t.payer.id));
	assert_memory_equal(b->terms, s.terms, KEY_LEN);
}

static void open_is_tried_again_with_its_nonce(void **state)
{
	struct asked first, second;

	(void)state;
	provider_open(t.p);
	run_for(1);
	first = take(VERB_OPEN);
	answer(&first, 0, NULL, 0);
	assert_int_equal(t.restarts, 1);
	assert_int_equal(t.events[PROVIDER_SILENT], 1);
	run_for(5);
	second = take(VERB_OPEN);
	assert_memory_equal(first.body, second.body, first.len);
}

static void new_terms_are_asked_for_and_judged(void **state)
{
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	make_descriptor(PRICE - 1, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	run_for(5);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void a_higher_price_is_not_taken(void **state)
{
	struct provider_view v;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	make_descriptor(PRICE + 1, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
	provider_view(t.p, &v);
	assert_string_equal(v.trouble, "its price is above MaxPrice");
}

static void another_nodes_terms_are_not_taken(void **state)
{
	struct identity node = t.node;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_TERMS);
	a = take(VERB_DESCRIBE);
	t.node = t.stranger;
	make_descriptor(PRICE, clock_wall() + 2000);
	answer(&a, VERB_DESCRIPTOR, &t.descriptor, sizeof(t.descriptor));
	t.node = node;
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
}

static void expired_terms_are_not_signed(void **state)
{
	(void)state;
	provider_destroy(t.p);
	create(clock_wall() - 1);
	provider_open(t.p);
	run_for(5);
	assert_false(outstanding(VERB_OPEN));
	take(VERB_DESCRIBE);
}

static void without_credit_is_said(void **state)
{
	struct provider_view v;
	struct asked a;

	(void)state;
	provider_open(t.p);
	run_for(1);
	a = take(VERB_OPEN);
	refuse_with(&a, REFUSED_CREDIT);
	provider_view(t.p, &v);
	assert_true(v.out_of_credit);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void honest_receipts_are_signed(void **state)
{
	struct provider_view v;
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){1000, 1000}; /* of earlier sessions */
	open_session();
	t.device = (struct wallet_count){1000 + 500, 1000 + 9000};
	offer = offer_of(500, 9000);
	hear_offer(&offer);
	expect_signed(&offer);
	offer = offer_of(500, 9000 + LOSS_BYTES); /* lost on the way, within the allowance */
	hear_offer(&offer);
	expect_signed(&offer);
	provider_view(t.p, &v);
	assert_int_equal(v.signed_bytes, 500 + 9000 + LOSS_BYTES);
	assert_int_equal(v.window, 2 << 20);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void duplicates_get_the_same_signature(void **state)
{
	struct receipt_offer offer;
	struct asked first;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(100, 200);
	hear_offer(&offer);
	hear_offer(&offer); /* while the first is under way */
	first = take(VERB_COSIGN);
	assert_int_equal(t.posted.verb, VERB_COSIGN);
	assert_memory_equal(t.posted.body, first.body, first.len);
	answer(&first, 0, NULL, 0);
	hear_offer(&offer); /* its answer was lost */
	expect_signed(&offer);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void packets_in_flight_are_waited_for(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(501, 501 + LOSS_BYTES);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
	t.device = (struct wallet_count){501, 501};
	run_for(30);
	expect_signed(&offer);
}

static void one_byte_too_many_down(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(500, 500 + LOSS_BYTES + 1);
	for (int i = 0; i < 3; i++) {
		hear_offer(&offer); /* saying it again buys no time */
		run_for(20);
		expect_untouched();
	}
	hear_offer(&offer);
	run_for(500);
	expect_disputed(500, 500);
}

static void one_byte_too_many_up(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(501, 500);
	hear_offer(&offer);
	run_for(600);
	expect_disputed(500, 500);
}

static void earlier_sessions_count_for_nothing(void **state)
{
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){1000, 5000};
	open_session();
	t.device = (struct wallet_count){1500, 5500};
	offer = offer_of(501, 500);
	hear_offer(&offer);
	run_for(600);
	expect_disputed(500, 500);
}

/* An exit counts from when it hears ADD_PEER: WireGuard may begin a handshake meanwhile. */
static void an_exit_counts_before_it_answers(void **state)
{
	struct receipt_offer offer;

	(void)state;
	provider_destroy(t.p);
	t.role = ROLE_EXIT;
	create(clock_wall() + 1000);
	t.device.up = 1000;
	provider_open(t.p);
	t.device.up += 148;
	run_for(1);
	grant();
	offer = offer_of(148, 0);
	hear_offer(&offer);
	expect_signed(&offer);
}

static void a_wrong_amount_is_disputed(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){1 << 20, 1 << 20};
	offer = offer_of(1000, 1000);
	offer.body.amount = le64_of(le64_get(offer.body.amount) + 1);
	identity_sign(offer.provider_signature, &offer.body, sizeof(offer.body), &t.node);
	hear_offer(&offer);
	expect_disputed(1 << 20, 1 << 20);
}

static void a_broken_chain_is_disputed(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){5000, 5000};
	offer = offer_of(100, 200);
	hear_offer(&offer);
	expect_signed(&offer);
	offer = offer_of(200, 300);
	offer.body.previous[0] ^= 1;
	identity_sign(offer.provider_signature, &offer.body, sizeof(offer.body), &t.node);
	hear_offer(&offer);
	expect_disputed(5000, 5000);
}

static void another_sequel_to_the_same_seq_is_disputed(void **state)
{
	struct receipt_offer offer, other;

	(void)state;
	open_session();
	t.device = (struct wallet_count){5000, 5000};
	offer = offer_of(100, 200);
	other = offer_of(100, 201);
	hear_offer(&offer);
	expect_signed(&offer);
	hear_offer(&other);
	expect_disputed(5000, 5000);
}

/* The first waits for packets in flight, the second has the same number and could be signed. */
static void two_offers_with_one_number_are_disputed(void **state)
{
	struct receipt_offer offer, other;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(501, 500);
	other = offer_of(500, 500);
	hear_offer(&offer);
	expect_untouched();
	hear_offer(&other);
	expect_disputed(500, 500);
}

/* Repeated and overtaken on its way by the next one: no contradiction. */
static void a_late_repetition_says_nothing(void **state)
{
	struct receipt_offer one, two;

	(void)state;
	open_session();
	t.device = (struct wallet_count){5000, 5000};
	one = offer_of(100, 200);
	hear_offer(&one);
	expect_signed(&one);
	two = offer_of(200, 300);
	hear_offer(&two);
	expect_signed(&two);
	hear_offer(&one);
	expect_untouched();
}

static void other_sessions_are_none_of_ours(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	t.session[0] ^= 1;
	offer = offer_of(1, 1);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
	memset(t.session, 0, sizeof(t.session)); /* the id of an empty slot */
	offer = offer_of(0, 0);
	hear_offer(&offer);
	run_for(30);
	expect_untouched();
}

static void the_last_receipt_of_a_lost_session_is_signed(void **state)
{
	struct receipt_offer offer, more;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	offer = offer_of(500, 500);
	t.has_head = true;
	t.head = offer;
	more = offer_of(501, 500 + LOSS_BYTES);
	provider_probe(t.p);
	refuse_with(&(struct asked){.answer = probe_answered, .arg = t.p}, REFUSED_UNKNOWN_SESSION);
	assert_int_equal(t.events[PROVIDER_GONE], 1);
	t.device = (struct wallet_count){900, 900}; /* the next session's bytes */
	provider_open(t.p);
	run_for(1);
	t.has_head = false;
	hear_offer(&offer); /* the provider asks before it opens another */
	expect_signed(&offer);
	hear_offer(&more); /* what came after the end is not its */
	assert_int_equal(now(), PROVIDER_DISPUTED);
}

/* ---- staying and leaving --------------------------------------------------------------------- */

static void silence_starts_the_channel_over(void **state)
{
	struct asked a;

	(void)state;
	open_session();
	run_for(70);
	for (unsigned i = 1; i <= 3; i++) {
		a = take(VERB_KEEPALIVE);
		answer(&a, 0, NULL, 0);
		assert_int_equal(t.restarts, i);
		run_for(5);
	}
	assert_int_equal(t.events[PROVIDER_SILENT], 1);
	a = take(VERB_KEEPALIVE);
	answer(&a, VERB_ALIVE, t.session, SESSION_ID_LEN);
	assert_int_equal(now(), PROVIDER_OPEN);
}

static void closing_signs_the_final_receipt(void **state)
{
	struct body_close closed = {.bytes_up = le64_of(300), .bytes_down = le64_of(400)};
	struct receipt_offer offer;
	struct asked a;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	provider_close(t.p);
	a = take(VERB_CLOSE);
	memcpy(closed.session, t.session, SESSION_ID_LEN);
	answer(&a, VERB_CLOSED, &closed, sizeof(closed));
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 0);
	offer = offer_of(300, 400);
	hear_offer(&offer);
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 0);
	expect_signed(&offer);
	run_for(5);
	assert_int_equal(t.events[PROVIDER_ENDED], 1);
}

static void closing_waits_for_nobody(void **state)
{
	(void)state;
	open_session();
	provider_close(t.p);
	run_for(200);
	assert_int_equal(t.events[PROVIDER_ENDED], 1);
}

static void a_session_the_provider_ends_is_gone(void **state)
{
	struct body_close closed = {.reason = le32_of(CLOSE_IDLE)};

	(void)state;
	open_session();
	hear(VERB_CLOSED, &closed, sizeof(closed)); /* another one */
	assert_int_equal(t.events[PROVIDER_GONE], 0);
	memcpy(closed.session, t.session, SESSION_ID_LEN);
	hear(VERB_CLOSED, &closed, sizeof(closed));
	assert_int_equal(t.events[PROVIDER_GONE], 1);
	assert_int_equal(now(), PROVIDER_IDLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_is_signed_by_the_payer),
		TEST(open_is_tried_again_with_its_nonce),
		TEST(new_terms_are_asked_for_and_judged),
		TEST(a_higher_price_is_not_taken),
		TEST(another_nodes_terms_are_not_taken),
		TEST(expired_terms_are_not_signed),
		TEST(without_credit_is_said),
		TEST(honest_receipts_are_signed),
		TEST(duplicates_get_the_same_signature),
		TEST(packets_in_flight_are_waited_for),
		TEST(one_byte_too_many_down),
		TEST(one_byte_too_many_up),
		TEST(earlier_sessions_count_for_nothing),
		TEST(an_exit_counts_before_it_answers),
		TEST(a_wrong_amount_is_disputed),
		TEST(a_broken_chain_is_disputed),
		TEST(another_sequel_to_the_same_seq_is_disputed),
		TEST(two_offers_with_one_number_are_disputed),
		TEST(a_late_repetition_says_nothing),
		TEST(other_sessions_are_none_of_ours),
		TEST(the_last_receipt_of_a_lost_session_is_signed),
		TEST(silence_starts_the_channel_over),
		TEST(closing_signs_the_final_receipt),
		TEST(closing_waits_for_nobody),
		TEST(a_session_the_provider_ends_is_gone),
	};

	crypto_start();
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
