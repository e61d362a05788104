#include "relay/month.h"

#include <time.h>

enum {
	DAY_S = 24 * 3600,
	PART_BITS = 20,
};
#define PASS_MAX_MS (UINT64_C(1) << 32) /* longer than a month; no product overflows */

typedef unsigned __int128 wide;

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of bytes spread evenly over whole, what part of it gets. part <= whole, whole > 0. */
static uint64_t share(uint64_t bytes, uint64_t part, uint64_t whole)
{
	return (uint64_t)((wide)bytes * part / whole);
}

/* When the month begins that is so many months after that of wall_s. */
static uint64_t month_edge(uint64_t wall_s, int later, uint64_t *number)
{
	time_t t = (time_t)wall_s;
	struct tm tm = {0};

	gmtime_r(&t, &tm);
	*number = 12 * (uint64_t)(tm.tm_year + 1900) + (uint64_t)tm.tm_mon;
	tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + later, .tm_mday = 1};
	return (uint64_t)timegm(&tm);
}

/* Until month_over is asked again, the clock may have left the month. */
static uint64_t seconds_left(const struct month *m, uint64_t wall_s)
{
	return wall_s < m->end_s ? m->end_s - wall_s : 1;
}

/* What one day of those that are left earns if nothing is used; near the end half of what is left,
 * so that a burst never leaves the rest of the month with nothing. */
static uint64_t reserve(const struct month *m, uint64_t wall_s)
{
	uint64_t left_s = seconds_left(m, wall_s);

	return share(month_left(m), least(2 * DAY_S, left_s), 2 * left_s);
}

void month_begin(struct month *m, uint64_t cap, uint64_t wall_s)
{
	uint64_t number;

	*m = (struct month){.cap = cap, .booked = cap, .given = cap};
	m->begin_s = month_edge(wall_s, 0, &m->number);
	m->end_s = month_edge(wall_s, 1, &number);
}

void month_resume(struct month *m, uint64_t given, uint64_t wall_s, uint64_t now_ms)
{
	uint64_t length_s = m->end_s - m->begin_s;
	uint64_t passed_s = wall_s > m->begin_s ? least(wall_s - m->begin_s, length_s) : 0;
	uint64_t even = share(m->cap, passed_s, length_s);

	m->booked = m->given = given;
	m->seen_ms = now_ms;
	m->earned = least(even > given ? even - given : 0, reserve(m, wall_s));
}

bool month_over(const struct month *m, uint64_t wall_s)
{
	return wall_s >= m->end_s || wall_s < m->begin_s;
}

void month_pass(struct month *m, uint64_t wall_s, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms > m->seen_ms ? least(now_ms - m->seen_ms, PASS_MAX_MS) : 0;
	uint64_t whole_ms = passed_ms + 1000 * seconds_left(m, wall_s);
	uint64_t rest = month_left(m) - m->earned;
	wide more = (((wide)rest * passed_ms) << PART_BITS) / whole_ms + m->part;

	m->seen_ms = now_ms;
	m->part = (uint32_t)(more & ((1u << PART_BITS) - 1));
	m->earned += least(rest, (uint64_t)(more >> PART_BITS));
	m->earned = least(m->earned, reserve(m, wall_s));
}

void month_set_cap(struct month *m, uint64_t cap)
{
	m->cap = cap;
	m->earned = least(m->earned, month_left(m));
}

uint64_t month_left(const struct month *m)
{
	return m->cap > m->given ? m->cap - m->given : 0;
}

static uint64_t month_stock(const struct month *m)
{
	return m->booked > m->given ? m->booked - m->given : 0;
}

uint64_t month_wants(const struct month *m, uint64_t stock)
{
	uint64_t have = month_stock(m), left = month_left(m);

	if (have > stock / 2 || have >= left)
		return 0;
	return least(stock, left) - have;
}

uint64_t month_give(struct month *m, uint64_t room)
{
	uint64_t bytes = least(least(m->earned, month_stock(m)), room);

	m->earned -= bytes;
	m->given += bytes;
	return bytes;
}

void month_take_back(struct month *m, uint64_t bytes)
{
	bytes = least(bytes, m->given);
	m->given -= bytes;
	m->earned = least(m->earned + bytes, month_left(m));
}

uint64_t month_pace(const struct month *m, uint64_t wall_s)
{
	return month_left(m) / seconds_left(m, wall_s);
}
