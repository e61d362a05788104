/*
 * Every datagram that enters the data path leaves it or is counted here by name:
 * in = out + sum(drops) + queued, in packets and in bytes, exactly, per direction.
 */
#ifndef RELAY_DROPS_H
#define RELAY_DROPS_H

#include <stdint.h>

#define RELAY_DROPS(X)                                                                             \
	X(malformed, "no WireGuard datagram of right type and length")                             \
	X(unknown_client, "from an address no session is bound to")                                \
	X(unknown_exit, "to the upstream socket, from an address that is no exit")                 \
	X(bad_mac1, "an initiation whose mac1 is not for the session's exit")                      \
	X(wrong_direction, "a type that this direction does not carry")                            \
	X(unknown_index, "a receiver index the other side did not announce to this session")       \
	X(index_taken, "an initiation with a sender index another session towards this exit uses") \
	X(initiation_flood, "an initiation while too many of its session are unanswered")          \
	X(exit_initiation, "an initiation from an exit: it names no session")                      \
	X(window, "beyond the credit window")                                                      \
	X(exit_refused, "the exit's address is gone or may not be sent to")                        \
	X(send_failed, "the kernel did not take it")                                               \
	X(truncated, "longer than any datagram the relay carries")                                 \
	X(queue, "waited too long for Rate or PeerRate, or others needed the room more")

enum relay_drop {
#define X(name, text) DROP_##name,
	RELAY_DROPS(X)
#undef X
	DROP_COUNT,
};

enum relay_direction {
	DIRECTION_UP, /* client -> exit */
	DIRECTION_DOWN,
	DIRECTION_COUNT,
};

struct relay_tally {
	uint64_t packets, bytes;
};

/* Control datagrams are outside the balance: they are counted as control_in and are not data;
 * control_malformed of them have no such type's length, control_lost found the main thread too far
 * behind. Messages are what the kernel was handed and handed over: of one datagram, or of several
 * where it joins and cuts them. */
struct relay_counters {
	struct relay_tally in[DIRECTION_COUNT], out[DIRECTION_COUNT];
	struct relay_tally drop[DIRECTION_COUNT][DROP_COUNT];
	/* What waits for Rate or PeerRate just now: no sum over time, but what is there. */
	struct relay_tally queued[DIRECTION_COUNT];
	/* Initiations that went out and are billed to nobody, as no exit answered them (yet). */
	struct relay_tally unanswered;
	uint64_t control_in, control_malformed, control_lost;
	uint64_t messages_in, messages_out;
	uint64_t offload_refused; /* destinations whose path refused a message of several */
};

extern const char *const relay_drop_names[DROP_COUNT];
extern const char *const relay_drop_texts[DROP_COUNT];

#endif
