/* What every cmocka program needs before cmocka.h. */
#ifndef TESTS_LIB_UNIT_H
#define TESTS_LIB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

/* A test that cannot be made without root fails, and says so: skipped, it would look passed. */
static inline void needs_root(const char *why)
{
	if (geteuid() != 0)
		fail_msg("needs root (%s): run as root", why);
}

#endif
