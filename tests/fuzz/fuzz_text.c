/* What people write into files and command lines: addresses, prefixes, numbers, sizes, hex. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/ranges.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(const char *text)
{
	struct net_addr a, back, net;
	struct ranges allow = {0};
	char out[NET_ADDR_TEXT];
	uint8_t bits;

	if (net_addr_parse(&a, text)) {
		require(a.port != 0);
		require(net_addr_parse(&back, net_addr_text(out, &a)) && net_addr_eq(&a, &back));
		ranges_special(&a, NULL);
	}
	if (!net_prefix_parse(&net, &bits, text))
		return;
	require(bits <= (net_addr_is_v4(&net) ? 32 : 128));
	require(net_prefix_contains(&net, bits, &net));
	require(ranges_allow(&allow, text));
	require(ranges_special(&net, NULL) || !ranges_special(&net, &allow));
}

static void numbers(const char *text, size_t size)
{
	static const char *const words[] = {"Listen", "AllowRange", "Price"};
	char hex[2 * 64 + 1], units[TEXT_UNITS];
	uint8_t bytes[64];
	uint64_t v;

	if (text_u64(text, 10, 65535, &v))
		require(v >= 10 && v <= 65535);
	if (text_bytes(text, &v))
		require(strlen(text_iec(units, v)) > 1);
	if (size / 2 <= sizeof(bytes) && text_unhex(bytes, size / 2, text))
		require(strcasecmp(text_hex(hex, bytes, size / 2), text) == 0);
	text_suggest(text, words, ARRAY_SIZE(words));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	addresses(text);
	numbers(text, size);
	free(text);
	return 0;
}
