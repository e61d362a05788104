/* What a payer signs when it asks for a session. Pure. */
#ifndef CLIENT_OPENING_H
#define CLIENT_OPENING_H

#include "client/provider.h"

/* OPEN and ADD_PEER have one layout: what is opened, terms, payer, nonce, signature. The statement
 * says that this control key may open a session we pay for. */
void opening_fill(struct body_open *open, const struct provider_config *config,
		  const struct terms *terms, const uint8_t nonce[static NONCE_LEN]);

#endif
