#include "tests/lib/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"

static char folder[64], path[PATH_MAX], other[PATH_MAX];

static int set_up(void **state)
{
	(void)state;
	umask(022);
	snprintf(folder, sizeof(folder), "/tmp/culvert-test-file-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return 0;
}

static int tear_down(void **state)
{
	const char *const rm[] = {"rm", "-rf", folder, NULL};
	char out[64];

	(void)state;
	return spawn_run(rm, NULL, out, sizeof(out));
}

static unsigned entries(void)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static void assert_content(const char *name, const char *text)
{
	char buf[64];

	assert_int_equal(file_read(name, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void replace_and_create(void **state)
{
	(void)state;
	assert_int_equal(file_create(path, "one", 3, 0600), 0);
	assert_content(path, "one");
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(file_create(path, "two", 3, 0600), -EEXIST);
	assert_content(path, "one");
	assert_int_equal(file_replace(path, "three", 5, 0644), 0);
	assert_content(path, "three");
	assert_int_equal(mode_of(path), 0644);
	assert_int_equal(file_replace(path, "", 0, 0666), 0); /* whatever the umask */
	assert_content(path, "");
	assert_int_equal(mode_of(path), 0666);
	assert_int_equal(entries(), 1); /* no temporary file is left */
}

static void no_such_folder(void **state)
{
	char deep[PATH_MAX + 32];

	(void)state;
	snprintf(deep, sizeof(deep), "%s/none/file", folder);
	assert_int_equal(file_replace(deep, "x", 1, 0600), -ENOENT);
	assert_int_equal(file_create(deep, "x", 1, 0600), -ENOENT);
	memset(deep, 'a', PATH_MAX);
	deep[PATH_MAX] = '\0';
	assert_int_equal(file_replace(deep, "x", 1, 0600), -ENAMETOOLONG);
}

/* A process with our pid died in mid-write before: its leavings are in nobody's way. */
static void leftover_temporary_file(void **state)
{
	char tmp[PATH_MAX + 32];

	(void)state;
	assert_int_equal(file_create(other, "kept", 4, 0600), 0);
	snprintf(tmp, sizeof(tmp), "%s.%ld.tmp", path, (long)getpid());
	assert_int_equal(symlink(other, tmp), 0);
	assert_int_equal(file_create(path, "one", 3, 0600), 0);
	assert_int_equal(symlink(other, tmp), 0);
	assert_int_equal(file_replace(path, "two", 3, 0600), 0);
	assert_content(path, "two");
	assert_content(other, "kept"); /* nothing was written through the link */
	assert_int_equal(entries(), 2);
}

static void replacing_a_link_leaves_its_target(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_create(other, "kept", 4, 0600), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(file_create(path, "new", 3, 0600), -EEXIST);
	assert_int_equal(file_replace(path, "new", 3, 0600), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_content(path, "new");
	assert_content(other, "kept");
}

static void reading_has_limits(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(file_read(path, buf, 7), -ENOENT);
	assert_int_equal(file_create(path, "1234567", 7, 0600), 0);
	assert_int_equal(file_read(path, buf, 7), 7);
	assert_string_equal(buf, "1234567");
	assert_int_equal(file_read(path, buf, 6), -EFBIG);
	assert_int_equal(file_replace(path, "a\0b", 3, 0600), 0);
	assert_int_equal(file_read(path, buf, 7), 3); /* the caller sees the NUL by the length */
	assert_int_equal(file_read(folder, buf, 7), -EINVAL);
}

static void reading_follows_no_link_and_waits_for_no_pipe(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(file_create(other, "x", 1, 0600), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(file_read(path, buf, 7), -ELOOP);
	assert_int_equal(file_read_secret(path, buf, 7), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_read(path, buf, 7), -EINVAL);
}

static void secrets_are_closed_to_others(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(file_create(path, "key", 3, 0600), 0);
	for (mode_t mode = 0; mode <= 0777; mode++) {
		bool closed = (mode & 077) == 0;

		if (!(mode & 0400))
			continue;
		assert_int_equal(chmod(path, mode), 0);
		assert_int_equal(file_read_secret(path, buf, 7), closed ? 3 : -EPERM);
		assert_int_equal(file_read(path, buf, 7), 3);
	}
}

static void secrets_are_ours(void **state)
{
	char buf[8];

	(void)state;
	needs_root("a file is given to another user");
	assert_int_equal(file_create(path, "key", 3, 0600), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(file_read_secret(path, buf, 7), -EPERM);
	assert_int_equal(chown(path, 0, 12345), 0);
	assert_int_equal(file_read_secret(path, buf, 7), 3);
}

static void folders(void **state)
{
	char deep[PATH_MAX];

	(void)state;
	snprintf(deep, sizeof(deep), "%.60s/a/b//c", folder);
	assert_int_equal(dir_make(deep, 0750), 0);
	assert_int_equal(mode_of(deep), 0750);
	assert_int_equal(dir_make(deep, 0700), 0);
	assert_int_equal(mode_of(deep), 0750);
	assert_int_equal(file_create(path, "", 0, 0600), 0);
	assert_int_equal(dir_make(path, 0700), -ENOTDIR);
	snprintf(deep, sizeof(deep), "%.60s/file/x", folder);
	assert_int_equal(dir_make(deep, 0700), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replace_and_create, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_such_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leftover_temporary_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replacing_a_link_leaves_its_target, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(reading_has_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reading_follows_no_link_and_waits_for_no_pipe,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(secrets_are_closed_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(secrets_are_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folders, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
