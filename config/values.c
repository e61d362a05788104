#include "config/values.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

bool parse_name(char out[static 32], const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > 31 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return false;
	memset(out, 0, 32);
	memcpy(out, text, n);
	return true;
}

/* The next item of a comma list without its blanks, in *item and *n; NULL at a bare end. */
static const char *next_item(const char *text, const char **item, size_t *n)
{
	size_t span = strcspn(text, ",");
	const char *next = text[span] ? text + span + 1 : NULL;

	while (span && isblank((unsigned char)*text)) {
		text++;
		span--;
	}
	while (span && isblank((unsigned char)text[span - 1]))
		span--;
	*item = text;
	*n = span;
	return next;
}

bool parse_roles(uint8_t *out, const char *text)
{
	uint8_t role;
	const char *item;
	size_t n;

	*out = 0;
	while (text) {
		text = next_item(text, &item, &n);
		if (n == 5 && strncasecmp(item, "relay", n) == 0)
			role = ROLE_RELAY;
		else if (n == 4 && strncasecmp(item, "exit", n) == 0)
			role = ROLE_EXIT;
		else
			return false;
		if (*out & role)
			return false;
		*out |= role;
	}
	return true;
}

bool parse_path(char out[static CONFIG_PATH_MAX], const char *dir, const char *text)
{
	bool relative = text[0] != '/' && dir[0];
	int n;

	if (!text[0])
		return false;
	n = snprintf(out, CONFIG_PATH_MAX, "%s%s%s", relative ? dir : "", relative ? "/" : "",
		     text);
	return n < CONFIG_PATH_MAX;
}

static bool parse_hex(uint64_t *out, const char *text, uint64_t max)
{
	*out = 0;
	if (!*text || strlen(text) > 16)
		return false;
	for (; *text; text++) {
		char c = (char)tolower((unsigned char)*text);

		if (!isxdigit((unsigned char)c))
			return false;
		*out = *out << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return *out <= max;
}

bool parse_number(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return parse_hex(out, text + 2, max) && *out >= min;
	return text_u64(text, min, max, out);
}

/* Splits "30 s" into its digits (at most 15 characters) and what follows the blanks. */
static const char *split_unit(char digits[static 16], const char *text, const char *digit_set)
{
	size_t n = strspn(text, digit_set);

	if (n == 0 || n > 15)
		return NULL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	return text + n + strspn(text + n, " \t");
}

bool parse_seconds(uint64_t *out, const char *text)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	char digits[16];
	const char *unit = split_unit(digits, text, "0123456789");

	if (!unit || !text_u64(digits, 0, UINT32_MAX, out))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcasecmp(unit, units[i].name) == 0) {
			*out *= units[i].seconds;
			return true;
		}
	return false;
}

bool parse_rate(uint64_t *out, const char *text)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {{"kbit/s", 125}, {"Mbit/s", 125000}, {"Gbit/s", 125000000}};
	char digits[16];
	const char *unit = split_unit(digits, text, "0123456789");

	*out = 0;
	if (strcasecmp(text, "none") == 0 || strcmp(text, "0") == 0)
		return true;
	if (!unit || !text_u64(digits, 0, UINT32_MAX, out))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcasecmp(unit, units[i].name) == 0) {
			*out *= units[i].bytes;
			return true;
		}
	return false;
}

/* "12.25" hundredths-free: percent times 10000, so at most four digits after the point. */
static bool parse_percent(uint64_t *out, char digits[static 16])
{
	char *point = strchr(digits, '.');
	uint64_t whole, part = 0;
	size_t n = 0;

	if (point) {
		*point++ = '\0';
		n = strlen(point);
		if (n > 4 || !text_u64(point, 0, 9999, &part))
			return false;
	}
	for (; n < 4; n++)
		part *= 10;
	if (!text_u64(digits, 0, 100, &whole))
		return false;
	*out = whole * 10000 + part;
	return true;
}

bool parse_share(uint64_t *out, const char *text)
{
	char digits[16];
	const char *unit = split_unit(digits, text, "0123456789.");

	if (!unit)
		return false;
	if (strcasecmp(unit, "ppm") == 0)
		return text_u64(digits, 0, UINT32_MAX, out);
	return strcmp(unit, "%") == 0 && parse_percent(out, digits);
}

bool parse_yes_no(bool *out, const char *text)
{
	*out = strcasecmp(text, "yes") == 0;
	return *out || strcasecmp(text, "no") == 0;
}

bool parse_log_level(enum log_level *out, const char *text)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(text, names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

bool parse_interface(char out[static 16], const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > 15 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	/* Stricter than the kernel: these names go into nft and ip command lines. */
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("_.-", text[i]))
			return false;
	if (text[0] == '-')
		return false;
	memset(out, 0, 16);
	memcpy(out, text, n);
	return true;
}

bool parse_word(char out[static 16], const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(text, words[i]) == 0) {
			snprintf(out, 16, "%s", words[i]);
			return true;
		}
	return false;
}

bool parse_ip(struct net_addr *out, const char *text)
{
	uint8_t bits;

	return !strchr(text, '/') && net_prefix_parse(out, &bits, text);
}

bool parse_prefix(struct config_prefix *out, const char *text)
{
	struct net_addr probe;
	unsigned skip;

	if (!net_prefix_parse(&out->net, &out->bits, text))
		return false;
	/* A mapped form with a length of its own family would mean two things. */
	if (net_addr_is_v4(&out->net) && strchr(text, ':'))
		return false;
	probe = out->net;
	skip = out->bits + (net_addr_is_v4(&probe) ? 96u : 0u);
	for (unsigned bit = skip; bit < 128; bit++)
		if (probe.ip[bit / 8] & (0x80 >> (bit % 8)))
			return false;
	return true;
}
