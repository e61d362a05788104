#include "tests/lib/vectors.h"

#include <stdio.h>

#include "base/text.h"
#include "tests/lib/unit.h"

#define FILE_MAX 8192

static FILE *vector_open(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "tests/vectors/%s", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be opened; run tests in the top folder", path);
	return f;
}

static size_t unhex(const char *name, const char *hex, uint8_t *out, size_t max)
{
	size_t n = strlen(hex) / 2;

	if (n == 0 || n > max || !text_unhex(out, n, hex))
		fail_msg("%s: not hex of 1 to %zu bytes", name, max);
	return n;
}

size_t vector_hex(const char *name, uint8_t *out, size_t max)
{
	char file[64], hex[FILE_MAX] = "", line[256];
	size_t used = 0;
	FILE *f;

	snprintf(file, sizeof(file), "%s.hex", name);
	f = vector_open(file);
	while (fgets(line, sizeof(line), f)) {
		size_t n = strcspn(line, "\n");

		assert_true(used + n < sizeof(hex));
		memcpy(hex + used, line, n);
		used += n;
		hex[used] = '\0';
	}
	fclose(f);
	return unhex(file, hex, out, max);
}

size_t vector_named(const char *file, const char *name, uint8_t *out, size_t max)
{
	char line[FILE_MAX];
	size_t n = strlen(name), len = 0;
	FILE *f = vector_open(file);

	while (!len && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, name, n) == 0 && line[n] == ' ')
			len = unhex(name, line + n + 1, out, max);
	}
	fclose(f);
	if (!len)
		fail_msg("%s has no %s", file, name);
	return len;
}

void assert_vector(const char *name, const void *bytes, size_t len)
{
	uint8_t expected[FILE_MAX / 2];
	char hex[FILE_MAX + 1];
	size_t n = vector_hex(name, expected, sizeof(expected));

	if (n == len && memcmp(expected, bytes, n) == 0)
		return;
	print_error("%s.hex: %s\n", name, text_hex(hex, expected, n));
	print_error("built: %s\n", text_hex(hex, bytes, len));
	fail_msg("%s is not as in its golden vector (%zu and %zu bytes)", name, len, n);
}
