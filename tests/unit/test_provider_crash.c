/* What an agent that was killed signs when it comes back. */
#include "tests/unit/provider_world.h"

static void what_was_counted_before_a_crash_is_signed(void **state)
{
	uint8_t lost[SESSION_ID_LEN];
	struct receipt_offer offer;

	(void)state;
	t.device = (struct wallet_count){7000, 7000}; /* of earlier sessions */
	open_session();
	memcpy(lost, t.session, SESSION_ID_LEN);
	t.device = (struct wallet_count){7500, 7900};
	run_for(45);
	crash();
	provider_open(t.p);
	run_for(1);
	offer = offer_of(500, 900 + LOSS_BYTES);
	hear_offer(&offer); /* before it opens another */
	expect_signed(&offer);
	run_for(5);
	grant();
	assert_int_equal(now(), PROVIDER_OPEN);
	/* The next one of the old session claims more: nobody knows, nobody quarrels. */
	t.device = (struct wallet_count){5000, 5000}; /* not its */
	memcpy(t.session, lost, SESSION_ID_LEN);
	t.head = offer;
	t.has_head = true;
	offer = offer_of(500, 900 + LOSS_BYTES + 1);
	hear_offer(&offer);
	run_for(600);
	expect_untouched();
	offer = offer_of(501, 900 + LOSS_BYTES);
	hear_offer(&offer);
	run_for(600);
	expect_untouched();
}

/* A receipt that was judged is a moment at which the count was known. */
static void a_signed_receipt_notes_the_count(void **state)
{
	struct receipt_offer offer;

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 900};
	offer = offer_of(100, 100);
	hear_offer(&offer);
	expect_signed(&offer);
	crash();
	hear_offer(&offer); /* its COSIGN was lost */
	expect_signed(&offer);
	offer = offer_of(500, 900 + LOSS_BYTES);
	hear_offer(&offer);
	expect_signed(&offer);
}

/* A receipt of old does not cut short the wait for one of now. */
static void an_old_receipt_leaves_the_waiting_one(void **state)
{
	struct receipt_offer old, offer;

	(void)state;
	open_session();
	old = offer_of(9, 9);
	crash();
	t.events[PROVIDER_OPENED] = 0;
	open_session();
	offer = offer_of(501, 500);
	hear_offer(&offer);
	hear_offer(&old);
	t.device = (struct wallet_count){501, 500};
	run_for(30);
	expect_signed(&offer);
	assert_int_equal(now(), PROVIDER_OPEN);
}

/* As of a provider whose backup was restored: kept and said once, and the session at hand goes on.
 */
static void a_contradiction_in_an_old_session(void **state)
{
	struct receipt_offer signed_, other;
	const struct body_dispute *d = (const void *)t.posted.body;
	uint8_t old[SESSION_ID_LEN];

	(void)state;
	open_session();
	t.device = (struct wallet_count){500, 500};
	signed_ = offer_of(400, 400);
	other = offer_of(400, 399);
	hear_offer(&signed_);
	expect_signed(&signed_);
	memcpy(old, t.session, sizeof(old));
	crash();
	t.events[PROVIDER_OPENED] = 0;
	open_session();
	hear_offer(&other);
	assert_int_equal(t.posted.verb, VERB_DISPUTE);
	assert_memory_equal(d->session, old, sizeof(old));
	assert_int_equal(le64_get(d->bytes_up), 500);
	hear_offer(&other);
	assert_int_equal(t.posts, 1);
	assert_int_equal(now(), PROVIDER_OPEN);
	t.device = (struct wallet_count){100, 100};
	other = offer_of(100, 100);
	hear_offer(&other);
	expect_signed(&other);
}

static void counts_are_written_only_when_they_change(void **state)
{
	struct wallet_count count;

	(void)state;
	open_session();
	t.device = (struct wallet_count){1, 2};
	run_for(45);
	assert_int_equal(wallet_count_of(t.wallet, t.session, &count), 0);
	assert_int_equal(count.up, 1);
	assert_int_equal(count.down, 2);
	wallet_close(t.wallet); /* a write now would be one too many */
	t.p->judge.wallet = NULL;
	run_for(100);
	assert_true(open_wallet());
	t.p->judge.wallet = t.wallet;
	t.device.up = 3;
	run_for(45);
	assert_int_equal(wallet_count_of(t.wallet, t.session, &count), 0);
	assert_int_equal(count.up, 3);
}

/* ---- the device dies, the agent lives ----------------------------------------------------------
 */

static void device_dies(void)
{
	open_session();
	t.device = (struct wallet_count){500, 500};
	provider_lost_count(t.p);
}

/* Neither a signature nor a quarrel: another session. */
static void expect_given_up(void)
{
	assert_int_equal(now(), PROVIDER_IDLE);
	assert_int_equal(t.events[PROVIDER_GONE], 1);
	assert_int_equal(t.events[PROVIDER_LEFT], 0);
	assert_false(outstanding(VERB_COSIGN));
	assert_int_equal(t.posts, 1);
	assert_int_equal(t.posted.verb, VERB_CLOSE);
	assert_memory_equal(t.posted.body, t.session, SESSION_ID_LEN);
	t.posts = 0;
}

static void what_a_dead_device_took_along_is_not_disputed(void **state)
{
	uint8_t lost[SESSION_ID_LEN];
	struct receipt_offer up, down, fair;

	(void)state;
	device_dies();
	memcpy(lost, t.session, SESSION_ID_LEN);
	up = offer_of(501, 500);
	down = offer_of(500, 500 + LOSS_BYTES + 1);
	fair = offer_of(500, 500 + LOSS_BYTES);
	hear_offer(&down);
	run_for(50);
	expect_untouched();
	run_for(500);
	expect_given_up();
	provider_open(t.p);
	run_for(1);
	hear_offer(&up); /* it asks again, and may */
	hear_offer(&down);
	run_for(600);
	assert_int_equal(now(), PROVIDER_OPENING);
	assert_false(outstanding(VERB_COSIGN));
	hear_offer(&fair);
	expect_signed(&fair);
	grant();
	assert_int_equal(t.events[PROVIDER_OPENED], 2);
	assert_memory_not_equal(t.session, lost, SESSION_ID_LEN);
	t.posts = 0;
	up = offer_of(1, 0); /* of the new session, which counts everything */
	hear_offer(&up);
	run_for(600);
	expect_disputed(0, 0);
}

static void bytes_up_that_nobody_counted(void **state)
{
	struct receipt_offer offer;

	(void)state;
	device_dies();
	offer = offer_of(501, 500);
	hear_offer(&offer);
	run_for(600);
	expect_given_up();
}

static void a_dead_device_excuses_no_wrong_amount(void **state)
{
	struct receipt_offer offer;

	(void)state;
	device_dies();
	offer = offer_of(500, 500);
	offer.body.amount = le64_of(le64_get(offer.body.amount) + 1);
	identity_sign(offer.provider_signature, &offer.body, sizeof(offer.body), &t.node);
	hear_offer(&offer);
	expect_disputed(500, 500);
}

static void what_was_counted_is_signed_over_a_dead_device(void **state)
{
	struct receipt_offer offer;

	(void)state;
	device_dies();
	offer = offer_of(500, 500 + LOSS_BYTES);
	hear_offer(&offer);
	expect_signed(&offer);
	assert_int_equal(now(), PROVIDER_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_counted_before_a_crash_is_signed),
		TEST(a_signed_receipt_notes_the_count),
		TEST(an_old_receipt_leaves_the_waiting_one),
		TEST(a_contradiction_in_an_old_session),
		TEST(counts_are_written_only_when_they_change),
		TEST(what_a_dead_device_took_along_is_not_disputed),
		TEST(bytes_up_that_nobody_counted),
		TEST(a_dead_device_excuses_no_wrong_amount),
		TEST(what_was_counted_is_signed_over_a_dead_device),
	};

	crypto_start();
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
