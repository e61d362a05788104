#include "proto/lengths.h"

#include <string.h>

static const struct {
	enum message_type type;
	uint16_t min, max;
} datagrams[] = {
	{MESSAGE_WG_INITIATION, sizeof(struct message_initiation),
	 sizeof(struct message_initiation)},
	{MESSAGE_WG_RESPONSE, sizeof(struct message_response), sizeof(struct message_response)},
	{MESSAGE_WG_COOKIE, sizeof(struct message_cookie), sizeof(struct message_cookie)},
	{MESSAGE_WG_TRANSPORT, WG_TRANSPORT_MIN, UINT16_MAX},
	{MESSAGE_INITIATION, sizeof(struct message_initiation), sizeof(struct message_initiation)},
	{MESSAGE_RESPONSE, sizeof(struct message_response), sizeof(struct message_response)},
	{MESSAGE_COOKIE, sizeof(struct message_cookie), sizeof(struct message_cookie)},
	{MESSAGE_TRANSPORT, WG_TRANSPORT_MIN + sizeof(struct body_header), CONTROL_DATAGRAM_MAX},
	{MESSAGE_BIND, sizeof(struct message_bind), sizeof(struct message_bind)},
	{MESSAGE_CHALLENGE, sizeof(struct message_bind), sizeof(struct message_bind)},
	{MESSAGE_ANSWER, sizeof(struct message_bind), sizeof(struct message_bind)},
	{MESSAGE_BOUND, sizeof(struct message_bind), sizeof(struct message_bind)},
};

/* RECEIPT, CLOSED and PASSED travel unasked and PASS is carried, not answered: answer 0. */
static const struct {
	const char *name;
	uint16_t min, max;
	uint8_t answer;
} verbs[VERB_COUNT] = {
#define VERB_RULE(verb, min, max, answer) [VERB_##verb] = {#verb, min, max, answer}
#define VERB_EXACT(verb, body, answer) \
	VERB_RULE(verb, sizeof(struct body), sizeof(struct body), answer)
	VERB_EXACT(DESCRIBE, descriptor, VERB_DESCRIPTOR),
	VERB_EXACT(DESCRIPTOR, descriptor, 0),
	VERB_EXACT(OPEN, body_open, VERB_GRANTED),
	VERB_EXACT(GRANTED, body_granted, 0),
	VERB_EXACT(ADD_PEER, body_add_peer, VERB_PEER),
	VERB_EXACT(PEER, body_peer, 0),
	VERB_EXACT(RECEIPT, receipt_offer, 0),
	VERB_EXACT(COSIGN, body_cosign, VERB_WINDOW),
	VERB_EXACT(WINDOW, body_window, 0),
	VERB_EXACT(DISPUTE, body_dispute, VERB_CLOSED),
	VERB_EXACT(CLOSE, body_close, VERB_CLOSED),
	VERB_EXACT(CLOSED, body_close, 0),
	VERB_EXACT(KEEPALIVE, body_session, VERB_ALIVE),
	VERB_EXACT(ALIVE, body_session, 0),
	VERB_RULE(PASS, PASS_MIN, PASS_MAX, 0),
	VERB_RULE(PASSED, PASS_MIN, PASS_MAX, 0),
	VERB_EXACT(REFUSED, body_refused, 0),
	VERB_EXACT(GRANT, grant, VERB_CREDIT),
	VERB_EXACT(CREDIT, body_credit, 0),
	VERB_EXACT(HELD, body_held, VERB_HEAD),
	VERB_EXACT(HEAD, body_head, 0),
};

enum message_type message_type_of(const uint8_t *msg, size_t len)
{
	if (len < sizeof(le32) || msg[1] || msg[2] || msg[3])
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(datagrams); i++) {
		if (datagrams[i].type != msg[0])
			continue;
		return len >= datagrams[i].min && len <= datagrams[i].max ? datagrams[i].type : 0;
	}
	return 0;
}

static bool verb_known(uint8_t verb)
{
	return verb < VERB_COUNT && verbs[verb].name;
}

bool verb_length_ok(uint8_t verb, size_t len)
{
	return verb_known(verb) && len >= verbs[verb].min && len <= verbs[verb].max;
}

uint8_t verb_answer(uint8_t verb)
{
	return verb_known(verb) ? verbs[verb].answer : 0;
}

const char *verb_name(uint8_t verb)
{
	return verb_known(verb) ? verbs[verb].name : "?";
}

const char *refusal_text(uint32_t code)
{
	static const char *const texts[] = {
		[REFUSED_UNKNOWN_EXIT] = "the relay does not know this exit",
		[REFUSED_EXIT_ADDRESS] = "the relay may not send to this exit's address",
		[REFUSED_TERMS] = "these terms are not on offer any more",
		[REFUSED_SIGNATURE] = "the payer's signature is not valid",
		[REFUSED_FULL] = "the node has no room for another session",
		[REFUSED_UNKNOWN_SESSION] = "the node does not know this session",
		[REFUSED_CREDIT] = "the payer has no credit left at this node",
		[REFUSED_UNPAID] = "earlier receipts of this payer wait for a signature",
		[REFUSED_FROZEN] = "the session is frozen after a dispute",
		[REFUSED_BUSY] = "the node is busy",
		[REFUSED_ROLE] = "the node does not have the role this needs",
		[REFUSED_NETWORK] = "the node belongs to another network",
		[REFUSED_GRANT] = "the node does not take this grant",
	};

	if (code >= ARRAY_SIZE(texts) || !texts[code])
		return "the node refused for a reason this version does not know";
	return texts[code];
}

const char *close_text(uint32_t reason)
{
	switch (reason) {
	case CLOSE_IDLE:
		return "it closed the session as idle";
	case CLOSE_EXPIRED:
		return "the terms ran out";
	case CLOSE_EXIT_GONE:
		return "the relay lost the exit";
	case CLOSE_STOPPING:
		return "it is being stopped";
	default:
		return "it closed the session";
	}
}
