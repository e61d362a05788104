#include "client/owner.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

bool owner_keyfile_read(uint8_t key[static KEY_LEN], const char *path,
			char error[static CONFIG_ERROR_MAX])
{
	struct stat st;
	bool as_owner = geteuid() == 0 && lstat(path, &st) == 0 && st.st_uid != 0;
	bool ok;

	if (as_owner && seteuid(st.st_uid) < 0)
		as_owner = false;
	ok = keyfile_read(key, path, error);
	if (as_owner && seteuid(0) < 0)
		fatal("cannot become root again");
	return ok;
}

bool owner_give(const char *path)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(OWNER_USER) : NULL;

	return user && lchown(path, user->pw_uid, user->pw_gid) == 0;
}
