/* Ed25519's group order, for signatures that hold but are not canonical. */
#ifndef TESTS_LIB_ORDER_H
#define TESTS_LIB_ORDER_H

#include <stdint.h>

/* S + L, little-endian: still below 2^253, so only the rule about encodings refuses it. */
static inline void add_group_order(uint8_t s[static 32])
{
	static const uint8_t order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,        0xd6,
		0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10,
	};
	unsigned carry = 0;

	for (int i = 0; i < 32; i++) {
		carry += (unsigned)s[i] + order[i];
		s[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

#endif
