#include "tests/lib/batches.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

#define NETWORK UINT64_C(0x1122334455667788)
#define HOUR    486111
#define PRICE   2500000
#define GIB     (UINT64_C(1) << 30)
#define MIB     (UINT64_C(1) << 20)

struct identity batch_node, batch_payer[PAYERS], batch_fee_account;
struct terms batch_world_terms[2];
uint8_t batch_session_id[3][SESSION_ID_LEN];

static const struct {
	enum role role;
	uint32_t ppm;
	unsigned receipts;
	uint64_t bytes[4][2];
} plan[3] = {
	{ROLE_RELAY, 50000, 3, {{1000, 2000}, {MIB, 5 * GIB}, {2 * MIB, 9 * GIB}}},
	{ROLE_EXIT,
	 12345,
	 4,
	 {{10 * MIB, GIB}, {20 * MIB, 3 * GIB}, {20 * MIB, 4 * GIB}, {21 * MIB, 5 * GIB}}},
	{ROLE_RELAY, 0, 2, {{0, 7 * GIB}, {1, 8 * GIB}}},
};

/* session, first and last receipt, how much of the last one's amount is not paid */
static const struct {
	unsigned session, first, last;
	uint64_t unpaid;
} settled[EPOCHS][2] = {
	{{0, 1, 2, 2500000}, {1, 1, 1, 0}},
	{{0, 3, 3, 1}, {2, 1, 1, 17500000}},
	{{1, 2, 4, 3}, {2, 2, 2, 19999970}},
};

static struct receipt receipts[3][4];
static struct batch_head_values values[EPOCHS];
static uint8_t peaks[EPOCHS][MERKLE_LEVELS][KEY_LEN];
static struct receipt given[EPOCHS][8];
static struct batch_session sessions[EPOCHS][2];
static struct batch_input input[EPOCHS];
static struct made_batch file[EPOCHS];
static struct forged apart;

static void count_up(uint8_t *out, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(first + i);
}

static void make_identity(struct identity *out, uint8_t first)
{
	uint8_t seed[KEY_LEN];

	count_up(seed, KEY_LEN, first);
	identity_from_seed(out, seed);
}

static void make_parties(void)
{
	struct terms_values v = {
		.network = NETWORK,
		.price = PRICE,
		.window_start = MIB,
		.window_cap = 64 * MIB,
		.receipt_seconds = 60,
		.loss_ppm = 20000,
		.loss_bytes = 1 << 16,
		.expires = 1760000000,
	};

	make_identity(&batch_node, 0x00);
	make_identity(&batch_payer[0], 0x20);
	make_identity(&batch_payer[1], 0x40);
	batch_payer[2] = batch_node;
	make_identity(&batch_fee_account, 0x60);
	count_up(batch_session_id[0], SESSION_ID_LEN, 0xa0);
	count_up(batch_session_id[1], SESSION_ID_LEN, 0x01);
	count_up(batch_session_id[2], SESSION_ID_LEN, 0xf0);
	v.role = ROLE_RELAY;
	terms_make(&batch_world_terms[0], &v, &batch_node);
	v.role = ROLE_EXIT;
	terms_make(&batch_world_terms[1], &v, &batch_node);
}

static void make_receipts(unsigned session)
{
	struct receipt_session s = {.role = plan[session].role, .network = NETWORK, .price = PRICE};
	struct receipt *r = receipts[session];

	memcpy(s.session, batch_session_id[session], SESSION_ID_LEN);
	memcpy(s.payer, batch_payer[session].id, KEY_LEN);
	terms_hash(s.terms, &batch_world_terms[s.role - 1]);
	for (unsigned i = 0; i < plan[session].receipts; i++) {
		struct receipt_offer offer;
		const uint64_t *bytes = plan[session].bytes[i];

		assert_true(receipt_make(&offer, &s, i ? &r[i - 1].offer : NULL, bytes[0], bytes[1],
					 HOUR, &batch_node));
		receipt_cosign(&r[i], &offer, &batch_payer[session]);
	}
}

const struct receipt *batch_world_receipt(unsigned session, unsigned seq)
{
	return &receipts[session][seq - 1];
}

/* What was paid for a session before epoch n (from 0). */
static uint64_t paid_before(unsigned n, unsigned session)
{
	uint64_t paid = 0;

	for (unsigned e = 0; e < n; e++)
		for (unsigned i = 0; i < 2; i++)
			if (settled[e][i].session == session)
				paid = le64_get(sessions[e][i].paid);
	return paid;
}

static void make_sessions(unsigned n)
{
	size_t count = 0;

	for (unsigned i = 0; i < 2; i++) {
		unsigned s = settled[n][i].session, last = settled[n][i].last;
		const struct receipt *head = batch_world_receipt(s, last);
		const struct batch_session_values v = {
			.session = batch_session_id[s],
			.paid = le64_get(head->offer.body.amount) - settled[n][i].unpaid,
			.before = paid_before(n, s),
			.fee_ppm = plan[s].ppm,
			.fee_account = batch_fee_account.id,
		};

		batch_session_make(&sessions[n][i], &v);
		for (unsigned seq = settled[n][i].first; seq <= last; seq++)
			if (s != 1 || seq != 3)
				given[n][count++] = *batch_world_receipt(s, seq);
	}
	input[n].receipts = given[n];
	input[n].receipt_count = count;
}

/* Where the epoch before ended, read out of its file. */
static void go_on(unsigned n)
{
	struct batch_head_values *v = &values[n];
	struct merkle tree = {.size = 0};

	v->network = NETWORK;
	memcpy(v->node, batch_node.id, KEY_LEN);
	v->epoch = n + 1;
	v->hour = HOUR + n + 1;
	merkle_root(&tree, v->previous_root);
	if (n == 0)
		return;
	forge_begin(&apart, &file[n - 1]);
	v->previous_size = le64_get(apart.head.body.size);
	memcpy(v->previous_root, apart.head.body.root, KEY_LEN);
	input[n].accounts = memcpy(calloc(FILE_ROOM, sizeof(struct batch_account)), apart.accounts,
				   sizeof(apart.accounts));
	input[n].account_count = apart.account_count;
}

static void grow(struct merkle *m, const void *records, size_t count, size_t len)
{
	uint8_t leaf[KEY_LEN];

	for (size_t i = 0; i < count; i++) {
		merkle_leaf(leaf, (const uint8_t *)records + i * len, len);
		merkle_append(m, leaf, NULL);
	}
}

static void tree_of(struct merkle *m, const struct forged *f)
{
	merkle_resume(m, le64_get(f->head.body.previous_size), (const uint8_t(*)[KEY_LEN])f->peaks);
	grow(m, f->terms, f->terms_count, sizeof(*f->terms));
	grow(m, f->sessions, f->session_count, sizeof(*f->sessions));
	grow(m, f->receipts, f->receipt_count, sizeof(*f->receipts));
	grow(m, f->accounts, f->account_count, sizeof(*f->accounts));
}

void batches_make(void)
{
	struct merkle tree;

	make_parties();
	for (unsigned s = 0; s < 3; s++)
		make_receipts(s);
	for (unsigned n = 0; n < EPOCHS; n++) {
		make_sessions(n);
		go_on(n);
		if (n) {
			tree_of(&tree, &apart);
			merkle_peaks(&tree, peaks[n]);
		}
		input[n].values = &values[n];
		input[n].peaks = (const uint8_t(*)[KEY_LEN])peaks[n];
		input[n].terms = batch_world_terms;
		input[n].term_count = 2;
		input[n].sessions = sessions[n];
		input[n].session_count = 2;
		assert_int_equal(batch_build(&file[n].bytes, &file[n].len, &input[n], &batch_node),
				 0);
	}
}

const struct made_batch *batch_world_file(unsigned n)
{
	return &file[n - 1];
}

const struct batch_input *batch_world_input(unsigned n)
{
	return &input[n - 1];
}

/* ---- taking apart and putting together ---- */

static void take(void *out, uint32_t count, size_t len, const uint8_t **from)
{
	assert_true(count <= FILE_ROOM);
	memcpy(out, *from, count * len);
	*from += count * len;
}

void forge_begin(struct forged *f, const struct made_batch *from)
{
	const struct batch_head_body *h = &f->head.body;
	const uint8_t *at = from->bytes + sizeof(f->head);

	memset(f, 0, sizeof(*f));
	memcpy(&f->head, from->bytes, sizeof(f->head));
	f->terms_count = le32_get(h->terms);
	f->session_count = le32_get(h->sessions);
	f->receipt_count = le32_get(h->receipts);
	f->account_count = le32_get(h->accounts);
	take(f->terms, f->terms_count, sizeof(*f->terms), &at);
	take(f->sessions, f->session_count, sizeof(*f->sessions), &at);
	take(f->receipts, f->receipt_count, sizeof(*f->receipts), &at);
	take(f->accounts, f->account_count, sizeof(*f->accounts), &at);
	memcpy(f->peaks, at, (size_t)(from->bytes + from->len - at));
}

static void give(struct forged *f, const void *records, size_t len)
{
	assert_true(f->len + len <= sizeof(f->bytes));
	memcpy(f->bytes + f->len, records, len);
	f->len += len;
}

void forge_end(struct forged *f, const struct identity *by)
{
	struct batch_head_body *h = &f->head.body;
	struct merkle tree;

	tree_of(&tree, f);
	h->terms = le32_of(f->terms_count);
	h->sessions = le32_of(f->session_count);
	h->receipts = le32_of(f->receipt_count);
	h->accounts = le32_of(f->account_count);
	h->size = le64_of(tree.size);
	merkle_root(&tree, h->root);
	if (by)
		identity_sign(f->head.signature, h, sizeof(*h), by);
	f->len = 0;
	give(f, &f->head, sizeof(f->head));
	give(f, f->terms, f->terms_count * sizeof(*f->terms));
	give(f, f->sessions, f->session_count * sizeof(*f->sessions));
	give(f, f->receipts, f->receipt_count * sizeof(*f->receipts));
	give(f, f->accounts, f->account_count * sizeof(*f->accounts));
	give(f, f->peaks, (size_t)__builtin_popcountll(le64_get(h->previous_size)) * KEY_LEN);
}

void forge_sign(struct receipt *r, const struct identity *provider, const struct identity *payer)
{
	identity_sign(r->offer.provider_signature, &r->offer.body, sizeof(r->offer.body), provider);
	receipt_cosign(r, &r->offer, payer);
}
