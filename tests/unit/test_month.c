/* The pace of a month, in virtual time: whatever is asked for, whatever the clocks do. */
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <time.h>

#include "relay/month.h"

#define GIB   (UINT64_C(1) << 30)
#define TIB   (UINT64_C(1) << 40)
#define DAY   UINT64_C(86400)
#define HOUR  UINT64_C(3600)
#define STOCK GIB

static const uint64_t january = UINT64_C(1767225600); /* 2026-01-01 00:00 UTC */
static const uint64_t november = UINT64_C(1793491200);
enum {
	FIRST = 12 * 2025, /* the first month that a world may see */
	JANUARY = 12,      /* 2026, counted from there */
	NOVEMBER = 22,
	DECEMBER = 23,
	MONTHS = 48,
};

static uint32_t seed;

static uint64_t draw(uint64_t below)
{
	seed = seed * 1664525 + 1013904223;
	return ((uint64_t)seed << 16 ^ seed >> 8) % below;
}

/* A relay and its books: what each month has carried, and what is booked of it. */
struct world {
	struct month month;
	uint64_t cap, wall_s, now_ms, begun_ms;
	uint64_t carried[MONTHS], booked[MONTHS];
};

static unsigned at(const struct world *w)
{
	assert_in_range(w->month.number, FIRST, FIRST + MONTHS - 1);
	return (unsigned)(w->month.number - FIRST);
}

static void book(struct world *w)
{
	uint64_t more = month_wants(&w->month, w->cap / 1000);

	w->booked[at(w)] += more;
	assert_true(!more || w->booked[at(w)] <= w->cap);
	w->month.booked = w->booked[at(w)];
}

static void begin(struct world *w)
{
	month_begin(&w->month, w->cap, w->wall_s);
	assert_int_equal(month_left(&w->month), 0);
	month_resume(&w->month, w->booked[at(w)], w->wall_s, w->now_ms);
	w->begun_ms = w->now_ms;
	book(w);
}

/* Whoever was killed forgets what was not carried. */
static void start(struct world *w, uint64_t cap, uint64_t wall_s)
{
	w->cap = cap;
	w->wall_s = wall_s;
	begin(w);
}

/* Time passes, then up to bytes are asked for; how many there were. */
static uint64_t live(struct world *w, uint64_t ms, uint64_t bytes)
{
	uint64_t given = 0, more;

	w->now_ms += ms;
	w->wall_s = w->wall_s + ms / 1000 + (w->now_ms % 1000 < ms % 1000);
	if (month_over(&w->month, w->wall_s))
		begin(w);
	month_pass(&w->month, w->wall_s, w->now_ms);
	do {
		more = month_give(&w->month, bytes - given);
		given += more;
		book(w);
	} while (more);
	w->carried[at(w)] += given;
	assert_true(w->carried[at(w)] <= w->cap);
	assert_true(w->carried[at(w)] <= w->booked[at(w)]);
	assert_true(w->month.given <= w->month.booked);
	return given;
}

/* ---- which month ---- */

static void check_edges(uint64_t wall_s, uint64_t number, uint64_t begin_s, uint64_t days)
{
	struct month m;

	month_begin(&m, TIB, wall_s);
	assert_int_equal(m.number, number);
	assert_int_equal(m.begin_s, begin_s);
	assert_int_equal(m.end_s, begin_s + days * DAY);
}

static void test_edges(void **state)
{
	(void)state;
	check_edges(0, 12 * 1970, 0, 31);
	check_edges(january, FIRST + JANUARY, january, 31);
	check_edges(january - 1, FIRST + JANUARY - 1, january - 31 * DAY, 31);
	check_edges(january + 31 * DAY - 1, FIRST + JANUARY, january, 31);
	check_edges(january + 31 * DAY, FIRST + JANUARY + 1, january + 31 * DAY, 28);
	check_edges(november + 29 * DAY, FIRST + NOVEMBER, november, 30);
	check_edges(1835395200, 12 * 2028 + 1, 1832976000, 29); /* a leap day */
}

/* ---- pace ---- */

/* Who always wants more gets all of it, every day the same. */
static void test_constant_excess(void **state)
{
	struct world w = {0};
	uint64_t day = 0, least, most;

	(void)state;
	start(&w, 2 * TIB, january);
	for (uint64_t d = 0; d < 365; d++) {
		day = 0;
		for (uint64_t tick = 0; tick < DAY / 300; tick++) {
			uint64_t got = live(&w, 300000, UINT64_MAX);

			/* But for the moment in which the month begins. */
			assert_true(got > 0 || w.now_ms == w.begun_ms);
			day += got;
		}
		least = w.cap / 31 / 100 * 99;
		most = w.cap / 28 / 100 * 101;
		assert_in_range(day, least, most);
	}
	for (unsigned i = 0; i < 12; i++)
		assert_in_range(w.carried[JANUARY + i], w.cap / 1000 * 999, w.cap);
}

/* A quiet day's bytes are there at the peak; those of a quiet week go to all days that come. */
static void test_reserve(void **state)
{
	struct world w = {0};
	uint64_t burst, pace;

	(void)state;
	start(&w, 30 * TIB, november);
	assert_in_range(month_pace(&w.month, w.wall_s), TIB / DAY - 1, TIB / DAY);
	live(&w, DAY * 1000, 0);
	burst = live(&w, 100, UINT64_MAX);
	assert_in_range(burst, TIB / 100 * 99, TIB / 100 * 104);
	assert_in_range(live(&w, 1000, UINT64_MAX), 1, TIB / DAY * 2);
	for (int i = 0; i < 7 * 24; i++)
		live(&w, HOUR * 1000, 0);
	pace = month_pace(&w.month, w.wall_s);
	assert_in_range(pace, 29 * (TIB / 22 / DAY) / 100 * 99, 29 * (TIB / 22 / DAY) / 100 * 101);
	burst = live(&w, 100, UINT64_MAX);
	assert_in_range(burst, pace * DAY / 100 * 99, pace * DAY / 100 * 101);
	/* On the last day half of what is left may go at once, and leaves half the pace. */
	while (w.wall_s < november + 29 * DAY + 23 * HOUR)
		live(&w, HOUR * 1000, 0);
	pace = month_pace(&w.month, w.wall_s);
	burst = month_left(&w.month) / 2;
	assert_true(burst > 10 * TIB);
	assert_in_range(live(&w, 100, UINT64_MAX), burst / 100 * 99, burst / 100 * 101);
	assert_in_range(live(&w, 60000, UINT64_MAX), pace * 29, pace * 31);
}

/* Days without and days with more than there is; sleeps; kills; a year of it, several times. */
static void test_random_demand(void **state)
{
	(void)state;
	for (uint32_t run = 1; run <= 4; run++) {
		struct world w = {.now_ms = run * 1000003};

		seed = run;
		start(&w, GIB * (1 + draw(4096)), january + draw(20 * DAY));
		while (w.wall_s < january + 364 * DAY) {
			uint64_t ms = draw(100) ? 100 + draw(600000) : 1000 + draw(6 * HOUR * 1000);
			bool hungry = (w.wall_s / DAY + run) % 3 != 0;
			uint64_t got = live(&w, ms, hungry ? UINT64_MAX : draw(GIB / 100));

			assert_true(got > 0 || !hungry || w.now_ms == w.begun_ms);
			if (draw(5000) == 0)
				begin(&w);
		}
		/* Two days of three: quiet ones at the end of a month are not made up for. */
		for (unsigned i = JANUARY + 1; i < DECEMBER; i++)
			assert_true(w.carried[i] >= w.cap / 100 * 90);
	}
}

static void test_mid_month(void **state)
{
	struct world w = {0};
	uint64_t got;

	(void)state;
	start(&w, 30 * TIB, november + 20 * DAY);
	got = live(&w, 100, UINT64_MAX); /* as if it had been quiet the day before */
	assert_in_range(got, 3 * TIB - TIB / 100, 3 * TIB + TIB / 100);
	while (w.wall_s < november + 30 * DAY - 60)
		assert_true(live(&w, 60000, UINT64_MAX) > 0);
	assert_in_range(w.carried[NOVEMBER], w.cap / 1000 * 999, w.cap);

	/* Who has carried its share by now and is killed has no reserve again and again. */
	w = (struct world){0};
	start(&w, 30 * TIB, november);
	while (w.wall_s < november + 10 * DAY)
		live(&w, 60000, UINT64_MAX);
	got = 0;
	for (int i = 0; i < 100; i++) {
		begin(&w);
		got += live(&w, 1000, UINT64_MAX);
	}
	assert_true(got <= 200 * (TIB / DAY));
}

static void test_extremes(void **state)
{
	struct world w = {0};

	(void)state;
	start(&w, UINT64_C(1) << 60, january + 1);
	assert_true(live(&w, UINT32_MAX, 0) == 0);
	assert_true(live(&w, 1, UINT64_MAX) > 0);
	live(&w, 40 * DAY * 1000, UINT64_MAX);
	/* Fewer bytes than a month has ticks: they come all the same. */
	w = (struct world){0};
	start(&w, 1000, january);
	for (int i = 0; i < 31 * 24 * 60 - 1; i++) {
		live(&w, 60000, UINT64_MAX);
		if (i == 31 * 12 * 60)
			assert_in_range(w.carried[JANUARY], 490, 510);
	}
	assert_in_range(w.carried[JANUARY], 990, 1000);
}

/* ---- clocks that are set ---- */

static void step(struct world *w, uint64_t wall_s)
{
	w->wall_s = wall_s;
}

static void test_clock_steps(void **state)
{
	struct world w = {0};
	uint64_t before;

	(void)state;
	start(&w, 30 * TIB, november + 5 * DAY);
	live(&w, 1000, UINT64_MAX);
	/* Forward by ten days: faster at once, and no more than there is. */
	before = live(&w, 1000, UINT64_MAX);
	step(&w, november + 15 * DAY);
	assert_in_range(live(&w, 1000, UINT64_MAX), before, before * 3);
	/* Back again. */
	step(&w, november + 5 * DAY + 10);
	assert_in_range(live(&w, 1000, UINT64_MAX), before / 2, before * 2);
	/* Into the next month, by mistake, for an hour, and back. */
	before = w.carried[NOVEMBER];
	step(&w, november + 30 * DAY + HOUR);
	for (int i = 0; i < 3600; i++)
		assert_true(live(&w, 1000, UINT64_MAX) > 0);
	assert_true(w.carried[NOVEMBER] == before && w.carried[DECEMBER] > 0);
	step(&w, november + 6 * DAY);
	assert_true(live(&w, 1000, UINT64_MAX) > 0);
	assert_true(w.carried[NOVEMBER] > before);
	/* A clock that was a minute fast calls back a month that is used up: for that minute. */
	step(&w, november + 30 * DAY - 1);
	while (w.month.number == FIRST + NOVEMBER)
		live(&w, 100, UINT64_MAX);
	live(&w, 1000, UINT64_MAX);
	step(&w, november + 30 * DAY - 60);
	for (int i = 0; i < 600; i++)
		live(&w, 100, UINT64_MAX);
	assert_true(live(&w, 1000, UINT64_MAX) > 0);
	assert_int_equal(w.month.number, FIRST + DECEMBER);
	/* The wall clock stands still: time passes all the same. */
	for (int i = 0; i < 100; i++) {
		step(&w, november + 40 * DAY);
		assert_true(live(&w, 100, UINT64_MAX) > 0);
	}
}

static void test_random_steps(void **state)
{
	(void)state;
	for (uint32_t run = 100; run < 105; run++) {
		struct world w = {0};

		seed = run;
		start(&w, TIB, january + 100 * DAY);
		for (int i = 0; i < 20000; i++) {
			live(&w, draw(100000), draw(3) ? UINT64_MAX : draw(GIB));
			if (draw(50) == 0)
				step(&w, january + draw(300 * DAY));
			else if (draw(50) == 0)
				step(&w, w.wall_s - draw(2 * DAY));
		}
	}
}

/* ---- another cap ---- */

static void test_lowered(void **state)
{
	struct world w = {0};

	(void)state;
	start(&w, 30 * TIB, november);
	while (w.wall_s < november + 10 * DAY)
		live(&w, 60000, UINT64_MAX);
	for (uint64_t i = 0; i < 24; i++)
		live(&w, HOUR * 1000, 0);
	/* To less than was carried: nothing more this month, and all of it in the next. */
	month_set_cap(&w.month, 5 * TIB);
	assert_int_equal(month_left(&w.month), 0);
	assert_int_equal(month_pace(&w.month, w.wall_s), 0);
	assert_int_equal(month_give(&w.month, UINT64_MAX), 0);
	while (w.wall_s < november + 30 * DAY - 60)
		assert_int_equal(live(&w, 60000, UINT64_MAX), 0);
	w.cap = 5 * TIB;
	w.booked[DECEMBER] = 0;
	while (w.wall_s < november + 32 * DAY)
		live(&w, 60000, UINT64_MAX);
	assert_in_range(w.carried[DECEMBER], TIB / 10, TIB);
	/* To a little more: that, to the byte. */
	month_set_cap(&w.month, w.month.given + 1000);
	w.cap = w.month.given + 1000;
	while (w.wall_s < november + 61 * DAY - 60)
		live(&w, 60000, UINT64_MAX);
	assert_in_range(w.carried[DECEMBER], w.cap - 10, w.cap);
	/* And up again, at once. */
	w.cap = 60 * TIB;
	month_set_cap(&w.month, w.cap);
	assert_true(live(&w, 1000, UINT64_MAX) > 0);
}

/* ---- books ---- */

/* Nothing is given that is not booked, and what was given back can be given again. */
static void test_booked(void **state)
{
	struct month m;

	(void)state;
	month_begin(&m, TIB, january + 15 * DAY);
	assert_int_equal(month_wants(&m, STOCK), 0);
	month_resume(&m, 0, january + 15 * DAY, 0);
	assert_true(m.earned > STOCK);
	assert_int_equal(month_give(&m, UINT64_MAX), 0);
	assert_int_equal(month_wants(&m, STOCK), STOCK);
	m.booked = STOCK;
	assert_int_equal(month_wants(&m, STOCK), 0);
	assert_int_equal(month_give(&m, 1000), 1000);
	assert_int_equal(month_give(&m, UINT64_MAX), STOCK - 1000);
	assert_int_equal(month_give(&m, UINT64_MAX), 0);
	assert_int_equal(month_left(&m), TIB - STOCK);
	month_take_back(&m, 600);
	assert_int_equal(month_left(&m), TIB - STOCK + 600);
	assert_int_equal(month_give(&m, UINT64_MAX), 600);
	/* Near the end no more than is left is wanted. */
	m.booked = m.given = TIB - 10;
	assert_int_equal(month_wants(&m, STOCK), 10);
	m.booked = TIB;
	assert_int_equal(month_wants(&m, STOCK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),       cmocka_unit_test(test_constant_excess),
		cmocka_unit_test(test_reserve),     cmocka_unit_test(test_random_demand),
		cmocka_unit_test(test_mid_month),   cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_clock_steps), cmocka_unit_test(test_random_steps),
		cmocka_unit_test(test_lowered),     cmocka_unit_test(test_booked),
	};

	setenv("TZ", "America/New_York", 1); /* whatever the machine thinks */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
