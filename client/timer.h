/* One-shot timers in milliseconds on libevent. Main thread only. */
#ifndef CLIENT_TIMER_H
#define CLIENT_TIMER_H

#include <event2/event.h>

#include "base/base.h"

/* Not yet running; fatal when there is no memory. Freed with event_free. */
struct event *timer_new(struct event_base *base, event_callback_fn run, void *arg);
/* Runs once in ms milliseconds, whatever it was set to before. */
void timer_set(struct event *timer, uint64_t ms);
void timer_stop(struct event *timer);
bool timer_running(const struct event *timer);

#endif
