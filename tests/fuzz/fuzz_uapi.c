/* Answers of a WireGuard device: any bytes are read or refused, and what is reported is in range.
 */
#include <stdlib.h>

#include "tunnel/uapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *arg, const struct backend_stat *stat)
{
	uint64_t *sum = arg;

	*sum += stat->rx + stat->tx + stat->last_handshake + stat->key[0] + stat->endpoint.port;
	if (stat->has_endpoint && stat->endpoint.port == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	uint16_t port = 0;
	int result = uapi_parse((const char *)data, size, &port, look, &sum);

	if (result > 0 || (result == 0 && !uapi_complete((const char *)data, size)))
		abort();
	return 0;
}
