/*
 * The pace of a month: what is left of its cap, spread over what is left of its time. What is
 * earned and not used is kept for peak hours, up to what a day earns and to half of all that is
 * left; beyond that it goes back, and the pace of the days to come is faster. Seconds since 1970
 * say which month it is and how long it lasts; only the monotonic clock earns. Pure, integers only.
 *
 * cap = given (to those who carry) + earned (to be given on demand) + to be earned. Booked is what
 * is durable of them: nothing is given that is not booked.
 */
#ifndef RELAY_MONTH_H
#define RELAY_MONTH_H

#include "base/base.h"

struct month {
	uint64_t number;         /* 12 * year + 0..11 */
	uint64_t begin_s, end_s; /* seconds since 1970, UTC */
	uint64_t cap;
	uint64_t booked, given, earned;
	uint32_t part;    /* of the next byte to be earned, in 2^-20 */
	uint64_t seen_ms; /* monotonic: until when it has earned */
};

/* The month of wall_s. Nothing is left of it until month_resume. */
void month_begin(struct month *m, uint64_t cap, uint64_t wall_s);
/*
 * So much of it was given already, by earlier runs. At first as much is earned as an even pace
 * since its begin would have left over, up to what a day earns: so whoever starts again and again
 * is never ahead of that pace.
 */
void month_resume(struct month *m, uint64_t given, uint64_t wall_s, uint64_t now_ms);

/* True if wall_s lies in another month, later or, after the clock was set back, earlier: begin that
 * one, with what was given in it so far. */
MUST_CHECK bool month_over(const struct month *m, uint64_t wall_s);

/* Earns for the time since it was last called. Clocks that were set change the pace, not the cap.
 */
void month_pass(struct month *m, uint64_t wall_s, uint64_t now_ms);

/* Another cap; less than what was given: nothing more is, in this month. */
void month_set_cap(struct month *m, uint64_t cap);

/* What can be booked, so that stock bytes can be given beyond what was given; 0 while more than
 * half of that is there. */
uint64_t month_wants(const struct month *m, uint64_t stock);
/* Gives up to room bytes: how many. */
MUST_CHECK uint64_t month_give(struct month *m, uint64_t room);
/* What was given and not carried is earned again. */
void month_take_back(struct month *m, uint64_t bytes);

/* What is not given, and never negative. */
uint64_t month_left(const struct month *m);
/* Bytes a second that use up all that is left by its end. */
uint64_t month_pace(const struct month *m, uint64_t wall_s);

#endif
