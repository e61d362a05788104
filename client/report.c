#include "client/report.h"

#include <stdio.h>

#include "base/text.h"

int report_session(char hex[static 2 * SESSION_ID_LEN + 1], const struct cli *cli, const char *verb)
{
	uint8_t id[SESSION_ID_LEN];

	if (cli->words.count != 1)
		return cli_fail(STATUS_USAGE, "%s wants a session; see culvert sessions -v", verb);
	if (!text_unhex(id, sizeof(id), cli->words.item[0]))
		return cli_fail(STATUS_USAGE,
				"a session is 32 hex digits; see culvert sessions -v or culvert "
				"receipts list");
	text_hex(hex, id, sizeof(id));
	return STATUS_OK;
}

int report_fetch(json_t **out, const struct api_sockets *sockets, const char *path, const char *hex,
		 size_t *which)
{
	char request[128];

	snprintf(request, sizeof(request), "GET %s?session=%s", path, hex);
	return api_first(out, sockets, request, which);
}
