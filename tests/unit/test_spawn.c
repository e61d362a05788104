#include "tests/lib/unit.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"

static char out[4096];

static int shell(const char *script, const char *input)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return spawn_run(argv, input, out, sizeof(out));
}

static void exit_codes(void **state)
{
	(void)state;
	assert_int_equal(shell("exit 0", NULL), 0);
	assert_int_equal(shell("exit 1", NULL), 1);
	assert_int_equal(shell("exit 255", NULL), 255);
	assert_int_equal(shell("kill -9 $$", NULL), -EINTR);
}

static void cannot_start(void **state)
{
	const char *const missing[] = {"culvert-no-such-program", NULL};
	const char *const folder[] = {"/tmp", NULL};

	(void)state;
	assert_int_equal(spawn_run(missing, "x", out, sizeof(out)), -ENOENT);
	assert_string_equal(out, "");
	assert_int_equal(spawn_run(folder, NULL, out, sizeof(out)), -EACCES);
}

static void output_and_errors_are_kept(void **state)
{
	(void)state;
	assert_int_equal(shell("echo one; echo two >&2", NULL), 0);
	assert_string_equal(out, "one\ntwo\n");
	assert_int_equal(shell(":", NULL), 0);
	assert_string_equal(out, "");
}

static void output_is_cut(void **state)
{
	const char *const argv[] = {"sh", "-c", "printf 0123456789; seq 100000; exit 3", NULL};
	char little[8];

	(void)state;
	assert_int_equal(spawn_run(argv, NULL, little, sizeof(little)), 3);
	assert_string_equal(little, "0123456");
	assert_int_equal(spawn_run(argv, NULL, little, 1), 3);
	assert_string_equal(little, "");
}

/* More than pipes hold, both ways at once. */
static void large_input(void **state)
{
	size_t n = 3 << 20;
	char *input = malloc(n + 1), *back = malloc(n + 2);
	const char *const cat[] = {"cat", NULL};

	(void)state;
	assert_non_null(input);
	assert_non_null(back);
	for (size_t i = 0; i < n; i++)
		input[i] = (char)('a' + i % 26);
	input[n] = '\0';
	assert_int_equal(spawn_run(cat, input, back, n + 2), 0);
	assert_string_equal(back, input);
	free(input);
	free(back);
}

static void input_nobody_reads(void **state)
{
	size_t n = 1 << 20;
	char *input = malloc(n + 1);

	(void)state;
	assert_non_null(input);
	memset(input, 'x', n);
	input[n] = '\0';
	assert_int_equal(shell("exec <&-; sleep 0.1; exit 4", input), 4);
	free(input);
}

static void no_input_is_an_end(void **state)
{
	(void)state;
	assert_int_equal(shell("cat; exit 5", NULL), 5);
	assert_int_equal(shell("cat; exit 5", ""), 5);
	assert_string_equal(out, "");
}

static void environment_is_bare(void **state)
{
	(void)state;
	setenv("CULVERT_SECRET", "do not hand on", 1);
	assert_int_equal(shell("env | grep -c -v -e ^PATH= -e ^LC_ALL=C$ -e ^PWD= -e ^_= -e "
			       "^SHLVL= -e ^OLDPWD=",
			       NULL),
			 1);
	assert_string_equal(out, "0\n");
	assert_int_equal(shell("echo $LC_ALL", NULL), 0);
	assert_string_equal(out, "C\n");
}

/* Nor are programs looked for where the caller's PATH says. */
static void programs_are_found_in_usual_places(void **state)
{
	static const char *const argv[] = {"true", NULL};
	char *path = strdup(getenv("PATH"));

	(void)state;
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(spawn_run(argv, NULL, out, sizeof(out)), 0);
	setenv("PATH", path, 1);
	free(path);
}

static void no_descriptor_leaks(void **state)
{
	(void)state;
	/* What the test itself was handed is not at issue. */
	assert_int_equal(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), 0);
	assert_int_equal(shell("ls /proc/self/fd | wc -l", NULL), 0);
	assert_string_equal(out, "4\n"); /* three, and the one ls reads the folder by */
}

static int wait_for(int pidfd, pid_t pid)
{
	struct pollfd p = {pidfd, POLLIN, 0};
	int status;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pidfd);
	return status;
}

static void start_and_reap(void **state)
{
	const char *const argv[] = {"sh", "-c", "[ \"$GREETING\" = hello ] && exit 7", NULL};
	const char *const env[] = {"GREETING=hello", NULL};
	const char *const missing[] = {"culvert-no-such-program", NULL};
	pid_t pid;
	int fd = spawn_start(argv, env, &pid), status;

	(void)state;
	assert_true(fd >= 0);
	status = wait_for(fd, pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(spawn_start(missing, NULL, &pid), -ENOENT);
}

/* The child of a child that dies goes with it. */
static void dies_with_its_parent(void **state)
{
	const char *const argv[] = {"sleep", "60", NULL};
	int to_us[2], status;
	pid_t child, grandchild;
	struct pollfd p;

	(void)state;
	assert_int_equal(pipe(to_us), 0);
	child = fork();
	if (child == 0) {
		if (spawn_start(argv, NULL, &grandchild) < 0 ||
		    write(to_us[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		_exit(0);
	}
	close(to_us[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(to_us[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	/* Our end of the pipe reads its end once nobody has the other: sleep inherited it. */
	p = (struct pollfd){to_us[0], POLLIN, 0};
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(to_us[0], &grandchild, sizeof(grandchild)), 0);
	close(to_us[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes),
		cmocka_unit_test(cannot_start),
		cmocka_unit_test(output_and_errors_are_kept),
		cmocka_unit_test(output_is_cut),
		cmocka_unit_test(large_input),
		cmocka_unit_test(input_nobody_reads),
		cmocka_unit_test(no_input_is_an_end),
		cmocka_unit_test(environment_is_bare),
		cmocka_unit_test(programs_are_found_in_usual_places),
		cmocka_unit_test(no_descriptor_leaks),
		cmocka_unit_test(start_and_reap),
		cmocka_unit_test(dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
