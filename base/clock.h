/* Time. Timers and rates use the monotonic clock; wall time only ever appears inside signed
 * records. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

/* CLOCK_BOOTTIME in milliseconds: does not jump, counts suspend. Any thread. */
uint64_t clock_ms(void);

/* CLOCK_MONOTONIC in nanoseconds: what a timerfd of that clock counts. Any thread. */
uint64_t clock_ns(void);

/* Wall clock: seconds since 1970 UTC. Any thread. */
uint64_t clock_wall(void);

/* Wall clock in nanoseconds since 1970 UTC, for handshake timestamps. Any thread. */
uint64_t clock_wall_ns(void);

#endif
