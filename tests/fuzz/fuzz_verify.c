/* verify_stream on arbitrary text: it ends, counts what it refuses, and proves nothing of rubbish.
 */
#include <stdio.h>
#include <stdlib.h>

#include "accounting/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint64_t reported, proven;

static void on_bad(void *arg, uint64_t line, const char *why)
{
	(void)arg;
	if (line == 0 || why[0] == '\0')
		abort();
	reported++;
}

static void on_proven(void *arg, uint64_t line, const char *what)
{
	(void)arg;
	if (line == 0 || what[0] == '\0')
		abort();
	proven++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	crypto_start();
	return 0;
}

/* The same bytes, strictly and with gaps taken: what is good stays good, and evidence is the same.
 */
static void verify(const uint8_t *data, size_t size, bool gaps, struct verify_result *result)
{
	const struct verify_options options = {
		.gaps = gaps, .refused = on_bad, .proven = on_proven};
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");

	if (!in)
		abort();
	reported = proven = 0;
	if (verify_stream(in, &options, result) != 0 || result->bad != reported ||
	    result->proofs + result->claims != proven || result->sessions > result->receipts)
		abort();
	fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify_result strict, gaps;

	if (size == 0)
		return 0;
	verify(data, size, false, &strict);
	verify(data, size, true, &gaps);
	if (strict.gaps != 0 || gaps.receipts < strict.receipts || gaps.bad > strict.bad ||
	    gaps.proofs != strict.proofs || gaps.claims != strict.claims)
		abort();
	return 0;
}
