/*
 * Arbitrary packets to the ledger's dispatcher over a store in memory: nothing crashes, every
 * answer has the length of its kind, the credits balance.
 */
#include <stdlib.h>
#include <string.h>

#include "accounting/ledger_message.h"
#include "accounting/store.c"

#define NOW UINT64_C(1767225600)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct identity node, payer;
static struct ledger_answer answer;
static struct store *store;

/* One store for all inputs; each is rolled back, since making a database takes milliseconds. */
static void store_make(void)
{
	struct store_config config = {
		.network = 7,
		.window = {.start = 1 << 20, .cap = 1 << 26},
		.free_allowance = 1000,
		.issuer_count = 1,
	};
	const struct terms_values values = {
		.role = ROLE_RELAY,
		.network = 7,
		.price = 1 << 20,
		.window_start = 1 << 20,
		.window_cap = 1 << 26,
		.expires = UINT64_C(1) << 40,
	};
	struct terms terms;

	memcpy(config.issuers[0], node.id, KEY_LEN);
	terms_make(&terms, &values, &node);
	if (store_open(&store, DB_MEMORY, &config, &node, NOW) != 0 ||
	    store_begin(store, NOW) != 0 || store_terms(store, &terms) != 0 ||
	    store_commit(store) != 0)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const uint8_t seeds[2][KEY_LEN] = {{1}, {2}};

	(void)argc;
	(void)argv;
	crypto_start();
	identity_from_seed(&node, seeds[0]);
	identity_from_seed(&payer, seeds[1]);
	store_make();
	return 0;
}

/* The first byte steers a request towards what a fuzzer would not find: real names and signatures.
 */
static void helped(struct ledger_request *r, const uint8_t *data)
{
	r->kind = data[1] % LEDGER_KINDS;
	r->role = data[2] % 4;
	memset(r->session, data[3] % 3, sizeof(r->session));
	memcpy(r->payer, payer.id, KEY_LEN);
	r->seq = data[4] % 8;
	r->up = (uint64_t)data[5] << (data[6] % 64);
	r->down = (uint64_t)data[7] << (data[8] % 64);
	r->query.kind = (enum query_kind)(data[9] % 5);
	r->amount = (uint64_t)data[5] << (data[6] % 64);
	r->key[0] = data[8];
}

/* A promise of the issuer that the books know: the node itself. */
static void promise(struct ledger_request *r, const uint8_t *data)
{
	const uint8_t serial[NONCE_LEN] = {data[7] % 4};
	const struct grant_values v = {
		.network = 7,
		.payer = data[8] & 1 ? payer.id : node.id,
		.node = node.id,
		.limit = (uint64_t)data[5] << (data[6] % 64),
		.expires = data[9] & 1 ? NOW + data[9] : 0,
		.serial = serial,
	};

	grant_make(&r->grant, &v, &node);
}

/* A first receipt that both signed, of a session the books may know or not. */
static void held(struct ledger_request *r, const uint8_t *data)
{
	struct receipt_session s = {.role = ROLE_RELAY, .network = 7, .price = 1 << 20};
	struct receipt_offer offer;

	memset(s.session, data[3] % 3, sizeof(s.session));
	memcpy(s.payer, payer.id, KEY_LEN);
	terms_hash(s.terms, &store->terms[ROLE_RELAY]);
	if (!receipt_make(&offer, &s, NULL, r->up, r->down, NOW / 3600, &node))
		return;
	r->held.terms = store->terms[ROLE_RELAY];
	receipt_cosign(&r->held.receipt, &offer, &payer);
}

static void sign(struct ledger_request *r)
{
	struct session x;
	struct receipt receipt;

	if (session_row_find(store, r->session, &x) != 0 || !x.outstanding)
		return;
	receipt_cosign(&receipt, &x.offer, &payer);
	r->seq = le64_get(x.offer.body.seq);
	memcpy(r->signature, receipt.payer_signature, SIGNATURE_LEN);
}

static void check_books(void)
{
	int64_t n;

	if (store_lost(store) ||
	    db_get_i64(store->db, "SELECT coalesce(sum(balance), 0) FROM account", &n) != 0 || n ||
	    db_get_i64(store->db, "SELECT count(*) FROM session WHERE posted > amount", &n) != 0 ||
	    n)
		abort();
}

static void ask(const void *msg, size_t len)
{
	ledger_answer_request(store, msg, len, &answer);
	if (answer.err > 0 || ledger_answer_length(&answer) > sizeof(answer))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (store_begin(store, NOW) != 0)
		abort();
	while (size > 10) {
		struct ledger_request r = {0};
		size_t part = size < sizeof(r) ? size : sizeof(r);

		if (data[0] & 1) {
			helped(&r, data);
			if (data[0] & 2)
				sign(&r);
			if (r.kind == LEDGER_PROMISE)
				promise(&r, data);
			else if (r.kind == LEDGER_ADOPT)
				held(&r, data);
			else if (r.kind == LEDGER_CARRY)
				r.carry = (struct ledger_carry){data[4], r.up, r.down, r.amount};
			ask(&r, sizeof(r));
			part = 10;
		} else {
			ask(data, part);
		}
		data += part;
		size -= part;
	}
	check_books();
	store_rollback(store);
	return 0;
}
