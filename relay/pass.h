/*
 * Control datagrams between a client and its session's exit, carried by the relay without reading
 * them: the data path's index rule, applied to the control channel's own public header. Own
 * upstream socket in the main thread's event_base, so an exit sees the relay's address alone. Main
 * thread only.
 */
#ifndef RELAY_PASS_H
#define RELAY_PASS_H

#include <event2/event.h>

#include "relay/exits.h"

enum {
	PASS_INDICES = 4,     /* live per session and direction, oldest out */
	PASS_BURST = 64,      /* datagrams a session has carried each way at once ... */
	PASS_PER_SECOND = 32, /* ... and in the long run */
};

#define PASS_COUNTERS(X)   \
	X(sent)            \
	X(received)        \
	X(malformed)       \
	X(wrong_direction) \
	X(bad_mac1)        \
	X(index_taken)     \
	X(unknown_index)   \
	X(rate)            \
	X(exit_refused)    \
	X(unknown_exit)    \
	X(send_failed)

struct pass_counters {
#define X(name) uint64_t name;
	PASS_COUNTERS(X)
#undef X
};

struct pass;

/* A datagram from the session's exit; msg is valid during the call. */
typedef void (*pass_deliver)(void *arg, uint32_t handle, const uint8_t *msg, size_t len);

/* Opens the socket. exits is borrowed. NULL if the socket or memory is not to be had (said by
 * log_warn). */
struct pass *pass_create(struct event_base *base, const struct exits *exits, uint32_t max_sessions,
			 pass_deliver deliver, void *arg);
void pass_destroy(struct pass *p);

/* Carries msg to the exit in slot, or counts why not. */
void pass_send(struct pass *p, uint32_t handle, uint32_t slot, const uint8_t *msg, size_t len,
	       uint64_t now_ms);
/* The session ended: its indices are free again. */
void pass_forget(struct pass *p, uint32_t handle);

const struct pass_counters *pass_counts(const struct pass *p);

#endif
