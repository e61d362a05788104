/*
 * Writing settlement batches. The same three files are made here and by
 * tests/vectors/make_batch.py. Mutations tried, each seen to fail a test: the order, number, kind
 * or sums of records not checked by the writer; duplicates kept; unused terms or sessions kept; the
 * head written before the rest.
 */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/batches.h"
#include "tests/lib/vectors.h"

static void as_the_other_implementation_has_them(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= EPOCHS; n++) {
		char name[16];

		snprintf(name, sizeof(name), "batch_%u", n);
		assert_vector(name, batch_world_file(n)->bytes, batch_world_file(n)->len);
	}
}

static uint32_t random_below(uint32_t *x, size_t n)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x % (uint32_t)n;
}

/* count records, each once or more, in any order: into out, at most 3 * count; how many. */
static size_t stir(void *out, const void *in, size_t count, size_t len, uint32_t *x)
{
	uint8_t *to = out, other[sizeof(struct receipt)];
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 1 + random_below(x, 3); k > 0; k--)
			memcpy(to + len * n++, (const uint8_t *)in + len * i, len);
	for (size_t i = n; i > 1; i--) {
		size_t j = random_below(x, i);

		memcpy(other, to + len * (i - 1), len);
		memcpy(to + len * (i - 1), to + len * j, len);
		memcpy(to + len * j, other, len);
	}
	return n;
}

static void any_order_and_any_repetition(void **state)
{
	static struct receipt receipts[30];
	static struct terms terms[10];
	static struct batch_session sessions[10];
	static struct batch_account accounts[60];
	uint32_t x = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		unsigned n = 1 + (unsigned)round % EPOCHS;
		struct batch_input in = *batch_world_input(n);
		uint8_t *bytes;
		size_t len;

		in.receipt_count =
			stir(receipts, in.receipts, in.receipt_count, sizeof(*receipts), &x);
		in.term_count = stir(terms, in.terms, in.term_count, sizeof(*terms), &x);
		in.session_count =
			stir(sessions, in.sessions, in.session_count, sizeof(*sessions), &x);
		in.account_count =
			stir(accounts, in.accounts, in.account_count, sizeof(*accounts), &x);
		in.receipts = receipts;
		in.terms = terms;
		in.sessions = sessions;
		in.accounts = accounts;
		assert_int_equal(batch_build(&bytes, &len, &in, &batch_node), 0);
		assert_int_equal(len, batch_world_file(n)->len);
		assert_memory_equal(bytes, batch_world_file(n)->bytes, len);
		free(bytes);
	}
}

static int build(const struct batch_input *in)
{
	uint8_t *bytes;
	size_t len;
	int err = batch_build(&bytes, &len, in, &batch_node);

	assert_int_equal(!bytes, err != 0);
	free(bytes);
	return err;
}

static void what_cannot_be_built(void **state)
{
	struct batch_input in = *batch_world_input(2);
	struct receipt receipts[3] = {in.receipts[0], in.receipts[1], in.receipts[1]};
	struct batch_session sessions[3] = {in.sessions[0], in.sessions[1], in.sessions[1]};
	struct batch_account accounts[2] = {in.accounts[0], in.accounts[0]};

	(void)state;
	assert_int_equal(build(&in), 0);
	in.term_count = 0;
	assert_int_equal(build(&in), -ENOENT);
	in = *batch_world_input(2);
	in.session_count = 1;
	assert_int_equal(build(&in), -ENOENT);
	in = *batch_world_input(2);
	in.receipts = receipts;
	in.receipt_count = 3;
	assert_int_equal(build(&in), 0);
	receipts[2].offer.body.hour = le64_of(1);
	assert_int_equal(build(&in), -EEXIST);
	in.receipt_count = 2;
	receipts[1].offer.body.seq = le64_of(0);
	assert_int_equal(build(&in), -EINVAL);
	in = *batch_world_input(2);
	in.sessions = sessions;
	in.session_count = 3;
	assert_int_equal(build(&in), 0);
	sessions[2].paid = le64_of(1);
	assert_int_equal(build(&in), -EEXIST);
	in.session_count = 2;
	sessions[1].paid = receipts[0].offer.body.amount;
	sessions[0].paid = le64_of(le64_get(receipts[0].offer.body.amount) + 1);
	assert_int_equal(build(&in), -EINVAL);
	in = *batch_world_input(2);
	in.accounts = accounts;
	in.account_count = 2;
	accounts[1].spent = le64_of(77);
	assert_int_equal(build(&in), -EEXIST);
	in.account_count = 1;
	assert_int_equal(build(&in), -EINVAL); /* as much spent as earned */
	accounts[0].spent = le64_of(UINT64_MAX);
	assert_int_equal(build(&in), -ERANGE);
}

/* ---- the writer ---- */

struct pieces {
	struct forged f;
	struct batch_head_values v;
};

static void take_apart(struct pieces *p)
{
	const struct batch_head_body *h = &p->f.head.body;

	forge_begin(&p->f, batch_world_file(3));
	p->v = *batch_world_input(3)->values;
	p->v.terms = le32_get(h->terms);
	p->v.sessions = le32_get(h->sessions);
	p->v.receipts = le32_get(h->receipts);
	p->v.accounts = le32_get(h->accounts);
}

static int write_pieces(struct batch *b, const struct pieces *p, struct batch_head *head)
{
	int err = 0;

	for (uint32_t i = 0; i < p->f.terms_count && !err; i++)
		err = batch_terms(b, &p->f.terms[i]);
	for (uint32_t i = 0; i < p->f.session_count && !err; i++)
		err = batch_session(b, &p->f.sessions[i]);
	for (uint32_t i = 0; i < p->f.receipt_count && !err; i++)
		err = batch_receipt(b, &p->f.receipts[i]);
	for (uint32_t i = 0; i < p->f.account_count && !err; i++)
		err = batch_account(b, &p->f.accounts[i]);
	return err ? err : batch_finish(b, &batch_node, head);
}

static int write_memory(const struct pieces *p)
{
	static uint8_t bytes[FILE_MAX];
	struct batch_head head;
	struct batch *b;
	int err = batch_begin_memory(&b, &p->v, (const uint8_t(*)[KEY_LEN])p->f.peaks, bytes);

	if (err)
		return err;
	err = write_pieces(b, p, &head);
	if (err)
		assert_int_equal(batch_finish(b, &batch_node, &head), err);
	else
		assert_int_equal(batch_finish(b, &batch_node, &head), -EINVAL);
	batch_free(b);
	return err;
}

static void a_file_has_the_same_bytes(void **state)
{
	const struct made_batch *want = batch_world_file(3);
	static uint8_t bytes[FILE_MAX];
	struct batch_head head, none;
	struct pieces p;
	struct batch *b;
	FILE *out = tmpfile();
	uint8_t root[KEY_LEN];
	int fd = fileno(out);

	(void)state;
	take_apart(&p);
	memset(&none, 0, sizeof(none));
	assert_int_equal(batch_length(&p.v), want->len);
	assert_int_equal(batch_begin(&b, &p.v, (const uint8_t(*)[KEY_LEN])p.f.peaks, fd), 0);
	assert_int_equal(write_pieces(b, &p, &head), 0);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), want->len);
	assert_memory_equal(bytes, want->bytes, want->len);
	assert_memory_equal(&head, bytes, sizeof(head));
	merkle_root(batch_tree(b), root);
	assert_memory_equal(root, head.body.root, KEY_LEN);
	batch_free(b);
	fclose(out);
}

/* Until the last write there is no head: what a crash leaves is no batch. */
static void the_head_comes_last(void **state)
{
	struct batch_head head, none = {0};
	struct pieces p;
	struct batch *b;
	FILE *out = tmpfile();
	int fd = fileno(out);
	uint32_t many = 4000; /* more than the buffer holds */
	struct receipt r;

	(void)state;
	take_apart(&p);
	p.v.terms = p.v.sessions = p.v.accounts = 0;
	p.v.receipts = many;
	r = p.f.receipts[0];
	assert_int_equal(batch_begin(&b, &p.v, (const uint8_t(*)[KEY_LEN])p.f.peaks, fd), 0);
	for (uint32_t i = 0; i < many; i++) {
		r.offer.body.seq = le64_of(i + 1);
		assert_int_equal(batch_receipt(b, &r), 0);
	}
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_memory_equal(&head, &none, sizeof(head));
	assert_int_equal(batch_finish(b, &batch_node, &none), 0);
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_memory_equal(&head, &none, sizeof(head));
	assert_int_equal(lseek(fd, 0, SEEK_END), batch_length(&p.v));
	batch_free(b);
	fclose(out);
}

static void swap(void *a, void *b, size_t len)
{
	uint8_t other[sizeof(struct receipt)];

	memcpy(other, a, len);
	memcpy(a, b, len);
	memcpy(b, other, len);
}

static void the_writer_holds_the_order(void **state)
{
	struct pieces p;

	(void)state;
	take_apart(&p);
	assert_int_equal(write_memory(&p), 0);
	swap(&p.f.terms[0], &p.f.terms[1], sizeof(p.f.terms[0]));
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	swap(&p.f.sessions[0], &p.f.sessions[1], sizeof(p.f.sessions[0]));
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	swap(&p.f.receipts[0], &p.f.receipts[1], sizeof(p.f.receipts[0]));
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	swap(&p.f.accounts[0], &p.f.accounts[1], sizeof(p.f.accounts[0]));
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.terms[1] = p.f.terms[0];
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.receipts[1] = p.f.receipts[0];
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.sessions[1] = p.f.sessions[0];
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.accounts[1] = p.f.accounts[0];
	assert_int_equal(write_memory(&p), -EINVAL);
}

/* A kind begins when the one before it is complete. */
static void the_writer_holds_the_kinds(void **state)
{
	static uint8_t bytes[FILE_MAX];
	struct pieces p;
	struct batch *b;

	(void)state;
	take_apart(&p);
	for (int kind = 1; kind <= 3; kind++) {
		assert_int_equal(
			batch_begin_memory(&b, &p.v, (const uint8_t(*)[KEY_LEN])p.f.peaks, bytes),
			0);
		if (kind == 1)
			assert_int_equal(batch_session(b, &p.f.sessions[0]), -EINVAL);
		else if (kind == 2)
			assert_int_equal(batch_receipt(b, &p.f.receipts[0]), -EINVAL);
		else
			assert_int_equal(batch_account(b, &p.f.accounts[0]), -EINVAL);
		assert_int_equal(batch_terms(b, &p.f.terms[0]), -EINVAL); /* for good */
		batch_free(b);
	}
}

static void the_writer_counts(void **state)
{
	struct pieces p;

	(void)state;
	take_apart(&p);
	p.v.terms++;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.sessions--;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.receipts++;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.accounts++; /* only the end can tell */
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.previous_root[0] ^= 1;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.peaks[0][0] ^= 1;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.epoch = 0;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.v.previous_size = UINT64_MAX - 3;
	assert_int_equal(write_memory(&p), -ERANGE);
}

static void the_writer_refuses_nonsense(void **state)
{
	struct pieces p;

	(void)state;
	take_apart(&p);
	p.f.terms[0].body.network = le64_of(1);
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.receipts[0].offer.body.provider[0] ^= 1;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.receipts[0].offer.body.domain[0] ^= 1;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.sessions[0].before = le64_of(le64_get(p.f.sessions[0].paid) + 1);
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.sessions[0].fee_ppm = le32_of(0); /* but an account */
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.sessions[0].fee_ppm = le32_of(1000001);
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.sessions[0].zero[3] = 1;
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	batch_account_make(&p.f.accounts[0], p.f.accounts[0].key, 0, 0);
	assert_int_equal(write_memory(&p), -EINVAL);
	take_apart(&p);
	p.f.accounts[0].earned = le64_of(le64_get(p.f.accounts[0].earned) + 1);
	assert_int_equal(write_memory(&p), -EINVAL); /* the sums differ */
	take_apart(&p);
	p.f.accounts[0].earned = p.f.accounts[1].earned = le64_of(UINT64_MAX);
	assert_int_equal(write_memory(&p), -ERANGE);
	take_apart(&p);
	memcpy(p.v.node, batch_fee_account.id, KEY_LEN);
	assert_int_equal(write_memory(&p), -EINVAL);
}

static void a_failing_file_is_an_error(void **state)
{
	struct batch_head head;
	struct pieces p;
	struct batch *b;

	(void)state;
	take_apart(&p);
	assert_int_equal(batch_begin(&b, &p.v, (const uint8_t(*)[KEY_LEN])p.f.peaks, 9999), 0);
	assert_int_equal(write_pieces(b, &p, &head), -EBADF);
	batch_free(b);
	batch_free(NULL);
}

static void fees_are_floors_of_sums(void **state)
{
	(void)state;
	assert_int_equal(batch_fee(0, 50000), 0);
	assert_int_equal(batch_fee(19, 50000), 0);
	assert_int_equal(batch_fee(20, 50000), 1);
	assert_int_equal(batch_fee(UINT64_MAX, 1000000), UINT64_MAX);
	assert_int_equal(batch_fee(UINT64_MAX, 1), UINT64_MAX / 1000000);
	assert_int_equal(batch_fee(12345, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_other_implementation_has_them),
		cmocka_unit_test(any_order_and_any_repetition),
		cmocka_unit_test(what_cannot_be_built),
		cmocka_unit_test(a_file_has_the_same_bytes),
		cmocka_unit_test(the_head_comes_last),
		cmocka_unit_test(the_writer_holds_the_order),
		cmocka_unit_test(the_writer_holds_the_kinds),
		cmocka_unit_test(the_writer_counts),
		cmocka_unit_test(the_writer_refuses_nonsense),
		cmocka_unit_test(a_failing_file_is_an_error),
		cmocka_unit_test(fees_are_floors_of_sums),
	};

	crypto_start();
	batches_make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
