/*
 * Settlement epochs: what is in a batch, and that it is made again byte for byte.
 * `test_epochs SESSIONS RECEIPTS [mixed]` measures instead.
 */
#include "tests/unit/epochs_world.h"

#include <sys/resource.h>

/* ---- what is in a batch ---- */

static void check_receipts(const uint8_t *bytes, uint64_t first, uint64_t last)
{
	const struct receipt *r = records(bytes, 'r');
	const struct batch_session *s = records(bytes, 's');

	for (uint32_t i = 0; i < le32_get(head_of(bytes)->body.sessions); i++, s++) {
		assert_int_equal(le64_get(s->seq), last);
		for (uint64_t seq = first; seq <= last; seq++, r++) {
			assert_memory_equal(r->offer.body.session, s->session, SESSION_ID_LEN);
			assert_int_equal(le64_get(r->offer.body.seq), seq);
		}
		assert_int_equal(le64_get(s->paid), le64_get(r[-1].offer.body.amount) / 2);
	}
	assert_ptr_equal(r, records(bytes, 'a'));
}

static void test_a_batch_holds_what_was_signed_since_the_last(void **state)
{
	size_t len;
	uint8_t *one, *two;

	(void)state;
	fill(70, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	fill(70, 4, 200);
	assert_int_equal(settling_settle(store), 2);
	one = read_epoch(1, &len);
	two = read_epoch(2, &len);
	assert_int_equal(le32_get(head_of(one)->body.sessions), 70);
	assert_int_equal(le32_get(head_of(one)->body.receipts), 210);
	assert_int_equal(le32_get(head_of(two)->body.receipts), 14000);
	check_receipts(one, 1, 3);
	check_receipts(two, 4, 203);
	/* One tree goes through both. */
	assert_int_equal(le64_get(head_of(one)->body.previous_size), 0);
	assert_int_equal(le64_get(head_of(two)->body.previous_size),
			 le64_get(head_of(one)->body.size));
	assert_memory_equal(head_of(two)->body.previous_root, head_of(one)->body.root, KEY_LEN);
	assert_true(identity_verify(head_of(two)->signature, &head_of(two)->body,
				    sizeof(head_of(two)->body), node.id));
	free(one);
	free(two);
}

static uint64_t spent_of(const uint8_t *bytes, const uint8_t *key, uint64_t *earned)
{
	const struct batch_account *a = records(bytes, 'a');

	*earned = 0;
	for (uint32_t i = 0; i < le32_get(head_of(bytes)->body.accounts); i++, a++)
		if (memcmp(a->key, key, KEY_LEN) == 0) {
			*earned = le64_get(a->earned);
			return le64_get(a->spent);
		}
	return 0;
}

static void test_totals_are_of_all_epochs_and_add_up(void **state)
{
	uint64_t paid, fees, earned, spent;
	struct db_stmt *q;
	size_t len;
	uint8_t *bytes, key[KEY_LEN];

	(void)state;
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		fill(150, 1 + (epoch - 1) * 7, 7);
		assert_int_equal(settling_settle(store), epoch);
	}
	bytes = read_epoch(3, &len);
	paid = (uint64_t)count_of("SELECT sum(paid) FROM session");
	/* The division truncates as the fee does. */
	fees = (uint64_t)count_of("SELECT sum(paid * fee_ppm / 1000000) FROM session");
	assert_true(fees > 0);
	assert_int_equal(le64_get(head_of(bytes)->body.earned), paid);
	assert_int_equal(le64_get(head_of(bytes)->body.spent), paid);
	assert_int_equal(spent_of(bytes, node.id, &earned), 0);
	assert_int_equal(earned, paid - fees);
	q = db_prepare(store->db, "SELECT payer, sum(paid) FROM session GROUP BY payer");
	while (db_step(q) == 1) {
		assert_true(db_col_blob(q, key, sizeof(key)));
		spent = spent_of(bytes, key, &earned);
		assert_int_equal(spent, db_col_u64(q));
		assert_int_equal(earned, 0);
	}
	free(bytes);
}

/* A receipt that both sides have signed, for so many bytes in all. */
static void sign(const uint8_t *session, uint64_t bytes, const struct identity *payer)
{
	struct ledger_payer now;
	struct receipt_offer offer;
	struct receipt r;

	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_issue(store, session, bytes, 0, &offer), 0);
	receipt_cosign(&r, &offer, payer);
	assert_int_equal(
		store_cosign(store, session, le64_get(offer.body.seq), r.payer_signature, &now), 0);
	assert_int_equal(store_commit(store), 0);
}

static void test_all_that_is_signed_is_posted_at_the_closing(void **state)
{
	static const uint8_t session[SESSION_ID_LEN] = {1}, key[NONCE_LEN] = {1};
	const uint64_t gib = UINT64_C(1) << 30;
	struct identity alice;
	struct ledger_payer now;
	size_t len;
	uint64_t earned;
	uint8_t *bytes;

	(void)state;
	test_identity(&alice, 2);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_grant(store, alice.id, 10000000, 0, key), 0);
	assert_int_equal(store_session(store, ROLE_RELAY, session, alice.id, &now), 0);
	assert_int_equal(store_commit(store), 0);
	sign(session, gib, &alice);
	sign(session, 2 * gib, &alice);
	sign(session, 3 * gib, &alice);
	assert_true(count_of("SELECT posted FROM session") < 3000000);
	assert_int_equal(settling_settle(store), 1);
	assert_int_equal(count_of("SELECT posted FROM session"), 3000000);
	bytes = read_epoch(1, &len);
	assert_int_equal(spent_of(bytes, alice.id, &earned), 3000000);
	assert_int_equal(spent_of(bytes, node.id, &earned), 0);
	assert_int_equal(earned, 3000000);
	free(bytes);
	sign(session, 4 * gib, &alice);
	assert_int_equal(settling_settle(store), 2);
	bytes = read_epoch(2, &len);
	assert_int_equal(spent_of(bytes, alice.id, &earned), 4000000);
	free(bytes);
}

static void test_nothing_new_makes_no_batch(void **state)
{
	struct ledger_settled out;

	(void)state;
	assert_int_equal(ask(0, &out), 0);
	assert_false(out.fresh);
	assert_int_equal(out.epoch, 0);
	fill(3, 1, 3);
	assert_int_equal(settling_settle(store), 1);
	assert_int_equal(ask(0, &out), 0);
	assert_false(out.fresh);
	assert_int_equal(out.epoch, 1);
	settling_work(store);
	assert_int_equal(files(), 1);
	assert_int_equal(count_of("SELECT count(*) FROM epoch"), 1);
}

static void test_one_at_a_time(void **state)
{
	struct ledger_settled out, second;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_settle(store, 0, &out), 0);
	assert_int_equal(store_settle(store, 0, &second), -EBUSY);
	assert_int_equal(store_commit(store), 0);
	assert_true(row_of(1).busy);
	assert_int_equal(ask(0, &second), -EBUSY);
	assert_int_equal(ask(1, &second), -EBUSY);
	settling_work(store);
	assert_false(row_of(1).busy);
	assert_int_equal(ask(7, &second), -ENOENT);
	assert_int_equal(ask(1, &second), 0);
	assert_true(row_of(1).busy);
	assert_int_equal(ask(0, &second), -EBUSY);
	settling_work(store);
	assert_int_equal(count_of("SELECT count(*) FROM epoch"), 1);
}

/* A request that fails is taken back, and with it the wish. */
static void test_a_wish_that_is_rolled_back_does_nothing(void **state)
{
	struct ledger_settled out;

	(void)state;
	fill(3, 1, 3);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_settle(store, 0, &out), 0);
	store_rollback(store);
	settling_work(store);
	assert_int_equal(files(), 0);
	assert_int_equal(settling_settle(store), 1);
}

static void test_receipts_during_the_closing_are_in_one_epoch_each(void **state)
{
	struct ledger_settled out;
	const struct receipt *r;
	size_t len;
	uint64_t receipts = 0;

	(void)state;
	fill(200, 1, 2);
	small_slices = true;
	assert_int_equal(ask(0, &out), 0);
	for (uint64_t seq = 3; seq < 6; seq++) {
		store_work(store, 1767225600);
		fill(200, seq, 1);
	}
	assert_int_equal(count_of("SELECT state FROM epoch"), EPOCH_CLOSING);
	settling_work(store);
	small_slices = false;
	assert_int_equal(settling_settle(store), 2);
	for (uint64_t epoch = 1; epoch <= 2; epoch++) {
		uint8_t *bytes = read_epoch(epoch, &len);

		receipts += le32_get(head_of(bytes)->body.receipts);
		r = records(bytes, 'r');
		/* Only the second continues where the first one ended. */
		assert_int_equal(le64_get(r->offer.body.seq) == 1, epoch == 1);
		free(bytes);
	}
	assert_int_equal(receipts, 200 * 5);
	assert_int_equal(count_of("SELECT count(*) FROM settled b JOIN settled a ON a.session = "
				  "b.session AND a.epoch < b.epoch WHERE b.first <> a.last + 1"),
			 0);
}

static void test_gaps_are_left_as_they_are(void **state)
{
	size_t len;
	uint8_t *bytes;

	(void)state;
	fill(4, 1, 20);
	assert_int_equal(db_exec(store->db, "DELETE FROM receipt WHERE seq BETWEEN 5 AND 9"), 0);
	assert_int_equal(settling_settle(store), 1);
	bytes = read_epoch(1, &len);
	assert_int_equal(le32_get(head_of(bytes)->body.receipts), 4 * 15);
	free(bytes);
}

/* What the operator signed as somebody else, or in another network, cannot be in this log. */
static void test_receipts_of_another_network_stay_out(void **state)
{
	size_t len;
	uint8_t *bytes;
	struct terms other = store->terms[ROLE_RELAY];
	uint8_t hash[KEY_LEN];

	(void)state;
	fill(4, 1, 2);
	other.body.network = le64_of(8);
	terms_hash(hash, &other);
	assert_int_equal(store_begin(store, 1767225600), 0);
	assert_int_equal(store_terms(store, &other), 0);
	assert_int_equal(store_commit(store), 0);
	{
		struct db_stmt *q =
			db_prepare(store->db, "UPDATE session SET terms = ? WHERE id = 2");

		db_bind_blob(q, hash, sizeof(hash));
		assert_int_equal(db_run(q), 0);
	}
	assert_int_equal(settling_settle(store), 1);
	bytes = read_epoch(1, &len);
	assert_int_equal(le32_get(head_of(bytes)->body.sessions), 3);
	free(bytes);
	assert_int_equal(settling_settle(store), 0);
}

/* ---- again ---- */

static void test_any_epoch_can_be_made_again_byte_for_byte(void **state)
{
	static const uint64_t order[] = {2, 1, 3, 2};
	struct ledger_settled out;
	uint8_t *old[4], *again;
	size_t len[4], len_again;

	(void)state;
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		fill(40 + epoch * 10, 1 + (epoch - 1) * 5, 5);
		assert_int_equal(settling_settle(store), epoch);
		old[epoch] = read_epoch(epoch, &len[epoch]);
	}
	fill(40, 16, 5); /* what came later has no part in it */
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		uint64_t epoch = order[i];

		reopen(0);
		if (i == 0)
			assert_int_equal(unlink(settling_path(dir, epoch)), 0);
		else
			assert_int_equal(truncate(settling_path(dir, epoch), 100), 0);
		assert_int_equal(ask(epoch, &out), 0);
		settling_work(store);
		again = read_epoch(epoch, &len_again);
		assert_int_equal(len_again, len[epoch]);
		assert_memory_equal(again, old[epoch], len_again);
		free(again);
	}
	assert_int_equal(row_of(2).err, 0);
	for (int i = 1; i <= 3; i++)
		free(old[i]);
}

/* Signed once is signed for good: no other batch takes its place. */
static void test_rows_that_changed_make_no_second_truth(void **state)
{
	struct ledger_settled out;
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db, "UPDATE settled SET paid = paid + 1"), 0);
	assert_int_equal(ask(1, &out), 0);
	settling_work(store);
	assert_int_equal(row_of(1).err, -EBADMSG);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	assert_int_equal(files(), 1);
	free(before);
	free(after);
}

/* Books restored from a backup do not sign an epoch a second time. */
static void test_a_file_the_books_do_not_know_is_not_contradicted(void **state)
{
	struct ledger_settled out;
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db, "DELETE FROM settled; DELETE FROM epoch; "
					    "UPDATE session SET settled_seq = 0, settled = 0"),
			 0);
	fill(5, 6, 5);
	assert_int_equal(ask(0, &out), -EEXIST);
	settling_work(store);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

/* The same with a backup of the moment when the epoch was about to be closed. */
static void test_nor_does_a_backup_made_during_the_closing(void **state)
{
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db,
				 "DELETE FROM settled; UPDATE epoch SET state = 0, head = NULL, "
				 "edge = NULL; UPDATE session SET settled_seq = 0, settled = 0"),
			 0);
	fill(5, 6, 5);
	reopen(0);
	settling_work(store);
	assert_int_equal(row_of(1).err, -EEXIST);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	assert_int_equal(files(), 1);
	assert_int_equal(count_of("SELECT count(*) FROM epoch WHERE head IS NOT NULL"), 0);
	free(before);
	free(after);
}

/* ... or with one of the moment when it was closed, whose batch is the very same. */
static void test_a_backup_before_the_signing_comes_to_the_same_batch(void **state)
{
	uint8_t *before, *after;
	size_t len, len_after;

	(void)state;
	fill(5, 1, 5);
	assert_int_equal(settling_settle(store), 1);
	before = read_epoch(1, &len);
	assert_int_equal(db_exec(store->db, "UPDATE epoch SET state = 1, head = NULL, edge = NULL"),
			 0);
	fill(5, 6, 5);
	reopen(0);
	settling_work(store);
	assert_int_equal(row_of(1).err, 0);
	assert_int_equal(row_of(1).state, EPOCH_WRITTEN);
	after = read_epoch(1, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

/* ---- measuring ---- */

static long ms_of(const struct timeval *t)
{
	return t->tv_sec * 1000 + t->tv_usec / 1000;
}

static int measure(const struct settling_plan *plan)
{
	struct ledger_settled out;
	struct rusage use, before;
	uint64_t begun, longest;

	test_dir_make(dir);
	store = settling_open(dir, &node, 0);
	settling_fill(store, plan);
	reopen(0);
	settling_work(store);
	getrusage(RUSAGE_SELF, &before);
	begun = clock_ms();
	if (ask(0, &out))
		fatalx("settle");
	longest = settling_work(store);
	printf("%" PRIu64 " receipts settled in %" PRIu64 " ms, longest slice %" PRIu64 " ms, ",
	       plan->sessions * plan->receipts, clock_ms() - begun, longest);
	getrusage(RUSAGE_SELF, &use);
	printf("%ld MiB, processor %ld + %ld ms\n", use.ru_maxrss / 1024,
	       ms_of(&use.ru_utime) - ms_of(&before.ru_utime),
	       ms_of(&use.ru_stime) - ms_of(&before.ru_stime));
	store_close(store);
	test_dir_remove(dir);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_batch_holds_what_was_signed_since_the_last),
		CASE(test_totals_are_of_all_epochs_and_add_up),
		CASE(test_all_that_is_signed_is_posted_at_the_closing),
		CASE(test_nothing_new_makes_no_batch),
		CASE(test_one_at_a_time),
		CASE(test_a_wish_that_is_rolled_back_does_nothing),
		CASE(test_receipts_during_the_closing_are_in_one_epoch_each),
		CASE(test_gaps_are_left_as_they_are),
		CASE(test_receipts_of_another_network_stay_out),
		CASE(test_any_epoch_can_be_made_again_byte_for_byte),
		CASE(test_rows_that_changed_make_no_second_truth),
		CASE(test_a_file_the_books_do_not_know_is_not_contradicted),
		CASE(test_nor_does_a_backup_made_during_the_closing),
		CASE(test_a_backup_before_the_signing_comes_to_the_same_batch),
	};
	struct settling_plan plan = {.from = 1};

	crypto_start();
	test_identity(&node, 1);
	if (argc >= 3) {
		plan.sessions = strtoull(argv[1], NULL, 10);
		plan.receipts = strtoull(argv[2], NULL, 10);
		plan.mixed = argc > 3;
		return measure(&plan);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
