/* A datagram as a relay first sees it. */
#include <string.h>

#include "proto/wire.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[KEY_LEN] = {1};
	enum message_type type = message_type_of(data, size);
	struct wire_header h = wire_read(data, size);
	bool mac1 = wire_mac1_valid(data, size, key);

	require(type == 0 || (size >= WG_TRANSPORT_MIN && data[0] == (uint8_t)type));
	require(h.type == (type <= MESSAGE_WG_TRANSPORT ? type : 0));
	require(h.sender == 0 || h.type == MESSAGE_WG_INITIATION || h.type == MESSAGE_WG_RESPONSE);
	require(h.receiver == 0 || h.type > MESSAGE_WG_INITIATION);
	require(!mac1 || h.type == MESSAGE_WG_INITIATION || h.type == MESSAGE_WG_RESPONSE);
	if (size)
		require(verb_length_ok(data[0], size) ? strcmp(verb_name(data[0]), "?") != 0
						      : true);
	return 0;
}
