/* A descriptor as text, and as bytes both raw and signed so that the checks behind the signature
 * are reached. */
#include <stdlib.h>
#include <string.h>

#include "proto/descriptor.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity node;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[KEY_LEN] = {1};

	(void)argc;
	(void)argv;
	crypto_start();
	identity_from_seed(&node, seed);
	return 0;
}

static void check(const struct descriptor *d)
{
	enum descriptor_verdict v = descriptor_check(d, 0, 0);
	struct net_addr a;

	require(*descriptor_verdict_text(v));
	for (int i = 0; i < 4; i++) {
		bool v6 = i & 1, wireguard = i & 2;

		if (descriptor_endpoint(d, v6, wireguard, &a) && v == DESCRIPTOR_OK)
			require(a.port != 0 && net_addr_is_v4(&a) == !v6);
	}
	if (v != DESCRIPTOR_OK)
		return;
	require(d->body.name[0] >= 'a' && d->body.name[31] == 0);
	require(descriptor_endpoint(d, false, false, &a) ||
		descriptor_endpoint(d, true, false, &a));
}

/* What was read is written and read the same again. */
static void round_trip(const struct descriptor *d)
{
	char text[DESCRIPTOR_TEXT_MAX];
	struct descriptor back;

	descriptor_to_text(text, sizeof(text), d);
	require(descriptor_from_text(&back, text) && memcmp(&back, d, sizeof(back)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct descriptor d;
	char *text = malloc(size + 1);

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (descriptor_from_text(&d, text)) {
		round_trip(&d);
		check(&d);
	}
	free(text);
	if (size != sizeof(d))
		return 0;
	memcpy(&d, data, sizeof(d));
	check(&d);
	round_trip(&d);
	memcpy(d.body.domain, DOMAIN_DESCRIPTOR, DOMAIN_LEN);
	d.body.version = 1;
	descriptor_sign(&d, &node);
	check(&d);
	return 0;
}
