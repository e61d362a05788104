/* culvert down: ends the agent and waits until everything it made is gone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/api.h"
#include "client/cli.h"
#include "client/guard.h"
#include "client/verbs.h"

#define DOWN_MS 15000
#define LOOK_US 50000

/* Asks until the agent heard it or is gone; the lock is free once its guard is gone too. */
static int wait_for_lock(const char *socket)
{
	uint64_t until = clock_ms() + DOWN_MS;
	bool heard = false;
	json_t *answer;
	int lock;

	for (;;) {
		lock = guard_lock(socket);
		if (lock != -EWOULDBLOCK || clock_ms() >= until)
			return lock;
		if (!heard &&
		    api_request(&answer, socket, "POST /v1/down", NULL, true) == STATUS_OK) {
			json_decref(answer);
			heard = true;
		}
		usleep(LOOK_US);
	}
}

int verb_down(int argc, char **argv)
{
	struct api_sockets sockets;
	const char *socket;
	struct cli cli;
	bool was_up, left;
	int lock, status = cli_parse(&cli, argc, argv, NULL, 0, 0);

	if (status == STATUS_OK)
		status = api_find(&sockets, &cli, API_EITHER);
	if (status != STATUS_OK)
		return status;
	socket = sockets.path[0];
	lock = guard_lock(socket);
	was_up = lock == -EWOULDBLOCK;
	if (was_up)
		lock = wait_for_lock(socket);
	if (lock == -EWOULDBLOCK)
		return cli_fail(STATUS_TIMEOUT,
				"the agent is still there after %d s; end its process with kill, "
				"then run culvert down again",
				DOWN_MS / 1000);
	if (lock == -EACCES || lock == -EPERM)
		return cli_fail(STATUS_DENIED, "%s.lock may not be opened; run as root", socket);
	if (lock < 0)
		return cli_fail(STATUS_FAILED, "%s.lock: %s; look at its directory", socket,
				strerror(-lock));
	left = guard_clean(lock, socket);
	guard_unlock(lock, socket);
	if (!cli.quiet)
		puts(was_up ? "culvert is down"
		     : left ? "culvert was not up; what an earlier run had left is removed"
			    : "culvert was not up; nothing to do");
	return STATUS_OK;
}
