#include "base/undumpable.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Under systemd the limit is 0 from the start, and setting any may be forbidden. */
static int forbid_core_files(void)
{
	const struct rlimit none = {0, 0};
	struct rlimit now;
	int err;

	if (setrlimit(RLIMIT_CORE, &none) == 0)
		return 0;
	err = -errno;
	if (err == -EPERM && getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_cur == 0)
		return 0;
	return err;
}

int undumpable(void)
{
	int err = forbid_core_files();

	if (err)
		return err;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	return prctl(PR_GET_DUMPABLE) == 0 ? 0 : -EPERM;
}
