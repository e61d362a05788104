/* BIND, CHALLENGE, ANSWER, BOUND: what moves a session's address, and what must not. */
#include "tests/unit/relay_world.h"

enum {
	FORGERIES = 100000,
};

static void test_bind_and_move_between_workers(void **state)
{
	struct body_granted g = open_session(1, 1);
	uint32_t h = session_by(&g)->handle;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	assert_int_equal(place_of(h), 0);
	world_carry(h, 5000);
	world.at[0][h].exit_indices = (struct plane_indices){{77}, 1, 1, true};
	world.at[0][h].packets_down = 4;
	world.lost[0][h].unanswered = 3;
	bind_session(&g, 2, 1, address(200));
	assert_int_equal(place_of(h), 1);
	assert_int_equal(world.at[1][h].down, 5000);
	assert_int_equal(world.at[1][h].packets_down, 4);
	assert_int_equal(world.lost[1][h].unanswered, 3);
	assert_int_equal(world.at[1][h].exit_indices.index[0], 77);
	assert_true(world.at[1][h].exit_indices.pending);
	assert_int_equal(world.at[1][h].client.port, 200);
	assert_int_equal(session_by(&g)->bind.moves, 1);
	assert_int_equal(relay->count.moves, 1);
}

/* A BOUND lost on its way is said again to the address that is bound, and to nobody else. */
static void test_bound_is_repeated(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct message_bind m;
	unsigned before;

	(void)state;
	bind_session(&g, 1, 0, address(100));
	before = world.sent_count;
	bind_make(&m, MESSAGE_BIND, g.session, 1, NULL, g.bind_key);
	say_bind(&m, 0, address(100));
	assert_int_equal(world.sent_count, before + 1);
	assert_int_equal(le32_get(world.sent.type), MESSAGE_BOUND);
	say_bind(&m, 0, address(101));
	say_bind(&m, 1, address(100));
	assert_int_equal(world.sent_count, before + 1);
	assert_int_equal(relay->count.replayed_binds, 2);
	bind_session(&g, 2, 0, address(100)); /* the same place, proven anew: no move */
	assert_int_equal(relay->count.moves, 0);
}

/* The newest wish wins, and no step begins before the one in flight is over. */
static void test_wishes_overtake_each_other(void **state)
{
	struct body_granted g = open_session(1, 1);
	uint32_t h = session_by(&g)->handle;
	unsigned bounds;

	(void)state;
	start_bind(&g, 1, 0, address(100));
	start_bind(&g, 2, 1, address(200));
	start_bind(&g, 3, 0, address(300));
	world_run();
	assert_int_equal(place_of(h), 0);
	assert_int_equal(world.at[0][h].client.port, 300);
	assert_int_equal(le32_get(world.sent.type), MESSAGE_BOUND);
	assert_int_equal(le64_get(world.sent.counter), 3);
	bounds = world.sent_count;
	world_run();
	assert_int_equal(world.sent_count, bounds);
}

/* An address that is another session's is not taken from it. */
static void test_address_of_another_session(void **state)
{
	struct body_granted a = open_session(1, 1), b = open_session(2, 2);
	uint32_t ha = session_by(&a)->handle, hb = session_by(&b)->handle;
	unsigned before;

	(void)state;
	bind_session(&a, 1, 0, address(100));
	start_bind(&b, 1, 0, address(100));
	before = world.sent_count;
	world_run();
	assert_int_equal(world.sent_count, before);
	assert_int_equal(place_of(ha), 0);
	assert_int_equal(place_of(hb), -1);
	bind_session(&b, 2, 0, address(101));
	assert_int_equal(place_of(hb), 0);
}

struct forger {
	struct body_granted victim, own;
	struct message_bind seen_bind, seen_answer; /* of the victim, on the wire */
	uint8_t own_token[NONCE_LEN];               /* good for the forger's address and session */
};

static void forge(struct message_bind *m, const struct forger *f, unsigned n)
{
	uint8_t key[KEY_LEN], token[NONCE_LEN];
	enum message_type type = n & 8 ? MESSAGE_ANSWER : MESSAGE_BIND;
	uint64_t counter = 10 + n;

	crypto_random(key, sizeof(key));
	crypto_random(token, sizeof(token));
	switch (n % 8) {
	case 0: /* a key made up */
		bind_make(m, type, f->victim.session, counter, n & 8 ? token : NULL, key);
		break;
	case 1: /* another session's key */
		bind_make(m, type, f->victim.session, counter, n & 8 ? f->own_token : NULL,
			  f->own.bind_key);
		break;
	case 2: /* replays, as they were */
		*m = f->seen_bind;
		break;
	case 3:
		*m = f->seen_answer;
		break;
	case 4: /* replays with a newer counter, or another session written in */
		*m = f->seen_answer;
		m->counter = le64_of(counter);
		break;
	case 5:
		*m = f->seen_answer;
		memcpy(m->session, f->own.session, SESSION_ID_LEN);
		break;
	case 6: /* with the true key: an old counter, or a token of another address */
		bind_make(m, type, f->victim.session, n % 5, n & 8 ? f->seen_answer.token : NULL,
			  f->victim.bind_key);
		break;
	default:
		bind_make(m, MESSAGE_ANSWER, f->victim.session, counter,
			  n & 8 ? f->seen_answer.token : f->own_token, f->victim.bind_key);
		break;
	}
}

static void prepare(struct forger *f)
{
	struct message_bind m;

	f->victim = open_session(1, 1);
	f->own = open_session(2, 2);
	bind_session(&f->victim, 1, 0, address(100));
	bind_session(&f->own, 1, 1, address(900));
	bind_make(&f->seen_bind, MESSAGE_BIND, f->victim.session, 5, NULL, f->victim.bind_key);
	say_bind(&f->seen_bind, 0, address(100));
	bind_make(&f->seen_answer, MESSAGE_ANSWER, f->victim.session, 5, world.sent.token,
		  f->victim.bind_key);
	say_bind(&f->seen_answer, 0, address(100));
	world_run();
	bind_make(&m, MESSAGE_BIND, f->own.session, 2, NULL, f->own.bind_key);
	say_bind(&m, 1, address(901));
	memcpy(f->own_token, world.sent.token, NONCE_LEN);
}

static void test_forged_moves_move_nothing(void **state)
{
	struct forger f;
	unsigned before;
	uint32_t h;

	(void)state;
	prepare(&f);
	h = session_by(&f.victim)->handle;
	before = world.sent_count;
	for (unsigned n = 0; n < FORGERIES; n++) {
		struct message_bind m;

		forge(&m, &f, n);
		say_bind(&m, n & 1, address((uint16_t)(901 + n % 7)));
		world_run();
	}
	assert_int_equal(world.sent_count, before); /* silence */
	assert_int_equal(relay->count.moves, 0);
	assert_int_equal(place_of(h), 0);
	assert_int_equal(world.at[0][h].client.port, 100);
	assert_int_equal(session_by(&f.victim)->bind.counter, 5);
	assert_int_equal(relay->count.bad_binds + relay->count.replayed_binds, FORGERIES);
	bind_session(&f.victim, 6, 1, address(200)); /* the owner still can */
}

/* Whoever reads the CHALLENGE on its way has the token and may write any source address. */
static void test_the_token_alone_is_nothing(void **state)
{
	struct body_granted g = open_session(1, 1), own = open_session(2, 2);
	struct message_bind m;
	uint8_t token[NONCE_LEN];

	(void)state;
	bind_make(&m, MESSAGE_BIND, g.session, 1, NULL, g.bind_key);
	say_bind(&m, 0, address(100));
	memcpy(token, world.sent.token, NONCE_LEN);
	bind_make(&m, MESSAGE_ANSWER, g.session, 1, token, own.bind_key);
	say_bind(&m, 0, address(100));
	world_run();
	assert_int_equal(place_of(session_by(&g)->handle), -1);
	assert_int_equal(relay->count.bad_binds, 1);
}

/* Lengths and types that are none of the client's. */
static void test_nonsense_is_silence(void **state)
{
	struct body_granted g = open_session(1, 1);
	struct net_addr from = address(100);
	struct message_bind m;
	unsigned before = world.sent_count;

	(void)state;
	bind_make(&m, MESSAGE_CHALLENGE, g.session, 1, NULL, g.bind_key);
	say_bind(&m, 0, from);
	bind_make(&m, MESSAGE_BOUND, g.session, 1, NULL, g.bind_key);
	say_bind(&m, 0, from);
	bind_make(&m, MESSAGE_BIND, g.session, 1, NULL, g.bind_key);
	world.ops->control(world.ops_arg, 0, &from, (const uint8_t *)&m, sizeof(m) - 1);
	world.ops->control(world.ops_arg, 0, &from, (const uint8_t *)&m, 0);
	assert_int_equal(world.sent_count, before);
	assert_int_equal(relay->count.bad_binds, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bind_and_move_between_workers, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_bound_is_repeated, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_wishes_overtake_each_other, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_address_of_another_session, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_forged_moves_move_nothing, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_the_token_alone_is_nothing, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_nonsense_is_silence, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
