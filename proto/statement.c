#include "proto/statement.h"

#include <string.h>

void statement_make(struct open_statement *out, const struct statement_values *v)
{
	memcpy(out->domain, DOMAIN_OPEN, DOMAIN_LEN);
	out->network = le64_of(v->network);
	memcpy(out->provider, v->provider, KEY_LEN);
	memcpy(out->client_control, v->client_control, KEY_LEN);
	memcpy(out->subject, v->subject, KEY_LEN);
	memcpy(out->terms, v->terms, KEY_LEN);
	memcpy(out->payer, v->payer, KEY_LEN);
	memcpy(out->nonce, v->nonce, NONCE_LEN);
}
