/*
 * The end of the relay, of a hundred thousand sessions if need be. Bounded numbers of them are
 * under way at any time, to their workers and then to the ledger, so that the loop stays free for
 * signatures and nothing piles up. However late they come, the workers' last words are waited for:
 * only then does the ledger hear final counters. Signatures are waited for a moment only.
 */
#include <errno.h>

#include "base/clock.h"
#include "relay/core.h"

enum {
	STOP_MS = 2000,    /* how long the last receipts may wait for signatures */
	LEAVING_MAX = 256, /* sessions on their way off a worker */
	CLOSING_MAX = 512, /* in the ledger's hands: some batches of its */
};

/* True once all are off their workers. */
static bool end_more(struct relay *r)
{
	struct relay_session *s = NULL;

	plane_hold(r->plane);
	while (r->leaving < LEAVING_MAX && (s = registry_next(r->registry, r->stop.at))) {
		r->stop.at = s;
		ending_begin(r, s, CLOSE_STOPPING, NULL);
	}
	plane_release(r->plane);
	return !s && r->leaving == 0;
}

/* True once the ledger has answered for all. What it could not write it does by itself. */
static bool close_more(struct relay *r)
{
	struct relay_session *s = NULL;

	while (r->closing < CLOSING_MAX && (s = registry_next(r->registry, r->stop.at))) {
		r->stop.at = s;
		ending_close(r, s);
	}
	return !s && !r->calls;
}

static void finish(struct relay *r)
{
	r->stop.stage = STOP_DONE;
	if (r->cap)
		cap_stop(r->cap);
	if (r->stop.done)
		r->stop.done(r->stop.arg);
}

/* An event that is made active forgets its time. */
static void look_again_in_time(struct relay *r)
{
	uint64_t now_ms = clock_ms(), until_ms = r->stop.until_ms;
	uint64_t left = until_ms > now_ms ? until_ms - now_ms : 0;
	const struct timeval wait = {.tv_sec = (time_t)(left / 1000),
				     .tv_usec = (suseconds_t)(left % 1000 * 1000)};

	event_add(r->stop.event, &wait);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;
	bool over = clock_ms() >= r->stop.until_ms;

	(void)fd;
	(void)what;
	if (r->stop.stage == STOP_ENDING && end_more(r))
		r->stop.stage = STOP_SIGNING;
	if (r->stop.stage == STOP_SIGNING && over) {
		r->stop.stage = STOP_CLOSING;
		r->stop.at = NULL;
	}
	if ((r->stop.stage == STOP_CLOSING && close_more(r)) ||
	    (r->stop.stage == STOP_SIGNING && registry_count(r->registry) == 0))
		finish(r);
	if (r->stop.stage == STOP_SIGNING)
		look_again_in_time(r);
}

int stopping_create(struct relay *r)
{
	r->stop.event = event_new(r->base, -1, 0, on_turn, r);
	return r->stop.event ? 0 : -ENOMEM;
}

void stopping_destroy(struct relay *r)
{
	r->stop.stage = STOP_DONE;
	if (r->stop.event)
		event_free(r->stop.event);
}

void stopping_check(struct relay *r)
{
	if (r->stop.stage != STOP_NOT && r->stop.stage != STOP_DONE)
		event_active(r->stop.event, EV_TIMEOUT, 0);
}

void relay_stop(struct relay *r, void (*done)(void *arg), void *arg)
{
	r->stop.stage = STOP_ENDING;
	r->stop.until_ms = clock_ms() + STOP_MS;
	r->stop.done = done;
	r->stop.arg = arg;
	(void)end_more(r);
	stopping_check(r);
}
