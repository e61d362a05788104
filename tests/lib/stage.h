/*
 * A data plane on loopback with clients and exits that are sockets of the test's own thread: what
 * the sockets saw can be held against what the workers say they did. Asserts by cmocka.
 */
#ifndef TESTS_LIB_STAGE_H
#define TESTS_LIB_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/messages.h"
#include "relay/plane.h"

enum {
	STAGE_EXITS = 2,
	STAGE_CLIENTS = 12,
	STAGE_SESSIONS = 3000,
	STAGE_BUFFER = 3000,
	STAGE_NO_WORKER = 99,
	STAGE_INITIATION = sizeof(struct message_initiation),
	STAGE_RESPONSE = sizeof(struct message_response),
};

struct stage_peer {
	int fd;
	struct net_addr addr;
	unsigned worker;           /* clients: who hears it */
	struct net_addr last_from; /* exits: where the relay sends from */
	uint64_t packets, bytes;   /* received */
};

/* What the plane told its owner. */
struct stage_told {
	uint64_t control, initiations, installed, refused, retired, marked, limited;
	unsigned control_worker;
	struct net_addr control_from;
	struct plane_session last;
	struct plane_losses losses; /* told last */
	uint32_t marked_handle, limited_handle;
	uint64_t marked_bytes, limit, limited_bytes;
};

struct stage {
	struct event_base *base;
	struct plane *plane;
	struct stage_told told;
	struct stage_peer clients[STAGE_CLIENTS], exits[STAGE_EXITS];
	struct plane_exit exit_entries[STAGE_EXITS];
	uint8_t buffer[STAGE_BUFFER]; /* what is sent next */
	uint64_t sent_bytes[DIRECTION_COUNT], sent_packets[DIRECTION_COUNT], sent_control;
};

extern struct stage stage;

/* Lets the plane speak until the condition holds; fails after 5 s or more. */
#define STAGE_WAIT(condition)                                                        \
	do {                                                                         \
		int tries = 25000;                                                   \
		while (event_base_loop(stage.base, EVLOOP_NONBLOCK), !(condition)) { \
			assert_true(tries-- > 0);                                    \
			stage_nap();                                                 \
		}                                                                    \
	} while (0)

void stage_open(unsigned workers);
void stage_close(void);
/* A plane as stage_open makes it, with the same owner. */
MUST_CHECK int stage_plane(struct plane **out, unsigned workers, uint16_t port);

/* Client i opens session i and both sides say their index. */
void stage_open_session(uint32_t i, uint64_t limit, uint64_t mark);
struct plane_session stage_retire(uint32_t i);
uint32_t stage_client_index(uint32_t i);
uint32_t stage_exit_index(uint32_t i);

/* Makes a transport datagram in the buffer; send the buffer's first len bytes. */
void stage_transport(uint32_t receiver);
void stage_send_up(const struct stage_peer *p, size_t len);
void stage_send_down(const struct stage_peer *exit, size_t len);
void stage_send_control(const struct stage_peer *p);
/* A handshake begun, and a datagram that has its type and another length. */
void stage_send_control_initiation(const struct stage_peer *p);
void stage_send_control_malformed(const struct stage_peer *p);
/* Counts in what a socket received. */
void stage_drain(struct stage_peer *p);

/* All that was sent has been judged, and received if it passed. */
void stage_settle(void);
bool stage_all_in(void);
struct relay_counters stage_counters(void);
/* in = out + drops, and in is what was sent. */
void stage_assert_balance(void);
void stage_nap(void);

#endif
