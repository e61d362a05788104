#include "proto/ranges.h"

#include <string.h>

/* Addresses in tables are numbers as they are read aloud, most significant first. */
#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

/* IANA IPv4 Special-Purpose Address Registry, plus multicast (RFC 5771). */
static const struct {
	uint32_t net;
	uint8_t bits;
	const char *name;
} special4[] = {
	{IP4(0, 0, 0, 0), 8, "this network"},
	{IP4(10, 0, 0, 0), 8, "private"},
	{IP4(100, 64, 0, 0), 10, "carrier-grade NAT"},
	{IP4(127, 0, 0, 0), 8, "loopback"},
	{IP4(169, 254, 0, 0), 16, "link-local"},
	{IP4(172, 16, 0, 0), 12, "private"},
	{IP4(192, 0, 0, 0), 24, "protocol assignments"},
	{IP4(192, 0, 2, 0), 24, "documentation"},
	{IP4(192, 31, 196, 0), 24, "AS112"},
	{IP4(192, 52, 193, 0), 24, "multicast tunnelling"},
	{IP4(192, 88, 99, 0), 24, "6to4 relay"},
	{IP4(192, 168, 0, 0), 16, "private"},
	{IP4(192, 175, 48, 0), 24, "AS112"},
	{IP4(198, 18, 0, 0), 15, "benchmarking"},
	{IP4(198, 51, 100, 0), 24, "documentation"},
	{IP4(203, 0, 113, 0), 24, "documentation"},
	{IP4(224, 0, 0, 0), 4, "multicast"},
	{IP4(255, 255, 255, 255), 32, "broadcast"},
	{IP4(240, 0, 0, 0), 4, "reserved"},
};

/* Where clouds serve credentials to whoever asks from the inside. */
static const uint8_t metadata[][16] = {
	{[10] = 0xff, [11] = 0xff, 169, 254, 169, 254},
	{[10] = 0xff, [11] = 0xff, 169, 254, 170, 2},
	{[10] = 0xff, [11] = 0xff, 100, 100, 100, 200},
	{[10] = 0xff, [11] = 0xff, 168, 63, 129, 16},
	{[10] = 0xff, [11] = 0xff, 192, 0, 0, 192},
	{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54},
	{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54},
};

/*
 * Bits bits from byte first on are as in ip. An entry that embeds can carry an IPv4 address past a
 * filter, whichever address that is, so it is refused whole and no allowance lifts it.
 */
struct special6 {
	uint8_t ip[16];
	uint8_t first, bits;
	bool embeds;
	const char *name;
};

/* IANA IPv6 Special-Purpose Address Registry, plus multicast, site-local and ISATAP (RFC 5214). */
static const struct special6 special6[] = {
	{{0}, 0, 128, false, "unspecified"},
	{{[15] = 1}, 0, 128, false, "loopback"},
	{{0}, 0, 96, true, "IPv4-compatible"},
	{{[8] = 0xff, [9] = 0xff}, 0, 96, true, "IPv4-translated"},
	{{0x00, 0x64, 0xff, 0x9b}, 0, 96, true, "NAT64"},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 0, 48, true, "local NAT64"},
	{{0x20, 0x01, 0x00, 0x00}, 0, 32, true, "Teredo"},
	{{0x20, 0x02}, 0, 16, true, "6to4"},
	{{[8] = 0x00, 0x00, 0x5e, 0xfe}, 8, 32, true, "ISATAP"},
	{{[8] = 0x02, 0x00, 0x5e, 0xfe}, 8, 32, true, "ISATAP"},
	{{0x01, 0x00}, 0, 64, false, "discard-only"},
	{{0x01, 0x00, [7] = 1}, 0, 64, false, "dummy"},
	{{0x20, 0x01, 0x0d, 0xb8}, 0, 32, false, "documentation"},
	{{0x20, 0x01, 0x00}, 0, 23, false, "protocol assignments"},
	{{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 0, 48, false, "AS112"},
	{{0x3f, 0xff, 0x00}, 0, 20, false, "documentation"},
	{{0x5f, 0x00}, 0, 16, false, "segment routing"},
	{{0xfc}, 0, 7, false, "private"},
	{{0xfe, 0x80}, 0, 10, false, "link-local"},
	{{0xfe, 0xc0}, 0, 10, false, "site-local"},
	{{0xff}, 0, 8, false, "multicast"},
};

bool ranges_allow(struct ranges *r, const char *text)
{
	if (r->count == RANGES_MAX ||
	    !net_prefix_parse(&r->allow[r->count].net, &r->allow[r->count].bits, text))
		return false;
	r->count++;
	return true;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	uint8_t mask = (uint8_t)(0xff00 >> (bits % 8));

	return memcmp(a, b, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

static bool is_metadata(const struct net_addr *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++) {
		if (memcmp(metadata[i], a->ip, sizeof(a->ip)) == 0)
			return true;
	}
	return false;
}

static const char *special_v4(const struct net_addr *a)
{
	uint32_t ip = IP4(a->ip[12], a->ip[13], a->ip[14], a->ip[15]);

	for (size_t i = 0; i < ARRAY_SIZE(special4); i++) {
		if ((ip ^ special4[i].net) >> (32 - special4[i].bits) == 0)
			return special4[i].name;
	}
	return NULL;
}

static const struct special6 *special_v6(const struct net_addr *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(special6); i++) {
		const struct special6 *s = &special6[i];

		if (bits_equal(a->ip + s->first, s->ip + s->first, s->bits))
			return s;
	}
	return NULL;
}

bool ranges_embeds(const struct net_addr *a)
{
	const struct special6 *s = net_addr_is_v4(a) ? NULL : special_v6(a);

	return s && s->embeds;
}

/* A metadata address must be allowed by itself: nobody means it by "10.0.0.0/8". */
static bool is_allowed(const struct ranges *allowed, const struct net_addr *a, bool whole)
{
	unsigned full = net_addr_is_v4(a) ? 32 : 128;

	for (size_t i = 0; allowed && i < allowed->count; i++) {
		if ((!whole || allowed->allow[i].bits == full) &&
		    net_prefix_contains(&allowed->allow[i].net, allowed->allow[i].bits, a))
			return true;
	}
	return false;
}

const char *ranges_special(const struct net_addr *a, const struct ranges *allowed)
{
	const char *name = NULL;

	if (is_metadata(a))
		return is_allowed(allowed, a, true) ? NULL : "cloud metadata";
	if (net_addr_is_v4(a)) {
		name = special_v4(a);
	} else {
		const struct special6 *s = special_v6(a);

		if (s && s->embeds)
			return s->name;
		if (s)
			name = s->name;
	}
	return name && !is_allowed(allowed, a, false) ? name : NULL;
}
