/* What keeps keys out of core files, with kernels and service managers that refuse. */
#include "tests/lib/unit.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static struct {
	int set_errno; /* 0: it works */
	rlim_t limit;
	int prctl_errno;
	bool prctl_lies;
	int dumpable;
} k;

static int fake_setrlimit(int what, const struct rlimit *to)
{
	assert_int_equal(what, RLIMIT_CORE);
	assert_int_equal(to->rlim_max, 0);
	errno = k.set_errno;
	if (k.set_errno)
		return -1;
	k.limit = to->rlim_cur;
	return 0;
}

static int fake_getrlimit(int what, struct rlimit *now)
{
	assert_int_equal(what, RLIMIT_CORE);
	*now = (struct rlimit){k.limit, k.limit};
	return 0;
}

static int fake_prctl(int what, ...)
{
	va_list args;

	if (what == PR_GET_DUMPABLE)
		return k.dumpable;
	assert_int_equal(what, PR_SET_DUMPABLE);
	errno = k.prctl_errno;
	if (k.prctl_errno)
		return -1;
	va_start(args, what);
	if (!k.prctl_lies)
		k.dumpable = va_arg(args, int);
	va_end(args);
	return 0;
}

#define setrlimit fake_setrlimit
#define getrlimit fake_getrlimit
#define prctl     fake_prctl
#include "base/undumpable.c"

static int setup(void **state)
{
	(void)state;
	memset(&k, 0, sizeof(k));
	k.limit = RLIM_INFINITY;
	k.dumpable = 1;
	return 0;
}

static void test_works(void **state)
{
	(void)state;
	assert_int_equal(undumpable(), 0);
	assert_int_equal(k.limit, 0);
	assert_int_equal(k.dumpable, 0);
}

/* systemd's LimitCORE=0 together with SystemCallFilter=~@resources. */
static void test_forbidden_but_already_so(void **state)
{
	(void)state;
	k.set_errno = EPERM;
	k.limit = 0;
	assert_int_equal(undumpable(), 0);
	assert_int_equal(k.dumpable, 0);
}

static void test_forbidden(void **state)
{
	(void)state;
	k.set_errno = EPERM;
	k.limit = 1;
	assert_int_equal(undumpable(), -EPERM);
	k.set_errno = EINVAL;
	k.limit = 0;
	assert_int_equal(undumpable(), -EINVAL);
}

static void test_still_dumpable(void **state)
{
	(void)state;
	k.prctl_errno = EINVAL;
	assert_int_equal(undumpable(), -EINVAL);
	k.prctl_errno = 0;
	k.prctl_lies = true;
	assert_int_equal(undumpable(), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_works, setup),
		cmocka_unit_test_setup(test_forbidden_but_already_so, setup),
		cmocka_unit_test_setup(test_forbidden, setup),
		cmocka_unit_test_setup(test_still_dumpable, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
