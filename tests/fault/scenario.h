/*
 * What the programs in tests/fault share: they run again with fault.so in front, drive a ledger
 * through a scenario whatever it answers, and know how it ended.
 */
#ifndef TESTS_FAULT_SCENARIO_H
#define TESTS_FAULT_SCENARIO_H

#include "accounting/ledger.h"
#include "tests/fault/fault.h"

/* Returns once fault.so is preloaded and *page is mapped; dir is a new one on a real disk, the only
 * one whose files are looked at, and absolute. Any process that forks from here may be faulted. */
#define SCENARIO_DIR 256
void scenario_preload(char **argv, struct fault_page **page, char dir[static SCENARIO_DIR]);
/* A page for this process and its children alone, to count apart from others. */
struct fault_page *scenario_own_page(void);
/* No faults, no trace. */
void scenario_disarm(struct fault_page *page);

/* A number from the environment, or standard. */
uint64_t scenario_number(const char *name, uint64_t standard);

/* The books of identity 1 in dir (made), whose payer is identity 9. */
void scenario_config(struct ledger_config *out, const char *dir);

/*
 * Starts a ledger, grants, opens, bills rounds times in four sessions at once, signs, repeats
 * itself, asks, disputes one session and closes, going on after every error, until the ledger dies
 * or all is done; stops it. salt makes sessions and keys of different runs differ. Returns the
 * ledger's wait status.
 */
int scenario_receipts(const struct ledger_config *config, uint64_t salt, unsigned rounds);

/* As scenario_receipts, but every so many rounds an epoch is closed, epochs of them, and its batch
 * waited for. */
int scenario_settle(const struct ledger_config *config, uint64_t salt, unsigned epochs);

/*
 * Has work(number, found, arg) done in so many processes at once, numbers from 0, each with size
 * bytes of zero to fill, which come back in found, one after the other in any order. False: one of
 * them did not end well.
 */
bool scenario_parallel(unsigned processes,
		       void (*work)(uint64_t number, void *found, const void *arg), const void *arg,
		       void *found, size_t size);

/* waitpid as the ledger's parent calls it, so that its end is seen: linked with --wrap=waitpid. */
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

#endif
