#include "tests/lib/unit.h"

#include <stdio.h>

#include "accounting/batch.h"
#include "proto/descriptor.h"
#include "proto/grant.h"
#include "proto/receipt.h"
#include "proto/statement.h"
#include "tests/lib/vectors.h"

/* The same values as tests/vectors/make_golden.py, which shares no code with what is tested here.
 */
#define NETWORK UINT64_C(0x1122334455667788)
#define PRICE   2500000
#define EXPIRES 1760000000

static struct identity provider, payer;
static uint8_t control[KEY_LEN], wg_key[KEY_LEN], exit_id[KEY_LEN], bind_key[KEY_LEN];
static uint8_t session[SESSION_ID_LEN], nonce[NONCE_LEN], signature[SIGNATURE_LEN];

static void count_up(uint8_t *out, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(first + i);
}

static void values(void)
{
	uint8_t seed[KEY_LEN];

	count_up(seed, KEY_LEN, 0x00);
	identity_from_seed(&provider, seed);
	count_up(seed, KEY_LEN, 0x20);
	identity_from_seed(&payer, seed);
	count_up(control, KEY_LEN, 0x40);
	count_up(wg_key, KEY_LEN, 0x60);
	count_up(exit_id, KEY_LEN, 0x80);
	count_up(bind_key, KEY_LEN, 0xc0);
	count_up(session, SESSION_ID_LEN, 0xa0);
	count_up(nonce, NONCE_LEN, 0xb0);
	count_up(signature, SIGNATURE_LEN, 0x90);
}

static struct terms terms_of(enum role role)
{
	const struct terms_values v = {
		.role = role,
		.network = NETWORK,
		.price = PRICE,
		.window_start = 1 << 20,
		.window_cap = 64 << 20,
		.receipt_seconds = 60,
		.loss_ppm = 20000,
		.loss_bytes = 1 << 16,
		.expires = EXPIRES,
	};
	struct terms t;

	terms_make(&t, &v, &provider);
	return t;
}

static void bind_messages(void **state)
{
	static const char *const names[] = {"bind", "challenge", "answer", "bound"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct message_bind m = {.type = le32_of(MESSAGE_BIND + i), .counter = le64_of(7)};
		uint32_t type = MESSAGE_BIND + i;

		memcpy(m.session, session, SESSION_ID_LEN);
		if (type == MESSAGE_CHALLENGE || type == MESSAGE_ANSWER)
			memcpy(m.token, nonce, NONCE_LEN);
		mac128(m.mac, bind_key, &m, offsetof(struct message_bind, mac));
		assert_vector(names[i], &m, sizeof(m));
	}
}

static void terms(void **state)
{
	struct terms relay = terms_of(ROLE_RELAY), exit = terms_of(ROLE_EXIT);

	(void)state;
	assert_vector("terms", &relay, sizeof(relay));
	assert_vector("terms_exit", &exit, sizeof(exit));
	assert_true(terms_valid(&relay) && terms_valid(&exit));
}

static void make_receipts(struct receipt_offer *first, struct receipt_offer *second)
{
	struct terms t = terms_of(ROLE_RELAY);
	struct receipt_session s = {.role = ROLE_RELAY, .network = NETWORK, .price = PRICE};

	memcpy(s.session, session, SESSION_ID_LEN);
	memcpy(s.payer, payer.id, KEY_LEN);
	terms_hash(s.terms, &t);
	assert_true(receipt_make(first, &s, NULL, 1000, 2000, 486111, &provider));
	assert_true(receipt_make(second, &s, first, 1 << 20, UINT64_C(5) << 30, 486111, &provider));
}

static void receipts(void **state)
{
	struct receipt_offer first, second;
	struct terms t = terms_of(ROLE_RELAY);
	struct receipt r;

	(void)state;
	make_receipts(&first, &second);
	receipt_cosign(&r, &second, &payer);
	assert_vector("receipt_offer", &first, sizeof(first));
	assert_vector("receipt_offer_2", &second, sizeof(second));
	assert_vector("receipt", &r, sizeof(r));
	assert_int_equal(receipt_check(&r, &t), RECEIPT_OK);
	assert_int_equal(receipt_check_chain(&first, &second), RECEIPT_OK);
}

static void descriptors(void **state)
{
	char expected[DESCRIPTOR_TEXT_MAX] = "", text[DESCRIPTOR_TEXT_MAX];
	FILE *f = fopen("tests/vectors/descriptor.txt", "r");
	struct descriptor d, back;

	(void)state;
	descriptor_begin(&d, NETWORK, ROLE_RELAY | ROLE_EXIT, "example-node", 1750000000, EXPIRES);
	memcpy(d.body.control, control, KEY_LEN);
	memcpy(d.body.wg_key, wg_key, KEY_LEN);
	memcpy(d.body.ip4, (uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(d.body.ip6, (uint8_t[]){0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 16);
	d.body.port = le16_of(51820);
	d.body.wg_port = le16_of(51821);
	d.body.relay_terms = terms_of(ROLE_RELAY);
	d.body.exit_terms = terms_of(ROLE_EXIT);
	descriptor_sign(&d, &provider);
	assert_vector("descriptor", &d, sizeof(d));
	assert_int_equal(descriptor_check(&d, NETWORK, 1750000001), DESCRIPTOR_OK);

	assert_non_null(f);
	assert_non_null(fgets(expected, sizeof(expected), f));
	fclose(f);
	assert_string_equal(descriptor_to_text(text, sizeof(text), &d), expected);
	assert_true(descriptor_from_text(&back, expected));
	assert_memory_equal(&back, &d, sizeof(d));
}

static struct open_statement make_statement(void)
{
	struct terms t = terms_of(ROLE_RELAY);
	struct open_statement s;
	uint8_t hash[KEY_LEN];
	const struct statement_values v = {
		.network = NETWORK,
		.provider = provider.id,
		.client_control = control,
		.subject = exit_id,
		.terms = hash,
		.payer = payer.id,
		.nonce = nonce,
	};

	terms_hash(hash, &t);
	statement_make(&s, &v);
	return s;
}

static void opening(void **state)
{
	struct terms exit_terms = terms_of(ROLE_EXIT);
	struct open_statement s = make_statement();
	struct body_open open = {0};
	struct body_add_peer add = {0};

	(void)state;
	assert_vector("open_statement", &s, sizeof(s));
	memcpy(open.exit, exit_id, KEY_LEN);
	memcpy(open.terms, s.terms, KEY_LEN);
	memcpy(open.payer, payer.id, KEY_LEN);
	memcpy(open.nonce, nonce, NONCE_LEN);
	identity_sign(open.signature, &s, sizeof(s), &payer);
	assert_vector("body_open", &open, sizeof(open));
	memcpy(add.wg_key, wg_key, KEY_LEN);
	terms_hash(add.terms, &exit_terms);
	memcpy(add.payer, payer.id, KEY_LEN);
	memcpy(add.nonce, nonce, NONCE_LEN);
	memcpy(add.signature, signature, SIGNATURE_LEN);
	assert_vector("body_add_peer", &add, sizeof(add));
}

static void answers_to_opening(void **state)
{
	struct body_granted granted = {.window = le64_of(1 << 20), .credit = le64_of(123456789)};
	struct body_peer peer = {
		.address4 = {10, 77, 0, 2},
		.address6 = {0xfd, 0x00, 0xca, 0xfe, [15] = 2},
		.dns4 = {10, 77, 0, 1},
		.window = le64_of(1 << 20),
		.credit = le64_of(5),
	};

	(void)state;
	memcpy(granted.session, session, SESSION_ID_LEN);
	memcpy(granted.bind_key, bind_key, KEY_LEN);
	assert_vector("body_granted", &granted, sizeof(granted));
	memcpy(peer.session, session, SESSION_ID_LEN);
	memcpy(peer.wg_key, wg_key, KEY_LEN);
	assert_vector("body_peer", &peer, sizeof(peer));
}

static void receipt_bodies(void **state)
{
	struct body_cosign cosign = {.seq = le64_of(2)};
	struct body_window window = {
		.seq = le64_of(2), .window = le64_of(2 << 20), .credit = le64_of(99)};
	struct body_dispute dispute = {
		.seq = le64_of(2), .bytes_up = le64_of(1000), .bytes_down = le64_of(2000)};
	struct receipt_offer first, second;
	struct receipt r;

	(void)state;
	make_receipts(&first, &second);
	receipt_cosign(&r, &second, &payer);
	memcpy(cosign.session, session, SESSION_ID_LEN);
	memcpy(cosign.signature, r.payer_signature, SIGNATURE_LEN);
	assert_vector("body_cosign", &cosign, sizeof(cosign));
	memcpy(window.session, session, SESSION_ID_LEN);
	assert_vector("body_window", &window, sizeof(window));
	memcpy(dispute.session, session, SESSION_ID_LEN);
	assert_vector("body_dispute", &dispute, sizeof(dispute));
}

static void other_bodies(void **state)
{
	struct body_header header = {
		.verb = VERB_RECEIPT, .length = le16_of(280), .id = le32_of(0x01020304)};
	struct body_close close = {
		.bytes_up = le64_of(1 << 20),
		.bytes_down = le64_of(UINT64_C(5) << 30),
		.reason = le32_of(CLOSE_IDLE),
	};
	struct body_refused refused = {.code = le32_of(REFUSED_FULL)};
	struct body_session alone;
	uint8_t pass[PASS_MIN];

	(void)state;
	assert_vector("body_header", &header, sizeof(header));
	memcpy(close.session, session, SESSION_ID_LEN);
	assert_vector("body_close", &close, sizeof(close));
	assert_vector("body_refused", &refused, sizeof(refused));
	memcpy(alone.session, session, SESSION_ID_LEN);
	assert_vector("body_session", &alone, sizeof(alone));
	memcpy(pass, &alone, sizeof(alone));
	count_up(pass + sizeof(alone), 32, 0x30);
	assert_vector("pass", pass, sizeof(pass));
}

static void grants(void **state)
{
	char expected[GRANT_TEXT_MAX] = "", text[GRANT_TEXT_MAX];
	FILE *f = fopen("tests/vectors/grant.txt", "r");
	const struct grant_values v = {
		.network = NETWORK,
		.payer = payer.id,
		.node = provider.id,
		.limit = 5000000,
		.expires = EXPIRES,
		.serial = nonce,
	};
	struct identity issuer;
	struct grant g, back;
	uint8_t seed[KEY_LEN];

	(void)state;
	assert_non_null(f);
	assert_true(fread(expected, 1, sizeof(expected) - 1, f) > 0);
	fclose(f);
	count_up(seed, KEY_LEN, 0xe0);
	identity_from_seed(&issuer, seed);
	grant_make(&g, &v, &issuer);
	assert_vector("grant", &g, sizeof(g));
	assert_int_equal(grant_check(&g, NETWORK, EXPIRES - 1), GRANT_OK);
	assert_string_equal(grant_to_text(text, sizeof(text), &g), expected);
	assert_true(grant_from_text(&back, expected));
	assert_memory_equal(&back, &g, sizeof(g));
}

static void presented_bodies(void **state)
{
	struct body_credit credit = {.credit = le64_of(5000000), .status = le32_of(CREDIT_KNOWN)};
	struct body_head head = {.seq = le64_of(2), .news = le32_of(1)};
	struct body_held held = {.terms = terms_of(ROLE_RELAY)};
	struct receipt_offer first, second;

	(void)state;
	assert_vector("body_credit", &credit, sizeof(credit));
	memcpy(head.session, session, SESSION_ID_LEN);
	assert_vector("body_head", &head, sizeof(head));
	make_receipts(&first, &second);
	receipt_cosign(&held.receipt, &second, &payer);
	assert_vector("body_held", &held, sizeof(held));
}

static void batches(void **state)
{
	const struct batch_session_values values = {.session = session,
						    .seq = 7,
						    .paid = 900,
						    .before = 800,
						    .fee_ppm = 50000,
						    .fee_account = exit_id};
	struct batch_head h = {.body = {.version = 1,
					.network = le64_of(NETWORK),
					.epoch = le64_of(3),
					.hour = le64_of(486111),
					.previous_size = le64_of(5),
					.size = le64_of(15),
					.terms = le32_of(1),
					.sessions = le32_of(2),
					.receipts = le32_of(3),
					.accounts = le32_of(4),
					.earned = le64_of(1000),
					.spent = le64_of(1000)}};
	struct batch_session s;
	struct batch_account a;

	(void)state;
	memcpy(h.body.domain, DOMAIN_BATCH, DOMAIN_LEN);
	memcpy(h.body.node, provider.id, KEY_LEN);
	count_up(h.body.previous_root, KEY_LEN, 0x30);
	count_up(h.body.root, KEY_LEN, 0x50);
	identity_sign(h.signature, &h.body, sizeof(h.body), &provider);
	assert_vector("batch_head", &h, sizeof(h));
	batch_session_make(&s, &values);
	assert_vector("batch_session", &s, sizeof(s));
	batch_account_make(&a, payer.id, 123456, 789);
	assert_vector("batch_account", &a, sizeof(a));
}

/* The handshake and transport layouts, by what a real WireGuard exchange has in each place. */
static void wireguard_layouts(void **state)
{
	static const char file[] = "wireguard_exchange.txt";
	struct message_initiation i;
	struct message_response r;
	struct message_cookie c;
	uint8_t key[KEY_LEN], mac[MAC_LEN], data[256];
	struct message_transport t;

	(void)state;
	assert_int_equal(vector_named(file, "initiation", (uint8_t *)&i, sizeof(i)), sizeof(i));
	assert_int_equal(vector_named(file, "response", (uint8_t *)&r, sizeof(r)), sizeof(r));
	assert_int_equal(vector_named(file, "cookie", (uint8_t *)&c, sizeof(c)), sizeof(c));
	assert_int_equal(vector_named(file, "responder_key", key, KEY_LEN), KEY_LEN);
	wg_mac1_key(key, key);
	wg_mac128(mac, key, &i, offsetof(struct message_initiation, mac1));
	assert_memory_equal(mac, i.mac1, MAC_LEN);
	assert_true(crypto_is_zero(i.mac2, MAC_LEN) && crypto_is_zero(r.mac2, MAC_LEN));
	assert_int_equal(vector_named(file, "initiator_key", key, KEY_LEN), KEY_LEN);
	wg_mac1_key(key, key);
	wg_mac128(mac, key, &r, offsetof(struct message_response, mac1));
	assert_memory_equal(mac, r.mac1, MAC_LEN);
	assert_memory_equal(&r.receiver, &i.sender, sizeof(le32));
	assert_memory_equal(&c.receiver, &i.sender, sizeof(le32));
	assert_true(vector_named(file, "transport_data", data, sizeof(data)) > WG_TRANSPORT_MIN);
	memcpy(&t, data, sizeof(t));
	assert_memory_equal(&t.receiver, &r.sender, sizeof(le32));
	assert_int_equal(le64_get(t.counter), 1);
	assert_int_equal(vector_named(file, "transport_keepalive", data, sizeof(data)),
			 WG_TRANSPORT_MIN);
	memcpy(&t, data, sizeof(t));
	assert_int_equal(le64_get(t.counter), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bind_messages),  cmocka_unit_test(terms),
		cmocka_unit_test(receipts),       cmocka_unit_test(descriptors),
		cmocka_unit_test(opening),        cmocka_unit_test(answers_to_opening),
		cmocka_unit_test(receipt_bodies), cmocka_unit_test(other_bodies),
		cmocka_unit_test(grants),         cmocka_unit_test(presented_bodies),
		cmocka_unit_test(batches),        cmocka_unit_test(wireguard_layouts),
	};

	crypto_start();
	values();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
