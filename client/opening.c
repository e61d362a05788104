#include "client/opening.h"

#include <string.h>

#include "proto/statement.h"

static_assert(sizeof(struct body_open) == sizeof(struct body_add_peer), "OPEN is not ADD_PEER");
static_assert(offsetof(struct body_open, signature) == offsetof(struct body_add_peer, signature),
	      "OPEN is not ADD_PEER");

void opening_fill(struct body_open *open, const struct provider_config *config,
		  const struct terms *terms, const uint8_t nonce[static NONCE_LEN])
{
	const struct statement_values v = {
		.network = config->network,
		.provider = config->descriptor.body.node,
		.client_control = config->control.pub,
		.subject = open->exit,
		.terms = open->terms,
		.payer = open->payer,
		.nonce = open->nonce,
	};
	struct open_statement s;

	memcpy(open->exit, config->subject, KEY_LEN);
	terms_hash(open->terms, terms);
	memcpy(open->payer, config->payer->id, KEY_LEN);
	memcpy(open->nonce, nonce, NONCE_LEN);
	statement_make(&s, &v);
	identity_sign(open->signature, &s, sizeof(s), config->payer);
}
