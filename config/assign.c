#include "config/assign.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/values.h"
#include "proto/crypto.h"

static const char *const backends[] = {"auto", "kernel", "userspace"};

/* What each type wants, as the end of "Key: wants ...". */
static const char *const wants[] = {
	[OPTION_NAME] = "1 to 31 of a-z, 0-9 and -; write e.g. kestrel",
	[OPTION_ROLES] = "relay, exit, or both; write e.g. Roles = relay, exit",
	[OPTION_PATH] = "a path of at most 255 bytes",
	[OPTION_PATHS] = "a path of at most 255 bytes, one a line",
	[OPTION_U16] = "a whole number",
	[OPTION_U32] = "a whole number",
	[OPTION_U64] = "a whole number",
	[OPTION_BYTES] = "a number of bytes such as 512 KiB or 64 MiB",
	[OPTION_SECONDS] = "a time such as 30 s, 5 min or 2 h",
	[OPTION_RATE] = "a rate with its unit, such as 50 Mbit/s, 800 kbit/s or 1 Gbit/s (8 Mbit "
			"are a megabyte), or none, and",
	[OPTION_SHARE] = "a share such as 1 %, 0.25 % or 2500 ppm",
	[OPTION_YES_NO] = "yes or no",
	[OPTION_LEVEL] = "error, warn, info or debug",
	[OPTION_IFACE] = "an interface name: 1 to 15 of a-z, A-Z, 0-9, _, . and -",
	[OPTION_BACKEND] = "auto, kernel or userspace",
	[OPTION_KEY] = "a key of 44 characters, as culvert init prints it",
	[OPTION_ENDPOINT] = "ADDRESS:PORT; write e.g. [::]:51820 or 0.0.0.0:51820",
	[OPTION_ANNOUNCE] = "ADDRESS:PORT; write e.g. 203.0.113.5:51820 or [2001:db8::5]:51820",
	[OPTION_IPS] = "an address without a port; write e.g. 9.9.9.9",
	[OPTION_POOLS] = "a network in private space; write e.g. 10.64.0.0/16, no bits set behind "
			 "the length",
	[OPTION_PREFIXES] = "ADDRESS/LENGTH with no bits set behind the length; write e.g. "
			    "10.0.0.0/8",
	[OPTION_KEYS] = "an id as culvert init prints it, 44 characters of base64, one a line",
	[OPTION_RANGES] = "ADDRESS/LENGTH; write e.g. 192.168.0.0/16; at most 16 of them",
};

static bool number_range(const struct option *o, uint64_t value)
{
	return (value >= o->min && value <= o->max) || (o->type == OPTION_RATE && !value);
}

/* Stores value in the width of the option's type. */
static bool store_number(const struct option *o, void *to, uint64_t value)
{
	uint16_t narrow = (uint16_t)value;
	uint32_t middle = (uint32_t)value;

	if (!number_range(o, value))
		return false;
	if (o->type == OPTION_U16)
		memcpy(to, &narrow, sizeof(narrow));
	else if (o->type == OPTION_U64 || o->type == OPTION_BYTES || o->type == OPTION_RATE)
		memcpy(to, &value, sizeof(value));
	else
		memcpy(to, &middle, sizeof(middle));
	return true;
}

static bool parse_quantity(const struct option *o, void *to, const char *text)
{
	uint64_t value;
	bool ok;

	if (o->type == OPTION_BYTES)
		ok = text_bytes(text, &value);
	else if (o->type == OPTION_SECONDS)
		ok = parse_seconds(&value, text);
	else if (o->type == OPTION_RATE)
		ok = parse_rate(&value, text);
	else if (o->type == OPTION_SHARE)
		ok = parse_share(&value, text);
	else
		ok = parse_number(&value, text, 0, UINT64_MAX);
	return ok && store_number(o, to, value);
}

/* Puts addr into the slot of its family; -1 if that is taken. */
static int store_by_family(char *base, const struct option *o, const void *value, size_t size,
			   const struct net_addr *addr)
{
	static const struct config_prefix empty;
	char *to = base + (net_addr_is_v4(addr) ? o->offset : o->other);

	if (memcmp(to, &empty, size) != 0)
		return -1;
	memcpy(to, value, size);
	return 1;
}

static int assign_pair(char *base, const struct option *o, const char *text)
{
	struct config_prefix prefix = {0};
	struct net_addr addr = {0};

	switch (o->type) {
	case OPTION_ANNOUNCE:
		return net_addr_parse(&addr, text)
			       ? store_by_family(base, o, &addr, sizeof(addr), &addr)
			       : 0;
	case OPTION_IPS:
		return parse_ip(&addr, text) ? store_by_family(base, o, &addr, sizeof(addr), &addr)
					     : 0;
	default:
		return parse_prefix(&prefix, text)
			       ? store_by_family(base, o, &prefix, sizeof(prefix), &prefix.net)
			       : 0;
	}
}

/* 1 fine, 0 not readable, -1 one too many. */
static int assign_item(char *base, const struct option *o, const char *text, const char *dir)
{
	size_t *count = (void *)(base + o->other);
	struct config_prefix *prefixes = (void *)(base + o->offset);
	char(*paths)[CONFIG_PATH_MAX] = (void *)(base + o->offset);
	uint8_t(*keys)[KEY_LEN] = (void *)(base + o->offset);

	switch (o->type) {
	case OPTION_PATHS:
		if (*count == CONFIG_EXITS_MAX)
			return -1;
		return parse_path(paths[*count], dir, text) ? (++*count, 1) : 0;
	case OPTION_PREFIXES:
		if (*count == CONFIG_PREFIXES_MAX)
			return -1;
		return parse_prefix(&prefixes[*count], text) ? (++*count, 1) : 0;
	case OPTION_KEYS:
		if (*count == CONFIG_ISSUERS_MAX)
			return -1;
		return key_from_base64(keys[*count], text) ? (++*count, 1) : 0;
	case OPTION_RANGES:
		return ranges_allow((struct ranges *)(void *)(base + o->offset), text);
	default:
		return assign_pair(base, o, text);
	}
}

static int assign_list(char *base, const struct option *o, const char *text, const char *dir)
{
	char item[256];
	int result;

	if (o->type == OPTION_PATHS)
		return assign_item(base, o, text, dir);
	do {
		size_t span = strcspn(text, ","), n;
		const char *from = text + strspn(text, " \t");

		n = from < text + span ? (size_t)(text + span - from) : 0;
		while (n && isblank((unsigned char)from[n - 1]))
			n--;
		if (n == 0 || n >= sizeof(item))
			return 0;
		memcpy(item, from, n);
		item[n] = '\0';
		result = assign_item(base, o, item, dir);
		text = text[span] ? text + span + 1 : NULL;
	} while (result > 0 && text);
	return result;
}

bool option_is_list(const struct option *o)
{
	return o->type == OPTION_PATHS || o->type >= OPTION_ANNOUNCE;
}

static bool assign_single(char *to, const struct option *o, const char *text, const char *dir)
{
	switch (o->type) {
	case OPTION_NAME:
		return parse_name(to, text);
	case OPTION_ROLES:
		return parse_roles((uint8_t *)to, text);
	case OPTION_PATH:
		return parse_path(to, dir, text);
	case OPTION_YES_NO:
		return parse_yes_no((bool *)to, text);
	case OPTION_LEVEL:
		return parse_log_level((enum log_level *)(void *)to, text);
	case OPTION_IFACE:
		return parse_interface(to, text);
	case OPTION_BACKEND:
		return parse_word(to, text, backends, ARRAY_SIZE(backends));
	case OPTION_KEY:
		return key_from_base64((uint8_t *)to, text);
	case OPTION_ENDPOINT:
		return net_addr_parse((struct net_addr *)(void *)to, text);
	default:
		return parse_quantity(o, to, text);
	}
}

const char *option_range(char out[static OPTION_RANGE_TEXT], const struct option *o)
{
	char low[TEXT_UNITS], high[TEXT_UNITS];
	const char *unit = o->unit ? o->unit : "";

	out[0] = '\0';
	if (o->type == OPTION_BYTES)
		snprintf(out, OPTION_RANGE_TEXT, "%s to %s", text_iec(low, o->min),
			 text_iec(high, o->max));
	else if (o->type == OPTION_RATE)
		snprintf(out, OPTION_RANGE_TEXT, "%" PRIu64 " kbit/s to %" PRIu64 " Gbit/s",
			 o->min / 125, o->max / 125000000);
	else if (o->type == OPTION_SHARE)
		snprintf(out, OPTION_RANGE_TEXT, "0 %% to %" PRIu64 " %%", o->max / 10000);
	else if (o->type >= OPTION_U16 && o->type <= OPTION_SECONDS)
		snprintf(out, OPTION_RANGE_TEXT, "%" PRIu64 " to %" PRIu64 "%s%s", o->min, o->max,
			 *unit ? " " : "", unit);
	return out;
}

bool option_assign(void *base, const struct option *o, const char *text, const char *dir,
		   char why[static CONFIG_ERROR_MAX])
{
	char range[OPTION_RANGE_TEXT];
	int result;

	if (option_is_list(o))
		result = assign_list(base, o, text, dir);
	else
		result = assign_single((char *)base + o->offset, o, text, dir);
	if (result > 0)
		return true;
	if (result < 0)
		snprintf(why, CONFIG_ERROR_MAX, "%s: one too many; %s", o->key,
			 o->type == OPTION_PATHS || o->type == OPTION_PREFIXES ||
					 o->type == OPTION_KEYS
				 ? "take some out"
				 : "one IPv4 and one IPv6 is all there may be");
	else
		snprintf(why, CONFIG_ERROR_MAX, "%s: wants %s%s%s", o->key, wants[o->type],
			 *option_range(range, o) ? " from " : "", range);
	return false;
}
