/* Key files: what is read, what is refused and why, and that nothing is overwritten. */
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "config/keyfile.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

static char path[128], error[CONFIG_ERROR_MAX];

static void put(const char *text, mode_t mode)
{
	assert_int_equal(file_replace(path, text, strlen(text), mode), 0);
}

static void refused(const char *part)
{
	uint8_t key[KEY_LEN];

	assert_false(keyfile_read(key, path, error));
	if (strncmp(error, path, strlen(path)) != 0 || !strstr(error, part) ||
	    !strstr(error, "; ") || strstr(error, "yAnz5"))
		fail_msg("wanted %s, got %s", part, error);
}

static void test_read(void **state)
{
	uint8_t key[KEY_LEN], want[KEY_LEN];

	(void)state;
	assert_true(key_from_base64(want, KEY));
	put(KEY "\n", 0600);
	assert_true(keyfile_read(key, path, error));
	assert_memory_equal(key, want, KEY_LEN);
	put(KEY, 0400);
	assert_true(keyfile_read(key, path, error));
	put(KEY "\r\n", 0600);
	assert_true(keyfile_read(key, path, error));
}

static void test_refused(void **state)
{
	static const char *const contents[] = {
		"",
		"\n",
		"hello\n",
		KEY KEY "\n",
		KEY "\n" KEY "\n",
		" " KEY "\n",
		"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk\n",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		KEY " # mine\n",
		KEY "\n\n\n\n\n\n",
	};
	char link[140];

	(void)state;
	refused("no such file");
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		put(contents[i], 0600);
		refused("is not one line of 44 base64");
	}
	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		put(KEY "\n", 0600 | bit);
		refused("can be read by others");
	}
	put(KEY "\n", 0600);
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(rename(path, link), 0);
	assert_int_equal(symlink(link, path), 0);
	refused("symbolic link");
	unlink(path);
	unlink(link);
	assert_int_equal(mkdir(path, 0700), 0);
	refused("no regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused("no regular file");
	unlink(path);
	needs_root("a file is given to another user");
	put(KEY "\n", 0600);
	assert_int_equal(chown(path, 12345, 0), 0);
	refused("can be read by others or is not ours");
}

static void test_create(void **state)
{
	uint8_t key[KEY_LEN], again[KEY_LEN];
	struct stat st;

	(void)state;
	for (int clamp = 0; clamp < 2; clamp++) {
		assert_true(keyfile_create(key, path, clamp, error));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(st.st_size, KEY_TEXT);
		assert_true(keyfile_read(again, path, error));
		assert_memory_equal(key, again, KEY_LEN);
		if (clamp)
			assert_true((key[0] & 7) == 0 && (key[31] & 0xc0) == 0x40);
		assert_false(keyfile_create(key, path, clamp, error));
		assert_non_null(strstr(error, "nothing is overwritten"));
		assert_true(keyfile_read(key, path, error));
		assert_memory_equal(key, again, KEY_LEN);
		unlink(path);
	}
}

static int clean(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_read, clean),
		cmocka_unit_test_teardown(test_refused, clean),
		cmocka_unit_test_teardown(test_create, clean),
	};
	char dir[] = "/tmp/culvert-key.XXXXXX";
	int failed;

	crypto_start();
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/x.key", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
