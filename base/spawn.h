/* Running another program without a shell: nft, ip, wireguard-go. Main threads only, never a
 * worker. */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include "base/base.h"

/*
 * Runs argv (NULL-terminated, looked up in the usual directories only), feeds it input (may be
 * NULL), and waits. What it wrote to stdout and stderr is kept, cut to out_size - 1 and
 * NUL-terminated. Returns its exit status 0..255, or -errno (-EINTR if a signal ended it).
 * Environment: PATH and LC_ALL=C only.
 */
MUST_CHECK int spawn_run(const char *const argv[], const char *input, char *out, size_t out_size);

/*
 * Starts argv with extra environment strings (NULL-terminated "K=V" list, may be NULL) and returns
 * its pidfd, setting *pid; the child dies with its parent (PR_SET_PDEATHSIG). -errno if it cannot
 * start. The caller reaps it with waitpid and closes the pidfd.
 */
MUST_CHECK int spawn_start(const char *const argv[], const char *const env[], pid_t *pid);

#endif
