/* The parts of `culvert credit` about grants of issuers: sign one, keep one, list what there is. */
#ifndef CLIENT_VERB_GRANTS_H
#define CLIENT_VERB_GRANTS_H

#include "client/cli.h"
#include "proto/crypto.h"

/* What a grant is signed with, as typed; NULL: not given. */
struct grant_words {
	const char *relay, *key, *serial, *network;
	uint8_t payer[KEY_LEN];
	uint64_t amount, days; /* days 0: never expires */
};

/* Each an exit status. Signing needs no daemon, no configuration and no database. */
MUST_CHECK int grants_sign(const struct cli *cli, const struct grant_words *w);
MUST_CHECK int grants_keep(const struct cli *cli);
MUST_CHECK int grants_list(const struct cli *cli);

#endif
