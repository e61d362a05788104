#include "proto/wire.h"

#include <string.h>

struct wire_header wire_read(const uint8_t *msg, size_t len)
{
	struct wire_header h = {.type = message_type_of(msg, len)};
	le32 index[2] = {0};

	if (h.type == 0 || h.type > MESSAGE_WG_TRANSPORT)
		return (struct wire_header){0};
	memcpy(index, msg + sizeof(le32), sizeof(index));
	if (h.type == MESSAGE_WG_INITIATION) {
		h.sender = le32_get(index[0]);
	} else if (h.type == MESSAGE_WG_RESPONSE) {
		h.sender = le32_get(index[0]);
		h.receiver = le32_get(index[1]);
	} else {
		h.receiver = le32_get(index[0]);
	}
	return h;
}

bool wire_mac1_valid(const uint8_t *msg, size_t len, const uint8_t mac1_key[static KEY_LEN])
{
	enum message_type type = message_type_of(msg, len);
	uint8_t mac[MAC_LEN];
	size_t covered;

	if (type != MESSAGE_WG_INITIATION && type != MESSAGE_WG_RESPONSE)
		return false;
	covered = len - 2 * MAC_LEN;
	wg_mac128(mac, mac1_key, msg, covered);
	return crypto_equal(mac, msg + covered, MAC_LEN);
}
