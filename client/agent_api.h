/*
 * The agent's HTTP/JSON API on its unix socket: GET /v1/status, /v1/sessions, /v1/credits,
 * /v1/receipts and /v1/terms (these three with ?after=N, receipts with &session=HEX too),
 * /v1/explain and /v1/reconcile (?session=HEX), POST /v1/down. docs/api.md says what they answer.
 * Main thread only.
 */
#ifndef CLIENT_AGENT_API_H
#define CLIENT_AGENT_API_H

#include "client/agent.h"

struct agent_api;

/* Listens at path, replacing a socket left there; readable by root and the group culvert.
 * 0 or -errno. */
MUST_CHECK int agent_api_start(struct agent_api **out, struct event_base *base, struct agent *agent,
			       const char *path);
/* Removes the socket. NULL is fine. */
void agent_api_stop(struct agent_api *api);

#endif
