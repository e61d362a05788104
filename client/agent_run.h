/* Runs an agent from its files to its end, in this process: keys, guard, loop, API, signals. */
#ifndef CLIENT_AGENT_RUN_H
#define CLIENT_AGENT_RUN_H

#include "client/agent.h"

/* Reads config, keys and descriptors, and looks at the prices. False: error is the line to show.
 * setup is secret memory (crypto_secret_alloc). */
MUST_CHECK bool agent_setup_read(struct agent_setup *setup, const char *path,
				 char error[static CONFIG_ERROR_MAX]);

struct agent_run {
	const struct agent_setup *setup;
	int lock;         /* of guard_lock; consumed */
	uint64_t wait_ms; /* to be connected within; 0: for ever */
	void (*progress)(void *arg, enum agent_state state, const char *text);
	void *arg;
};

/* Returns when the agent has ended and nothing of it is left: a status of verbs.h. */
int agent_run(const struct agent_run *run);

#endif
