/* The control channel and those who mean it ill: replays, theft, floods, junk. */
#include <malloc.h>

#include "tests/unit/control_world.h"
#include "control/crowd.c"

/* ---- allocations ---------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int allocations;

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	allocations++;
	return __real_realloc(p, size);
}

/* ---- public-key operations ------------------------------------------------------------------ */

bool __real_x25519(uint8_t *out, const uint8_t *priv, const uint8_t *pub);
void __real_x25519_public(uint8_t *pub, const uint8_t *priv);
bool __wrap_x25519(uint8_t *out, const uint8_t *priv, const uint8_t *pub);
void __wrap_x25519_public(uint8_t *pub, const uint8_t *priv);

static int operations;

bool __wrap_x25519(uint8_t *out, const uint8_t *priv, const uint8_t *pub)
{
	operations++;
	return __real_x25519(out, priv, pub);
}

void __wrap_x25519_public(uint8_t *pub, const uint8_t *priv)
{
	operations++;
	__real_x25519_public(pub, priv);
}

/* ---- what it must withstand ----------------------------------------------------------------- */

static struct net_addr attacker(void)
{
	return (struct net_addr){{0xfd, [15] = 0xff}, ATTACKER};
}

static void replayed_initiations_do_nothing(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram old;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	old = w.initiation;
	for (int i = 0; i < 100; i++)
		to_server(&from, old.bytes, old.len);
	assert_int_equal(count()->replayed_handshake, 100);
	assert_int_equal(count()->handshakes, 1);
	control_client_restart(p->c);
	assert_true(ask(p, 1000));
	pass(100);
	to_server(&from, old.bytes, old.len);
	assert_int_equal(count()->replayed_handshake, 101);
	assert_int_equal(w.sent_to_attacker, 0);
	assert_true(push(p, 5));
	pass(50);
	assert_int_equal(p->last_push, 5);
}

/* An initiation kept back and delivered by somebody else later is answered, and that is all. */
static void stolen_initiations_cut_nobody_off(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram stolen;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	w.mute = true;
	start_handshake(p->c);
	stolen = w.initiation;
	crypto_wipe(&p->c->shake, sizeof(p->c->shake));
	w.mute = false;
	for (int restarts = 0; restarts < 2; restarts++) {
		int answers = p->answers;

		to_server(&from, stolen.bytes, stolen.len);
		assert_int_equal(w.sent_to_attacker, restarts + 1);
		assert_true(w.bytes_to_attacker <= stolen.len * w.sent_to_attacker);
		if (restarts == 0) {
			assert_true(push(p, 6));
			pass(50);
			assert_int_equal(p->last_push, 6);
		}
		assert_true(ask(p, 20000));
		pass(20000);
		assert_int_equal(p->answers, answers + 1);
		/* A node that restarted has forgotten the timestamps, and loses nothing by it. */
		control_server_destroy(w.server);
		start_server();
	}
}

/* Forged answers to a handshake neither succeed nor spoil it. */
static void forged_responses_do_nothing(void **state)
{
	struct person *p = add_client(0);
	const struct datagram *answer = w.queue;
	struct datagram d;

	(void)state;
	assert_true(ask(p, 2000));
	pass(5);
	assert_int_equal(w.queued, 1);
	assert_int_equal(answer->bytes[0], MESSAGE_RESPONSE);
	for (size_t i = 0; i < offsetof(struct message_response, mac2); i++) {
		d = *answer;
		d.bytes[i] ^= 1;
		control_client_input(p->c, d.bytes, d.len);
		assert_true(p->c->shake.running);
	}
	pass(100);
	assert_int_equal(p->answers, 1);
	assert_int_equal(count()->handshakes, 1);
}

static void only_fresh_authentic_messages_move_a_path(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct datagram d;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	assert_true(ask(p, 1000));
	pass(100);
	d = w.transport;
	to_server(&from, d.bytes, d.len); /* a replay */
	for (size_t i = 4; i < d.len; i++) {
		d.bytes[i] ^= 1;
		to_server(&from, d.bytes, d.len);
		d.bytes[i] ^= 1;
	}
	d.bytes[8]++; /* the next counter, guessed */
	to_server(&from, d.bytes, d.len);
	assert_int_equal(w.sent_to_attacker, 0);
	assert_true(push(p, 7));
	pass(50);
	assert_int_equal(p->last_push, 7);
	assert_int_equal(w.sent_to_attacker, 0);

	/* A message held up on the way is answered where it comes from and moves nothing. */
	w.mute = true;
	control_client_post(p->c, VERB_KEEPALIVE, p->keys.pub, sizeof(struct body_session));
	d = w.transport;
	w.mute = false;
	assert_true(ask(p, 1000));
	pass(100);
	to_server(&from, d.bytes, d.len);
	assert_int_equal(w.sent_to_attacker, 1);
	assert_true(push(p, 8));
	pass(50);
	assert_int_equal(p->last_push, 8);

	/* The client itself moves by speaking. */
	p->addr.port = 6666;
	assert_true(ask(p, 1000));
	pass(100);
	assert_true(push(p, 9));
	pass(50);
	assert_int_equal(p->last_push, 9);
}

/* A well-formed initiation with a right mac1; by nobody in particular unless keys are given. */
static void make_initiation(struct message_initiation *msg, const struct noise_keypair *keys)
{
	struct cookie_signer signer;
	struct noise_handshake hs;
	uint8_t timestamp[12] = {1};

	crypto_random(msg, sizeof(*msg));
	if (keys)
		assert_true(noise_initiation_create(&hs, msg, keys, w.config.keys.pub, NETWORK,
						    timestamp));
	msg->type = le32_of(MESSAGE_INITIATION);
	cookie_signer_init(&signer, w.config.keys.pub);
	cookie_sign(&signer, msg, sizeof(*msg), 1);
}

/* With the cookie this address would have been given. */
static void sign_with_cookie(struct message_initiation *msg, const struct net_addr *from)
{
	struct cookie_signer signer;
	struct message_cookie cookie;

	cookie_signer_init(&signer, w.config.keys.pub);
	cookie_sign(&signer, msg, sizeof(*msg), fake_ms);
	cookie_reply(&w.server->cookies, &cookie, msg, sizeof(*msg), from, fake_ms);
	assert_true(cookie_consume(&signer, &cookie, fake_ms));
	cookie_sign(&signer, msg, sizeof(*msg), fake_ms);
}

static void a_flood_gets_cookies_a_client_gets_through(void **state)
{
	struct person *p = add_client(0), *q = add_client(1);
	struct net_addr from = attacker();
	struct message_initiation msg;
	uint64_t flooded = 0;

	(void)state;
	assert_true(ask(q, 1000));
	pass(2000);
	for (int ms = 0; ms < 5000; ms += 5) {
		for (int i = 0; i < 10; i++, flooded++) {
			make_initiation(&msg, NULL);
			crypto_random(from.ip, sizeof(from.ip));
			to_server(&from, &msg, sizeof(msg));
		}
		if (ms == 2000) {
			assert_true(ask(p, 3000));
			assert_true(ask(q, 3000));
		}
		pass(5);
	}
	assert_int_equal(p->answers, 1);
	assert_int_equal(q->answers, 2);
	/* One public-key operation for each of the first 200, a cookie for all others. */
	assert_int_equal(count()->bad_handshake, 200);
	assert_int_equal(w.sent_to_attacker, flooded - 200);
	assert_int_equal(count()->cookie_sent, flooded - 200 + 1);
	assert_true(w.bytes_to_attacker < flooded * sizeof(msg) / 2);
	/* When it is over nobody is asked for a cookie. */
	pass(2500);
	assert_true(ask(add_client(2), 1000));
	pass(100);
	assert_int_equal(w.people[2].answers, 1);
	assert_int_equal(count()->cookie_sent, flooded - 200 + 1);
}

/* Somebody with an address of its own, who fetches cookies and makes true handshakes. */
static void a_network_has_its_share_under_load(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker(), neighbour, elsewhere;
	struct message_initiation msg;
	struct noise_keypair keys;
	uint64_t before;

	(void)state;
	from.ip[7] = 1;
	neighbour = elsewhere = from;
	neighbour.ip[15] = 0x77;
	elsewhere.ip[7] = 0x77;
	w.server->max_initiations = 0; /* always under load */
	for (int i = 0; i < 2; i++) {  /* the first one for a secret that cookies are made with */
		make_initiation(&msg, NULL);
		to_server(&from, &msg, sizeof(msg));
	}
	assert_int_equal(count()->cookie_sent, 2);
	for (int ms = 0; ms < 10000; ms += 5) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		sign_with_cookie(&msg, ms % 10 ? &from : &neighbour);
		to_server(ms % 10 ? &from : &neighbour, &msg, sizeof(msg));
		if (ms == 5000)
			assert_true(ask(p, 3000));
		pass(5);
	}
	/* One /64: its burst, then 20 a second; and the one client from elsewhere. */
	assert_in_range(count()->handshakes, 10 * 20, 10 * 20 + 5 + 1);
	assert_int_equal(count()->rate_limited, 2000 + 1 - count()->handshakes);
	assert_int_equal(p->answers, 1);
	/* Without a cookie an address may be anybody's: that uses up nobody's share. */
	before = count()->rate_limited;
	for (int i = 0; i < 100; i++) {
		make_initiation(&msg, NULL);
		to_server(&elsewhere, &msg, sizeof(msg));
	}
	make_keys(&keys);
	make_initiation(&msg, &keys);
	sign_with_cookie(&msg, &elsewhere);
	to_server(&elsewhere, &msg, sizeof(msg));
	assert_int_equal(count()->rate_limited, before);
	/* Nor is anybody limited while there is no load. */
	w.server->max_initiations = 1000;
	pass(2000);
	for (int i = 0; i < 100; i++) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&from, &msg, sizeof(msg));
	}
	assert_int_equal(count()->rate_limited, before);
}

/* What arriving takes, in public-key operations. */
static int cost(const struct net_addr *from, const struct message_initiation *msg)
{
	int before = operations;

	to_server(from, msg, sizeof(*msg));
	return operations - before;
}

/* Nobody makes the node compute who has not shown that it hears at its address, or more than its
 * share. */
static void under_load_a_cookie_comes_before_any_public_key(void **state)
{
	struct net_addr from = attacker(), elsewhere = from;
	struct message_initiation msg, stale;
	struct noise_keypair keys;
	int good = 0;

	(void)state;
	elsewhere.port ^= 1;
	w.server->max_initiations = 0;
	for (int i = 0; i < 1000; i++) {
		make_keys(&keys);
		make_initiation(&msg, i % 2 ? &keys : NULL);
		assert_int_equal(cost(&from, &msg), 0); /* without a cookie */
		crypto_random(msg.mac2, sizeof(msg.mac2));
		assert_int_equal(cost(&from, &msg), 0); /* with a made-up one */
		msg.mac1[0] ^= 1;
		assert_int_equal(cost(&from, &msg), 0);
	}
	make_keys(&keys);
	make_initiation(&stale, &keys);
	sign_with_cookie(&stale, &from);
	assert_int_equal(cost(&elsewhere, &stale), 0); /* another address's */
	msg = stale;
	msg.ephemeral[0] ^= 1;
	assert_int_equal(cost(&from, &msg), 0);   /* another message's */
	assert_int_equal(cost(&from, &stale), 5); /* its own */
	for (int i = 0; i < 100; i++) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		sign_with_cookie(&msg, &from);
		good += cost(&from, &msg) > 0;
	}
	assert_int_equal(good, RATELIMIT_BURST - 1);
	fake_ms += COOKIE_SECRET_MS;
	assert_int_equal(cost(&from, &stale), 0); /* an old one */
}

/* However many ask, cookies are only so many. */
static void cookies_are_bounded(void **state)
{
	struct net_addr from = attacker();
	struct message_initiation msg;
	uint64_t asked = 0;

	(void)state;
	w.server->max_initiations = 0;
	make_initiation(&msg, NULL);
	for (int ms = 0; ms < 100; ms++, fake_ms++)
		for (int i = 0; i < 100; i++, asked++)
			to_server(&from, &msg, sizeof(msg));
	assert_in_range(count()->cookie_sent, 4950, 4950 + CONTROL_COOKIES_PER_SECOND / 20);
	assert_int_equal(count()->cookie_sent + count()->cookie_withheld, asked);
	assert_int_equal(w.sent_to_attacker, count()->cookie_sent);
}

/* All clients of this world are of one network. */
static void a_network_has_its_part_of_the_channels(void **state)
{
	struct person *other;

	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 8;
	w.config.channels_per_network = 3;
	start_server();
	/* Not needed yet: half are free. */
	for (int i = 0; i < 6; i++) {
		assert_true(ask(add_client(i), 3000));
		pass(100);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(w.people[i].answers, i < 5);
	assert_true(count()->crowded > 0);
	other = add_client(6);
	other->addr.ip[0] = 0x2a;
	assert_true(ask(other, 1000));
	pass(100);
	assert_int_equal(other->answers, 1);
	/* Those that are there may shake hands again. */
	control_client_restart(w.people[0].c);
	assert_true(ask(&w.people[0], 1000));
	pass(100);
	assert_int_equal(w.people[0].answers, 2);
	/* And what was given back is there for others. */
	pass(UNUSED_MS + 5000);
	assert_true(ask(&w.people[5], 1000));
	pass(100);
	assert_int_equal(w.people[5].answers, 1);
}

/* Nor has it more if it shakes hands many times before it speaks. */
static void handshakes_begun_at_once_fill_no_more(void **state)
{
	int answers = 0;

	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 16;
	w.config.channels_per_network = 3;
	start_server();
	for (int i = 0; i < 14; i++)
		assert_true(ask(add_client(i), 3000));
	pass(3500);
	for (int i = 0; i < 14; i++)
		answers += w.people[i].answers;
	assert_int_equal(answers, 9);
	assert_true(count()->crowded > 0);
	control_client_restart(w.people[0].c);
	assert_true(ask(&w.people[0], 1000));
	pass(1100);
	pass(UNUSED_MS + UNCONFIRMED_MS);
	assert_int_equal(w.server->crowd->taken, 0);
}

static uint32_t length(const struct list *l, const struct link *links)
{
	uint32_t count = 0, before = TABLE_NONE;

	for (uint32_t i = l->first; i != TABLE_NONE; before = i, i = links[i].after, count++)
		assert_int_equal(links[i].before, before);
	assert_int_equal(l->last, before);
	return count;
}

/* Every slot and every peer is just where it says; each network has what its channels take. */
static void check_places(void)
{
	const struct control_server *s = w.server;
	uint32_t confirmed = 0, unconfirmed = 0, idle = 0, sum = 0;

	for (uint32_t i = 0; i < s->max_slots; i++) {
		const struct slot *slot = &s->slots[i];

		if (!slot->dies_ms)
			continue;
		assert_int_equal(s->peers[slot->peer].held[slot->standing], i);
		if (slot->standing == UNCONFIRMED)
			unconfirmed++;
		else
			confirmed++;
	}
	for (uint32_t i = 0; i < s->crowd->counts; i++)
		sum += s->crowd->held[i];
	assert_int_equal(s->crowd->taken, confirmed);
	assert_int_equal(sum, confirmed);
	assert_int_equal(length(&s->unconfirmed, s->slot_links), unconfirmed);
	assert_int_equal(length(&s->free_slots, s->slot_links),
			 s->max_slots - confirmed - unconfirmed);
	for (uint32_t i = 0; i < s->max_peers; i++)
		idle += table_find(s->by_key, s->peers[i].key) == i && peer_idle(&s->peers[i]);
	assert_int_equal(length(&s->idle_peers, s->peer_links), idle);
}

/* Channels that begin, speak, are replaced, move and are forgotten, at random, in a table that is
 * too small for them. */
static void places_are_given_back_however_channels_end(void **state)
{
	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 12;
	w.config.channels_per_network = 3;
	start_server();
	w.loss = 10;
	w.twice = 10;
	w.late_ms = 300;
	for (int i = 0; i < CLIENTS; i++)
		add_client(i)->addr.ip[0] = (uint8_t)(0x20 + i % 4);
	for (int i = 0; i < 1500; i++) {
		struct person *p = &w.people[crypto_random_u32() % CLIENTS];
		struct message_initiation msg;
		struct noise_keypair keys;

		switch (crypto_random_u32() % 8) {
		case 0:
			control_client_restart(p->c);
			break;
		case 1:
			p->addr.ip[0] = (uint8_t)(0x20 + crypto_random_u32() % 4);
			break;
		case 2:
			make_keys(&keys);
			make_initiation(&msg, &keys);
			to_server(&p->addr, &msg, sizeof(msg));
			break;
		case 3:
			if (crypto_random_u32() % 4 == 0)
				pass(UNCONFIRMED_MS);
			break;
		default:
			(void)ask(p, 500);
		}
		pass(crypto_random_u32() % 400);
		check_places();
	}
	assert_true(count()->crowded > 0 && count()->handshakes > 100);
	for (int i = 0; i < CLIENTS; i++) {
		control_client_destroy(w.people[i].c);
		w.people[i].c = NULL;
	}
	pass(UNUSED_MS + UNCONFIRMED_MS);
	check_places();
	assert_int_equal(w.server->crowd->taken, 0);
}

/* A faked address is counted against nobody. */
static void nobody_fills_anothers_part(void **state)
{
	struct person *p = add_client(0);
	struct message_initiation msg;
	struct noise_keypair keys;

	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 8;
	w.config.channels_per_network = 1;
	start_server();
	for (int i = 0; i < 100; i++) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&p->addr, &msg, sizeof(msg));
	}
	assert_true(ask(p, 1000));
	pass(100);
	assert_int_equal(p->answers, 1);
	assert_int_equal(count()->crowded, 0);
}

static void costly_requests_are_bounded(void **state)
{
	struct person *p = add_client(0), *q = add_client(1);
	struct control_caller caller;
	int good = 0;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	caller = w.last_caller;
	for (int i = 0; i < 1000; i++)
		good += control_server_afford(w.server, &caller);
	assert_int_equal(good, CONTROL_COSTLY_BURST);
	assert_int_equal(count()->too_costly, 1000 - CONTROL_COSTLY_BURST);
	for (int i = 0; i < 1000; i++, pass(5))
		good += control_server_afford(w.server, &caller);
	assert_in_range(good - CONTROL_COSTLY_BURST, 5 * CONTROL_COSTLY_PER_SECOND - 1,
			5 * CONTROL_COSTLY_PER_SECOND + 1);
	/* Each channel by itself. */
	assert_true(ask(q, 1000));
	pass(100);
	assert_true(control_server_afford(w.server, &w.last_caller));
	caller.channel ^= 1;
	assert_false(control_server_afford(w.server, &caller));
}

static bool is_unconfirmed(const struct noise_keypair *keys)
{
	uint32_t peer = table_find(w.server->by_key, keys->pub);

	return peer != TABLE_NONE && w.server->peers[peer].held[UNCONFIRMED] != TABLE_NONE;
}

/* Slots are short: one network's many handshakes turn out its own, not those of others. */
static void a_network_pays_with_its_own_slots(void **state)
{
	struct net_addr from = attacker(), other = from;
	struct message_initiation msg;
	struct noise_keypair keys, first;

	(void)state;
	other.ip[0] = 0x2a;
	control_server_destroy(w.server);
	w.config.max_channels = 8;
	start_server();
	make_keys(&first);
	make_initiation(&msg, &first);
	to_server(&other, &msg, sizeof(msg));
	assert_true(is_unconfirmed(&first));
	for (int i = 0; i < 100; i++) {
		from.ip[15] = (uint8_t)i;
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&from, &msg, sizeof(msg));
	}
	assert_int_equal(count()->handshakes, 101);
	assert_true(is_unconfirmed(&first));
	/* Others come in all the same: the oldest of all gives way. */
	for (int i = 0; i < 4; i++) {
		other.ip[7] = (uint8_t)i;
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&other, &msg, sizeof(msg));
		assert_true(is_unconfirmed(&keys));
		assert_false(is_unconfirmed(&first));
	}
	assert_int_equal(count()->handshakes, 105);
	assert_int_equal(count()->table_full, 0);
}

static void a_full_table_refuses_and_recovers(void **state)
{
	struct message_initiation msg;
	struct noise_keypair keys;
	struct net_addr from = attacker();

	(void)state;
	control_server_destroy(w.server);
	w.config.max_channels = 4;
	start_server();
	for (int i = 0; i < 3; i++)
		assert_true(ask(add_client(i), 1000));
	pass(100);
	/* Handshakes never confirmed share what is left; the oldest goes. */
	for (int i = 0; i < 100; i++) {
		make_keys(&keys);
		make_initiation(&msg, &keys);
		to_server(&from, &msg, sizeof(msg));
	}
	assert_int_equal(count()->table_full, 0);
	assert_int_equal(w.sent_to_attacker, 100);
	assert_int_equal(table_count(w.server->by_index), 4);
	assert_true(table_count(w.server->by_key) <= 8);
	assert_true(ask(add_client(3), 1000));
	pass(100);
	assert_int_equal(w.people[3].answers, 1);
	/* Four spoke: a fifth has to wait, and takes nobody's place. */
	assert_true(ask(add_client(4), 5000));
	pass(6000);
	assert_int_equal(w.people[4].timeouts, 1);
	assert_true(count()->table_full > 0);
	for (int i = 0; i < 4; i++)
		assert_true(push(&w.people[i], 11));
	pass(50);
	for (int i = 0; i < 4; i++)
		assert_int_equal(w.people[i].last_push, 11);
	pass(UNUSED_MS + 5000);
	assert_int_equal(w.people[4].up, 1);
}

/* Each kind of datagram anybody can send, 10,000 times from as many addresses. */
static void strangers_cost_no_memory(void **state)
{
	struct person *p = add_client(0);
	struct net_addr from = attacker();
	struct message_initiation msg;
	struct noise_keypair keys;
	struct datagram known, junk;
	int before;
	size_t heap;

	(void)state;
	assert_true(ask(p, 1000));
	pass(100);
	known = w.transport;
	make_keys(&keys);
	before = allocations;
	heap = mallinfo2().uordblks;
	for (int i = 0; i < 10000; i++) {
		crypto_random(from.ip, sizeof(from.ip));
		crypto_random(junk.bytes, sizeof(junk.bytes));
		memset(junk.bytes + 1, 0, 3);
		for (uint8_t type = MESSAGE_INITIATION; type <= MESSAGE_TRANSPORT; type++) {
			static const size_t lengths[] = {148, 92, 64, 72};

			junk.bytes[0] = type;
			to_server(&from, junk.bytes, lengths[type - MESSAGE_INITIATION]);
			to_server(&from, junk.bytes, (size_t)i % 1200);
		}
		known.bytes[20] ^= (uint8_t)(i | 1); /* a known channel, forged */
		to_server(&from, known.bytes, known.len);
		make_initiation(&msg, NULL);
		to_server(&from, &msg, sizeof(msg));
		fake_ms += 6; /* below the load limit: the handshake is looked at */
		if (i % 10 == 0) {
			/* ... and even answered: all memory was there from the start. */
			make_keys(&keys);
			make_initiation(&msg, &keys);
			to_server(&from, &msg, sizeof(msg));
		}
	}
	assert_int_equal(allocations, before);
	assert_int_equal(mallinfo2().uordblks, heap);
	assert_int_equal(count()->handshakes, 1 + 1000);
	assert_int_equal(count()->cookie_sent, 0);
	/* Only true handshakes were answered, each with less than it took. */
	assert_int_equal(w.sent_to_attacker, 1000);
	assert_true(w.bytes_to_attacker < 1000 * sizeof(msg));
	assert_true(count()->bad_mac1 >= 10000 && count()->bad_transport == 10000);
	assert_true(count()->bad_handshake == 10000 && count()->unknown_channel >= 30000);
	assert_true(count()->bad_length > 30000);
	assert_true(push(p, 12));
	pass(50);
	assert_int_equal(p->last_push, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replayed_initiations_do_nothing),
		TEST(stolen_initiations_cut_nobody_off),
		TEST(forged_responses_do_nothing),
		TEST(only_fresh_authentic_messages_move_a_path),
		TEST(a_flood_gets_cookies_a_client_gets_through),
		TEST(a_network_has_its_share_under_load),
		TEST(a_network_pays_with_its_own_slots),
		TEST(under_load_a_cookie_comes_before_any_public_key),
		TEST(cookies_are_bounded),
		TEST(a_network_has_its_part_of_the_channels),
		TEST(handshakes_begun_at_once_fill_no_more),
		TEST(places_are_given_back_however_channels_end),
		TEST(nobody_fills_anothers_part),
		TEST(costly_requests_are_bounded),
		TEST(a_full_table_refuses_and_recovers),
		TEST(strangers_cost_no_memory),
	};

	crypto_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
