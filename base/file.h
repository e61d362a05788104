/* Files that matter: read whole with their modes checked, written whole or not at all. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/base.h"

/*
 * Reads a regular file of at most max bytes into buf and NUL-terminates it (buf holds max + 1).
 * Symbolic links are not followed. Returns the length, or -errno (-EFBIG if longer than max).
 */
MUST_CHECK ssize_t file_read(const char *path, char *buf, size_t max);

/* The same for secrets: also -EPERM unless owned by us or root and closed to group and others. */
MUST_CHECK ssize_t file_read_secret(const char *path, char *buf, size_t max);

/* Temporary file, fsync, rename, fsync of the directory: after 0 the content survives a power cut.
 */
MUST_CHECK int file_replace(const char *path, const void *data, size_t len, mode_t mode);

/* Like file_replace, but -EEXIST if path exists: nothing is ever overwritten. */
MUST_CHECK int file_create(const char *path, const void *data, size_t len, mode_t mode);

/* fsync of the directory that path is in: an entry made there survives a power cut. 0 or -errno. */
MUST_CHECK int file_sync_directory(const char *path);

/* write(2) until all is out. 0 or -errno. */
MUST_CHECK int fd_write_all(int fd, const void *data, size_t len);

/* mkdir -p with mode for what is made; an existing directory is fine. 0 or -errno. */
MUST_CHECK int dir_make(const char *path, mode_t mode);

/* Removes a socket that nobody listens at any more, if there is one: 0 or -errno. -EADDRINUSE, and
 * nothing removed, if somebody does or path is something else. */
MUST_CHECK int socket_clear(const char *path);

#endif
