/*
 * One datagram's whole journey, as one worker sees it: whose is it, may it pass, where to, and
 * after the kernel had it: was it sent. Knows no socket and no clock. One thread at a time.
 */
#ifndef RELAY_FORWARD_H
#define RELAY_FORWARD_H

#include "relay/session.h"

enum {
	FORWARD_UNANSWERED_MAX = 8, /* initiations of a session in one period that nobody answers */
};

struct forward_exit {
	struct plane_exit exit;
	bool usable; /* it has an address, and that may be sent to */
	struct udp_lane lane;
};

struct forward {
	struct sessions *sessions;
	struct forward_exit *exits;
	uint32_t max_exits;
	struct table *exit_slots; /* by the address of usable exits */
	struct ranges allow;
	uint32_t period; /* counts forward_tick */
	uint32_t recent; /* the slot of the exit that was found or set last */
	struct relay_counters counters;
};

/*
 * A datagram that may pass: send data and len of its datagram to `to`, then say how it went. `to`
 * and `lane` are its exit's or its session's own: good as long as that is there.
 */
struct passage {
	struct session *session;
	struct udp_lane *lane;
	const struct net_addr *to;
	uint32_t len, billed; /* billed: what of len the session pays for */
	uint32_t index;       /* of what is not billed, an initiation: its sender */
};

/* slots, which other workers share, outlive it. 0 or -ENOMEM. */
MUST_CHECK int forward_init(struct forward *f, struct slots *slots, uint32_t max_exits,
			    const struct ranges *allow);
void forward_wipe(struct forward *f);

/* Sets a slot (below max_exits); port 0 empties it. Here its address is judged, for each send. */
void forward_set_exit(struct forward *f, uint32_t slot, const struct plane_exit *exit);

/*
 * A new period: each session may send so many initiations again that nobody answers. They are
 * billed only with their answer, for anybody who knows an exit's key and can fake a client's
 * address can make them; and what is carried for nothing is bounded.
 */
void forward_tick(struct forward *f);

/* True for a datagram of the control channel or BIND, which the data path does not carry. */
MUST_CHECK bool forward_is_control(const struct datagram *d);

/*
 * Has memory fetch what judging these will look at, so that it waits for all of them at once; a few
 * dozen at a time, lest the first be gone when their turn comes. May be left out.
 */
void forward_prefetch(const struct forward *f, enum relay_direction direction, struct datagram *d,
		      unsigned count);

/*
 * Counts a datagram in, from the public socket (up) or the upstream socket (down), and judges it.
 * True: its bytes are reserved in the session's window, `out` says where to send it, and
 * forward_sent must follow before the session is touched otherwise. False: dropped and counted.
 */
MUST_CHECK bool forward_up(struct forward *f, const struct datagram *d, struct passage *out);
MUST_CHECK bool forward_down(struct forward *f, const struct datagram *d, struct passage *out);

/* Counts it out, or gives its bytes back to the window and drops it as send_failed. */
void forward_sent(struct forward *f, enum relay_direction direction, const struct passage *p,
		  bool ok);

/*
 * For what waits between the two. forward_queue, instead of forward_sent: its bytes stay reserved,
 * but are not used. Later either forward_dequeue: as after forward_up or forward_down, false if its
 * exit is gone meanwhile (dropped and counted); or forward_unqueue: dropped as queue.
 */
void forward_queue(struct forward *f, enum relay_direction direction, const struct passage *p);
MUST_CHECK bool forward_dequeue(struct forward *f, enum relay_direction direction,
				const struct passage *p);
void forward_unqueue(struct forward *f, enum relay_direction direction, const struct passage *p);

#endif
