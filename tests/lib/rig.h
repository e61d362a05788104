/*
 * A client of the protocol without a WireGuard device: real control channel, real BIND, real
 * receipts, and datagrams that look like WireGuard's. Many of them live in one event_base. For
 * tests and benchmarks.
 */
#ifndef TESTS_LIB_RIG_H
#define TESTS_LIB_RIG_H

#include <event2/event.h>

#include "control/client.h"
#include "proto/bind.h"
#include "proto/descriptor.h"
#include "proto/receipt.h"

enum {
	RIG_INDICES = 64
};

struct rig {
	struct event_base *base;
	struct descriptor relay, exit;
	struct net_addr relay_addr;
	uint8_t exit_mac1_key[KEY_LEN];
	bool sign;              /* co-sign receipts that are right */
	unsigned sign_delay_ms; /* so long after they came */
	struct net_addr source; /* where clients made from now on send from; all 0: anywhere */
};

enum rig_state {
	RIG_IDLE,
	RIG_OPENING,
	RIG_BINDING,
	RIG_SHAKING, /* waiting for the fake WireGuard response */
	RIG_READY,
	RIG_FAILED,
};

struct rig_client {
	struct rig *rig;
	enum rig_state state;
	uint32_t refusal; /* enum refusal of the last REFUSED */
	struct identity identity;
	struct noise_keypair keys;
	struct control_client *control;
	struct event *control_event, *data_event, *old_event, *sign_timer;
	struct net_addr source;
	int control_fd, data_fd,
		old_fd; /* old: packets still on their way to the address before a rebind */
	uint8_t session[SESSION_ID_LEN], bind_key[KEY_LEN], nonce[NONCE_LEN];
	uint64_t bind_counter;
	struct message_bind last_answer; /* for replays */
	struct event *bind_timer;
	uint32_t own_indices[RIG_INDICES]; /* the sender index of every initiation sent */
	unsigned own_index_count;
	uint32_t exit_indices[RIG_INDICES]; /* every index the exit announced */
	unsigned exit_index_count;
	uint64_t transport_counter;
	uint64_t sent_packets, sent_bytes, received_packets, received_bytes;
	uint64_t window, signed_bytes, receipts, bad_receipts, seq, closed;
	struct receipt_offer last_offer;
	bool has_offer;
	struct receipt last_receipt;
	struct body_cosign cosign; /* to be sent, now or when sign_timer says */
};

void rig_client_init(struct rig_client *c, struct rig *rig, uint32_t number);
/* OPEN, BIND, one fake handshake: state becomes RIG_READY or RIG_FAILED as the loop runs. */
void rig_client_open(struct rig_client *c);
/* BIND from a fresh port; RIG_READY again once BOUND. The WireGuard indices stay. */
void rig_client_rebind(struct rig_client *c);
/* A new fake WireGuard handshake (new sender index). */
void rig_client_rekey(struct rig_client *c);
/* Sends up to count transport datagrams of size bytes with one sendmmsg; returns how many went. */
int rig_client_send(struct rig_client *c, unsigned count, size_t size);
void rig_client_close(struct rig_client *c);
/* Gone without a word; its session stays until it idles out. */
void rig_client_wipe(struct rig_client *c);

/* A UDP socket connected to `to` (dual-stack, large buffers), non-blocking. */
int rig_socket(const struct net_addr *to);
int rig_socket_from(const struct net_addr *from, const struct net_addr *to);

#endif
