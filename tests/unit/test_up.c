/* culvert up in the background: whoever waits can always give up. */
#include "tests/lib/unit.h"

#include "client/up.c"
#include "tests/lib/books.h"

int __wrap_agent_run(const struct agent_run *run);

/* An agent that is still at its beginnings: it has no handlers of its own yet. */
int __wrap_agent_run(const struct agent_run *run)
{
	(void)run;
	for (;;)
		pause();
}

static void an_early_agent_can_be_ended(void **state)
{
	static struct agent_setup setup;
	struct up_options o = {.cli.quiet = true, .wait_s = 1};
	char dir[TEST_DIR];
	int lock;

	(void)state;
	test_dir_make(dir);
	snprintf(setup.config.data_dir, sizeof(setup.config.data_dir), "%s", dir);
	snprintf(setup.config.socket, sizeof(setup.config.socket), "%s/client.sock", dir);
	lock = guard_lock(setup.config.socket);
	assert_true(lock >= 0);
	alarm(10); /* it waited for ever */
	assert_int_equal(up_in_background(&o, &setup, lock), STATUS_TIMEOUT);
	alarm(0);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_early_agent_can_be_ended),
	};

	log_init("test_up", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
