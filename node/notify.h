/*
 * What systemd wants to know of a service (sd_notify(3)), over its socket, without its library.
 * Does nothing when not run by it. Main thread only.
 */
#ifndef NODE_NOTIFY_H
#define NODE_NOTIFY_H

#include "base/base.h"

/* Lines such as "READY=1\nSTATUS=relay on UDP port 51820". Waits up to a second while its
 * queue is full; what is lost then is systemd's affair. */
void notify_send(const char *lines);

/* Asks for time to read so many bytes from a slow disk (8 MB a second) before systemd thinks that
 * the start hangs. */
void notify_reading(uint64_t bytes);

/* How often systemd wants to hear "WATCHDOG=1", in microseconds; 0: never. */
uint64_t notify_watchdog_us(void);

#endif
