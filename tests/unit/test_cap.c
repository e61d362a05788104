/* MonthlyCap between its books and its workers: whatever is killed, full, late or set back, no
 * calendar month carries more, and what the workers have is durable. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "relay/cap.c"

#define GIB UINT64_C(0x40000000)
#define DAY UINT64_C(86400)

static const uint64_t november = UINT64_C(1793491200);
enum {
	FIRST = 12 * 2026,
	NOVEMBER = 10, /* counted from there */
	DECEMBER = 11,
	MONTHS = 24,
	WORKERS = 2,
	ASKED = 16,
};

/* A question to the ledger on its way. */
struct asked {
	struct ledger_carry carry;
	ledger_has_carried done;
	void *arg;
};

static struct {
	struct event_base *base;
	struct rate *rate;
	struct cap *cap;
	uint64_t bytes; /* MonthlyCap */
	uint64_t wall_ms, now_ms;
	/* the books */
	uint64_t row[MONTHS];
	struct asked asked[ASKED];
	unsigned waiting, questions, commits;
	int err; /* of every question */
	/* the workers */
	uint64_t held[WORKERS];
	uint64_t carried[MONTHS];
} w;

static uint32_t seed;

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t draw(uint64_t below)
{
	seed = seed * 1664525 + 1013904223;
	return ((uint64_t)seed << 16 ^ seed >> 8) % below;
}

uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return w.now_ms;
}

uint64_t __wrap_clock_wall(void);
uint64_t __wrap_clock_wall(void)
{
	return w.wall_ms / 1000;
}

void __wrap_ledger_carry(struct ledger *l, const struct ledger_carry *c, ledger_has_carried done,
			 void *arg);
void __wrap_ledger_carry(struct ledger *l, const struct ledger_carry *c, ledger_has_carried done,
			 void *arg)
{
	(void)l;
	assert_true(w.waiting < ASKED);
	w.questions++;
	w.asked[w.waiting++] = (struct asked){*c, done, arg};
}

/* As accounting/carried.c. */
static void book(const struct ledger_carry *c, struct ledger_carried *out)
{
	uint64_t *row = &w.row[c->month - FIRST];
	uint64_t room;

	assert_in_range(c->month, FIRST, FIRST + MONTHS - 1);
	assert_true(c->less <= *row);
	*row -= c->less;
	room = c->limit > *row ? c->limit - *row : 0;
	out->booked = c->more < room ? c->more : room;
	*row += out->booked;
	out->total = *row;
	w.commits++;
}

static void books_answer(void)
{
	struct asked all[ASKED];
	unsigned count = w.waiting;

	memcpy(all, w.asked, sizeof(all));
	w.waiting = 0;
	for (unsigned i = 0; i < count; i++) {
		struct ledger_carried carried;

		if (!w.err)
			book(&all[i].carry, &carried);
		all[i].done(all[i].arg, w.err, w.err ? NULL : &carried);
	}
}

/* ---- a relay ---- */

static unsigned calendar(void)
{
	struct month m;

	month_begin(&m, 0, w.wall_ms / 1000);
	assert_in_range(m.number, FIRST, FIRST + MONTHS - 1);
	return (unsigned)(m.number - FIRST);
}

static void start(void)
{
	const struct cap_config config = {.bytes = w.bytes, .workers = WORKERS};

	rate_init(w.rate, RATE_UNLIMITED, 0, 0);
	w.cap = cap_create(&config, w.rate, NULL, w.base);
	assert_non_null(w.cap);
}

/* Nothing is said any more: what is on its way to the books may get there or not. */
static void killed(bool booked)
{
	struct ledger_carried carried;

	for (unsigned i = 0; booked && i < w.waiting; i++)
		book(&w.asked[i].carry, &carried);
	w.waiting = 0;
	memset(w.held, 0, sizeof(w.held));
	cap_destroy(w.cap);
	w.cap = NULL;
}

static void stopped(void)
{
	cap_stop(w.cap);
	books_answer();
	books_answer();
	killed(false);
}

/* Workers carry up to bytes; how many it were. */
static uint64_t carry(uint64_t bytes)
{
	uint64_t sum = 0, n;
	unsigned idle = 0;

	for (unsigned i = 0; sum < bytes && idle < WORKERS; i++) {
		uint64_t *held = &w.held[i % WORKERS];

		if (!*held)
			*held = rate_take(w.rate, 0, 1, CAP_HELD);
		idle = *held ? 0 : idle + 1;
		n = least_of(*held, bytes - sum);
		*held -= n;
		sum += n;
	}
	w.carried[calendar()] += sum;
	return sum;
}

static void pass(uint64_t ms)
{
	w.now_ms += ms;
	w.wall_ms += ms;
}

/* A turn of the main loop, up to bytes carried before and after. */
static uint64_t turn(uint64_t ms, uint64_t bytes)
{
	uint64_t sum;

	pass(ms);
	sum = carry(bytes / 2);
	on_tick(-1, 0, w.cap);
	books_answer();
	return sum + carry(bytes - sum);
}

static uint64_t in_hands(void)
{
	return w.held[0] + w.held[1];
}

/* What status says was carried, which is what is booked but for the stock. */
static uint64_t known(void)
{
	struct cap_status s;

	cap_status(w.cap, &s);
	return s.carried;
}

static void check(void)
{
	for (unsigned i = 0; i < MONTHS; i++)
		assert_true(w.carried[i] <= w.bytes);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.base = event_base_new();
	w.rate = aligned_alloc(64, sizeof(*w.rate));
	w.bytes = 1024 * GIB;
	w.wall_ms = 1000 * (november + 10 * DAY);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cap_destroy(w.cap);
	free(w.rate);
	event_base_free(w.base);
	return 0;
}

/* ---- booked before it is used ---- */

static void test_booked_first(void **state)
{
	struct cap_status s;

	(void)state;
	start();
	assert_int_equal(carry(UINT64_MAX), 0);
	cap_status(w.cap, &s);
	assert_true(s.waiting && s.carried == 0 && s.bytes == w.bytes);
	books_answer();
	assert_int_equal(carry(UINT64_MAX), 0); /* given with the next tick */
	assert_true(turn(100, UINT64_MAX) > 0);
	for (int i = 0; i < 1000; i++) {
		/* The answer to the question of this tick is a tick late. */
		pass(100);
		on_tick(-1, 0, w.cap);
		carry(UINT64_MAX);
		assert_true(w.carried[NOVEMBER] + in_hands() <= w.row[NOVEMBER]);
		books_answer();
	}
	cap_status(w.cap, &s);
	assert_false(s.waiting);
	assert_int_equal(s.carried, w.carried[NOVEMBER] + in_hands());
	assert_true(s.begin_s == november && s.end_s == november + 30 * DAY);
	assert_in_range(s.rate, s.bytes / (30 * DAY), s.bytes / (19 * DAY));
	/* What a kill loses. */
	assert_true(w.row[NOVEMBER] - w.carried[NOVEMBER] <= w.bytes / 1000);
}

/* Long paces cost few commits. */
static void test_commits(void **state)
{
	(void)state;
	start();
	books_answer();
	while (turn(100, UINT64_MAX) > GIB / 1024)
		continue;
	w.commits = 0;
	for (int i = 0; i < 36000; i++)
		assert_true(turn(100, UINT64_MAX) > 0);
	assert_in_range(w.commits, 1, 10);
}

static void test_given_back(void **state)
{
	(void)state;
	start();
	books_answer();
	for (int i = 0; i < 100; i++)
		turn(100, 1000000);
	stopped();
	assert_in_range(w.row[NOVEMBER] - w.carried[NOVEMBER], 0, WORKERS * CAP_HELD);
	/* With a question on its way: its answer gives back. */
	start();
	books_answer();
	turn(100, UINT64_MAX);
	pass(100);
	on_tick(-1, 0, w.cap);
	assert_int_equal(w.waiting, 1);
	stopped();
	assert_in_range(w.row[NOVEMBER] - w.carried[NOVEMBER], 0, 2 * WORKERS * CAP_HELD);
	/* Before the first answer, too. */
	start();
	stopped();
	assert_in_range(w.row[NOVEMBER] - w.carried[NOVEMBER], 0, 2 * WORKERS * CAP_HELD);
}

/* ---- books that do not take it ---- */

static char said[4096];

static unsigned lines_of(int fd)
{
	ssize_t n = pread(fd, said, sizeof(said) - 1, 0);
	unsigned lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += said[i] == '\n';
	said[n < 0 ? 0 : n] = '\0';
	return lines;
}

static void test_full_disk(void **state)
{
	FILE *log = tmpfile();
	int before = dup(STDERR_FILENO);
	uint64_t booked, carried = 0;
	unsigned lines;
	struct cap_status s;

	(void)state;
	start();
	books_answer();
	turn(100, 0);
	w.err = -ENOSPC;
	booked = w.row[NOVEMBER];
	fflush(stderr);
	dup2(fileno(log), STDERR_FILENO);
	w.questions = 0;
	for (int i = 0; i < 1790; i++)
		carried += turn(100, GIB / 1024);
	cap_status(w.cap, &s);
	dup2(before, STDERR_FILENO);
	lines = lines_of(fileno(log));
	/* What was booked is carried, to the last byte. */
	assert_int_equal(carried + in_hands(), booked);
	assert_int_equal(w.row[NOVEMBER], booked);
	assert_true(s.waiting);
	assert_int_equal(lines, 3);
	assert_in_range(w.questions, 100, 180);
	assert_non_null(strstr(said, strerror(ENOSPC)));
	w.err = 0;
	for (int i = 0; i < 11; i++)
		turn(100, 0);
	assert_true(turn(100, UINT64_MAX) > 0);
	cap_status(w.cap, &s);
	assert_false(s.waiting);
	close(before);
	fclose(log);
}

/* ---- the end of a month ---- */

static void to_the_end(uint64_t before_ms)
{
	w.wall_ms = 1000 * (november + 30 * DAY) - before_ms;
}

/* Full speed over the border, by ticks that come late; both months to the byte. */
static void test_border(void **state)
{
	(void)state;
	for (uint64_t late = 1; late < 3000; late += 97) {
		memset(w.carried, 0, sizeof(w.carried));
		memset(w.row, 0, sizeof(w.row));
		w.row[NOVEMBER] = w.carried[NOVEMBER] = w.bytes / 2;
		to_the_end(60000);
		start();
		books_answer();
		while (w.wall_ms < 1000 * (november + 30 * DAY) - 1000)
			turn(100, UINT64_MAX);
		/* Nobody looks while the month ends, with a full pool and something in hand. */
		turn(100, 0);
		assert_int_equal(carry(1), 1);
		turn(100, 0);
		pass(1000 + late);
		assert_true(carry(UINT64_MAX) > cap_pool(w.cap) / 2);
		for (int i = 0; i < 100; i++)
			turn(100, UINT64_MAX);
		/* What may have been carried in December is booked there. */
		assert_true(known() <= w.row[DECEMBER]);
		assert_in_range(w.carried[DECEMBER] + in_hands(), 1, known());
		check();
		killed(late & 1);
	}
}

/* The books answer what was asked in the old month when it is the new one. */
static void test_late_answer(void **state)
{
	(void)state;
	to_the_end(200);
	w.row[NOVEMBER] = w.carried[NOVEMBER] = w.bytes / 100 * 97;
	start();
	pass(300);
	on_tick(-1, 0, w.cap);
	assert_int_equal(w.waiting, 1);
	for (int i = 0; i < 20; i++)
		turn(100, 0);
	assert_true(turn(100, UINT64_MAX) > 0);
	assert_true(known() <= w.row[DECEMBER]);
	assert_in_range(w.carried[DECEMBER] + in_hands(), 1, known());
	assert_in_range(known(), 1, w.bytes / 100);
	check();
}

/* Killed just as the new month begins, with the rest of the old one in hand, before anything is
 * booked; then all of the new month used. */
static void test_killed_at_border(void **state)
{
	(void)state;
	to_the_end(60000);
	start();
	books_answer();
	while (w.wall_ms < 1000 * (november + 30 * DAY) - 100)
		turn(100, 0);
	pass(101);
	assert_true(carry(UINT64_MAX) > 0);
	killed(false);
	w.wall_ms += 1000 * 30 * DAY;
	start();
	books_answer();
	while (w.wall_ms < 1000 * (november + 61 * DAY) - 100)
		turn(3000, UINT64_MAX);
	assert_true(w.carried[DECEMBER] >= w.bytes / 100 * 95);
	check();
}

/* Kills, clean ends, full disks, late answers, clocks that are set: for months. */
static void test_worlds(void **state)
{
	(void)state;
	for (uint32_t run = 1; run <= 20; run++) {
		seed = run;
		memset(w.carried, 0, sizeof(w.carried));
		memset(w.row, 0, sizeof(w.row));
		w.bytes = GIB << draw(12);
		w.wall_ms = 1000 * (november + draw(25 * DAY));
		w.err = 0;
		start();
		while (w.wall_ms < 1000 * (november + 80 * DAY)) {
			uint64_t ms = draw(4) ? 100 + draw(5000) : draw(20 * 60000);

			if (draw(3))
				turn(ms, draw(3) ? UINT64_MAX : draw(GIB));
			else
				pass(ms), carry(UINT64_MAX), on_tick(-1, 0, w.cap);
			w.err = draw(40) ? 0 : -ENOSPC;
			if (draw(3000) == 0)
				killed(draw(2)), start();
			if (draw(3000) == 0)
				stopped(), start();
			/* NTP; its worst is a day. */
			if (draw(3000) == 0)
				w.wall_ms += draw(DAY * 1000);
			else if (draw(3000) == 0)
				w.wall_ms -= draw(DAY * 1000);
			check();
		}
		killed(false);
	}
}

/* ---- another cap ---- */

static void test_reload(void **state)
{
	uint64_t carried, before;
	struct cap_status s;

	(void)state;
	start();
	books_answer();
	for (int i = 0; i < 100; i++)
		turn(100, UINT64_MAX);
	carried = w.carried[NOVEMBER];
	assert_true(carried > 10 * GIB);
	/* Below what was carried: not a byte more, and it is said. */
	memset(w.held, 0, sizeof(w.held));
	w.bytes = 5 * GIB;
	cap_set(w.cap, w.bytes);
	for (int i = 0; i < 100; i++)
		assert_int_equal(turn(100000, UINT64_MAX), 0);
	cap_status(w.cap, &s);
	assert_true(s.carried > s.bytes && s.rate == 0 && s.reserve == 0);
	/* After a new start, too. */
	stopped();
	start();
	books_answer();
	assert_int_equal(turn(100, UINT64_MAX), 0);
	/* Up again: at once. */
	before = w.row[NOVEMBER];
	cap_set(w.cap, 2048 * GIB);
	w.bytes = 2048 * GIB;
	for (int i = 0; i < 20; i++)
		turn(100, 0);
	assert_true(turn(100, UINT64_MAX) > 0);
	assert_true(w.row[NOVEMBER] > before);
	/* To a little more than that: that much. */
	w.bytes = w.carried[NOVEMBER] + 2 * GIB;
	cap_set(w.cap, w.bytes);
	while (w.wall_ms < 1000 * (november + 30 * DAY) - 1000)
		turn(1000, UINT64_MAX);
	check();
	assert_true(w.carried[NOVEMBER] > w.bytes - GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_booked_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_border, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_border, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worlds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
	};

	log_init("test", LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
