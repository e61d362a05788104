/* The session table against a model that looks at everything, every time. */
#include "tests/lib/resident.h"

#include <stdlib.h>

#include "relay/registry.h"
#include "relay/session.h"

enum {
	MAX = 24,
	EXITS = 3,
	ADDRESSES = 30,
	INDICES = 60, /* few, so that they meet */
	STEPS = 200000,
};

static uint32_t rng_state = 2463534242;

static uint32_t rng(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 17;
	rng_state ^= rng_state << 5;
	return rng_state % below;
}

/* Index lists oldest first; pending: the last one has no answer yet. */
struct model {
	bool live, pending;
	uint32_t exit, client;
	uint32_t index[PLANE_INDICES], count;
	struct plane_losses losses;
};

static struct model model[MAX];

static struct slots *slots;

static struct sessions *create(uint32_t max)
{
	struct sessions *t;

	slots = slots_create(max);
	assert_non_null(slots);
	t = sessions_create(slots);
	assert_non_null(t);
	return t;
}

static void destroy(struct sessions *t)
{
	sessions_destroy(t);
	slots_destroy(slots);
}

static void retire(struct sessions *t, uint32_t handle, struct plane_session *last,
		   struct plane_losses *losses)
{
	struct session *s = sessions_at(t, handle);

	assert_non_null(s);
	*last = s->state;
	*losses = (struct plane_losses){0};
	(void)sessions_losses(t, s, losses);
	sessions_retire(t, s);
}

static struct net_addr address(uint32_t n)
{
	struct net_addr a = {.port = (uint16_t)(1000 + n % 7)};

	a.ip[15] = (uint8_t)(n / 7);
	return a;
}

static uint32_t model_by_client(uint32_t client)
{
	for (uint32_t i = 0; i < MAX; i++)
		if (model[i].live && model[i].client == client)
			return i;
	return MAX;
}

static uint32_t model_by_index(uint32_t exit, uint32_t index)
{
	for (uint32_t i = 0; i < MAX; i++)
		for (uint32_t k = 0; model[i].live && model[i].exit == exit && k < model[i].count;
		     k++)
			if (model[i].index[k] == index)
				return i;
	return MAX;
}

static void model_learn(struct model *m, uint32_t index)
{
	for (uint32_t k = 0; k < m->count; k++)
		if (m->index[k] == index)
			return;
	if (m->pending)
		m->count--;
	else if (m->count == PLANE_INDICES)
		memmove(m->index, m->index + 1, --m->count * sizeof(*m->index));
	m->index[m->count++] = index;
	m->pending = true;
}

static uint32_t handle_of(const struct session *s)
{
	return s ? s->state.handle : MAX;
}

static void compare(struct sessions *t)
{
	for (uint32_t i = 0; i < MAX; i++) {
		const struct session *s = sessions_at(t, i);
		struct plane_losses losses = {0};

		assert_int_equal(s != NULL, model[i].live);
		if (!s)
			continue;
		(void)sessions_losses(t, s, &losses);
		assert_memory_equal(&losses, &model[i].losses, sizeof(losses));
	}
	for (uint32_t c = 0; c < ADDRESSES; c++) {
		struct net_addr a = address(c);

		assert_int_equal(handle_of(sessions_by_client(t, &a)), model_by_client(c));
		sessions_prefetch_client(t, sessions_hash_client(t, &a));
		assert_ptr_equal(sessions_by_client_hashed(t, &a, sessions_hash_client(t, &a)),
				 sessions_by_client(t, &a));
	}
	for (uint32_t i = 0; i < MAX; i++)
		for (uint32_t x = 0; model[i].live && x < INDICES; x++)
			assert_int_equal(session_awaits(sessions_at(t, i), x),
					 model[i].pending &&
						 model[i].index[model[i].count - 1] == x);
	for (uint32_t e = 0; e < EXITS; e++)
		for (uint32_t x = 0; x < INDICES; x++) {
			uint32_t hash = sessions_hash_index(t, e, x);

			assert_int_equal(handle_of(sessions_by_index(t, e, x)),
					 model_by_index(e, x));
			sessions_prefetch_index(t, hash);
			assert_ptr_equal(sessions_by_index_hashed(t, e, x, hash),
					 sessions_by_index(t, e, x));
		}
}

static void step_install(struct sessions *t)
{
	uint32_t handle = rng(MAX + 1), client = rng(ADDRESSES);
	struct plane_session s = {.handle = handle, .exit = rng(EXITS), .client = address(client)};
	bool ok = handle < MAX && !model[handle].live && model_by_client(client) == MAX;
	struct plane_losses losses = {.unanswered = rng(2)};
	struct model *m = &model[handle];

	s.client_indices.count = (uint8_t)rng(PLANE_INDICES + 1);
	s.client_indices.next = s.client_indices.count % PLANE_INDICES;
	s.client_indices.pending = s.client_indices.count && rng(2);
	for (unsigned i = 0; i < s.client_indices.count; i++)
		s.client_indices.index[i] = rng(INDICES);
	if (rng(2))
		losses.dropped[DIRECTION_DOWN][DROP_window].bytes = rng(9);
	assert_int_equal(sessions_install(t, &s, &losses), ok);
	if (!ok)
		return;
	*m = (struct model){true, false, s.exit, client, {0}, 0, losses};
	for (unsigned i = 0; i < s.client_indices.count; i++) {
		if (model_by_index(s.exit, s.client_indices.index[i]) != MAX)
			continue;
		model_learn(m, s.client_indices.index[i]);
		m->pending = s.client_indices.pending && i + 1U == s.client_indices.count;
	}
}

static void step_retire(struct sessions *t)
{
	struct plane_session last;
	struct plane_losses losses;
	uint32_t handle = rng(MAX);

	if (!model[handle].live)
		return;
	retire(t, handle, &last, &losses);
	assert_memory_equal(&losses, &model[handle].losses, sizeof(losses));
	assert_int_equal(last.handle, handle);
	assert_int_equal(last.exit, model[handle].exit);
	assert_int_equal(last.client_indices.count, model[handle].count);
	assert_int_equal(last.client_indices.pending, model[handle].pending);
	model[handle].live = false;
}

static void step_learn(struct sessions *t)
{
	uint32_t handle = rng(MAX), index = rng(INDICES), owner;

	if (!model[handle].live)
		return;
	owner = model_by_index(model[handle].exit, index);
	if (owner != MAX && owner != handle)
		return;
	sessions_learn_client(t, sessions_at(t, handle), index);
	model_learn(&model[handle], index);
}

static void step_answer(struct sessions *t)
{
	uint32_t handle = rng(MAX);

	if (!model[handle].live)
		return;
	session_answered(sessions_at(t, handle));
	model[handle].pending = false;
}

static void step_lose(struct sessions *t)
{
	uint32_t handle = rng(MAX);
	enum relay_drop why = rng(DROP_COUNT);

	if (!model[handle].live)
		return;
	sessions_drops(t, sessions_at(t, handle))->dropped[DIRECTION_UP][why].packets++;
	model[handle].losses.dropped[DIRECTION_UP][why].packets++;
}

static void step_forget(struct sessions *t)
{
	uint32_t handle = rng(MAX), index;
	struct session *s = sessions_at(t, handle);

	if (!model[handle].live)
		return;
	index = s->state.client_indices
			.index[(s->state.client_indices.next + PLANE_INDICES - 1) % PLANE_INDICES];
	sessions_forget_pending(t, s, index + 1); /* another one: stays */
	assert_int_equal(s->state.client_indices.pending, model[handle].pending);
	sessions_forget_pending(t, s, index);
	if (model[handle].pending)
		model[handle].count--;
	model[handle].pending = false;
}

static void test_model(void **state)
{
	struct sessions *t = create(MAX);

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		uint32_t what = rng(17);

		if (what < 2)
			step_install(t);
		else if (what < 3)
			step_retire(t);
		else if (what < 4)
			step_forget(t);
		else if (what < 8)
			step_answer(t);
		else if (what < 16)
			step_learn(t);
		else
			step_lose(t);
		if (i % 16 == 0)
			compare(t);
	}
	compare(t);
	destroy(t);
}

/* A moved session keeps its indices in their order: the oldest still leaves first. */
static void test_moved_order(void **state)
{
	struct sessions *t = create(2);
	struct plane_session s = {.handle = 1, .exit = 7, .client = address(3)};
	struct plane_losses losses;

	(void)state;
	assert_true(sessions_install(t, &s, NULL));
	for (uint32_t i = 1; i <= PLANE_INDICES + 2; i++) {
		sessions_learn_client(t, sessions_at(t, 1), i);
		session_answered(sessions_at(t, 1));
	}
	retire(t, 1, &s, &losses);
	assert_null(sessions_by_index(t, 7, 5));
	assert_true(sessions_install(t, &s, NULL));
	sessions_learn_client(t, sessions_at(t, 1), 100);
	assert_null(sessions_by_index(t, 7, 3));
	assert_non_null(sessions_by_index(t, 7, 4));
	assert_non_null(sessions_by_index(t, 7, 100));
	/* So does what is pending: here it gives way to the next one, as if nothing had moved. */
	retire(t, 1, &s, &losses);
	assert_true(sessions_install(t, &s, NULL));
	assert_true(session_awaits(sessions_at(t, 1), 100));
	sessions_learn_client(t, sessions_at(t, 1), 101);
	assert_null(sessions_by_index(t, 7, 100));
	assert_non_null(sessions_by_index(t, 7, 4));
	destroy(t);
}

static void test_limit_not_below_used(void **state)
{
	struct sessions *t = create(1);
	struct plane_session s = {.client = address(0), .up = 70, .down = 60, .limit = 100};

	(void)state;
	assert_true(sessions_install(t, &s, NULL));
	assert_int_equal(sessions_at(t, 0)->state.limit, 130);
	destroy(t);
}

/* What a session costs by itself; tables come on top: docs/performance.md has the sum. */
static_assert(sizeof(struct session) <= 256 && sizeof(struct session) % 64 == 0, "hot");
static_assert(sizeof(struct relay_session) <= 576, "the main thread's");
static_assert(sizeof(struct relay_payer) <= 128, "one for each payer");

/* ---- a hundred thousand ---- */

enum {
	MANY = 100000,
	WORKERS = 2,
	MANY_EXITS = 100,
	BYTES_EACH = 512, /* slots and all workers' tables */
};

static uint64_t many_seed = 88172645463325252;

static uint32_t many_random(void)
{
	many_seed ^= many_seed << 13;
	many_seed ^= many_seed >> 7;
	many_seed ^= many_seed << 17;
	return (uint32_t)(many_seed >> 32);
}

static struct plane_session many_session(uint32_t handle)
{
	struct plane_session s = {.handle = handle, .exit = handle % MANY_EXITS, .limit = handle};

	s.client.port = (uint16_t)(handle % 7 + 1);
	memcpy(s.client.ip + 8, &handle, sizeof(handle));
	s.client_indices.count = s.client_indices.next = 3;
	for (uint32_t i = 0; i < 3; i++) /* the same at each exit: only both together tell */
		s.client_indices.index[i] = handle / MANY_EXITS * 3 + i;
	return s;
}

static void assert_many(struct sessions *t, uint32_t handle, bool here)
{
	const struct plane_session want = many_session(handle);
	struct session *s = sessions_at(t, handle);

	assert_int_equal(s != NULL, here);
	assert_ptr_equal(sessions_by_client(t, &want.client), s);
	for (uint32_t i = 0; i < 3; i++)
		assert_ptr_equal(sessions_by_index(t, want.exit, want.client_indices.index[i]), s);
	if (here)
		assert_int_equal(s->state.limit, want.limit);
}

/* Each is on one worker, some of them move, and they cost what is promised. */
static void test_many(void **state)
{
	static uint8_t at[MANY];
	bool tells = resident_tells();
	uint64_t before = resident();
	struct sessions *t[WORKERS];
	struct plane_losses losses;
	struct plane_session last;

	(void)state;
	t[0] = create(MANY);
	t[1] = sessions_create(slots);
	assert_non_null(t[1]);
	for (uint32_t i = 0; i < MANY; i++) {
		const struct plane_session s = many_session(i);

		at[i] = many_random() % WORKERS;
		assert_true(sessions_install(t[at[i]], &s, NULL));
	}
	if (tells)
		assert_in_range((resident() - before) / MANY, 1, BYTES_EACH);
	for (uint32_t n = 0; n < MANY / 2; n++) {
		uint32_t i = many_random() % MANY;

		retire(t[at[i]], i, &last, &losses);
		at[i] ^= 1;
		assert_true(sessions_install(t[at[i]], &last, &losses));
	}
	for (uint32_t i = 0; i < MANY; i++)
		for (uint32_t w = 0; w < WORKERS; w++)
			assert_many(t[w], i, at[i] == w);
	sessions_destroy(t[1]);
	destroy(t[0]);
}

static void test_exit_indices(void **state)
{
	struct session s = {0};

	(void)state;
	assert_false(session_knows_exit(&s, 0));
	for (uint32_t i = 1; i <= PLANE_INDICES; i++)
		session_learn_exit(&s, i);
	session_learn_exit(&s, 2); /* again: nothing leaves for it */
	assert_true(session_knows_exit(&s, 1));
	session_learn_exit(&s, 9);
	assert_false(session_knows_exit(&s, 1));
	assert_true(session_knows_exit(&s, 2));
	assert_true(session_knows_exit(&s, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_moved_order),
		cmocka_unit_test(test_limit_not_below_used),
		cmocka_unit_test(test_exit_indices),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
