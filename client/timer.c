#include "client/timer.h"

#include <sys/time.h>

#include "base/log.h"

struct event *timer_new(struct event_base *base, event_callback_fn run, void *arg)
{
	struct event *timer = event_new(base, -1, 0, run, arg);

	if (!timer)
		fatalx("out of memory for a timer");
	return timer;
}

void timer_set(struct event *timer, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	if (event_add(timer, &tv) < 0)
		fatalx("out of memory for a timer");
}

void timer_stop(struct event *timer)
{
	event_del(timer);
}

bool timer_running(const struct event *timer)
{
	return event_pending(timer, EV_TIMEOUT, NULL) != 0;
}
