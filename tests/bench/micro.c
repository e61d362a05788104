/*
 * What the parts of a packet's way and of a session's life cost, each alone in a loop, in
 * nanoseconds of this thread's own CPU time: a busy neighbour is not counted, the caches it empties
 * are. Prints a table; the median of ROUNDS rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "proto/noise.h"
#include "proto/receipt.h"
#include "proto/wire.h"
#include "relay/forward.h"
#include "tests/lib/fakewg.h"

enum {
	ROUNDS = 5,
	ROUND_NS = 40000000,
	SIZE = 148,
	FEW = 64,
	SOME = 1000,
	MANY = 100000,
	AHEAD = 32, /* as WORKER_AHEAD */
	EXIT_INDEX = 7,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
		fatal("clock_gettime");
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* One operation, the i-th. False: it did not do what it should have, and the figure is worthless.
 */
typedef bool (*operation)(void *arg, uint32_t i);

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* each: how many of what is reported one operation does */
static void report_each(const char *what, operation op, void *arg, uint32_t each)
{
	double round[ROUNDS];
	uint32_t next = 0, batch = 1;
	uint64_t start, took = 0;

	/* Warms up, and finds how many make a round. */
	for (; took < ROUND_NS; batch *= 2) {
		start = now_ns();
		for (uint32_t i = 0; i < batch; i++) {
			if (!op(arg, next++))
				fatalx("%s: it failed", what);
		}
		took = now_ns() - start;
	}
	batch /= 2;
	for (int r = 0; r < ROUNDS; r++) {
		start = now_ns();
		for (uint32_t i = 0; i < batch; i++) {
			if (!op(arg, next++))
				fatalx("%s: it failed", what);
		}
		round[r] = (double)(now_ns() - start) / batch / each;
	}
	qsort(round, ROUNDS, sizeof(*round), compare);
	printf("%-52s %12.1f %12.1f %12.1f\n", what, round[ROUNDS / 2], round[0],
	       round[ROUNDS - 1]);
	fflush(stdout);
}

static void report(const char *what, operation op, void *arg)
{
	report_each(what, op, arg, 1);
}

/* ---- the data path ---- */

struct path {
	struct forward forward;
	struct slots *slots;
	uint32_t count;
	struct net_addr *clients; /* in the order in which they are asked for */
	uint32_t *indices;        /* of the same clients */
	struct plane_exit exit;
	uint8_t msg[SIZE], batch[AHEAD][SIZE];
	struct message_initiation initiation;
};

/* Neighbours in the order of asking are no neighbours in the tables. */
static void shuffle(uint32_t *order, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = crypto_random_u32() % i, keep = order[i - 1];

		order[i - 1] = order[j];
		order[j] = keep;
	}
}

static void path_init(struct path *p, uint32_t count)
{
	const struct ranges allow = {0};
	const uint8_t key[KEY_LEN] = {1};
	uint32_t *order = xcalloc(count, sizeof(*order));

	memset(p, 0, sizeof(*p));
	p->count = count;
	p->clients = xcalloc(count, sizeof(*p->clients));
	p->indices = xcalloc(count, sizeof(*p->indices));
	p->slots = slots_create(count);
	if (!p->slots || forward_init(&p->forward, p->slots, 1, &allow) < 0 ||
	    !net_addr_parse(&p->exit.wg, "9.9.9.9:51820"))
		fatalx("no data path");
	wg_mac1_key(p->exit.mac1_key, key);
	forward_set_exit(&p->forward, 0, &p->exit);
	shuffle(order, count);
	for (uint32_t i = 0; i < count; i++) {
		struct plane_session s = {
			.handle = order[i],
			.limit = UINT64_MAX,
			.mark = UINT64_MAX,
			.client_indices = {.index = {crypto_random_u32()}, .count = 1, .next = 1},
			.exit_indices = {.index = {EXIT_INDEX}, .count = 1, .next = 1}};

		if (!net_addr_parse(&s.client, "[2a00:1::]:1"))
			fatalx("no address");
		memcpy(s.client.ip + 8, &order[i], sizeof(order[i]));
		p->clients[i] = s.client;
		p->indices[i] = s.client_indices.index[0];
		if (!sessions_install(p->forward.sessions, &s, NULL))
			fatalx("no session");
	}
	free(order);
	fakewg_transport(p->msg, EXIT_INDEX, 1);
	fakewg_initiation(&p->initiation, 1, p->exit.mac1_key);
}

static void path_wipe(struct path *p)
{
	forward_wipe(&p->forward);
	slots_destroy(p->slots);
	free(p->clients);
	free(p->indices);
}

static bool op_wire_read(void *arg, uint32_t i)
{
	struct path *p = arg;

	(void)i;
	return wire_read(p->msg, SIZE).type == MESSAGE_WG_TRANSPORT;
}

static bool op_mac1(void *arg, uint32_t i)
{
	struct path *p = arg;

	(void)i;
	return wire_mac1_valid((const uint8_t *)&p->initiation, sizeof(p->initiation),
			       p->exit.mac1_key);
}

static bool op_by_client(void *arg, uint32_t i)
{
	struct path *p = arg;

	return sessions_by_client(p->forward.sessions, &p->clients[i % p->count]) != NULL;
}

/* Two clients with the same random index are one in 2^32 pairs: whose it is does not matter here.
 */
static bool op_by_index(void *arg, uint32_t i)
{
	struct path *p = arg;

	return sessions_by_index(p->forward.sessions, 0, p->indices[i % p->count]) != NULL;
}

static bool op_up(void *arg, uint32_t i)
{
	struct path *p = arg;
	const struct datagram d = {p->msg, SIZE, false, p->clients[i % p->count], 0};
	struct passage out;

	if (!forward_up(&p->forward, &d, &out))
		return false;
	forward_sent(&p->forward, DIRECTION_UP, &out, true);
	return true;
}

static bool op_down(void *arg, uint32_t i)
{
	struct path *p = arg;
	const struct datagram d = {p->msg, SIZE, false, p->exit.wg, 0};
	const le32 receiver = le32_of(p->indices[i % p->count]);
	struct passage out;

	memcpy(p->msg + 4, &receiver, sizeof(receiver));
	if (!forward_down(&p->forward, &d, &out))
		return false;
	forward_sent(&p->forward, DIRECTION_DOWN, &out, true);
	return true;
}

/* A batch as a worker takes it, of AHEAD different sessions. */
static bool op_batch(struct path *p, enum relay_direction direction, uint32_t i)
{
	const bool up = direction == DIRECTION_UP;
	struct datagram d[AHEAD];
	struct passage out;

	for (uint32_t n = 0; n < AHEAD; n++) {
		uint32_t at = (i * AHEAD + n) % p->count;
		const le32 receiver = le32_of(p->indices[at]);

		d[n] = (struct datagram){p->batch[n], SIZE, false, up ? p->clients[at] : p->exit.wg,
					 0};
		memcpy(p->batch[n], p->msg, SIZE);
		if (!up)
			memcpy(p->batch[n] + 4, &receiver, sizeof(receiver));
	}
	forward_prefetch(&p->forward, direction, d, AHEAD);
	for (uint32_t n = 0; n < AHEAD; n++) {
		if (!(up ? forward_up(&p->forward, &d[n], &out)
			 : forward_down(&p->forward, &d[n], &out)))
			return false;
		forward_sent(&p->forward, direction, &out, true);
	}
	return true;
}

static bool op_up_batch(void *arg, uint32_t i)
{
	return op_batch(arg, DIRECTION_UP, i);
}

static bool op_down_batch(void *arg, uint32_t i)
{
	return op_batch(arg, DIRECTION_DOWN, i);
}

static void report_path(uint32_t count)
{
	static const struct {
		const char *what;
		operation op;
		uint32_t each; /* datagrams of an operation */
	} parts[] = {
		{"session by client address", op_by_client, 1},
		{"session by exit and index", op_by_index, 1},
		{"client to exit: judge, reserve, meter", op_up, 1},
		{"the same in batches of 32", op_up_batch, AHEAD},
		{"exit to client: judge, reserve, meter", op_down, 1},
		{"the same in batches of 32", op_down_batch, AHEAD},
	};
	struct path p;
	char what[64];

	path_init(&p, count);
	if (count == FEW) {
		report("wire_read", op_wire_read, &p);
		report("mac1 of an initiation", op_mac1, &p);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		snprintf(what, sizeof(what), "%s, %u sessions", parts[i].what, count);
		report_each(what, parts[i].op, &p, parts[i].each);
	}
	path_wipe(&p);
}

/* ---- receipts ---- */

struct books {
	struct identity provider, payer;
	struct terms terms;
	struct receipt_session session;
	struct receipt_offer offer;
	struct receipt receipt;
};

static bool op_receipt_make(void *arg, uint32_t i)
{
	struct books *b = arg;

	(void)i;
	return receipt_make(&b->offer, &b->session, NULL, 1 << 20, 5 << 20, 7, &b->provider);
}

static bool op_receipt_check(void *arg, uint32_t i)
{
	struct books *b = arg;

	(void)i;
	return receipt_check_offer(&b->offer, &b->terms) == RECEIPT_OK;
}

static bool op_receipt_cosign(void *arg, uint32_t i)
{
	struct books *b = arg;

	(void)i;
	receipt_cosign(&b->receipt, &b->offer, &b->payer);
	return true;
}

static bool op_receipt_check_both(void *arg, uint32_t i)
{
	struct books *b = arg;

	(void)i;
	return receipt_check(&b->receipt, &b->terms) == RECEIPT_OK;
}

static void report_receipts(void)
{
	static const uint8_t seeds[2][KEY_LEN] = {{1}, {2}};
	const struct terms_values v = {.role = ROLE_RELAY,
				       .network = 42,
				       .price = 3000000,
				       .window_start = 1,
				       .window_cap = 1,
				       .expires = 1};
	struct books b = {.session = {.role = ROLE_RELAY, .network = 42, .price = 3000000}};

	identity_from_seed(&b.provider, seeds[0]);
	identity_from_seed(&b.payer, seeds[1]);
	terms_make(&b.terms, &v, &b.provider);
	memcpy(b.session.payer, b.payer.id, KEY_LEN);
	terms_hash(b.session.terms, &b.terms);
	report("receipt: provider makes and signs", op_receipt_make, &b);
	report("receipt: payer checks the offer", op_receipt_check, &b);
	report("receipt: payer co-signs", op_receipt_cosign, &b);
	report("receipt: both signatures checked", op_receipt_check_both, &b);
}

/* ---- the control channel ---- */

struct channel {
	struct noise_keypair client, server;
};

static bool op_handshake(void *arg, uint32_t i)
{
	struct channel *c = arg;
	struct noise_handshake a, b;
	struct message_initiation initiation;
	struct message_response response;
	struct noise_keys ka, kb;
	uint8_t timestamp[12] = {0};

	(void)i;
	return noise_initiation_create(&a, &initiation, &c->client, c->server.pub, 7, timestamp) &&
	       noise_initiation_consume(&b, &initiation, &c->server, 7, timestamp) &&
	       noise_response_create(&b, &response, &kb) &&
	       noise_response_consume(&a, &response, &c->client, &ka);
}

static void report_channel(void)
{
	struct channel c;

	x25519_generate(c.client.priv);
	x25519_public(c.client.pub, c.client.priv);
	x25519_generate(c.server.priv);
	x25519_public(c.server.pub, c.server.priv);
	report("Noise handshake, both ends together", op_handshake, &c);
}

int main(void)
{
	log_init("micro", LOG_LEVEL_INFO);
	crypto_start();
	printf("%-52s %12s %12s %12s\n", "ns of CPU time for one", "median", "least", "most");
	report_path(FEW);
	report_path(SOME);
	report_path(MANY);
	report_receipts();
	report_channel();
	return 0;
}
