/* Shares of a payer's window: whatever opens, moves, carries, signs or ends, in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay/share.h"

enum {
	MEMBERS = 6,
	ORDERS = 64,
	WORLDS = 300,
	STEPS = 400,
};

/* One session and its worker: orders arrive late, in order, and each is answered late, in order. */
struct actor {
	struct share_member m;
	bool open, on_worker;
	uint64_t worker_limit, carried;
	uint64_t order[ORDERS], answer_limit[ORDERS], answer_carried[ORDERS];
	unsigned orders, answers;
};

struct world {
	struct share_group group;
	struct actor actor[MEMBERS];
	uint64_t last_exposed;
};

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The most that may be carried unsigned, as the workers could see it at this moment. */
static uint64_t exposed(const struct world *w)
{
	uint64_t sum = 0;

	for (int i = 0; i < MEMBERS; i++) {
		const struct actor *a = &w->actor[i];
		uint64_t most = a->on_worker ? a->worker_limit : a->m.limit;

		if (!a->open)
			continue;
		for (unsigned j = 0; a->on_worker && j < a->orders; j++)
			most = a->order[j] > most ? a->order[j] : most;
		assert_true(most <= a->m.visible);
		assert_true(a->m.limit <= a->m.visible);
		sum += above(most, a->m.signed_total);
	}
	return sum;
}

static void flush(struct world *w)
{
	for (int i = 0; i < MEMBERS; i++) {
		struct actor *a = &w->actor[i];

		if (!a->open || !a->m.changed || !a->on_worker || a->orders == ORDERS)
			continue;
		a->order[a->orders++] = a->m.limit;
		share_sent(&a->m);
	}
}

static void plan(struct world *w)
{
	share_plan(&w->group);
	flush(w);
}

static void shift(uint64_t *list, unsigned *count)
{
	for (unsigned i = 1; i < *count; i++)
		list[i - 1] = list[i];
	(*count)--;
}

static void worker_obeys(struct actor *a)
{
	if (!a->orders || a->answers == ORDERS)
		return;
	a->worker_limit = a->order[0] > a->carried ? a->order[0] : a->carried;
	a->answer_limit[a->answers] = a->worker_limit;
	a->answer_carried[a->answers++] = a->carried;
	shift(a->order, &a->orders);
}

static void main_hears(struct actor *a)
{
	unsigned count = a->answers;

	if (!a->answers)
		return;
	share_limited(&a->m, a->answer_limit[0], a->answer_carried[0]);
	shift(a->answer_limit, &count);
	shift(a->answer_carried, &a->answers);
}

static void drain(struct actor *a)
{
	while (a->orders || a->answers) {
		worker_obeys(a);
		main_hears(a);
	}
}

static void retire(struct actor *a)
{
	drain(a);
	share_retired(&a->m, a->worker_limit, a->carried);
	a->on_worker = false;
}

static void install(struct actor *a)
{
	a->on_worker = true;
	a->worker_limit = a->m.limit;
	share_installed(&a->m);
}

static void open_or_close(struct world *w, struct actor *a)
{
	if (!a->open) {
		*a = (struct actor){.open = true};
		share_join(&w->group, &a->m);
	} else if (!a->m.ended) {
		if (a->on_worker)
			retire(a);
		share_end(&a->m);
	} else {
		share_signed(&a->m, a->carried);
		share_leave(&w->group, &a->m);
		a->open = false;
	}
}

static void event(struct world *w, struct actor *a, unsigned kind, uint64_t amount)
{
	switch (kind) {
	case 0:
		open_or_close(w, a);
		break;
	case 1:
		w->group.window = amount;
		break;
	case 2:
		if (a->open)
			share_signed(&a->m,
				     a->m.signed_total + above(a->m.counted, a->m.signed_total) *
								 (amount & 3) / 3);
		break;
	case 3:
		if (a->open && !a->m.ended && a->on_worker)
			retire(a);
		else if (a->open && !a->m.ended)
			install(a);
		break;
	case 4:
	case 5:
	case 6:
		if (a->on_worker && a->carried < a->worker_limit)
			a->carried += amount % (a->worker_limit - a->carried + 1);
		return;
	case 7:
	case 8:
		worker_obeys(a);
		return;
	default:
		main_hears(a);
		break;
	}
	plan(w);
}

static void check(struct world *w)
{
	uint64_t now = exposed(w);

	/* Over the window only what was given out before the window shrank. */
	if (now > w->group.window)
		assert_true(now <= w->last_exposed);
	w->last_exposed = now;
}

/* With all orders answered nothing is left lying: some session could carry more, or all is used. */
static void check_settled(struct world *w)
{
	uint64_t shares = 0;
	uint32_t members = 0;
	bool takes = false;

	for (int round = 0; round < 4 * MEMBERS; round++) {
		for (int i = 0; i < MEMBERS; i++)
			drain(&w->actor[i]);
		plan(w);
	}
	for (int i = 0; i < MEMBERS; i++) {
		const struct actor *a = &w->actor[i];

		if (!a->open)
			continue;
		members++;
		shares += above(a->m.limit, a->m.signed_total);
		takes |= !a->m.ended;
		if (a->on_worker)
			assert_int_equal(a->worker_limit, a->m.limit);
	}
	if (takes)
		assert_true(shares + members > w->group.window);
}

static void test_random_worlds(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= WORLDS; seed++) {
		struct world *w = calloc(1, sizeof(*w));

		srand(seed);
		w->group.window = 1u << 20;
		for (int step = 0; step < STEPS; step++) {
			event(w, &w->actor[rand() % MEMBERS], (unsigned)rand() % 12,
			      (uint64_t)rand() % (1u << 20));
			check(w);
		}
		check_settled(w);
		free(w);
	}
}

static void test_one_session_has_it_all(void **state)
{
	struct share_group g = {.window = 1000};
	struct share_member m = {0};

	(void)state;
	share_join(&g, &m);
	assert_int_equal(share_prospect(&g), 500);
	share_plan(&g);
	assert_int_equal(m.limit, 1000);
	m.counted = 700;
	share_signed(&m, 700);
	share_plan(&g);
	assert_int_equal(m.limit, 1700);
}

/* A newcomer gets its part of what another session has only when that session's worker let go. */
static void test_newcomer_waits_for_the_acknowledgement(void **state)
{
	struct share_group g = {.window = 1000};
	struct share_member old = {0}, new = {0};

	(void)state;
	share_join(&g, &old);
	share_plan(&g);
	share_installed(&old);
	share_join(&g, &new);
	share_plan(&g);
	assert_true(old.changed);
	assert_int_equal(old.limit, 500);
	assert_int_equal(new.limit, 0);
	share_sent(&old);
	share_plan(&g);
	assert_int_equal(new.limit, 0);
	share_limited(&old, 600, 600); /* it had carried more by then */
	share_plan(&g);
	assert_int_equal(old.limit, 600);
	assert_int_equal(new.limit, 400);
}

static void test_ended_keeps_only_what_is_unsigned(void **state)
{
	struct share_group g = {.window = 1000};
	struct share_member a = {0}, b = {0};

	(void)state;
	share_join(&g, &a);
	share_plan(&g);
	a.counted = 300;
	share_end(&a);
	share_join(&g, &b);
	share_plan(&g);
	assert_int_equal(a.limit, 300);
	assert_int_equal(b.limit, 700);
	share_signed(&a, 300);
	share_plan(&g);
	assert_int_equal(b.limit, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_session_has_it_all),
		cmocka_unit_test(test_newcomer_waits_for_the_acknowledgement),
		cmocka_unit_test(test_ended_keeps_only_what_is_unsigned),
		cmocka_unit_test(test_random_worlds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
