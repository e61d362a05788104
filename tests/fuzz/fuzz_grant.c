/* A grant as text, and as bytes both raw and signed so that what the form allows is seen. */
#include <stdlib.h>
#include <string.h>

#include "proto/grant.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity issuer;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[KEY_LEN] = {1};

	(void)argc;
	(void)argv;
	crypto_start();
	identity_from_seed(&issuer, seed);
	return 0;
}

static void check(const struct grant *g)
{
	enum grant_verdict v = grant_check(g, 0, 1);
	char text[GRANT_TEXT_MAX];
	struct grant back;

	require(*grant_verdict_text(v));
	if (v == GRANT_OK)
		require(le64_get(g->body.limit) - 1 < INT64_MAX &&
			le64_get(g->body.expires) <= INT64_MAX);
	grant_to_text(text, sizeof(text), g);
	require(grant_from_text(&back, text) && memcmp(&back, g, sizeof(back)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct grant g;

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (grant_from_text(&g, text))
		check(&g);
	free(text);
	if (size != sizeof(g))
		return 0;
	memcpy(&g, data, sizeof(g));
	check(&g);
	memcpy(g.body.domain, DOMAIN_GRANT, DOMAIN_LEN);
	g.body.version = 1;
	memset(g.body.zero, 0, sizeof(g.body.zero));
	memcpy(g.body.issuer, issuer.id, KEY_LEN);
	identity_sign(g.signature, &g.body, sizeof(g.body), &issuer);
	check(&g);
	return 0;
}
