/* Threads that stay on a processor of their own, where that is allowed. */
#ifndef RELAY_PIN_H
#define RELAY_PIN_H

#include <pthread.h>

#include "base/base.h"

/*
 * Binds a thread, one of `count` numbered from 0, to its own of the processors the process may use.
 * False, and all is as before, if those are not just as many as threads, or if it is refused: with
 * fewer threads there is a choice, and the scheduler, who knows what else runs, chooses better.
 */
MUST_CHECK bool pin_thread(pthread_t thread, unsigned number, unsigned count);

#endif
