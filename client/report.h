/* What the commands about one session have in common. CLI only. */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include "client/api.h"

/* The command line's only word, a session, as the API takes it. STATUS_OK or STATUS_USAGE, said. */
MUST_CHECK int report_session(char hex[static 2 * SESSION_ID_LEN + 1], const struct cli *cli,
			      const char *verb);

/*
 * GET path?session=hex from the first daemon that answers and knows it; *which (may be NULL) says
 * which socket that was. *out is the caller's. STATUS_OK, or another status, said.
 */
MUST_CHECK int report_fetch(json_t **out, const struct api_sockets *sockets, const char *path,
			    const char *hex, size_t *which);

#endif
