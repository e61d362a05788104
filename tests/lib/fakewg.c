#include "tests/lib/fakewg.h"

#include <string.h>

void fakewg_initiation(struct message_initiation *out, uint32_t sender,
		       const uint8_t mac1_key[static KEY_LEN])
{
	crypto_random(out, sizeof(*out));
	out->type = le32_of(MESSAGE_WG_INITIATION);
	out->sender = le32_of(sender);
	wg_mac128(out->mac1, mac1_key, out, offsetof(struct message_initiation, mac1));
	memset(out->mac2, 0, sizeof(out->mac2));
}

void fakewg_response(struct message_response *out, uint32_t sender, uint32_t receiver)
{
	crypto_random(out, sizeof(*out));
	out->type = le32_of(MESSAGE_WG_RESPONSE);
	out->sender = le32_of(sender);
	out->receiver = le32_of(receiver);
}

void fakewg_transport(uint8_t *out, uint32_t receiver, uint64_t counter)
{
	struct message_transport *t = (struct message_transport *)out;

	t->type = le32_of(MESSAGE_WG_TRANSPORT);
	t->receiver = le32_of(receiver);
	t->counter = le64_of(counter);
}
