/*
 * The files of a database before any engine opens them: who may have them, one writer at a time.
 * Main thread; what is refused is said by log_warn.
 */
#ifndef ACCOUNTING_DB_FILE_H
#define ACCOUNTING_DB_FILE_H

#include "base/base.h"

/*
 * Opens and locks path.lock, up to 5 s after another process let go of it: -EBUSY if none did. *fd
 * is the caller's, also after an error, unless it is -1; closing it unlocks. *clean: the database
 * is the one db_file_ended was last called for, untouched since, and nothing waits beside it.
 */
MUST_CHECK int db_file_lock(const char *path, int *fd, bool *clean);
/* After the engine closed path and all of it is on the disk; lock is db_file_lock's. What cannot be
 * noted counts as an end that was not clean. */
void db_file_ended(const char *path, int lock);
/*
 * Makes path (mode 0600) unless readonly. Refused: symbolic links (-ELOOP), what is no regular file
 * (-EINVAL), open to group or others or somebody else's (-EPERM), the same of path-wal, path-shm
 * and path-journal. Closes its descriptor: never while this process has the database open, whose
 * locks that would drop.
 */
MUST_CHECK int db_file_check(const char *path, bool readonly);

#endif
