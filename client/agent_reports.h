/*
 * What a client can say of one session from its own books and counters: GET /v1/explain and
 * /v1/reconcile of the agent's API. Main thread only.
 */
#ifndef CLIENT_AGENT_REPORTS_H
#define CLIENT_AGENT_REPORTS_H

#include <jansson.h>

#include "client/agent.h"

/* q names a session. 0 and *out the caller's, or -errno: -ENOENT, no session of this wallet. */
MUST_CHECK int agent_explain(json_t **out, struct agent *a, const struct query *q);
MUST_CHECK int agent_reconcile(json_t **out, struct agent *a, const struct query *q);

#endif
