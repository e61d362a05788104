#include "proto/channel.h"

#include <string.h>

#include "proto/lengths.h"

enum {
	WORD_BITS = 64,
	WORDS = CHANNEL_REPLAY_BITS / WORD_BITS,
	/* One word is always partly ahead of the top, so it cannot be remembered in full. */
	WINDOW = CHANNEL_REPLAY_BITS - WORD_BITS,
};

/* Beyond this a channel neither sends nor accepts (WireGuard paper, section 6.1). */
#define COUNTER_END (UINT64_MAX - (1u << 13))

void channel_init(struct channel *ch, const struct noise_keys *keys, uint32_t local,
		  uint32_t remote)
{
	memset(ch, 0, sizeof(*ch));
	ch->keys = *keys;
	ch->local_index = local;
	ch->remote_index = remote;
}

void channel_wipe(struct channel *ch)
{
	crypto_wipe(ch, sizeof(*ch));
}

/* True if counter is within limits and was not accepted before. Changes nothing. */
static bool counter_fresh(const struct channel *ch, uint64_t counter)
{
	if (counter >= COUNTER_END)
		return false;
	if (counter >= ch->receive_top)
		return true;
	if (ch->receive_top - 1 - counter >= WINDOW)
		return false;
	return !(ch->receive_seen[counter / WORD_BITS % WORDS] >> (counter % WORD_BITS) & 1);
}

/* Remembers a fresh counter whose message proved authentic. */
static void counter_accept(struct channel *ch, uint64_t counter)
{
	if (counter >= ch->receive_top) {
		uint64_t from = ch->receive_top ? (ch->receive_top - 1) / WORD_BITS : 0;
		uint64_t steps = counter / WORD_BITS - from;

		if (steps > WORDS)
			steps = WORDS;
		for (uint64_t i = 1; i <= steps; i++)
			ch->receive_seen[(from + i) % WORDS] = 0;
		ch->receive_top = counter + 1;
	}
	ch->receive_seen[counter / WORD_BITS % WORDS] |= UINT64_C(1) << (counter % WORD_BITS);
}

size_t channel_seal(struct channel *ch, uint8_t out[static CONTROL_DATAGRAM_MAX], uint8_t verb,
		    uint32_t id, const void *body, size_t body_len)
{
	struct message_transport head;
	struct body_header *header = (void *)(out + sizeof(head));
	const struct bytes none = {NULL, 0};
	size_t plain = sizeof(*header) + body_len;

	assert(plain <= CONTROL_BODY_MAX);
	if (ch->send_counter >= COUNTER_END)
		return 0;
	head.type = le32_of(MESSAGE_TRANSPORT);
	head.receiver = le32_of(ch->remote_index);
	head.counter = le64_of(ch->send_counter);
	memcpy(out, &head, sizeof(head));
	header->verb = verb;
	header->zero = 0;
	header->length = le16_of((uint16_t)body_len);
	header->id = le32_of(id);
	if (body_len)
		memcpy(header + 1, body, body_len);
	aead_seal(out + sizeof(head), ch->keys.send, ch->send_counter, &none, header, plain);
	ch->send_counter++;
	return sizeof(head) + plain + TAG_LEN;
}

bool channel_open(struct channel *ch, uint8_t plain[static CONTROL_BODY_MAX], const uint8_t *msg,
		  size_t len)
{
	const struct message_transport *head = (const void *)msg;
	const struct body_header *header = (const void *)plain;
	const struct bytes none = {NULL, 0};
	uint64_t counter = le64_get(head->counter);
	size_t sealed;

	if (len < sizeof(*head) + sizeof(*header) + TAG_LEN || len > CONTROL_DATAGRAM_MAX)
		return false;
	sealed = len - sizeof(*head);
	if (!counter_fresh(ch, counter) ||
	    !aead_open(plain, ch->keys.receive, counter, &none, msg + sizeof(*head), sealed))
		return false;
	counter_accept(ch, counter);
	return header->zero == 0 &&
	       le16_get(header->length) == sealed - TAG_LEN - sizeof(*header) &&
	       verb_length_ok(header->verb, le16_get(header->length));
}
