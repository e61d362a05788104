#include "client/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

const char *unit_duration(char out[static UNITS_TEXT], uint64_t seconds)
{
	static const struct {
		uint64_t size, part;
		char unit, part_unit;
	} scales[] = {{86400, 3600, 'd', 'h'}, {3600, 60, 'h', 'm'}, {60, 1, 'm', 's'}};

	for (size_t i = 0; i < ARRAY_SIZE(scales); i++)
		if (seconds >= scales[i].size) {
			snprintf(out, UNITS_TEXT, "%" PRIu64 "%c %" PRIu64 "%c",
				 seconds / scales[i].size, scales[i].unit,
				 seconds % scales[i].size / scales[i].part, scales[i].part_unit);
			return out;
		}
	snprintf(out, UNITS_TEXT, "%" PRIu64 " s", seconds);
	return out;
}

const char *unit_credits(char out[static UNITS_TEXT], uint64_t micro)
{
	snprintf(out, UNITS_TEXT, "%" PRIu64 ".%06" PRIu64, micro / 1000000, micro % 1000000);
	return out;
}

const char *unit_credits_signed(char out[static UNITS_TEXT], int64_t micro)
{
	uint64_t size = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;

	snprintf(out, UNITS_TEXT, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "", size / 1000000,
		 size % 1000000);
	return out;
}

const char *unit_rate(char out[static UNITS_TEXT], uint64_t bits)
{
	static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
	uint64_t scale = 1;
	size_t unit = 0;

	while (bits / scale >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		scale *= 1000;
		unit++;
	}
	if (unit)
		snprintf(out, UNITS_TEXT, "%" PRIu64 ".%u %s", bits / scale,
			 (unsigned)(bits % scale / (scale / 10)), units[unit]);
	else
		snprintf(out, UNITS_TEXT, "%" PRIu64 " %s", bits, units[unit]);
	return out;
}

const char *unit_time(char out[static UNITS_TEXT], uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm tm;

	/* Beyond the year 9999 the text would not fit, and nobody means it. */
	if (seconds == 0 || seconds > UINT64_C(253402300799) || !gmtime_r(&when, &tm) ||
	    !strftime(out, UNITS_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, UNITS_TEXT, "never");
	return out;
}
