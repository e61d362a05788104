#include "relay/cap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "relay/month.h"
#include "relay/shaper.h"

enum {
	/* A worker takes a chunk from the pool when it has less than a datagram left, and has not
	 * sent all of what it took. */
	CAP_CHUNK = SHAPER_CHUNK_MAX + UDP_BUFFER,
	CAP_HELD = CAP_CHUNK + UDP_OUT_DATAGRAMS * UDP_BUFFER,
	TICK_MS = 100,
	AGAIN_MS = 1000,    /* between two tries to book */
	SAY_MS = 60 * 1000, /* between two lines on one trouble */
};

struct cap {
	struct rate *rate;
	struct ledger *ledger;
	struct event *tick;
	uint64_t bytes;
	unsigned workers;
	struct month month;
	bool known; /* the ledger has said how much was carried in it */
	bool asking, stopped;
	uint64_t asked_month;
	uint64_t again_ms; /* not before, after an error */
	bool troubled;
	uint64_t said_ms;
	/* In the pool after the last tick; and what of the month before may be carried in this one,
	 * until that is booked here. */
	uint64_t level, over;
};

/* What the workers may have at once, in the pool that they share. */
static uint64_t cap_pool(const struct cap *c)
{
	return c->bytes / CAP_SHARE;
}

/* Each worker holds some that it took from the pool. */
static uint64_t cap_held(const struct cap *c)
{
	return (uint64_t)c->workers * CAP_HELD;
}

/*
 * What workers have at the end of a month they may carry in the next one. That is booked there as
 * soon as it is seen, and room is kept for it in each month in case that a kill comes first.
 */
static uint64_t cap_usable(const struct cap *c)
{
	uint64_t kept = cap_pool(c) + cap_held(c);

	return c->bytes > kept ? c->bytes - kept : 0;
}

static void cap_reclaim(struct cap *c)
{
	month_take_back(&c->month, rate_withdraw(c->rate));
}

/* "2026-12-01" */
static const char *day_text(char out[static 16], uint64_t s)
{
	time_t t = (time_t)s;
	struct tm tm = {0};

	gmtime_r(&t, &tm);
	strftime(out, 16, "%Y-%m-%d", &tm);
	return out;
}

/* The one case in which nothing is carried at all. */
static void say_used_up(const struct cap *c)
{
	char cap[TEXT_UNITS], carried[TEXT_UNITS], day[16];

	if (month_left(&c->month))
		return;
	log_warnx("[Relay] MonthlyCap of %s is not more than what was carried this month (%s): "
		  "nothing is carried before %s; raise it and reload if that is not meant",
		  text_iec(cap, c->bytes), text_iec(carried, c->month.given),
		  day_text(day, c->month.end_s));
}

/* ---- booking ---- */

static void cap_trouble(struct cap *c, int err)
{
	uint64_t now_ms = clock_ms();

	c->again_ms = now_ms + AGAIN_MS;
	c->troubled = true;
	if (c->said_ms && now_ms - c->said_ms < SAY_MS)
		return;
	c->said_ms = now_ms;
	log_warnx("relay: the books do not take more of MonthlyCap (%s): what they have taken is "
		  "carried, and nothing beyond it until they do",
		  strerror(-err));
}

/* Of the new month's row, what was there before is carried, by earlier runs; so is what is over. */
static void cap_know(struct cap *c, const struct ledger_carried *carried)
{
	uint64_t over = carried->booked < c->over ? carried->booked : c->over;

	month_resume(&c->month, carried->total - carried->booked + over, clock_wall(), clock_ms());
	c->month.booked = carried->total;
	c->known = true;
	c->over = 0;
	say_used_up(c);
}

static void gave_back(void *arg, int err, const struct ledger_carried *carried)
{
	(void)arg, (void)carried;
	(void)err; /* then it counts as carried */
}

static void cap_give_back(struct cap *c)
{
	struct ledger_carry carry = {.month = c->month.number};

	cap_reclaim(c);
	if (!c->known || c->month.booked <= c->month.given)
		return;
	carry.less = c->month.booked - c->month.given;
	c->month.booked = c->month.given;
	ledger_carry(c->ledger, &carry, gave_back, c);
}

static void booked(void *arg, int err, const struct ledger_carried *carried)
{
	struct cap *c = arg;

	c->asking = false;
	if (err) {
		cap_trouble(c, err);
		return;
	}
	if (c->troubled)
		log_info("relay: the books take what MonthlyCap allows again");
	c->troubled = false;
	if (carried->booked == 0)
		c->again_ms = clock_ms() + AGAIN_MS;
	/* Of a month that is over: what was booked of it last stays unused. */
	if (c->asked_month != c->month.number)
		return;
	if (!c->known)
		cap_know(c, carried);
	else
		c->month.booked = carried->total;
	if (c->stopped)
		cap_give_back(c);
}

static void cap_ask(struct cap *c, uint64_t more)
{
	const struct ledger_carry carry = {
		.month = c->month.number,
		.more = more,
		.limit = cap_usable(c),
	};

	c->asking = true;
	c->asked_month = carry.month;
	ledger_carry(c->ledger, &carry, booked, c);
}

/* ---- time ---- */

/*
 * What left the pool since the last tick, and what the workers hold, may be carried in this month
 * already.
 */
static void cap_turn(struct cap *c, uint64_t wall_s)
{
	uint64_t given = c->month.given, back;

	cap_give_back(c);
	back = given - c->month.given;
	if (c->known)
		c->over = (c->level > back ? c->level - back : 0) + cap_held(c);
	c->known = false;
	c->level = 0;
	c->again_ms = 0;
	month_begin(&c->month, cap_usable(c), wall_s);
}

static void cap_give(struct cap *c)
{
	uint64_t pool = cap_pool(c), level = rate_left(c->rate), bytes;

	bytes = month_give(&c->month, pool > level ? pool - level : 0);
	if (bytes)
		rate_allow(c->rate, bytes);
	c->level = level + bytes;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct cap *c = arg;
	uint64_t wall_s = clock_wall(), now_ms = clock_ms(), wants;

	(void)fd, (void)what;
	if (month_over(&c->month, wall_s))
		cap_turn(c, wall_s);
	if (c->known) {
		month_pass(&c->month, wall_s, now_ms);
		cap_give(c);
	}
	wants = c->known ? month_wants(&c->month, cap_pool(c)) : c->over + cap_pool(c);
	if (wants && !c->asking && now_ms >= c->again_ms)
		cap_ask(c, wants);
}

/* ---- life ---- */

struct cap *cap_create(const struct cap_config *config, struct rate *rate, struct ledger *ledger,
		       struct event_base *base)
{
	const struct timeval every = {.tv_usec = TICK_MS * 1000};
	struct cap *c = xcalloc(1, sizeof(*c));

	c->rate = rate;
	c->ledger = ledger;
	c->bytes = config->bytes;
	c->workers = config->workers;
	c->tick = event_new(base, -1, EV_PERSIST, on_tick, c);
	if (!c->tick || event_add(c->tick, &every) < 0) {
		cap_destroy(c);
		return NULL;
	}
	rate_bound(rate);
	cap_turn(c, clock_wall());
	on_tick(-1, 0, c);
	return c;
}

void cap_destroy(struct cap *c)
{
	if (!c)
		return;
	if (c->tick)
		event_free(c->tick);
	free(c);
}

void cap_set(struct cap *c, uint64_t bytes)
{
	uint64_t wall_s = clock_wall();

	if (month_over(&c->month, wall_s))
		cap_turn(c, wall_s);
	c->bytes = bytes;
	month_set_cap(&c->month, cap_usable(c));
	if (!c->known)
		return;
	cap_reclaim(c);
	c->level = 0;
	say_used_up(c);
}

void cap_stop(struct cap *c)
{
	event_del(c->tick);
	c->stopped = true;
	if (!c->asking)
		cap_give_back(c);
}

void cap_status(const struct cap *c, struct cap_status *out)
{
	const struct month *m = &c->month;
	uint64_t level = rate_left(c->rate);

	*out = (struct cap_status){
		.bytes = c->bytes,
		.begin_s = m->begin_s,
		.end_s = m->end_s,
		.waiting = c->troubled || !c->known,
	};
	if (!c->known)
		return;
	out->carried = m->given > level ? m->given - level : 0;
	out->reserve = m->earned + level;
	out->rate = month_pace(m, clock_wall());
}
