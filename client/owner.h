/* Keys that belong to the user a daemon runs as, seen by root. CLI only. */
#ifndef CLIENT_OWNER_H
#define CLIENT_OWNER_H

#include "config/keyfile.h"

/*
 * keyfile_read as the file's owner when root asks: root sees what the daemon will see, and the rule
 * "ours and closed to others" stays the same for everybody.
 */
MUST_CHECK bool owner_keyfile_read(uint8_t key[static KEY_LEN], const char *path,
				   char error[static CONFIG_ERROR_MAX]);

#define OWNER_USER "culvert" /* what the systemd units run as */
/* Gives path to OWNER_USER if we are root and there is such a user; false if there is not. */
bool owner_give(const char *path);

#endif
