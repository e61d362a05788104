#include "accounting/amount.h"

bool amount_of(struct amount *out, uint64_t micro)
{
	if (micro > INT64_MAX)
		return false;
	out->micro = (int64_t)micro;
	return true;
}

bool amount_add(struct amount *out, struct amount a, struct amount b)
{
	int64_t sum;

	if (__builtin_add_overflow(a.micro, b.micro, &sum))
		return false;
	out->micro = sum;
	return true;
}

bool amount_sub(struct amount *out, struct amount a, struct amount b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a.micro, b.micro, &difference))
		return false;
	out->micro = difference;
	return true;
}

uint64_t amount_u64(struct amount a)
{
	return a.micro > 0 ? (uint64_t)a.micro : 0;
}

uint64_t micro_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum > INT64_MAX ? INT64_MAX : sum;
}

uint64_t micro_fee(uint64_t paid, uint32_t ppm)
{
	return (uint64_t)((unsigned __int128)paid * ppm / 1000000);
}
