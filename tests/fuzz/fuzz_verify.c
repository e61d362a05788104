/* verify_stream on arbitrary text: it ends, counts what it refuses, and proves nothing of rubbish.
 */
#include <stdio.h>
#include <stdlib.h>

#include "accounting/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint64_t reported;

static void on_bad(void *arg, uint64_t line, const char *why)
{
	(void)arg;
	if (line == 0 || why[0] == '\0')
		abort();
	reported++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	crypto_start();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify_result result;
	FILE *in;

	if (size == 0)
		return 0;
	in = fmemopen((void *)(uintptr_t)data, size, "r");
	if (!in)
		abort();
	reported = 0;
	if (verify_stream(in, &result, on_bad, NULL) != 0 || result.bad != reported ||
	    result.sessions > result.receipts)
		abort();
	fclose(in);
	return 0;
}
